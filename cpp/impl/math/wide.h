// float64 beside the tile's type: numbers of either as float64, half a vector of float32 at a time, and
// back.
#pragma once
#include <utility>

#include "vec.h"

namespace {

using Wide = Vec<double>;

inline Vec<double> load_wide(const double* p) { return load<Vec<double>>(p); }
inline Vec<double> load_wide(const float* p) {
    using Narrow = VecOf<float, kVectorBytes / 2>::type;
    return __builtin_convertvector(load<Narrow>(p), Vec<double>);
}
inline void store_wide(double* p, Vec<double> v) { store(p, v); }
inline void store_wide(float* p, Vec<double> v) {
    using Narrow = VecOf<float, kVectorBytes / 2>::type;
    store(p, __builtin_convertvector(v, Narrow));
}

// A vector of T is as many vectors of float64 as this.
template <class T>
constexpr int kParts = 8 / int(sizeof(T));

// The i-th of them.
inline Vec<double> part(Vec<double> v, int) { return v; }
template <size_t... i>
inline VecOf<float, kVectorBytes / 2>::type half_of(Vec<float> v, int offset, std::index_sequence<i...>) {
    return offset ? __builtin_shufflevector(v, v, (i + sizeof...(i))...)
                  : __builtin_shufflevector(v, v, i...);
}
inline Vec<double> part(Vec<float> v, int i) {
    return __builtin_convertvector(half_of(v, i, std::make_index_sequence<kLanes<double>>()), Vec<double>);
}

inline Vec<double> join(const Vec<double>* parts, double) { return parts[0]; }
template <size_t... i>
inline Vec<float> join_halves(const Vec<double>* parts, std::index_sequence<i...>) {
    using Narrow = VecOf<float, kVectorBytes / 2>::type;
    return __builtin_shufflevector(__builtin_convertvector(parts[0], Narrow),
                                   __builtin_convertvector(parts[1], Narrow), i...);
}
inline Vec<float> join(const Vec<double>* parts, float) {
    return join_halves(parts, std::make_index_sequence<kLanes<float>>());
}

}  // namespace
