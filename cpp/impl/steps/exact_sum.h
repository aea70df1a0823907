// A sum without rounding, whatever the order: one integer for each exponent of float32.
//
// A float32 is an integer of 24 bits times 2^(e - 150); the integers of one exponent are added up in 64
// bits, 2^39 of them before one could overflow. So sums of pixels, tiles, threads and machines are
// equal to the bit however they are split. float64
// are halved to 27 and 26 bits first, or, where their last bits do not matter, added as two float32.
#pragma once
#include "../math/vec.h"

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
    // Numbers that are not negative: those within 2^29 of the largest are added as integers of one unit, a
    // vector at a time, at most 2^10 in each lane; n <= 2^10 vectors, padded with zeros.
    void add_row(const float* values, ptrdiff_t n) {
        UIntVec<float> most = {};
        for (ptrdiff_t i = 0; i < n; i += kLanes<float>) {
            const UIntVec<float> u = load<UIntVec<float>>(values + i);
            most = u > most ? u : most;
        }
        uint32_t largest = 0;
        for (int lane = 0; lane < kLanes<float>; ++lane)
            largest = most[lane] > largest ? most[lane] : largest;
        const int top = int(largest >> 23);
        if (top > 200) {  // infinities, NaN, numbers with a sign
            for (ptrdiff_t i = 0; i < n; ++i) add(values[i], i);
            return;
        }
        add_near(values, n, top > 30 ? top - 29 : 1);
    }
    // Adds what has been collected to `to`, which other threads add to as well.
    void release(int64_t* to) const {
        for (int i = 0; i < softmax2d::kSums; ++i) {
            const int64_t sum = sums_[i] + sums_[softmax2d::kSums + i];
            if (sum) __atomic_fetch_add(to + i, sum, __ATOMIC_RELAXED);
        }
    }

   private:
    // Numbers of exponent `lowest` to `lowest` + 29 at once, smaller ones one by one.
    void add_near(const float* values, ptrdiff_t n, int lowest) {
        using Half = VecOf<uint32_t, kVectorBytes / 2>::type;
        UIntVec<double> sum = {};
        for (ptrdiff_t i = 0; i < n; i += kLanes<float>) {
            uint32_t whole[kLanes<float>], shift[kLanes<float>];
            const UIntVec<float> u = load<UIntVec<float>>(values + i), exponent = u >> 23, none = {};
            const auto near = exponent >= uint32_t(lowest);
            store(whole, near ? (u & 0x7fffff) | 0x800000 : none);
            store(shift, near ? exponent - uint32_t(lowest) : none);
            for (int part = 0; part < 2; ++part) {
                const int at = part * kLanes<double>;
                sum += __builtin_convertvector(load<Half>(whole + at), UIntVec<double>)
                       << __builtin_convertvector(load<Half>(shift + at), UIntVec<double>);
            }
            for (uint32_t far = lanes_of(near == 0 && u != 0); far; far &= far - 1)
                add(values[i + __builtin_ctz(far)], i);
        }
        uint64_t total = 0, high = 0;
        for (int lane = 0; lane < kLanes<double>; ++lane) {
            total += sum[lane] & 0xffffffff;
            high += sum[lane] >> 32;
        }
        // total 2^lowest + high 2^(lowest + 32), in pieces that leave 2^39 of them room.
        sums_[lowest] += int64_t(total & 0xffffff);
        sums_[lowest + 24] += int64_t(total >> 24);
        sums_[lowest + 32] += int64_t(high & 0xffffff);
        sums_[lowest + 56] += int64_t(high >> 24);
    }

    int64_t* sums_;
};

// The same of float64, to the last bit.
class WideSum {
   public:
    static constexpr size_t bytes = softmax2d::kWideSums * sizeof(int64_t);

    explicit WideSum(char* scratch) : sums_((int64_t*)scratch) { std::memset(scratch, 0, bytes); }
    void add_row(const double* values, ptrdiff_t n) {
        for (ptrdiff_t i = 0; i < n; ++i) add(values[i]);
    }
    void release(int64_t* to) const {
        for (int i = 0; i < softmax2d::kWideSums; ++i)
            if (sums_[i]) __atomic_fetch_add(to + i, sums_[i], __ATOMIC_RELAXED);
    }

   private:
    static constexpr int kExponents = softmax2d::kWideSums / 2;
    inline void add(double value) {
        const uint64_t u = bits_as<uint64_t>(value), fraction = u & ((uint64_t(1) << 52) - 1);
        const int exponent = int(u >> 52 & 2047);
        if (__builtin_expect(exponent == 2047, 0)) {
            sums_[2047] += fraction ? int64_t(1) << 40 : 1;
            return;
        }
        const int64_t whole = int64_t(exponent ? fraction | uint64_t(1) << 52 : fraction);
        const int64_t low = whole & ((1 << 27) - 1), high = whole >> 27, sign = int64_t(u) < 0 ? -1 : 1;
        int64_t* sum = sums_ + (exponent ? exponent : 1);
        sum[0] += sign * low;
        sum[kExponents] += sign * high;
    }

    int64_t* sums_;
};

template <class T>
struct ExactSumFor;
template <>
struct ExactSumFor<float> {
    using type = ExactSum;
};
template <>
struct ExactSumFor<double> {
    using type = WideSum;
};

}  // namespace
