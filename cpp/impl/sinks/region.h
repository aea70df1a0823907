// Sums over all pixels, of which Dice, Jaccard and Tversky losses are made: for each class c
//
//   inside = Σ p_c t_c,    total = Σ p_c or Σ p_c²,    truth = Σ t_c or Σ t_c²,
//
// with the target t one-hot (class indices, whose `truth` is their count) or class probabilities.
//
// Memory traffic: one read of the logits and of the target.
#pragma once
#include "../../kernels.h"

namespace softmax2d {

// Sums of each class, and whether some are not to be had; all are added to.
struct Region {
    int64_t* sums;  // inside, total, truth and what total leaves over: 2 a class, whole and parts
    int64_t* odd;   // kNaN, and kTooLarge for probabilities in the target that are far above 1
    bool squared;
};

constexpr int kRegionSums = 8;  // numbers of a class in `sums`
constexpr int64_t kNaN = 1, kTooLarge = 2;

}  // namespace softmax2d

#ifdef SOFTMAX2D_BUILD
#include "../steps/class_sums.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"
#include "../steps/soft_rows.h"

namespace {

// Sums as whole numbers and 2^-44 parts: the same in any order.
struct RegionSums {
    int64_t *inside, *total, *truth, *rest;  // for each class whole, parts
    bool squared;
    int64_t odd = 0;
    static size_t bytes(const Job& job) { return whole_lines(kRegionSums * job.classes * sizeof(int64_t)); }
    RegionSums(const Job& job, char* scratch) : squared(arguments_of<Region>(job).squared) {
        std::memset(scratch, 0, bytes(job));
        inside = (int64_t*)scratch;
        total = inside + 2 * job.classes;
        truth = total + 2 * job.classes;
        rest = truth + 2 * job.classes;
    }
    // A tile's sum. Its whole number of parts has room for 2^18: for probabilities, always.
    inline void add(int64_t* sum, double value) {
        if (value - value != 0)
            odd |= kNaN;
        else if (value < 0x1p18 && value > -0x1p18)
            add_in_parts(sum, value);
        else
            odd |= kTooLarge;
    }
    // Squares are small: what they leave below one part is kept in parts of it.
    inline void add_total(ptrdiff_t k, double value) {
        add(total + 2 * k, value);
        const double parts = value * double(int64_t(1) << kPartBits);
        if (squared && value < 0x1p18) add_in_parts(rest + 2 * k, parts - double(int64_t(parts)));
    }
    void release(const Job& job) const {
        release_counts(inside, arguments_of<Region>(job).sums, kRegionSums * job.classes);
        if (odd) __atomic_fetch_or(arguments_of<Region>(job).odd, odd, __ATOMIC_RELAXED);
    }
};

// The probabilities of one class in a tile or their squares, added up in float64.
template <bool Squared, class T>
inline double class_total(const Tile<T>& t, const T* keep, ptrdiff_t k) {
    Vec<double> sum = {};
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        T probs[kLanes<T>];
        const Vec<T> prob = Normaliser<T>::at(t, p)(load<Vec<T>>(t.z + k * t.ld + p));
        store(probs, load<Vec<T>>(keep + p) == 0 ? Vec<T>{} : prob);
        for (int i = 0; i < kParts<T>; ++i) {
            const Wide wide = load_wide(probs + i * kLanes<double>);
            sum += Squared ? wide * wide : wide;
        }
    }
    return total_of(sum);
}

template <class Source>
inline void run_region_sums(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    const auto r = LossRows<T>::make(job, scratch + Source::bytes(job));
    RegionSums sums(job, scratch + Source::bytes(job) + LossRows<T>::bytes(job));
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        NoFeed none;
        read_target(t, job, r.target);
        mapped_maxima<T, false, false, false>(t, job, none, [] {});
        exp_sum<T, Keep::terms>(t, feeds[0]);
        for (ptrdiff_t p = 0; p < t.padded; ++p) r.scale[p] = r.target[p] < 0 ? T(0) : T(1);
        for (ptrdiff_t k = 0; k < t.classes; ++k)
            sums.add_total(
                k, sums.squared ? class_total<true>(t, r.scale, k) : class_total<false>(t, r.scale, k));
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
}

template <class Source>
struct RegionSink : Sink {
    static constexpr auto run = run_region_sums<Source>;
    static constexpr auto bytes = bytes_of<Source, LossRows<typename Source::Number>, RegionSums>;
};

// The three sums of one class in a tile whose target are probabilities.
inline void add_soft_class(const Tile<double>& t, const SoftRows& r, ptrdiff_t k, RegionSums& sums) {
    Wide inside = {}, total = {}, truth = {};
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<double>) {
        const Wide prob = Normaliser<double>::at(t, p)(load<Wide>(t.z + k * t.ld + p));
        const Wide p_here = load<Wide>(r.pixel.scale + p) == 0 ? Wide{} : prob;
        const Wide t_here = load<Wide>(r.h + k * t.ld + p);
        inside += p_here * t_here;
        total += sums.squared ? p_here * p_here : p_here;
        truth += sums.squared ? t_here * t_here : t_here;
    }
    sums.add(sums.inside + 2 * k, total_of(inside));
    sums.add(sums.truth + 2 * k, total_of(truth));
    sums.add_total(k, total_of(total));
}

template <class Source>
inline void run_soft_region_sums(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    const auto r = SoftRows::make(job, scratch + Source::bytes(job));
    RegionSums sums(job, scratch + Source::bytes(job) + SoftRows::bytes(job));
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<double>* tiles, auto* feeds) {
        Tile<double>& t = tiles[0];
        NoFeed none;
        read_soft_target(t, job, r.h);
        mapped_maxima<double, false, false, false>(t, job, none, [] {});
        exp_sum<double, Keep::terms>(t, feeds[0]);
        for (ptrdiff_t p = 0; p < t.padded; ++p) r.pixel.scale[p] = p < t.count ? 1 : 0;
        for (ptrdiff_t k = 0; k < t.classes; ++k) add_soft_class(t, r, k, sums);
    });
    sums.release(job);
}

template <class Source>
struct SoftRegionSink : Sink {
    static constexpr auto run = run_soft_region_sums<Source>;
    static constexpr auto bytes = bytes_of<Source, SoftRows, RegionSums>;
};

}  // namespace
#endif
