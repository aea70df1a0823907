// Fills a tile from an array of any strides.
//
// Memory traffic: each number is read once from memory and written once to the tile, in cache.
#pragma once
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
[[gnu::noinline, gnu::noclone]] void fill(Tile<T>& t, const Job& job, int o) {
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
        else if (a.class_stride == 1 && sizeof(T) == sizeof(widen(S())))
            fill_transposed(src, pixel_stride, t, at, s.length);
        else
            fill_strided(src, a.class_stride, pixel_stride, false, t, at, s.length);
        at += s.length;
    }
    // Lanes past the last pixel: any number that takes no detour.
    for (ptrdiff_t k = 0; k < t.classes; ++k)
        for (ptrdiff_t i = t.count; i < t.padded; ++i) t.z[k * t.ld + i] = 0;
}

}  // namespace
