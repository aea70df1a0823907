// Numbers of twice float64's precision, as the unevaluated sum of two, and exp - 1 of one.
//
// Only the derivative of log-softmax in float64 needs them: there g - p S may cancel, and p must be
// known to more than float64 holds for the difference to keep its last bits. (For float32 and the
// half types float64 is far more than they hold.)
//
// References: T. J. Dekker, "A floating-point technique for extending the available precision", 1971;
// D. E. Knuth, "The Art of Computer Programming", vol. 2, 4.2.2.
#pragma once
#include "exp.h"
#include "wide.h"

namespace {

struct Twofold {
    Wide high, low;
};

inline Twofold sum_of(Wide a, Wide b) {
    Twofold s{a, {}};
    add_exactly(s.high, s.low, b);
    return s;
}
// |a| >= |b|, or a is 0.
inline Twofold sum_of_ordered(Wide a, Wide b) {
    const Wide s = a + b;
    return {s, b - (s - a)};
}
inline Twofold operator+(Twofold a, Twofold b) {
    const Twofold high = sum_of(a.high, b.high), low = sum_of(a.low, b.low);
    const Twofold s = sum_of_ordered(high.high, high.low + low.high);
    return sum_of_ordered(s.high, s.low + low.low);
}
inline Twofold operator*(Twofold a, Twofold b) {
    const Wide product = a.high * b.high;
    return sum_of_ordered(product,
                          product_tail<double>(a.high, b.high, product) + (a.high * b.low + a.low * b.high));
}
inline Twofold operator*(Twofold a, double power_of_two) {
    return {a.high * power_of_two, a.low * power_of_two};
}
inline Twofold operator-(Twofold a) { return {-a.high, -a.low}; }

// exp(m) - 1 for |m| <= ln2 / 64: Taylor's series, its small terms in float64.
inline Twofold small_exp_minus_one(Twofold m) {
    constexpr double tail[] = {0x1.a01a01a01a01ap-16, 0x1.71de3a556c734p-19, 0x1.27e4fb7789f5cp-22,
                               0x1.ae64567f544e4p-26, 0x1.1eed8eff8d898p-29, 0x1.6124613a86d09p-33};
    constexpr double terms[][2] = {{0x1.a01a01a01a01ap-13, 0x1.a01a01a01a01ap-73},
                                   {0x1.6c16c16c16c17p-10, -0x1.f49f49f49f49fp-65},
                                   {0x1.1111111111111p-7, 0x1.1111111111111p-63},
                                   {0x1.5555555555555p-5, 0x1.5555555555555p-59},
                                   {0x1.5555555555555p-3, 0x1.5555555555555p-57},
                                   {0.5, 0},
                                   {1, 0}};
    Wide rest = splat(tail[5]);
    for (int i = 4; i >= 0; --i) rest = fma(rest, m.high, splat(tail[i]));
    Twofold sum{rest, {}};
    for (const auto& term : terms) sum = sum * m + Twofold{splat(term[0]), splat(term[1])};
    return sum * m;
}

// x = n ln2 + r; returns exp(r) - 1 and 2^n. Largest relative error about 2^-100.
inline Twofold exp_minus_one_twofold(Wide x, Wide& two_n) {
    using K = ExpConstants<double>;
    constexpr double ln2[] = {0x1.62e42fefa2p-1, 0x1.9ef35793c7p-41, 0x1.9cc01f97b57ap-83};
    const Wide y = larger(splat(K::lowest), x), magic = splat(K::magic + (K::bias + K::boost));
    const Wide t = fma(y, splat(K::inverse_ln2), magic), n = t - magic;
    two_n = bits_as<Wide>(bits_as<UIntVec<double>>(t) << K::mantissa) * K::unboost;
    // n has 11 bits, the first two parts of ln2 have 40: both products are exact.
    Twofold r = sum_of(y - n * ln2[0], -(n * ln2[1]));
    r = sum_of_ordered(r.high, r.low - n * ln2[2]);
    Twofold e = small_exp_minus_one(r * 0.03125);
    for (int i = 0; i < 5; ++i) e = e * 2 + e * e;  // exp(2 m) - 1 = 2 e + e^2
    return e;
}

// g - exp(log_prob) S, with S = sum of three parts.
inline Wide exact_log_softmax_gradient(Wide grad, Wide log_prob, Wide high, Wide middle, Wide low) {
    Wide two_n;
    const Twofold less = exp_minus_one_twofold(log_prob, two_n);
    const auto near = two_n == 1.0;
    // Near 1: (g - S) - (p - 1) S, where p - 1 is known to full relative precision.
    const Twofold prob = (Twofold{splat(1.0), {}} + less);
    Twofold factor{near ? less.high : prob.high * two_n, near ? less.low : prob.low * two_n};
    const Twofold sum = sum_of_ordered(high, middle);
    const Wide none = {};
    const Twofold outside =
        Twofold{near ? -high : none, near ? -middle : none} + Twofold{grad, near ? -low : none};
    const Twofold result = outside + -(factor * sum);
    return result.high + result.low;
}

}  // namespace
