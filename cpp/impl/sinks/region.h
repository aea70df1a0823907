// Sums of probabilities over all pixels, and over those whose target a class is: what Dice, Jaccard and
// Tversky losses are made of.
//
// Memory traffic: one read of the logits and of the target.
#pragma once
#include "../../kernels.h"

namespace softmax2d {

// Sums of each class's probability, and whether some were no numbers; all are added to.
struct Region {
    int64_t* sums;  // 4 a class: over its own pixels, then over all, each as whole and 2^-44 parts
    int64_t* odd;
};

}  // namespace softmax2d

#ifdef SOFTMAX2D_BUILD
#include "../steps/class_sums.h"
#include "../steps/loss_rows.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"

namespace {

// Sums of probabilities as whole numbers and 2^-44 parts: the same in any order.
struct RegionSums {
    int64_t *inside, *total;  // for each class whole, parts
    static size_t bytes(const Job& job) { return whole_lines(4 * job.classes * sizeof(int64_t)); }
    RegionSums(const Job& job, char* scratch) {
        std::memset(scratch, 0, bytes(job));
        inside = (int64_t*)scratch;
        total = inside + 2 * job.classes;
    }
    void release(const Job& job) const {
        release_counts(inside, arguments_of<Region>(job).sums, 4 * job.classes);
    }
};

// The probabilities of one class in a tile, added up in float64.
template <class T>
inline double class_total(const Tile<T>& t, const T* keep, ptrdiff_t k) {
    Vec<double> sum = {};
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        T probs[kLanes<T>];
        const Vec<T> prob = Normaliser<T>::at(t, p)(load<Vec<T>>(t.z + k * t.ld + p));
        store(probs, load<Vec<T>>(keep + p) == 0 ? Vec<T>{} : prob);
        for (int i = 0; i < kParts<T>; ++i) sum += load_wide(probs + i * kLanes<double>);
    }
    return total_of(sum);
}

template <class Source>
inline void run_region_sums(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    const auto r = LossRows<T>::make(job, scratch + Source::bytes(job));
    RegionSums sums(job, scratch + Source::bytes(job) + LossRows<T>::bytes(job));
    bool odd = false;
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        NoFeed none;
        read_target(t, job, r.target);
        mapped_maxima<T, false, false, false>(t, job, none, [] {});
        exp_sum<T, Keep::terms>(t, feeds[0]);
        for (ptrdiff_t p = 0; p < t.padded; ++p) r.scale[p] = r.target[p] < 0 ? T(0) : T(1);
        for (ptrdiff_t k = 0; k < t.classes; ++k) {
            const double total = class_total(t, r.scale, k);
            if (total - total == 0)
                add_in_parts(sums.total + 2 * k, total);
            else
                odd = true;
        }
        for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>)
            for (int i = 0; i < kLanes<T>; ++i) {
                const ptrdiff_t k = r.target[p + i];
                r.logit[p + i] = k < 0 ? T(0) : t.z[k * t.ld + p + i];
            }
        for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>)
            store(r.logit + p, Normaliser<T>::at(t, p)(load<Vec<T>>(r.logit + p)));
        for (ptrdiff_t p = 0; p < t.count; ++p)
            if (r.target[p] >= 0 && r.logit[p] == r.logit[p])
                add_in_parts(sums.inside + 2 * r.target[p], r.logit[p]);
    });
    sums.release(job);
    if (odd) __atomic_store_n(arguments_of<Region>(job).odd, int64_t(1), __ATOMIC_RELAXED);
}

template <class Source>
struct RegionSink : Sink {
    static constexpr auto run = run_region_sums<Source>;
    static constexpr auto bytes = bytes_of<Source, LossRows<typename Source::Number>, RegionSums>;
};

}  // namespace
#endif
