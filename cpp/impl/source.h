// The direct source: fills a tile from an array of any strides, then applies the affine map.
//
// Memory traffic: each logit is read once from memory and written once to the tile, in cache.
#pragma once
#include "convert.h"
#include "transpose.h"

namespace {

// S: stored type; T: type of the tile.
template <class S, class T>
inline void fill_strided(const S* src, ptrdiff_t class_stride, ptrdiff_t pixel_stride, bool swapped,
                         Tile<T>& t, ptrdiff_t at, ptrdiff_t n) {
    for (ptrdiff_t k = 0; k < t.classes; ++k) {
        const S* p = src + k * class_stride;
        T* row = t.z + k * t.ld + at;
        for (ptrdiff_t i = 0; i < n; ++i) {
            using U = typename VecBits<sizeof(S)>::type;
            U u;
            std::memcpy(&u, p + i * pixel_stride, sizeof u);
            row[i] = widen(bits_as<S>(swapped ? swap_bytes(u) : u));
        }
    }
}

template <class S, class T>
inline void fill(Tile<T>& t, const Job& job, int o) {
    const Operand& a = job.operand[o];
    const ptrdiff_t pixel_stride = job.walk.stride[o][job.walk.ndim - 1];
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0; i < t.segment_count; ++i) {
        const Segment& s = t.segments[i];
        const S* src = (const S*)a.data + s.offset[o];
        if (a.swapped)
            fill_strided(src, a.class_stride, pixel_stride, true, t, at, s.length);
        else if (pixel_stride == 1 || s.length == 1)
            for (ptrdiff_t k = 0; k < t.classes; ++k)
                read_row(src + k * a.class_stride, t.z + k * t.ld + at, s.length);
        else if (a.class_stride == 1)
            fill_transposed(src, pixel_stride, t, at, s.length);
        else
            fill_strided(src, a.class_stride, pixel_stride, false, t, at, s.length);
        at += s.length;
    }
    // Lanes past the last pixel: any number that takes no detour.
    for (ptrdiff_t k = 0; k < t.classes; ++k)
        for (ptrdiff_t i = t.count; i < t.padded; ++i) t.z[k * t.ld + i] = 0;
}

// z <- z / temperature + bias over one row, rounded once.
inline void map_row(float* row, ptrdiff_t n, double high, double, double bias) {
    for (ptrdiff_t i = 0; i < n; ++i) row[i] = float(double(row[i]) * high + bias);
}
inline void map_row(double* row, ptrdiff_t n, double high, double low, double bias) {
    constexpr int lanes = kLanes<double>;
    for (ptrdiff_t i = 0; i < n; i += lanes) {
        Vec<double> z = load<Vec<double>>(row + i);
        Vec<double> product = z * high;
        Vec<double> tail = product_tail<double>(z, splat(high), product) + z * low;
        Vec<double> sum = product + bias;
        Vec<double> t = sum - product;
        Vec<double> exact = sum + ((product - (sum - t)) + (bias - t) + tail);
        // Where a part overflowed or was infinite, its tail is no number: keep the plain sum.
        store(row + i, exact - exact == 0 ? exact : sum);
    }
}

template <class T>
inline void apply_affine(Tile<T>& t, const Affine& a) {
    for (ptrdiff_t k = 0; k < t.classes; ++k)
        map_row(t.z + k * t.ld, t.padded, a.factor_high[k], a.factor_low[k], a.bias[k]);
}

}  // namespace
