// Derivatives of softmax and log-softmax, from their results.
//
//   softmax:      grad_z_k = p_k (g_k - Σ_j p_j g_j)      (the Jacobian is symmetric: also the jvp)
//   log-softmax:  grad_z_k = g_k - exp(log p_k) Σ_j g_j
//
// The differences cancel, so sums are carried in two parts of float64, where the products of float32
// and narrower numbers are exact; for float64 itself in three, with each product's tail.
//
// Memory traffic: two reads and one write of the logits' size.
#pragma once
#include "../../kernels.h"

#ifdef SOFTMAX2D_BUILD
#include "../math/twofold.h"
#include "../steps/exp_sum.h"
#include "../steps/sink.h"

namespace {

// A sum in three parts, of float64 terms that may cancel down to their tails' tails.
struct LongSum {
    Vec<double> high = {};
    Sum<double> rest;
    inline void add(Vec<double> x) {
        Vec<double> tail = {};
        add_exactly(high, tail, x);
        rest.add(tail);
    }
    inline void add_product(Vec<double> a, Vec<double> b) {
        const Vec<double> product = a * b;
        rest.add(product_tail<double>(a, b, product));
        add(product);
    }
};

// The same in two parts: enough where the terms have half of float64's bits.
struct ShortSum : Sum<double> {
    inline void add_product(Vec<double> a, Vec<double> b) { add(a * b); }
};

template <class T>
struct SumFor;
template <>
struct SumFor<float> {
    using type = ShortSum;
};
template <>
struct SumFor<double> {
    using type = LongSum;
};

// The parts as high + middle + low, each small beside the one before.
inline void parts_of(const ShortSum& s, Vec<double>* parts) {
    parts[0] = s.value();
    parts[1] = (s.high - parts[0]) + s.low;
}
inline void parts_of(const LongSum& s, Vec<double>* parts) {
    Sum<double> first, second;
    first.high = s.high;
    first.add(s.rest.high);
    second.high = first.low;
    second.add(s.rest.low);
    parts[0] = first.high + second.high;
    parts[1] = ((first.high - parts[0]) + second.high) + second.low;
    parts[2] = (((first.high - parts[0]) + second.high) - parts[1]) + second.low;
}

constexpr Row kSumRows[] = {kNormHigh, kNormLow, kMean};

// Σ_k p_k g_k, or Σ_k g_k, of the pixels at p into the tile's rows, in as many parts as T needs.
template <class T, bool logs, class Feed>
inline void sum_column(Tile<T>& a, const Tile<T>& g, ptrdiff_t p, Feed feed) {
    constexpr int lanes = kLanes<double>, parts = kParts<T>;
    typename SumFor<T>::type sum[parts];
    for (ptrdiff_t k = 0; k < a.classes; ++k) {
        feed(k);
        for (int i = 0; i < parts; ++i) {
            const ptrdiff_t at = k * a.ld + p + i * lanes;
            if (logs)
                sum[i].add(load_wide(g.z + at));
            else
                sum[i].add_product(load_wide(a.z + at), load_wide(g.z + at));
        }
    }
    Vec<double> split[parts][3] = {};
    for (int i = 0; i < parts; ++i) parts_of(sum[i], split[i]);
    if (logs || sizeof(T) == 8) {
        for (int i = 0; i < parts; ++i)
            for (int j = 0; j < 3; ++j) store(a.wide_row(kSumRows[j]) + p + i * lanes, split[i][j]);
        return;
    }
    // Softmax only subtracts the sum: two numbers of T hold it to the last bit that shows.
    Vec<double> high[parts], rest[parts];
    for (int i = 0; i < parts; ++i) {
        T narrowed[lanes];
        store_wide(narrowed, high[i] = split[i][0]);
        rest[i] = (split[i][0] - load_wide(narrowed)) + split[i][1];
    }
    store(a.row(kNormHigh) + p, join(high, T()));
    store(a.row(kNormLow) + p, join(rest, T()));
}

// p (g - Σ), the difference taken part by part: where the first cancels it is exact.
template <class T>
inline Vec<T> softmax_gradient(const Tile<T>& a, const Tile<T>& g, ptrdiff_t k, ptrdiff_t p) {
    Vec<T> difference = load<Vec<T>>(g.z + k * g.ld + p) - load<Vec<T>>(a.row(kNormHigh) + p);
    difference -= load<Vec<T>>(a.row(kNormLow) + p);
    if (sizeof(T) == 8) difference -= load<Vec<T>>(a.row(kMean) + p);
    return load<Vec<T>>(a.z + k * a.ld + p) * difference;
}

// g - p S in float64, for types with half its bits. A confident class: (g - S) - (p - 1) S, where
// p - 1 is known to full precision.
inline Vec<double> log_softmax_gradient(Vec<double> grad, Vec<double> log_prob, Vec<double> high,
                                        Vec<double> low) {
    Vec<double> prob, sum = high + low;
    const Vec<double> less = exp_minus_one<double>(log_prob, prob);
    const Vec<double> confident = ((grad - high) - low) - less * sum;
    return log_prob > -0.5 ? confident : grad - prob * sum;
}

template <class T>
inline Vec<T> log_softmax_gradient(const Tile<T>& a, const Tile<T>& g, ptrdiff_t k, ptrdiff_t p) {
    Vec<double> result[kParts<T>];
    for (int i = 0; i < kParts<T>; ++i) {
        const ptrdiff_t at = p + i * kLanes<double>;
        const Vec<double> grad = load_wide(g.z + k * g.ld + at), log_prob = load_wide(a.z + k * a.ld + at);
        const Vec<double> high = load<Vec<double>>(a.wide_row(kNormHigh) + at);
        const Vec<double> middle = load<Vec<double>>(a.wide_row(kNormLow) + at);
        const Vec<double> low = load<Vec<double>>(a.wide_row(kMean) + at);
        result[i] = sizeof(T) == 8 ? exact_log_softmax_gradient(grad, log_prob, high, middle, low)
                                   : log_softmax_gradient(grad, log_prob, high, middle);
    }
    return join(result, T());
}

template <class Source, bool logs>
inline void run_vjp(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    Source::for_tiles(job, begin, end, scratch, [&](auto& source, Tile<T>* tiles, auto* feeds) {
        Tile<T>&a = tiles[0], &g = tiles[1];
        const auto feed = [&](ptrdiff_t k) {
            if (k % kStep) return;
            feeds[0].step();
            feeds[1].step();
        };
        for (ptrdiff_t p = 0; p < a.padded; p += kLanes<T>) sum_column<T, logs>(a, g, p, feed);
        source.store_gradient(a, [&](ptrdiff_t k, ptrdiff_t p) {
            return one_nan<T>(logs ? log_softmax_gradient(a, g, k, p) : softmax_gradient(a, g, k, p));
        });
    });
    stream_done();
}

template <class Source, bool logs>
struct Vjp : Sink {
    static constexpr auto run = run_vjp<Source, logs>;
    static constexpr auto bytes = bytes_of<Source>;
    static constexpr bool pixels = false;
};
template <class Source>
using SoftmaxVjp = Vjp<Source, false>;
template <class Source>
using LogSoftmaxVjp = Vjp<Source, true>;

}  // namespace
#endif
