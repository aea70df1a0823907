// Empties a tile, class after class, into an array of any strides.
//
// Memory traffic: each result is written once; past the caches where the whole is too large for them.
#pragma once
#include "transpose.h"

namespace {

// Pixels x classes: transposed into scratch, then copied to the element. The last classes' vector,
// which comes first, runs over into the next pixel's place: its own numbers follow.
template <class T, class S>
inline void store_transposed(const Tile<T>& t, S* out, ptrdiff_t pixel_stride, ptrdiff_t at, ptrdiff_t n,
                             bool past) {
    constexpr int W = kLanes<T>;
    const ptrdiff_t C = t.classes;
    ptrdiff_t p = 0;
    for (; p + W <= n; p += W)
        for (ptrdiff_t k = (C - 1) / W * W; k >= 0; k -= W) {
            Vec<T> v[W];
            for (int i = 0; i < W; ++i)
                v[i] = k + i < C ? load<Vec<T>>(t.z + (k + i) * t.ld + at + p) : Vec<T>{};
            transpose<T>(v);
            for (int i = 0; i < W; ++i) store(t.block + (p + i) * C + k, v[i]);
        }
    for (; p < n; ++p)
        for (ptrdiff_t k = 0; k < C; ++k) t.block[p * C + k] = t.z[k * t.ld + at + p];
    const ptrdiff_t run = pixel_stride == C ? n * C : C;
    for (ptrdiff_t done = 0; done < n * C; done += run)
        write_row<T>([&](ptrdiff_t i) { return load<Vec<T>>(t.block + done + i); },
                     out + done / C * pixel_stride, run, past && run > C);
}

// result(k, p) is the vector of class k's results at pixel p of the tile. Where pixels lie side by side
// it goes straight to memory; elsewhere through the tile, whose numbers it may be made of.
template <class S, class T, class Result>
inline void store_classes(Tile<T>& t, const Job& job, int o, Result result) {
    const Operand& a = job.operand[o];
    const ptrdiff_t pixel_stride = job.walk.stride[o][job.walk.ndim - 1];
    const bool rows = pixel_stride == 1;
    for (ptrdiff_t k = 0; k < t.classes && !rows; ++k)
        for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) store(t.z + k * t.ld + p, result(k, p));
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0; i < t.segment_count; ++i) {
        const Segment& s = t.segments[i];
        S* out = (S*)a.data + s.offset[o];
        if (rows)
            for (ptrdiff_t k = 0; k < t.classes; ++k)
                write_row<T>([&](ptrdiff_t p) { return result(k, at + p); }, out + k * a.class_stride,
                             s.length, job.stream);
        else if (a.class_stride == 1)
            store_transposed(t, out, pixel_stride, at, s.length, job.stream);
        else
            for (ptrdiff_t k = 0; k < t.classes; ++k)
                for (ptrdiff_t p = 0; p < s.length; ++p)
                    narrow(t.z[k * t.ld + at + p], out[k * a.class_stride + p * pixel_stride]);
        at += s.length;
    }
}

// The same, of whatever type the operand is.
template <class T, class Result>
inline void store_any_classes(Tile<T>& t, const Job& job, int o, Result result) {
    switch (job.operand[o].dtype) {
        case DType::float16: return store_classes<Half>(t, job, o, result);
        case DType::bfloat16: return store_classes<BFloat>(t, job, o, result);
        case DType::float32: return store_classes<float>(t, job, o, result);
        case DType::float64:
            if constexpr (sizeof(T) == 8) store_classes<double>(t, job, o, result);
    }
}

// One number a pixel, into a row of the tile.
template <class From, class T>
inline void load_row(T* row, const char* in, const Job& job, const Segment* segments, ptrdiff_t count) {
    const ptrdiff_t pixel_stride = job.walk.stride[job.pixels][job.walk.ndim - 1];
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0; i < count; ++i) {
        const Segment& s = segments[i];
        const From* from = (const From*)in + s.offset[job.pixels];
        for (ptrdiff_t p = 0; p < s.length; ++p) row[at + p] = T(from[p * pixel_stride]);
        at += s.length;
    }
}

// One number a pixel, from a row of the tile.
template <class From, class To>
inline void store_row(const From* row, char* out, const Job& job, const Segment* segments, ptrdiff_t count) {
    if (!out) return;
    const ptrdiff_t pixel_stride = job.walk.stride[job.pixels][job.walk.ndim - 1];
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0; i < count; ++i) {
        const Segment& s = segments[i];
        To* to = (To*)out + s.offset[job.pixels];
        if (pixel_stride == 1)
            for (ptrdiff_t p = 0; p < s.length; ++p) to[p] = To(row[at + p]);
        else
            for (ptrdiff_t p = 0; p < s.length; ++p) to[p * pixel_stride] = To(row[at + p]);
        at += s.length;
    }
}

// A row of labels, as unsigned integers of that many bytes.
template <class Int, class T>
inline void store_labels(const Int* row, char* out, int bytes, const Job& job, const Tile<T>& t) {
    if (bytes == 1) store_row<Int, uint8_t>(row, out, job, t.segments, t.segment_count);
    if (bytes == 2) store_row<Int, uint16_t>(row, out, job, t.segments, t.segment_count);
    if (bytes == 4) store_row<Int, uint32_t>(row, out, job, t.segments, t.segment_count);
}

}  // namespace
