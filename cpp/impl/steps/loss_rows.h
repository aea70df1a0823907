// Losses of pixels with one target class: what losses, statistics and fits keep of each pixel.
//
// The target class is taken out of the tile before the exponentials are summed, so that
// rest = Σ_{k≠y} e_k keeps its relative accuracy however far y is ahead:
//   -log p_y = log(1 + rest / e_y)   if y is the largest,  (m - z_y) + log(Σ e / e_m) else,
//   p_y - 1 = -rest / Z: -rest takes the place of e_y among the terms, and all are multiplied by 1/Z.
#pragma once
#include "../tiles/store.h"
#include "exact_sum.h"
#include "exp_sum.h"
#include "loss_terms.h"
#include "target.h"

namespace {

// What the sink keeps of each pixel beside the rows of the tile.
template <class T>
struct LossRows {
    typename Lanes<T>::Int* target;
    T *logit, *rest, *scale, *loss;
    char* sums;

    static size_t row(const Job& job) { return whole_lines(padding(job.tile) * sizeof(T)); }
    static size_t bytes(const Job& job) { return 5 * row(job) + ExactSumFor<T>::type::bytes; }
    static LossRows make(const Job& job, char* scratch) {
        const auto take = [&] {
            char* taken = scratch;
            scratch += row(job);
            return (T*)taken;
        };
        LossRows r;
        r.target = (typename Lanes<T>::Int*)take();
        r.logit = take();
        r.rest = take();
        r.scale = take();
        r.loss = take();
        r.sums = scratch;
        return r;
    }
};

// Takes the target class out of the tile; its logit stays in a row.
template <class T>
inline void take_target(Tile<T>& t, const LossRows<T>& r) {
    for (ptrdiff_t p = 0; p < t.padded; ++p) {
        r.logit[p] = 0;
        if (r.target[p] < 0) continue;
        T& z = t.z[r.target[p] * t.ld + p];
        r.logit[p] = z;
        z = -T(__builtin_inf());
    }
}

// -log p_y of a vector of pixels, from the sum over the other classes; Z is left in `all`.
template <class T>
inline Vec<T> target_loss(const Tile<T>& t, ptrdiff_t p, Vec<T> z, Sum<T>& all) {
    const Vec<T> top = load<Vec<T>>(t.largest() + p);
    const auto ref = reference_of<T>(top);
    const Vec<T> e = exp_boosted<T>(shifted_logit<T, true>(z, ref), ref);
    const Vec<T> largest = exp_boosted<T>(top - ref.shift, ref);
    const Vec<T> rest = all.value();
    const auto leads = z == top;
    const Vec<T> others = leads ? rest : ((all.high - largest) + all.low) + e;
    all.add(e);
    const Vec<T> log_sum = log_one_plus<T>(others / (leads ? e : largest), Vec<T>{});
    return leads ? log_sum : (top - z) + log_sum;
}

// The factor that a pixel's loss counts with beside its weight.
template <class T>
inline Vec<T> cut_factor(Vec<T> loss, const LossTerms& out) {
    const Vec<T> threshold = splat(T(out.threshold)), one = splat(T(1)), none = {};
    return loss > threshold ? one : (loss == threshold ? splat(T(out.tie)) : none);
}

// The rows of a tile's losses and scales, and what the terms are multiplied by.
template <class T>
inline void losses_of(Tile<T>& t, const LossTerms& out, const LossRows<T>& r) {
    for (ptrdiff_t p = 0; p < t.padded; ++p) r.scale[p] = r.target[p] < 0 ? T(0) : T(1);
    for (ptrdiff_t p = 0; p < t.count && out.weight; ++p)
        if (r.target[p] >= 0) r.scale[p] = T(out.weight[r.target[p]]);
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        Sum<T> all;
        all.high = load<Vec<T>>(t.row(kNormHigh) + p);
        all.low = load<Vec<T>>(t.row(kNormLow) + p);
        store(r.rest + p, -all.value());
        const auto ignored = load<IntVec<T>>(r.target + p) < 0;
        const Vec<T> weight = load<Vec<T>>(r.scale + p), one = splat(T(1)), none = {};
        Vec<T> loss = target_loss<T>(t, p, load<Vec<T>>(r.logit + p), all) * weight;
        loss = ignored ? none : one_nan<T>(loss);
        store(r.loss + p, loss);
        const Vec<T> factor = out.cuts ? cut_factor<T>(loss, out) : one;
        // A pixel that does not count has gradient 0 whatever its logits.
        all.high = ignored ? splat(ExpConstants<T>::boost_factor) : all.high;
        all.low = ignored ? none : all.low;
        Normaliser<T>::of(all).save(t, p);
        store(r.scale + p, weight * factor * T(out.scale));
        store(t.row(kOut) + p, factor == 0 ? none : loss * factor);
    }
}

// Multiplies each pixel's scale by what comes from above: numbers of type From. The rows of logits are free.
template <class From, class T>
inline void scale_pixels(const Tile<T>& t, const Job& job, const LossRows<T>& r) {
    load_row<From>(r.logit, arguments_of<LossTerms>(job).upstream, job, t.segments, t.segment_count);
    for (ptrdiff_t p = 0; p < t.count; ++p) r.scale[p] = r.target[p] < 0 ? T(0) : r.scale[p] * r.logit[p];
}

// -rest in the place of the target's term; nothing at all where a pixel is ignored and its logits are no
// numbers.
template <class T>
inline void put_target(Tile<T>& t, const LossRows<T>& r) {
    for (ptrdiff_t p = 0; p < t.count; ++p) {
        if (r.target[p] >= 0) {
            t.z[r.target[p] * t.ld + p] = r.rest[p];
        } else if (r.rest[p] - r.rest[p] != 0) {
            for (ptrdiff_t k = 0; k < t.classes; ++k) t.z[k * t.ld + p] = 0;
        }
    }
}

}  // namespace
