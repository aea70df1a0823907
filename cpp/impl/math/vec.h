// Vectors: GCC's and clang's vector types, plus the few operations that the language cannot say.
//
// The widest registers of the build give the number of lanes; arithmetic, comparison and selection
// (mask ? a : b) are the language's own. Together with convert.h this file holds all intrinsics of
// the tree. The build forbids contraction (-ffp-contract=off), so that a product is fused with a
// sum exactly where fma() says so and a pixel has the same bits in every kernel.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
constexpr bool kHasFma = true;
#else
constexpr bool kHasFma = false;
#endif

constexpr ptrdiff_t kBlock = 64;  // pixels: tiles are multiples of it

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
    using Int = int32_t;
    using UInt = uint32_t;
};
template <>
struct Lanes<double> {
    using Int = int64_t;
    using UInt = uint64_t;
};

template <class T, int bytes = kVectorBytes>
struct VecOf {
    typedef T type __attribute__((vector_size(bytes)));
};
template <class T>
using Vec = typename VecOf<T>::type;
template <class T>
using IntVec = typename VecOf<typename Lanes<T>::Int>::type;
template <class T>
using UIntVec = typename VecOf<typename Lanes<T>::UInt>::type;
template <class T>
constexpr int kLanes = kVectorBytes / int(sizeof(T));

template <class V, class T>
inline V load(const T* p) {
    V v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class V, class T>
inline void store(T* p, V v) {
    std::memcpy(p, &v, sizeof v);
}
template <class T>
inline Vec<T> splat(T value) {
    return Vec<T>{} + value;
}
template <class To, class From>
inline To bits_as(From v) {
    To w;
    static_assert(sizeof v == sizeof w, "same size");
    std::memcpy(&w, &v, sizeof w);
    return w;
}

// a * b + c, rounded once where the build has the instruction, twice where it has not.
#if defined(__AVX512F__)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return _mm512_fmadd_pd(a, b, c); }
inline Vec<float> larger(Vec<float> a, Vec<float> b) { return _mm512_max_ps(a, b); }
inline Vec<double> larger(Vec<double> a, Vec<double> b) { return _mm512_max_pd(a, b); }
inline Vec<float> smaller(Vec<float> a, Vec<float> b) { return _mm512_min_ps(a, b); }
inline Vec<double> smaller(Vec<double> a, Vec<double> b) { return _mm512_min_pd(a, b); }
#elif defined(__AVX2__) && defined(__FMA__)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return _mm256_fmadd_pd(a, b, c); }
inline Vec<float> larger(Vec<float> a, Vec<float> b) { return _mm256_max_ps(a, b); }
inline Vec<double> larger(Vec<double> a, Vec<double> b) { return _mm256_max_pd(a, b); }
inline Vec<float> smaller(Vec<float> a, Vec<float> b) { return _mm256_min_ps(a, b); }
inline Vec<double> smaller(Vec<double> a, Vec<double> b) { return _mm256_min_pd(a, b); }
#else
#if defined(__ARM_NEON)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
    return (Vec<float>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return (Vec<double>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#else
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return a * b + c; }
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return a * b + c; }
#endif
// The second argument where either is NaN.
template <class V>
inline V larger(V a, V b) {
    return a > b ? a : b;
}
template <class V>
inline V smaller(V a, V b) {
    return a < b ? a : b;
}
#endif

// Stores past the caches; `p` is aligned to the vector.
template <class T>
inline void stream(T* p, Vec<T> v) {
#if defined(__AVX512F__)
    _mm512_stream_si512((__m512i*)p, bits_as<__m512i>(v));
#elif defined(__AVX2__)
    _mm256_stream_si256((__m256i*)p, bits_as<__m256i>(v));
#elif defined(__SSE2__)
    _mm_stream_si128((__m128i*)p, bits_as<__m128i>(v));
#else
    store(p, v);
#endif
}
template <class S, class V>
inline void stream_half(S* p, V v) {
#if defined(__AVX512F__)
    _mm256_stream_si256((__m256i*)p, bits_as<__m256i>(v));
#elif defined(__AVX2__)
    _mm_stream_si128((__m128i*)p, bits_as<__m128i>(v));
#else
    store(p, v);
#endif
}
inline void stream_done() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

// Whether any lane of a mask (0 or -1) is set.
template <class M>
inline bool any_lane(M mask) {
    uint64_t words[sizeof(M) / 8], any = 0;
    std::memcpy(words, &mask, sizeof mask);
    for (uint64_t word : words) any |= word;
    return any;
}

// One bit for each lane of a mask (0 or -1) of a comparison, the first lane lowest.
template <class M>
inline uint32_t lanes_of(M mask) {
#if defined(__AVX512F__)
    if constexpr (sizeof(mask[0]) == 4)
        return _mm512_movepi32_mask(bits_as<__m512i>(mask));
    else
        return _mm512_movepi64_mask(bits_as<__m512i>(mask));
#elif defined(__AVX2__)
    if constexpr (sizeof(mask[0]) == 4)
        return uint32_t(_mm256_movemask_ps(bits_as<__m256>(mask)));
    else
        return uint32_t(_mm256_movemask_pd(bits_as<__m256d>(mask)));
#else
    uint32_t bits = 0;
    for (size_t i = 0; i < sizeof(mask) / sizeof(mask[0]); ++i) bits |= uint32_t(mask[i] != 0) << i;
    return bits;
#endif
}

// Appends the lanes of v whose bit is set to `to`, which has room for a vector; returns how many.
template <class V, class T>
inline int append(V v, uint32_t bits, T* to) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
        store(to, _mm512_maskz_compress_epi32(__mmask16(bits), bits_as<__m512i>(v)));
        return __builtin_popcount(bits);
    }
#endif
    int n = 0;
    for (int i = 0; i < int(sizeof(v) / sizeof(T)); ++i) {
        to[n] = v[i];
        n += bits >> i & 1;
    }
    return n;
}

// v, with one and the same NaN wherever it is NaN: which of two NaNs an instruction passes on is the
// compiler's choice.
template <class T>
inline Vec<T> one_nan(Vec<T> v) {
    return v == v ? v : splat(T(__builtin_nan("")));
}

// sum + tail <- (sum + tail) + x with the rounding of the sum kept in the tail (Knuth's two-sum).
template <class V>
inline void add_exactly(V& sum, V& tail, V x) {
    V t = sum + x;
    V y = t - sum;
    tail += (sum - (t - y)) + (x - y);
    sum = t;
}

// product = a * b rounded; returns what the rounding left out (Dekker's split without fma).
template <class T>
inline Vec<T> product_tail(Vec<T> a, Vec<T> b, Vec<T> product) {
    if constexpr (kHasFma) return fma(a, b, -product);
    const T split = sizeof(T) == 4 ? T(4097) : T(134217729);
    Vec<T> ah = a * split, bh = b * split;
    ah = ah - (ah - a);
    bh = bh - (bh - b);
    Vec<T> al = a - ah, bl = b - bh;
    return ((ah * bh - product) + ah * bl + al * bh) + al * bl;
}

}  // namespace
