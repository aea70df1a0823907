// A sum without rounding, whatever the order: one integer for each exponent of float32.
//
// A float32 is an integer of 24 bits times 2^(e - 150); the integers of one exponent are added up in 64
// bits, 2^39 of them before one could overflow. So sums of pixels, tiles, threads and machines are
// equal to the bit however they are split. float64 is added as two float32.
#pragma once
#include "vec.h"

namespace {

class ExactSum {
   public:
    // Two sets in turn: an addition need not wait for the one before it.
    static constexpr size_t bytes = 2 * softmax2d::kSums * sizeof(int64_t);

    explicit ExactSum(char* scratch) : sums_((int64_t*)scratch) { std::memset(scratch, 0, bytes); }
    inline void add(float value, ptrdiff_t set) {
        const uint32_t u = bits_as<uint32_t>(value), exponent = u >> 23 & 255, fraction = u & 0x7fffff;
        int64_t* sum = sums_ + (set & 1) * softmax2d::kSums;
        if (__builtin_expect(exponent == 255, 0)) {
            sum[255] += fraction ? int64_t(1) << 40 : 1;
            return;
        }
        const int64_t whole = exponent ? fraction | 0x800000 : fraction;
        sum[exponent ? exponent : 1] += int32_t(u) < 0 ? -whole : whole;
    }
    inline void add(double value, ptrdiff_t set) {
        const float high = float(value);
        add(high, set);
        if (high - high == 0) add(float(value - high), set);
    }
    // Adds what has been collected to `to`, which other threads add to as well.
    void release(int64_t* to) const {
        for (int i = 0; i < softmax2d::kSums; ++i) {
            const int64_t sum = sums_[i] + sums_[softmax2d::kSums + i];
            if (sum) __atomic_fetch_add(to + i, sum, __ATOMIC_RELAXED);
        }
    }

   private:
    int64_t* sums_;
};

}  // namespace
