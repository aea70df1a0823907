// One row of numbers between a caller's array and a tile: the four storage types, both byte orders.
//
// Reading is exact; writing rounds once, to nearest even. Half precision uses the F16C and AVX-512
// instructions where the build has them and integer arithmetic elsewhere: the same bits.
#pragma once
#include "../math/wide.h"
#include "tile.h"

namespace {

struct Half {
    uint16_t bits;
};
struct BFloat {
    uint16_t bits;
};

inline uint16_t swap_bytes(uint16_t v) { return __builtin_bswap16(v); }
inline uint32_t swap_bytes(uint32_t v) { return __builtin_bswap32(v); }
inline uint64_t swap_bytes(uint64_t v) { return __builtin_bswap64(v); }

inline float widen(float v) { return v; }
inline double widen(double v) { return v; }
inline float widen(BFloat v) { return bits_as<float>(uint32_t(v.bits) << 16); }
inline float widen(Half v) {
    uint32_t sign = uint32_t(v.bits & 0x8000) << 16, rest = v.bits & 0x7fff;
    // Numbers below 2^-14 have no leading bit: subtracting 2^-14 from 2^-14 (1 + fraction) finds it.
    float small = bits_as<float>(0x38800000 + (rest << 13)) - 0x1p-14f;
    uint32_t normal = (rest << 13) + (rest >= 0x7c00 ? 0x70000000 : 0x38000000);
    // A NaN comes out quiet, as the instruction's does.
    normal |= rest > 0x7c00 ? 0x400000 : 0;
    uint32_t bits = rest < 0x400 ? bits_as<uint32_t>(small) : normal;
    return bits_as<float>(bits | sign);
}

inline void narrow(float v, float& out) { out = v; }
inline void narrow(double v, double& out) { out = v; }
inline void narrow(float v, BFloat& out) {
    uint32_t u = bits_as<uint32_t>(v);
    uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    out.bits = uint16_t((u & 0x7fffffff) > 0x7f800000 ? (u >> 16) | 0x40 : rounded);
}
inline void narrow(float v, Half& out) {
    uint32_t u = bits_as<uint32_t>(v), sign = (u >> 16) & 0x8000, a = u & 0x7fffffff;
    uint32_t normal = (a + 0xfff + ((a >> 13) & 1) - 0x38000000) >> 13;
    // Below 2^-14: adding 1/2 leaves the half's subnormal in the low bits, rounded.
    uint32_t small = bits_as<uint32_t>(bits_as<float>(a) + 0.5f) - 0x3f000000;
    uint32_t bits = a < 0x38800000 ? small : normal;
    bits = a >= 0x477ff000 ? 0x7c00 : bits;
    bits = a > 0x7f800000 ? 0x7e00 | ((a >> 13) & 0x3ff) : bits;
    out.bits = uint16_t(bits | sign);
}

// Through float32: a half type is rounded twice, hardly more than once.
template <class S>
inline void narrow(double v, S& out) {
    narrow(float(v), out);
}

// Lanes of 16 bits, as many as Vec<float> has.
using ShortVec = VecOf<uint16_t, kVectorBytes / 2>::type;

// One vector of neighbours, widened.
inline Vec<float> read_vector(const float* p) { return load<Vec<float>>(p); }
inline Vec<double> read_vector(const double* p) { return load<Vec<double>>(p); }
inline Vec<float> read_vector(const BFloat* p) {
    return bits_as<Vec<float>>(__builtin_convertvector(load<ShortVec>(p), UIntVec<float>) << 16);
}
inline Vec<float> read_vector(const Half* p) {
#if defined(__AVX512F__)
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
#elif defined(__F16C__)
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#else
    // Signed lanes throughout: what is compared is never negative.
    using I = IntVec<float>;
    const I bits = __builtin_convertvector(load<ShortVec>(p), I), sign = (bits & 0x8000) << 16;
    const I rest = (bits & 0x7fff) << 13;
    // Numbers below 2^-14 have no leading bit: subtracting 2^-14 from 2^-14 (1 + fraction) finds it.
    const I small = bits_as<I>(bits_as<Vec<float>>(rest + 0x38800000) - 0x1p-14f);
    const I exponent = rest >= (0x7c00 << 13) ? I{} + 0x70000000 : I{} + 0x38000000;
    const I quiet = rest > (0x7c00 << 13) ? I{} + 0x400000 : I{};
    const I value = rest < (0x400 << 13) ? small : (rest + exponent) | quiet;
    return bits_as<Vec<float>>(value | sign);
#endif
}

// dst[i] = src[i]: neighbours in memory.
inline void read_row(const float* src, float* dst, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + kLanes<float> <= n; i += kLanes<float>) store(dst + i, load<Vec<float>>(src + i));
    for (; i < n; ++i) dst[i] = src[i];
}
inline void read_row(const double* src, double* dst, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + kLanes<double> <= n; i += kLanes<double>) store(dst + i, load<Vec<double>>(src + i));
    for (; i < n; ++i) dst[i] = src[i];
}
inline void read_row(const BFloat* src, float* dst, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + kLanes<float> <= n; i += kLanes<float>) store(dst + i, read_vector(src + i));
    for (; i < n; ++i) dst[i] = widen(src[i]);
}
inline void read_row(const Half* src, float* dst, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + kLanes<float> <= n; i += kLanes<float>) store(dst + i, read_vector(src + i));
    for (; i < n; ++i) dst[i] = widen(src[i]);
}

// Through float32, a few at a time.
template <class S>
inline void read_row(const S* src, double* dst, ptrdiff_t n) {
    constexpr ptrdiff_t kPart = 64;
    for (ptrdiff_t i = 0; i < n; i += kPart) {
        float part[kPart];
        const ptrdiff_t count = n - i < kPart ? n - i : kPart;
        read_row(src + i, part, count);
        for (ptrdiff_t j = 0; j < count; ++j) dst[i + j] = part[j];
    }
}

// One vector to neighbours; `past` stores past the caches, where `out` is aligned to what is written.
inline void write_vector(Vec<float> v, float* out, bool past) { past ? stream(out, v) : store(out, v); }
inline void write_vector(Vec<double> v, double* out, bool past) { past ? stream(out, v) : store(out, v); }
inline void write_vector(Vec<float> v, BFloat* out, bool past) {
    // A NaN is one_nan(), whose low bits are 0: it needs no case of its own.
    const UIntVec<float> u = bits_as<UIntVec<float>>(v);
    const ShortVec h = __builtin_convertvector((u + 0x7fff + ((u >> 16) & 1)) >> 16, ShortVec);
    if (past)
        stream_half(out, h);
    else
        store(out, h);
}
inline void write_vector(Vec<float> v, Half* out, bool past) {
#if defined(__AVX512F__)
    const __m256i h = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    if (past)
        _mm256_stream_si256((__m256i*)out, h);
    else
        _mm256_storeu_si256((__m256i*)out, h);
#elif defined(__F16C__)
    const __m128i h = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    if (past)
        _mm_stream_si128((__m128i*)out, h);
    else
        _mm_storeu_si128((__m128i*)out, h);
#else
    using I = IntVec<float>;
    const I u = bits_as<I>(v), a = u & 0x7fffffff, sign = (u >> 16) & 0x8000;
    const I normal = (a + 0xfff + ((a >> 13) & 1) - 0x38000000) >> 13;
    // Below 2^-14: adding 1/2 leaves the half's subnormal in the low bits, rounded.
    const I small = bits_as<I>(bits_as<Vec<float>>(a) + 0.5f) - 0x3f000000;
    I bits = a < 0x38800000 ? small : normal;
    bits = a >= 0x477ff000 ? I{} + 0x7c00 : bits;
    bits = a > 0x7f800000 ? ((a >> 13) & 0x3ff) | 0x7e00 : bits;
    const ShortVec h = __builtin_convertvector(bits | sign, ShortVec);
    if (past)
        stream_half(out, h);
    else
        store(out, h);
#endif
}

// out[i] = row(i), where row(i) gives the vector that starts at element i: n numbers, to the element.
template <class T, class S, class Row>
inline void write_row(Row row, S* out, ptrdiff_t n, bool past) {
    if constexpr (sizeof(T) > sizeof(widen(S()))) {
        const auto narrowed = [&](ptrdiff_t i) {
            const Vec<double> parts[] = {row(i), row(i + kLanes<double>)};
            return join(parts, float());
        };
        return write_row<float>(narrowed, out, n, past);
    } else {
        constexpr ptrdiff_t lanes = kLanes<T>;
        const auto part = [&](ptrdiff_t from, ptrdiff_t count) {
            T numbers[lanes];
            store(numbers, row(from));
            for (ptrdiff_t i = 0; i < count; ++i) narrow(numbers[i], out[from + i]);
        };
        ptrdiff_t i = 0;
        if (past) {
            const ptrdiff_t over = ptrdiff_t((uintptr_t)out % (lanes * sizeof(S)) / sizeof(S));
            i = over ? lanes - over : 0;
            if (i > n) i = n;
            if (i) part(0, i);
            for (; i + lanes <= n; i += lanes) write_vector(row(i), out + i, true);
        } else {
            for (; i + lanes <= n; i += lanes) write_vector(row(i), out + i, false);
        }
        if (i < n) part(i, n - i);
    }
}

}  // namespace
