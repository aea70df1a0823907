// Channels last: pixels x classes in memory, classes x pixels in the tile.
//
// Square blocks of W x W numbers are transposed in registers by log2(W) rounds of interleaving; a
// block narrower than the classes left reads on into the next pixel's numbers where those are still
// inside the stretch, and number by number where not: no read leaves the array.
#pragma once
#include <utility>

#include "convert.h"

namespace {

template <size_t bytes>
struct VecBits;
template <>
struct VecBits<2> {
    using type = uint16_t;
};
template <>
struct VecBits<4> {
    using type = uint32_t;
};
template <>
struct VecBits<8> {
    using type = uint64_t;
};

// The low (or high) halves of a's and b's lanes, alternating.
template <int half, class V, size_t... i>
inline V weave(V a, V b, std::index_sequence<i...>) {
    constexpr int n = int(sizeof...(i));
    return __builtin_shufflevector(a, b, int(i & 1) * n + (int(i) + half * n) / 2 ...);
}

// In place: v[i][j] <-> v[j][i].
template <class T>
inline void transpose(Vec<T>* v) {
    constexpr int n = kLanes<T>;
#pragma GCC unroll 5
    for (int round = 1; round < n; round *= 2) {
        Vec<T> w[n];
#pragma GCC unroll 16
        for (int i = 0; i < n / 2; ++i) {
            w[2 * i] = weave<0>(v[i], v[i + n / 2], std::make_index_sequence<n>());
            w[2 * i + 1] = weave<1>(v[i], v[i + n / 2], std::make_index_sequence<n>());
        }
#pragma GCC unroll 16
        for (int i = 0; i < n; ++i) v[i] = w[i];
    }
}

// n pixels, `pixel_stride` apart, each with t.classes neighbouring numbers.
template <class S, class T>
inline void fill_transposed(const S* src, ptrdiff_t pixel_stride, Tile<T>& t, ptrdiff_t at, ptrdiff_t n) {
    if constexpr (sizeof(T) == sizeof(widen(S()))) {
        constexpr int W = kLanes<T>;
        const ptrdiff_t extent = (n - 1) * pixel_stride + t.classes;  // numbers from the first to the last
        ptrdiff_t p = 0;
        if (pixel_stride > 0)
            for (; p + W <= n; p += W) {
                const S* block = src + p * pixel_stride;
                // The last vector of the block's last pixel must end inside the stretch.
                const ptrdiff_t vectors = (t.classes + W - 1) / W;
                if ((p + W - 1) * pixel_stride + vectors * W > extent) break;
                for (ptrdiff_t k = 0; k < t.classes; k += W) {
                    Vec<T> v[W];
#pragma GCC unroll 16
                    for (int i = 0; i < W; ++i) v[i] = read_vector(block + i * pixel_stride + k);
                    transpose<T>(v);
                    const ptrdiff_t rows = t.classes - k < W ? t.classes - k : W;
                    T* out = t.z + k * t.ld + at + p;
                    for (ptrdiff_t i = 0; i < rows; ++i) store(out + i * t.ld, v[i]);
                }
            }
        for (; p < n; ++p)
            for (ptrdiff_t k = 0; k < t.classes; ++k)
                t.z[k * t.ld + at + p] = widen(src[p * pixel_stride + k]);
    }
}

}  // namespace
