// A tile: a few hundred pixels with all their classes, class after class, small enough for the cache.
//
// Sources fill tiles, sinks empty them. Rows are padded to whole blocks, so that arithmetic never has
// a tail and a pixel's bits do not depend on its place; only sources and sinks touch the caller's
// arrays, and they to the element.
#pragma once
#include "../kernels.h"
#include "vec.h"

namespace {

using namespace softmax2d;

// A stretch of pixels evenly spaced in every operand.
struct Segment {
    ptrdiff_t length;
    ptrdiff_t offset[kMaxOperands];
};

// What to fetch while the arithmetic of this tile runs: the same stretch of the next tile.
struct Ahead {
    const char* base = nullptr;
    ptrdiff_t class_bytes = 0;
    int pixel_bytes = 0;
    inline void fetch(ptrdiff_t k, ptrdiff_t pixel) const {
        __builtin_prefetch(base + k * class_bytes + pixel * pixel_bytes, 0, 2);
    }
};

// Rows of a tile by content.
enum Row { kLargest, kLabel, kSecond, kSum, kNormHigh, kNormLow, kTop, kMean, kLog, kOut };
constexpr int kRows = 10;  // per-pixel rows beside the classes

template <class T>
struct Tile {
    T* z;                // classes x ld
    T* rows;             // kRows x ld
    ptrdiff_t ld;        // elements from one class to the next
    ptrdiff_t classes;
    ptrdiff_t count;     // pixels
    ptrdiff_t padded;    // count, rounded up to whole vectors
    Segment* segments;
    ptrdiff_t segment_count;

    T* row(int i) const { return rows + i * ld; }
    typename Lanes<T>::Int* label() const { return (typename Lanes<T>::Int*)row(kLabel); }
    T* largest() const { return row(kLargest); }
};

inline ptrdiff_t padding(ptrdiff_t tile) { return tile + 16; }

template <class T>
inline size_t tile_bytes(ptrdiff_t classes, ptrdiff_t tile) {
    size_t bytes = size_t(classes) * padding(tile) * sizeof(T);
    return (bytes + 63) / 64 * 64;
}

template <class T>
inline size_t tile_scratch(const Job& job, int tiles) {
    size_t rows = kRows * padding(job.tile) * sizeof(double);
    return tiles * tile_bytes<T>(job.classes, job.tile) + rows +
           job.tile * sizeof(Segment) + 64 * kVectorBytes;
}

template <class T>
inline Tile<T> make_tile(const Job& job, char* scratch, int index, int tiles) {
    Tile<T> t;
    size_t bytes = tile_bytes<T>(job.classes, job.tile);
    t.z = (T*)(scratch + index * bytes);
    t.rows = (T*)(scratch + tiles * bytes);
    t.ld = padding(job.tile);
    t.classes = job.classes;
    t.segments = (Segment*)(scratch + tiles * bytes + kRows * padding(job.tile) * sizeof(double));
    t.count = t.padded = t.segment_count = 0;
    return t;
}

// Lists the stretches of pixels [begin, begin + count).
inline ptrdiff_t collect(const Walk& walk, ptrdiff_t begin, ptrdiff_t count, Segment* out) {
    ptrdiff_t index[kMaxDims];
    Segment s = {};
    ptrdiff_t rest = begin;
    for (int d = walk.ndim - 1; d >= 0; --d) {
        index[d] = rest % walk.size[d];
        rest /= walk.size[d];
        for (int o = 0; o < kMaxOperands; ++o) s.offset[o] += index[d] * walk.stride[o][d];
    }
    const int inner = walk.ndim - 1;
    ptrdiff_t found = 0;
    while (count > 0) {
        ptrdiff_t left = walk.size[inner] - index[inner];
        s.length = left < count ? left : count;
        out[found++] = s;
        count -= s.length;
        for (int o = 0; o < kMaxOperands; ++o) s.offset[o] -= index[inner] * walk.stride[o][inner];
        index[inner] = 0;
        for (int d = inner - 1; d >= 0; --d) {
            for (int o = 0; o < kMaxOperands; ++o) s.offset[o] += walk.stride[o][d];
            if (++index[d] < walk.size[d]) break;
            for (int o = 0; o < kMaxOperands; ++o) s.offset[o] -= walk.size[d] * walk.stride[o][d];
            index[d] = 0;
        }
    }
    return found;
}

template <class T>
inline void move_to(Tile<T>& t, const Job& job, ptrdiff_t begin, ptrdiff_t end) {
    t.count = end - begin < job.tile ? end - begin : job.tile;
    t.padded = (t.count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
    t.segment_count = collect(job.walk, begin, t.count, t.segments);
}

inline int size_of(DType dtype) { return dtype == DType::float64 ? 8 : dtype == DType::float32 ? 4 : 2; }

// The next tile's first stretch in operand `o`; where its pixels are not neighbours in memory the
// processor's own prefetching follows them, and we fetch the current tile again (free, in cache).
template <class T>
inline Ahead look_ahead(const Job& job, const Tile<T>& t, int o, ptrdiff_t next, ptrdiff_t end) {
    Ahead ahead;
    const Operand& a = job.operand[o];
    const int inner = job.walk.ndim - 1;
    ahead.base = (const char*)t.z;
    if (next >= end || job.walk.stride[o][inner] != 1) return ahead;
    Segment s[1];
    const ptrdiff_t line = job.walk.size[inner];
    if (next % line + t.count > line) return ahead;
    collect(job.walk, next, 1, s);
    ahead.pixel_bytes = size_of(a.dtype);
    ahead.class_bytes = a.class_stride * ahead.pixel_bytes;
    ahead.base = a.data + s[0].offset[o] * ahead.pixel_bytes;
    return ahead;
}

}  // namespace
