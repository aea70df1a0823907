// Derivatives of softmax and log-softmax, from their results.
//
//   softmax:      grad_z_k = p_k (g_k - Σ_j p_j g_j)      (the Jacobian is symmetric: also the jvp)
//   log-softmax:  grad_z_k = g_k - exp(log p_k) Σ_j g_j
//
// The differences cancel, so sums are carried as high + low in float64, where the products of
// float32 and narrower numbers are exact (float64 keeps each product's tail as well), and rounded
// once at the end.
//
// Memory traffic: two reads and one write of the logits' size.
#pragma once
#include "reduce.h"
#include "store.h"

namespace {

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

// Σ_k p_k g_k, or Σ_k g_k, of the pixels at p: high and low into the tile's rows.
template <class T, bool logs, class Feed>
inline void sum_column(Tile<T>& a, const Tile<T>& g, ptrdiff_t p, Feed feed) {
    Sum<double> sum;
    for (ptrdiff_t k = 0; k < a.classes; ++k) {
        feed(k);
        const Vec<double> grad = load_wide(g.z + k * g.ld + p);
        if (logs) {
            sum.add(grad);
            continue;
        }
        const Vec<double> prob = load_wide(a.z + k * a.ld + p), product = prob * grad;
        if (sizeof(T) == 8) sum.low += product_tail<double>(prob, grad, product);
        sum.add(product);
    }
    store(a.wide_row(kNormHigh) + p, sum.high);
    store(a.wide_row(kNormLow) + p, sum.low);
}

// The gradient of one class at the pixels at p; a is its probability or the logarithm of that.
template <bool logs>
inline Vec<double> gradient(Vec<double> a, Vec<double> grad, Vec<double> high, Vec<double> low) {
    if (!logs) return a * ((grad - high) - low);
    Vec<double> prob, sum = high + low;
    const Vec<double> less = exp_minus_one<double>(a, prob);
    // A confident class: g - p S = (g - S) - (p - 1) S, where p - 1 is known to full precision.
    const Vec<double> confident = ((grad - high) - low) - less * sum;
    return a > -0.5 ? confident : grad - prob * sum;
}

template <class S, class T, bool logs>
inline void run_vjp(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    for_tiles<S, T, 2>(job, begin, end, scratch, [&](Tile<T>* tiles, Feeder<S, T>* feeders) {
        Tile<T>&a = tiles[0], &g = tiles[1];
        // kStep vectors of T for as many bytes of the columns of float64.
        const auto feed = [&](ptrdiff_t k) {
            if (k % (kStep * 8 / int(sizeof(T)))) return;
            feeders[0].step();
            feeders[1].step();
        };
        for (ptrdiff_t p = 0; p < a.padded; p += kLanes<double>) sum_column<T, logs>(a, g, p, feed);
        store_classes<S>(a, job, 2, [&](ptrdiff_t k, ptrdiff_t p) {
            constexpr int parts = 8 / int(sizeof(T)), lanes = kLanes<double>;
            T row[kLanes<T>];
            for (int i = 0; i < parts; ++i) {
                const ptrdiff_t at = p + i * lanes;
                store_wide(row + i * lanes,
                           gradient<logs>(load_wide(a.z + k * a.ld + at), load_wide(g.z + k * g.ld + at),
                                          load<Vec<double>>(a.wide_row(kNormHigh) + at),
                                          load<Vec<double>>(a.wide_row(kNormLow) + at)));
            }
            return load<Vec<T>>(row);
        });
    });
    stream_done();
}

}  // namespace
