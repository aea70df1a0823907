// Empties a tile, class after class, into an array of any strides.
//
// Memory traffic: each result is written once; past the caches where the whole is too large for them.
#pragma once
#include "transpose.h"

namespace {

// Pixels x classes: transposed through a small block, then copied to the element.
template <class T, class S>
inline void store_transposed(const Tile<T>& t, S* out, ptrdiff_t pixel_stride, ptrdiff_t at, ptrdiff_t n) {
    constexpr int W = kLanes<T>;
    const ptrdiff_t vectors = (t.classes + W - 1) / W;
    ptrdiff_t p = 0;
    for (; p + W <= n; p += W)
        for (ptrdiff_t j = 0; j < vectors; ++j) {
            const ptrdiff_t k = j * W, rows = t.classes - k < W ? t.classes - k : W;
            Vec<T> v[W];
            for (int i = 0; i < W; ++i) v[i] = Vec<T>{};
            for (ptrdiff_t i = 0; i < rows; ++i) v[i] = load<Vec<T>>(t.z + (k + i) * t.ld + at + p);
            transpose<T>(v);
            for (int i = 0; i < W; ++i) {
                T row[W];
                store(row, v[i]);
                write_row(row, out + (p + i) * pixel_stride + k, rows, false);
            }
        }
    for (; p < n; ++p)
        for (ptrdiff_t k = 0; k < t.classes; ++k) narrow(t.z[k * t.ld + at + p], out[p * pixel_stride + k]);
}

template <class S, class T>
inline void store_classes(const Tile<T>& t, const Job& job, int o) {
    const Operand& a = job.operand[o];
    const ptrdiff_t pixel_stride = job.walk.stride[o][job.walk.ndim - 1];
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0; i < t.segment_count; ++i) {
        const Segment& s = t.segments[i];
        S* out = (S*)a.data + s.offset[o];
        if (pixel_stride == 1 || s.length == 1)
            for (ptrdiff_t k = 0; k < t.classes; ++k)
                write_row(t.z + k * t.ld + at, out + k * a.class_stride, s.length, job.stream);
        else if (a.class_stride == 1)
            store_transposed(t, out, pixel_stride, at, s.length);
        else
            for (ptrdiff_t k = 0; k < t.classes; ++k)
                for (ptrdiff_t p = 0; p < s.length; ++p)
                    narrow(t.z[k * t.ld + at + p], out[k * a.class_stride + p * pixel_stride]);
        at += s.length;
    }
}

// One number a pixel, from a row of the tile.
template <class From, class To>
inline void store_row(const From* row, char* out, const Job& job, const Segment* segments, ptrdiff_t count) {
    if (!out) return;
    const ptrdiff_t pixel_stride = job.walk.stride[1][job.walk.ndim - 1];
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0; i < count; ++i) {
        const Segment& s = segments[i];
        To* to = (To*)out + s.offset[1];
        if (pixel_stride == 1)
            for (ptrdiff_t p = 0; p < s.length; ++p) to[p] = To(row[at + p]);
        else
            for (ptrdiff_t p = 0; p < s.length; ++p) to[p * pixel_stride] = To(row[at + p]);
        at += s.length;
    }
}

}  // namespace
