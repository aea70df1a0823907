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

// A vector of T is as many vectors of float64 as this.
template <class T>
constexpr int kParts = 8 / int(sizeof(T));

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

// Σ_k p_k g_k, or Σ_k g_k, of the pixels at p into the tile's rows: as high + low of T for softmax,
// which only subtracts it; of float64 for log-softmax.
template <class T, bool logs, class Feed>
inline void sum_column(Tile<T>& a, const Tile<T>& g, ptrdiff_t p, Feed feed) {
    constexpr int lanes = kLanes<double>, parts = kParts<T>;
    Sum<double> sum[parts];
    for (ptrdiff_t k = 0; k < a.classes; ++k) {
        feed(k);
        for (int i = 0; i < parts; ++i) {
            const ptrdiff_t at = k * a.ld + p + i * lanes;
            Vec<double> term = load_wide(g.z + at);
            if (!logs) {
                const Vec<double> prob = load_wide(a.z + at), product = prob * term;
                if (sizeof(T) == 8) sum[i].low += product_tail<double>(prob, term, product);
                term = product;
            }
            sum[i].add(term);
        }
    }
    if (logs) {
        for (int i = 0; i < parts; ++i) {
            store(a.wide_row(kNormHigh) + p + i * lanes, sum[i].high);
            store(a.wide_row(kNormLow) + p + i * lanes, sum[i].low);
        }
        return;
    }
    Vec<double> rest[parts], high[parts];
    for (int i = 0; i < parts; ++i) {
        T narrowed[lanes];
        high[i] = sum[i].value();
        store_wide(narrowed, high[i]);
        rest[i] = ((sum[i].high - load_wide(narrowed)) + sum[i].low);
    }
    store(a.row(kNormHigh) + p, join(high, T()));
    store(a.row(kNormLow) + p, join(rest, T()));
}

// p (g - Σ), the difference taken in two steps: where the first cancels it is exact.
template <class T>
inline Vec<T> softmax_gradient(const Tile<T>& a, const Tile<T>& g, ptrdiff_t k, ptrdiff_t p) {
    const Vec<T> difference = load<Vec<T>>(g.z + k * g.ld + p) - load<Vec<T>>(a.row(kNormHigh) + p);
    return load<Vec<T>>(a.z + k * a.ld + p) * (difference - load<Vec<T>>(a.row(kNormLow) + p));
}

template <class T>
inline Vec<T> log_softmax_gradient(const Tile<T>& a, const Tile<T>& g, ptrdiff_t k, ptrdiff_t p) {
    Vec<double> result[kParts<T>];
    for (int i = 0; i < kParts<T>; ++i) {
        const ptrdiff_t at = p + i * kLanes<double>;
        const Vec<double> grad = load_wide(g.z + k * g.ld + at), log_prob = load_wide(a.z + k * a.ld + at);
        const Vec<double> high = load<Vec<double>>(a.wide_row(kNormHigh) + at);
        const Vec<double> low = load<Vec<double>>(a.wide_row(kNormLow) + at);
        Vec<double> prob, sum = high + low;
        const Vec<double> less = exp_minus_one<double>(log_prob, prob);
        // A confident class: g - p S = (g - S) - (p - 1) S, where p - 1 is known to full precision.
        const Vec<double> confident = ((grad - high) - low) - less * sum;
        result[i] = log_prob > -0.5 ? confident : grad - prob * sum;
    }
    return join(result, T());
}

template <class S, class T, bool logs>
inline void run_vjp(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    for_tiles<S, T, 2>(job, begin, end, scratch, [&](Tile<T>* tiles, Feeder<S, T>* feeders) {
        Tile<T>&a = tiles[0], &g = tiles[1];
        const auto feed = [&](ptrdiff_t k) {
            if (k % kStep) return;
            feeders[0].step();
            feeders[1].step();
        };
        for (ptrdiff_t p = 0; p < a.padded; p += kLanes<T>) sum_column<T, logs>(a, g, p, feed);
        store_classes<S>(a, job, 2, [&](ptrdiff_t k, ptrdiff_t p) {
            return logs ? log_softmax_gradient(a, g, k, p) : softmax_gradient(a, g, k, p);
        });
    });
    stream_done();
}

}  // namespace
