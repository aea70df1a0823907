// Interpolation between two logits, and between two rows of them.
//
// low + w (high - low) is exact for equal neighbours, which so stay equal. A difference is rounded to half
// an ulp of itself: with the nearer neighbour as the base, |w| <= 1/2, a blend of float32 is within 1.5 ulp
// of the larger neighbour; in float64 what is rounded is carried along.
#pragma once
#include "direct.h"

namespace {

// low + weight (high - low), rounded about once.
inline Vec<double> blend_exactly(Vec<double> low, Vec<double> high, Vec<double> weight) {
    const Vec<double> d = high - low, back = d - high;
    const Vec<double> tail = (high - (d - back)) - (low + back);
    const Vec<double> product = weight * d;
    const Vec<double> rest = product_tail<double>(weight, d, product) + weight * tail;
    const Vec<double> sum = low + product, t = sum - low;
    return sum + (((low - (sum - t)) + (product - t)) + rest);
}

// The same where a number is infinite, NaN, or so large that the difference is: what the weighted sum says.
template <class V>
inline V blend_any(V blended, V low, V high, V weight) {
    const V sum = (1 - weight) * low + weight * high;
    const V odd = weight == 0 ? low : sum;
    return blended - blended == 0 ? blended : odd;
}

// What an output row is blended from.
template <class T>
struct Blend {
    const T *low, *high, *near, *difference;
    T weight;  // of the difference, from the nearer row (float64: from the lower)
    bool finite;

    static Blend of(const T* low, const T* high, const T* difference, double weight, bool finite) {
        if (sizeof(T) == 8 || weight <= 0.5) return {low, high, low, difference, T(weight), finite};
        return {low, high, high, difference, T(weight - 1), finite};
    }
    inline Vec<T> at(ptrdiff_t i) const {
        if constexpr (sizeof(T) == 8)
            return blend_exactly(load<Vec<T>>(low + i), load<Vec<T>>(high + i), splat(weight));
        else
            return fma(splat(weight), load<Vec<T>>(difference + i), load<Vec<T>>(near + i));
    }
    // Where not all is finite.
    inline Vec<T> anything_at(ptrdiff_t i) const {
        const Vec<T> w = splat(near == low ? weight : 1 + weight);
        return blend_any(at(i), load<Vec<T>>(low + i), load<Vec<T>>(high + i), w);
    }
};

// Copies blended rows to the next tile between the instructions of this one's arithmetic.
template <class T>
class BlendFeed {
   public:
    void start(const Blend<T>& blend, T* to, ptrdiff_t count) {
        blend_ = blend;
        to_ = to;
        count_ = count;
    }
    bool active() const { return count_ > 0; }
    inline void step() {
        if (at_ >= count_) return;
#pragma GCC unroll 4
        for (int i = 0; i < kStep; ++i) store(to_ + at_ + i * kLanes<T>, blend_.at(at_ + i * kLanes<T>));
        at_ += kStep * kLanes<T>;
    }
    void finish() {
        while (at_ < count_) step();
    }

   private:
    Blend<T> blend_ = {};
    T* to_ = nullptr;
    ptrdiff_t at_ = 0, count_ = 0;
};

}  // namespace
