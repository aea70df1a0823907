// A tile: a few hundred pixels with all their classes, class after class, small enough for the cache.
//
// Sources fill tiles, sinks empty them. Rows are padded to whole blocks, so that arithmetic never has
// a tail and a pixel's bits do not depend on its place; only sources and sinks touch the caller's
// arrays, and they to the element.
#pragma once
#include "../../kernels.h"
#include "../math/vec.h"

namespace {

using namespace softmax2d;

template <class Arguments>
inline const Arguments& arguments_of(const Job& job) {
    return *static_cast<const Arguments*>(job.arguments);
}

// A stretch of pixels evenly spaced in every operand.
struct Segment {
    ptrdiff_t length;
    ptrdiff_t offset[kMaxOperands];
};

// Rows of a tile by content.
enum Row { kLargest, kLabel, kSecond, kSum, kNormHigh, kNormLow, kTop, kMean, kLog, kOut };
constexpr int kRows = 10;  // per-pixel rows beside the classes

constexpr int kStep = 4;  // vectors that one step of a feed copies

template <class T>
struct Tile {
    T* z;          // classes x ld
    double* rows;  // kRows x ld, of T or of float64
    T* block;      // pixels x classes
    ptrdiff_t ld;  // elements from one class to the next
    ptrdiff_t classes;
    ptrdiff_t count;   // pixels
    ptrdiff_t padded;  // count, rounded up to whole vectors
    Segment* segments;
    ptrdiff_t segment_count;

    T* row(int i) const { return (T*)wide_row(i); }
    double* wide_row(int i) const { return rows + i * ld; }
    typename Lanes<T>::Int* label() const { return (typename Lanes<T>::Int*)row(kLabel); }
    T* largest() const { return row(kLargest); }
};

inline ptrdiff_t padding(ptrdiff_t tile) { return tile + 16; }

inline size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

// A thread's scratch: two tiles for each array that is read, so that one fills while the other is
// worked on, the rows, the stretches of both, and a tile on its way to channels-last order.
template <class T, int arrays>
struct Workspace {
    static constexpr int tiles = 2 * arrays;
    static size_t tile_bytes(const Job& job) {
        // Whole steps of a feed, which may write a little past the last class.
        constexpr size_t step = 4 * kVectorBytes;
        return (size_t(job.classes) * padding(job.tile) * sizeof(T) + step - 1) / step * step;
    }
    static size_t row_bytes(const Job& job) { return kRows * padding(job.tile) * sizeof(double); }
    static size_t segment_bytes(const Job& job) { return whole_lines(job.tile * sizeof(Segment)); }
    static size_t block_bytes(const Job& job) {
        return whole_lines((size_t(job.tile) * job.classes + kLanes<T>)*sizeof(T));
    }
    static size_t bytes(const Job& job) {
        return tiles * tile_bytes(job) + row_bytes(job) + 2 * segment_bytes(job) + block_bytes(job);
    }
    // Tile `turn` (0 or 1) of array `array`.
    static Tile<T> tile(const Job& job, char* scratch, int array, int turn) {
        Tile<T> t{};
        t.z = (T*)(scratch + (2 * array + turn) * tile_bytes(job));
        scratch += tiles * tile_bytes(job);
        t.rows = (double*)scratch;
        scratch += row_bytes(job);
        t.segments = (Segment*)(scratch + turn * segment_bytes(job));
        t.block = (T*)(scratch + 2 * segment_bytes(job));
        t.ld = padding(job.tile);
        t.classes = job.classes;
        return t;
    }
};

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
    const ptrdiff_t room = job.tile - (begin + job.lead) % job.tile;
    t.count = end - begin < room ? end - begin : room;
    t.padded = (t.count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
    t.segment_count = collect(job.walk, begin, t.count, t.segments);
}

}  // namespace
