// The affine map of a tile's logits, z <- z / temperature + bias.
#pragma once
#include "../tiles/tile.h"

namespace {

// A bias for all of a row, or one for each of its pixels.
struct OneBias {
    double value;
    inline double operator[](ptrdiff_t) const { return value; }
    inline Vec<double> at(ptrdiff_t) const { return splat(value); }
};
struct EachBias {
    const double* values;
    inline double operator[](ptrdiff_t i) const { return values[i]; }
    inline Vec<double> at(ptrdiff_t i) const { return load<Vec<double>>(values + i); }
};

// z <- z / temperature + bias over one row, rounded once.
template <class Bias>
inline void map_row(float* row, ptrdiff_t n, double high, double, Bias bias) {
    for (ptrdiff_t i = 0; i < n; ++i) row[i] = float(double(row[i]) * high + bias[i]);
}
template <class Bias>
inline void map_row(double* row, ptrdiff_t n, double high, double low, Bias biases) {
    constexpr int lanes = kLanes<double>;
    for (ptrdiff_t i = 0; i < n; i += lanes) {
        const Vec<double> z = load<Vec<double>>(row + i), bias = biases.at(i);
        Vec<double> product = z * high;
        Vec<double> tail = product_tail<double>(z, splat(high), product) + z * low;
        Vec<double> sum = product + bias;
        Vec<double> t = sum - product;
        Vec<double> exact = sum + ((product - (sum - t)) + (bias - t) + tail);
        // Where a part overflowed or was infinite, its tail is no number: keep the plain sum.
        store(row + i, exact - exact == 0 ? exact : sum);
    }
}

// One row of logits of any classes, where the map is the same for all.
template <class T>
inline void map_like_first(const Tile<T>& t, const Affine& a, T* row) {
    map_row(row, t.padded, a.factor_high[0], a.factor_low[0], OneBias{a.bias[0]});
}

template <class T>
inline void apply_affine(Tile<T>& t, const Affine& a) {
    for (ptrdiff_t k = 0; k < t.classes; ++k)
        map_row(t.z + k * t.ld, t.padded, a.factor_high[k], a.factor_low[k], OneBias{a.bias[k]});
}

}  // namespace
