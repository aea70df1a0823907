// exp of a difference, without ever rounding the difference.
//
// For a pixel with largest logit m we want e_k = exp(z_k - m) to full relative accuracy, although
// z_k - m is not representable. Instead of the difference, each logit is reduced on its own,
//     z_k = n_k ln2 + r_k,   e_k = 2^(n_k - N) exp(r_k),   N = n of the largest,
// which is exact up to the rounding of r_k (Cody and Waite's two-part ln2): softmax does not care
// that this is exp(z_k - N ln2) rather than exp(z_k - m), the factor cancels. Only |z| too large for
// the exact product n ln2_high needs a shift s = m first, and from there on every z_k that does not
// underflow is within a factor of two of m, so that z_k - s is exact (Sterbenz's lemma).
//
// Results carry a factor 2^kBoost: nothing that can reach the result is subnormal before the last
// multiplication, which rounds once. z_k - m is not followed below `lowest`, so far below the smallest
// subnormal that a million such terms, each times its m - z, still round to 0 in every result.
//
// Constants: tools/fit_exp.py. Largest relative error of exp: 1.0e-7 (1.19 ulp) in float32, over every
// float32 in [-104, 0], and 1.8e-16 (1.14 ulp) in float64, in the build without fma; with fma 0.92 and
// 0.90 ulp. Asserted by tests/test_elementary.py.
#pragma once
#include "vec.h"

namespace {

template <class T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
    static constexpr float magic = 0x1.8p+23f, inverse_ln2 = 0x1.715476p+0f;
    static constexpr float ln2_high = 0x1.62ep-1f, ln2_low = 0x1.0bfbe8p-15f;
    static constexpr float shift_from = 256, lowest = -125;
    static constexpr int mantissa = 23, bias = 127, boost = 64;
    static constexpr float boost_factor = 0x1p64f, unboost = 0x1p-64f;
    static constexpr float q[] = {0x1p+0f,        0x1p-1f,        0x1.5554acp-3f,
                                  0x1.5554f0p-5f, 0x1.122a20p-7f, 0x1.6d438cp-10f};
};
template <>
struct ExpConstants<double> {
    static constexpr double magic = 0x1.8p+52, inverse_ln2 = 0x1.71547652b82fep+0;
    static constexpr double ln2_high = 0x1.62e42fefa2p-1, ln2_low = 0x1.9ef35793c7673p-41;
    static constexpr double shift_from = 2048, lowest = -770;
    static constexpr int mantissa = 52, bias = 1023, boost = 512;
    static constexpr double boost_factor = 0x1p512, unboost = 0x1p-512;
    static constexpr double q[] = {0x1p+0,
                                   0x1.0000000000005p-1,
                                   0x1.5555555555559p-3,
                                   0x1.55555555520cfp-5,
                                   0x1.111111110f642p-7,
                                   0x1.6c16c17f45f2bp-10,
                                   0x1.a01a01b00fcc5p-13,
                                   0x1.a019a64fd2b6cp-16,
                                   0x1.71ddf7e787cabp-19,
                                   0x1.28a2e92066c6bp-22,
                                   0x1.af5f7e056c165p-26};
};

// Q(r) with exp(r) = 1 + r Q(r).
template <class T>
inline Vec<T> exp_q(Vec<T> r) {
    using K = ExpConstants<T>;
    constexpr int last = int(sizeof(K::q) / sizeof(T)) - 1;
    Vec<T> q = splat(K::q[last]);
#pragma GCC unroll 12
    for (int i = last - 1; i >= 0; --i) q = fma(q, r, splat(K::q[i]));
    return q;
}

// What a pixel needs to turn its logits into e_k.
template <class T>
struct Reference {
    Vec<T> shift;   // s
    Vec<T> lowest;  // of z - s, below it z - s is taken to be lowest
    Vec<T> magic;   // adding it leaves n - N, with the exponent's bias and the boost, in the low bits
};

template <class T>
inline Reference<T> reference_of(Vec<T> m) {
    using K = ExpConstants<T>;
    Reference<T> ref;
    Vec<T> size = m < 0 ? -m : m;
    ref.shift = size < K::shift_from ? Vec<T>{} : m;  // NaN and infinities shift by themselves: NaN
    Vec<T> top = m - ref.shift;
    ref.lowest = top + K::lowest;
    Vec<T> n = fma(top, splat(K::inverse_ln2), splat(K::magic)) - K::magic;
    ref.magic = (K::magic + T(K::bias + K::boost)) - n;
    return ref;
}

// No pixel of the vector needs a shift: z - 0 is z, and the subtraction can go.
template <class T>
inline bool unshifted(const Reference<T>& ref) {
    const IntVec<T> shifts = ref.shift != Vec<T>{};  // NaN as well
    return !any_lane(shifts);
}

// y = n ln2 + r; 2^(n - N + boost) in `scale`.
template <class T>
inline Vec<T> reduce(Vec<T> y, Vec<T> magic, Vec<T>& scale) {
    using K = ExpConstants<T>;
    const Vec<T> t = fma(y, splat(K::inverse_ln2), magic);
    const Vec<T> n = t - magic;
    scale = bits_as<Vec<T>>(bits_as<UIntVec<T>>(t) << K::mantissa);
    return fma(n, splat(-K::ln2_low), fma(n, splat(-K::ln2_high), y));
}

// z - s, kept from underflowing; NaN stays NaN.
template <class T, bool shifted>
inline Vec<T> shifted_logit(Vec<T> z, const Reference<T>& ref) {
    return larger(ref.lowest, shifted ? z - ref.shift : z);
}

// e_k 2^boost; NaN for NaN, and for everything where the largest is infinite.
template <class T>
inline Vec<T> exp_boosted(Vec<T> y, const Reference<T>& ref) {
    Vec<T> scale, r = reduce<T>(y, ref.magic, scale);
    return fma(exp_q<T>(r), r, splat(T(1))) * scale;
}

// exp_boosted of the largest logit itself, as high + low: the same high, and what it rounded away. Its n
// is N or, where it lies halfway between two numbers, perhaps the other one.
template <class T>
inline Vec<T> exp_of_largest(Vec<T> m, const Reference<T>& ref, Vec<T>& low) {
    using K = ExpConstants<T>;
    const Vec<T> top = m - ref.shift;
    const Vec<T> t = fma(top, splat(K::inverse_ln2), ref.magic), n = t - ref.magic;
    const Vec<T> scale = bits_as<Vec<T>>(bits_as<UIntVec<T>>(t) << K::mantissa);
    const Vec<T> first = fma(n, splat(-K::ln2_high), top);
    const Vec<T> r = fma(n, splat(-K::ln2_low), first);
    const Vec<T> r_low = fma(n, splat(-K::ln2_low), first - r);
    const Vec<T> q = exp_q<T>(r), e = fma(q, r, splat(T(1)));
    low = (fma(q, r, 1 - e) + r_low * e) * scale;
    return e * scale;
}

// exp(x) and exp(x) - 1 for x <= 0 (and a little above), for values that are given, not differences.
template <class T>
inline Vec<T> exp_minus_one(Vec<T> x, Vec<T>& exp_x) {
    using K = ExpConstants<T>;
    Vec<T> scale, r = reduce<T>(larger(splat(K::lowest), x), splat(K::magic + T(K::bias + K::boost)), scale);
    const Vec<T> q = exp_q<T>(r), two_n = scale * K::unboost;
    exp_x = fma(q, r, splat(T(1))) * scale * K::unboost;
    return fma(q * r, two_n, two_n - 1);
}

}  // namespace
