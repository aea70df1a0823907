// The second light pass over a tile: the normaliser, and where asked for the sums over all classes but
// the largest.
//
// Memory traffic: the tile is read once, from cache; as the last pass over a tile it feeds the next one
// meanwhile, so that memory and arithmetic overlap.
#pragma once
#include "../math/log.h"
#include "../tiles/tile.h"

namespace {

// What exp_sum leaves behind beside the normaliser. rest and rest_terms leave, in its place, the sum
// itself as high + low: one class has been taken out of the tile, and is added later.
enum class Keep { sums, terms, logs, entropy, rest, rest_terms };

template <class T>
struct Sum {
    Vec<T> high = {}, low = {};
    inline void add(Vec<T> x) { add_exactly(high, low, x); }
    inline Vec<T> value() const { return high + low; }
};

// A sum of boosted exponentials, which starts so high that no term exceeds it: then two operations less
// find what an addition leaves out (Dekker's fast two-sum).
template <class T>
struct BoostedSum {
    static constexpr T start = 4 * ExpConstants<T>::boost_factor;
    Vec<T> high = splat(start), low = {};
    inline void add(Vec<T> x) {
        const Vec<T> t = high + x;
        low += x - (t - high);
        high = t;
    }
    inline Sum<T> sum() const {
        Sum<T> s;
        s.high = high - start;
        s.low = low;
        return s;
    }
};

// Multiplies by 1/Z, kept as high + low so that the product is rounded once: e_max / Z is never above
// 1, and exactly 1 where nothing else counts. Without fma a division by Z does as much, half an ulp less
// exactly.
template <class T>
struct Normaliser {
    Vec<T> high, low;
    static inline Normaliser of(const Sum<T>& sum) {
        const Vec<T> z = sum.high + sum.low;
        if constexpr (!kHasFma) return {z, z};
        const Vec<T> z_low = sum.low - (z - sum.high), w = 1 / z;
        return {w, w * (fma(-z, w, splat(T(1))) - z_low * w)};
    }
    inline Vec<T> operator()(Vec<T> e) const {
        if constexpr (!kHasFma) return e / high;
        return fma(e, high, e * low);
    }
    inline void save(Tile<T>& t, ptrdiff_t p) const {
        store(t.row(kNormHigh) + p, high);
        store(t.row(kNormLow) + p, low);
    }
    static inline Normaliser at(const Tile<T>& t, ptrdiff_t p) {
        return {load<Vec<T>>(t.row(kNormHigh) + p), load<Vec<T>>(t.row(kNormLow) + p)};
    }
};

template <class T, Keep keep, class Feed>
struct ExpSum {
    Tile<T>& t;
    Feed& feeder;
    ptrdiff_t p;
    Vec<T> top;
    Reference<T> ref;
    IntVec<T> label;
    BoostedSum<T> all;
    Sum<T> rest, mean;
    static constexpr bool logs = keep == Keep::logs || keep == Keep::entropy;
    static constexpr bool partial = keep == Keep::rest || keep == Keep::rest_terms;

    // One group of n <= 4 classes from k.
    template <int n, bool shifted>
    inline void group(ptrdiff_t k) {
        Vec<T> e[4] = {}, others[4] = {}, spread[4] = {};
        if (n == kStep) feeder.step();
#pragma GCC unroll 4
        for (int i = 0; i < n; ++i) {
            T* z = t.z + (k + i) * t.ld + p;
            const Vec<T> y = shifted_logit<T, shifted>(load<Vec<T>>(z), ref);
            e[i] = exp_boosted<T>(y, ref);
            if (keep == Keep::terms || keep == Keep::rest_terms) store(z, e[i]);
            if (logs) others[i] = label == typename Lanes<T>::Int(k + i) ? Vec<T>{} : e[i];
            if (keep == Keep::entropy) spread[i] = others[i] * ((top - ref.shift) - y);
        }
        if (partial) {
            rest.add((e[0] + e[1]) + (e[2] + e[3]));
        } else {
            all.add(n > 1 ? e[0] + e[1] : e[0]);
            if (n > 2) all.add(n > 3 ? e[2] + e[3] : e[2]);
        }
        if (logs) rest.add((others[0] + others[1]) + (others[2] + others[3]));
        if (keep == Keep::entropy) mean.add((spread[0] + spread[1]) + (spread[2] + spread[3]));
    }

    template <bool shifted>
    inline void all_classes() {
        ptrdiff_t k = 0;
        for (; k + 4 <= t.classes; k += 4) group<4, shifted>(k);
        if (k < t.classes) feeder.step();
        const ptrdiff_t left = t.classes - k;
        if (left == 3) group<3, shifted>(k);
        if (left == 2) group<2, shifted>(k);
        if (left == 1) group<1, shifted>(k);
    }

    inline void run() {
        top = load<Vec<T>>(t.largest() + p);
        if (logs) label = load<IntVec<T>>(t.label() + p);
        ref = reference_of<T>(top);
        if (unshifted(ref))
            all_classes<false>();
        else
            all_classes<true>();
        if (partial) {
            store(t.row(kNormHigh) + p, rest.high);
            store(t.row(kNormLow) + p, rest.low);
            return;
        }
        const auto normaliser = Normaliser<T>::of(all.sum());
        normaliser.save(t, p);
        if (keep == Keep::terms) return;
        if (!logs) {
            store(t.row(kTop) + p, exp_boosted<T>(top - ref.shift, ref));
            return;
        }
        Vec<T> low, e = exp_of_largest<T>(top, ref, low);
        store(t.row(kTop) + p, e);
        store(t.row(kLog) + p, log_of_sum(e, low));
        store(t.row(kOut) + p, normaliser(rest.value()));  // 1 - p of the largest
        if (keep == Keep::entropy) store(t.row(kMean) + p, normaliser(mean.value()));
    }

    // log Σ_k exp(z_k - m) = log(1 + rest / e), rest = Σ of all but the largest, e = the largest's.
    inline Vec<T> log_of_sum(Vec<T> e, Vec<T> e_low) const {
        Vec<T> x = rest.value() / e;
        Vec<T> product = x * e;
        Vec<T> tail = product_tail<T>(x, e, product);
        Vec<T> x_low = (((rest.high - product) - tail + rest.low) - x * e_low) / e;
        return log_one_plus<T>(x, x_low);
    }
};

template <class T, Keep keep, class Feed>
inline void exp_sum(Tile<T>& t, Feed& feeder) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        ExpSum<T, keep, Feed> column{t, feeder, p, {}, {}, {}, {}, {}, {}};
        column.run();
    }
}

// kMean: 1 where a pixel has probabilities, else 0, also past the last pixel. kOut: the largest of them.
template <class T>
inline void mark_known(Tile<T>& t) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const Vec<T> top = load<Vec<T>>(t.largest() + p), none = {};
        const auto ref = reference_of<T>(top);
        const Vec<T> confidence = Normaliser<T>::at(t, p)(exp_boosted<T>(top - ref.shift, ref));
        store(t.row(kMean) + p, confidence == confidence ? splat(T(1)) : none);
        store(t.row(kOut) + p, confidence);
    }
    for (ptrdiff_t p = t.count; p < t.padded; ++p) t.row(kMean)[p] = 0;
}

}  // namespace
