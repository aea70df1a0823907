// The next tile of an array whose pixels lie side by side, filled during this tile's arithmetic.
#pragma once
#include "../tiles/convert.h"

namespace {

// Fills the next tile a few vectors at a time, between the instructions of this tile's arithmetic: memory
// and arithmetic overlap, and nothing waits in a cache that the next class's row, often a power of
// two away, would throw out again. A few rows further on are asked for in advance.
template <class S, class T>
class Feeder {
   public:
    // Feeds `t`, which has been moved to its pixels, if they lie side by side in memory.
    void start(const Job& job, int o, const Tile<T>& t) {
        if constexpr (sizeof(T) > sizeof(widen(S()))) return;  // no vector of S is as long as one of T
        const Operand& a = job.operand[o];
        if (a.swapped || job.walk.stride[o][job.walk.ndim - 1] != 1 || t.segment_count != 1 ||
            t.count % (kStep * kLanes<T>))
            return;
        src_ = (const S*)a.data + t.segments[0].offset[o];
        dst_ = t.z;
        class_stride_ = a.class_stride;
        ld_ = t.ld;
        columns_ = t.count;
        classes_ = t.classes;
        const ptrdiff_t rows = 1 + kAhead / (t.count * ptrdiff_t(sizeof(T)));
        rows_ahead_ = rows < classes_ ? rows : classes_;
        point_ahead();
    }
    bool active() const { return columns_ > 0; }
    // kStep vectors of one class.
    inline void step() {
        if (class_ == classes_) return;
#pragma GCC unroll 4
        for (int i = 0; i < kStep; ++i) {
            const ptrdiff_t at = column_ + i * kLanes<T>;
            if constexpr (sizeof(T) == sizeof(widen(S()))) store(dst_ + at, read_vector(src_ + at));
            __builtin_prefetch(ahead_ + at, 0, 2);
        }
        column_ += kStep * kLanes<T>;
        if (column_ < columns_) return;
        column_ = 0;
        ++class_;
        src_ += class_stride_;
        dst_ += ld_;
        point_ahead();
    }
    void finish() {
        while (class_ < classes_) step();
    }

   private:
    static constexpr ptrdiff_t kAhead = 4096;  // bytes of tile: about the latency of memory

    // Past the last class: the first ones of the tile after, which lies behind this one.
    void point_ahead() {
        const ptrdiff_t k = class_ + rows_ahead_;
        ahead_ = k < classes_ ? src_ + rows_ahead_ * class_stride_
                              : src_ + (rows_ahead_ - classes_) * class_stride_ + columns_;
    }

    const S* src_ = nullptr;
    const S* ahead_ = nullptr;
    T* dst_ = nullptr;
    ptrdiff_t column_ = 0, columns_ = 0, class_ = 0, classes_ = 0;
    ptrdiff_t class_stride_ = 0, ld_ = 0, rows_ahead_ = 0;
};

}  // namespace
