// log(1 + x) for x >= 0 given as high + low.
//
// With w = 1 + x = 2^k (1 + f), s = f / (2 + f): log(1 + f) = 2 s + s^3 R(s^2), written as
// f - (f^2/2 - s (f^2/2 + s^2 R)) so that the leading term is exact. What 1 + x rounds away, and the
// low part, come back as a first-order term: tiny x gives x itself.
//
// Constants: tools/fit_exp.py. Largest error 0.83 ulp in float32, 0.76 ulp in float64, asserted by
// tests/test_elementary.py.
#pragma once
#include "exp.h"

namespace {

template <class T>
struct LogConstants;
template <>
struct LogConstants<float> {
    static constexpr float r[] = {0x1.555556p-1f, 0x1.99986ep-2f, 0x1.24c138p-2f, 0x1.ce879ep-3f};
    static constexpr uint32_t sqrt_half = 0x3f3504f3;
};
template <>
struct LogConstants<double> {
    static constexpr double r[] = {0x1.5555555555558p-1, 0x1.99999999952c6p-2, 0x1.2492492dfacb6p-2,
                                   0x1.c71c62d66e137p-3, 0x1.7462b955b60ccp-3, 0x1.39fdbf11a829dp-3,
                                   0x1.2b603c353ce44p-3};
    static constexpr uint64_t sqrt_half = 0x3fe6a09e667f3bcd;
};

template <class T>
inline Vec<T> log_one_plus(Vec<T> x, Vec<T> x_low) {
    using E = ExpConstants<T>;
    using K = LogConstants<T>;
    using U = typename Lanes<T>::UInt;
    Vec<T> w = x + 1;
    Vec<T> w_low = (x - (w - 1)) + x_low;
    w_low = x > 1 ? (1 - (w - x)) + x_low : w_low;

    // w = 2^k g with g in [sqrt(1/2), sqrt(2))
    UIntVec<T> u = bits_as<UIntVec<T>>(w) - K::sqrt_half;
    IntVec<T> k = bits_as<IntVec<T>>(u) >> E::mantissa;
    Vec<T> g = bits_as<Vec<T>>((u & ((U(1) << E::mantissa) - 1)) + K::sqrt_half);
    Vec<T> f = g - 1;
    Vec<T> n = __builtin_convertvector(k, Vec<T>);

    Vec<T> s = f / (f + 2), v = s * s;
    constexpr int last = int(sizeof(K::r) / sizeof(T)) - 1;
    Vec<T> p = splat(K::r[last]);
#pragma GCC unroll 8
    for (int i = last - 1; i >= 0; --i) p = fma(p, v, splat(K::r[i]));
    Vec<T> half_square = f * f * T(0.5);
    Vec<T> small = n * E::ln2_low + w_low / w;
    Vec<T> log_w = n * E::ln2_high + (f - (half_square - fma(s, half_square + p * v, small)));
    // NaN and infinity have no mantissa to split.
    return w < __builtin_inff() ? log_w : w;
}

}  // namespace
