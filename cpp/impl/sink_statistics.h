// Statistics of what was predicted for what: counts and exact sums, never anything of the pixels' number.
//
//   confusion[y, label], -log p_y, Σ_c (p_c - [c = y])^2, and bins of the confidence and of every class's
//   probability: how many, the sum of the probabilities, how often right.
//
// The lowest bin of a class takes nearly all pixels: its numbers are what the others leave over of
// all pixels and of the class's whole sum, so that only probabilities above it are looked at one by one.
//
// Memory traffic: one read of the logits and of the target.
#pragma once
#include "sink_loss.h"

namespace {

// Counts of one call, added to the caller's at its end.
struct Tally {
    uint32_t *confusion, *class_count, *class_right;
    int64_t *class_sum, *whole;  // of every class: above the lowest bin, and of all pixels
    int64_t* top;                // 3 x bins
    char *nll, *brier;
    int64_t valid;  // pixels with probabilities
    int64_t room;   // pixels that may still be counted before 32 bits are full
    static constexpr int64_t kMost = 1 << 30;

    static size_t cells(const Job& job) { return size_t(job.classes) * job.counts.bins; }
    static size_t bytes(const Job& job) {
        return 2 * ExactSum::bytes + whole_lines((3 * job.counts.bins + job.classes + cells(job)) * 8) +
               whole_lines((size_t(job.classes) * job.classes + 2 * cells(job)) * 4);
    }
    Tally(const Job& job, char* scratch) : valid(0), room(kMost) {
        std::memset(scratch, 0, bytes(job));
        nll = scratch;
        brier = nll + ExactSum::bytes;
        top = (int64_t*)(brier + ExactSum::bytes);
        whole = top + 3 * job.counts.bins;
        class_sum = whole + job.classes;
        confusion =
            (uint32_t*)((char*)top + whole_lines((3 * job.counts.bins + job.classes + cells(job)) * 8));
        class_count = confusion + job.classes * job.classes;
        class_right = class_count + cells(job);
    }
    template <class Count>
    static void release(const Count* from, int64_t* to, size_t n) {
        for (size_t i = 0; i < n; ++i)
            if (from[i]) __atomic_fetch_add(to + i, int64_t(from[i]), __ATOMIC_RELAXED);
    }
    void release(const Job& job) {
        const Counts& out = job.counts;
        const size_t bins = out.bins;
        for (ptrdiff_t k = 0; k < job.classes; ++k) {
            uint32_t* count = class_count + k * bins;
            int64_t* sum = class_sum + k * bins;
            int64_t pixels = valid, rest = whole[k];
            for (size_t i = 1; i < bins; ++i) pixels -= count[i], rest -= sum[i];
            count[0] = uint32_t(pixels);
            sum[0] = rest;
        }
        release(confusion, out.confusion, size_t(job.classes) * job.classes);
        release(top, out.top_bins, 3 * bins);
        release(class_count, out.class_bins, cells(job));
        release(class_sum, out.class_bins + cells(job), cells(job));
        release(class_right, out.class_bins + 2 * cells(job), cells(job));
    }
    // Makes room for as many pixels more.
    void reserve(const Job& job, ptrdiff_t pixels) {
        room -= pixels;
        if (room >= 0) return;
        release(job);
        std::memset(top, 0, bytes(job) - 2 * ExactSum::bytes);
        valid = 0;
        room = kMost - pixels;
    }
};

// The last i with i / bins <= p: exact, as p times a small number is in float64.
template <class T>
inline ptrdiff_t bin_of(T p, ptrdiff_t bins) {
    const ptrdiff_t i = ptrdiff_t(double(p) * double(bins));
    return i < bins ? i : bins - 1;
}

// p in units of 2^-24.
template <class T>
inline Vec<T> in_units(Vec<T> p) {
    const Vec<T> x = p * T(0x1p24);
    return x < T(0x1p23) ? x + T(0.5) : x;
}

// Of a class's row of probabilities: its whole sum, and what lies above the lowest bin.
template <class T>
inline void tally_class(const Tile<T>& t, const Job& job, Tally& tally, ptrdiff_t k, T lowest) {
    const ptrdiff_t bins = job.counts.bins;
    IntVec<T> whole = {};
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        T probs[kLanes<T>];
        typename Lanes<T>::Int units[kLanes<T>];
        const Vec<T> keep = load<Vec<T>>(t.row(kMean) + p);
        Vec<T> prob = Normaliser<T>::at(t, p)(load<Vec<T>>(t.z + k * t.ld + p));
        prob = keep != 0 ? prob : Vec<T>{};
        store(t.row(kOut) + p, load<Vec<T>>(t.row(kOut) + p) + prob * prob);
        const IntVec<T> unit = __builtin_convertvector(in_units<T>(prob), IntVec<T>);
        whole += unit;
        uint32_t above = lanes_of(prob >= lowest);
        if (!above) continue;
        store(probs, prob);
        store(units, unit);
        for (; above; above &= above - 1) {
            const int lane = __builtin_ctz(above);
            const ptrdiff_t cell = k * bins + bin_of(probs[lane], bins);
            ++tally.class_count[cell];
            tally.class_sum[cell] += units[lane];
        }
    }
    for (int lane = 0; lane < kLanes<T>; ++lane) tally.whole[k] += whole[lane];
}

// The target class of a pixel, which is not in the tile.
template <class T>
inline void tally_target(const Job& job, Tally& tally, ptrdiff_t k, T prob) {
    const ptrdiff_t bins = job.counts.bins, bin = bin_of(prob, bins), cell = k * bins + bin;
    T unit = prob * T(0x1p24);
    const int64_t units = int64_t(unit < T(0x1p23) ? unit + T(0.5) : unit);
    tally.whole[k] += units;
    ++tally.class_right[cell];
    if (bin == 0) return;
    ++tally.class_count[cell];
    tally.class_sum[cell] += units;
}

// One tile: r.loss holds -log p_y, r.logit p_y, kTop the confidence.
template <class T>
inline void tally_tile(Tile<T>& t, const Job& job, const LossRows<T>& r, Tally& tally, ExactSum& nll,
                       ExactSum& brier) {
    const ptrdiff_t bins = job.counts.bins;
    for (ptrdiff_t k = 0; k < t.classes; ++k) tally_class(t, job, tally, k, T(1) / T(bins));
    for (ptrdiff_t p = 0; p < t.count; ++p) {
        const ptrdiff_t y = r.target[p], label = t.label()[p];
        if (y < 0) continue;
        ++tally.confusion[y * t.classes + label];
        nll.add(r.loss[p], p);
        const T confidence = t.row(kTop)[p];
        if (t.row(kMean)[p] == 0) {  // no probabilities
            brier.add(confidence, p);
            continue;
        }
        brier.add(t.row(kOut)[p] + r.rest[p] * r.rest[p], p);
        ++tally.valid;
        const ptrdiff_t bin = bin_of(confidence, bins);
        ++tally.top[bin];
        tally.top[bins + bin] += int64_t(double(confidence) * 0x1p30 + 0.5);
        tally.top[2 * bins + bin] += y == label;
        tally_target(job, tally, y, r.logit[p]);
    }
}

// Rows: kTop the confidence, kMean 1 where there are probabilities, kOut 0; r.logit p_y, r.rest 1 - p_y.
template <class T>
inline void rows_of(Tile<T>& t, const LossRows<T>& r) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const auto norm = Normaliser<T>::at(t, p);
        const Vec<T> top = load<Vec<T>>(t.largest() + p);
        const auto ref = reference_of<T>(top);
        const Vec<T> confidence = norm(exp_boosted<T>(top - ref.shift, ref));
        const auto known = (load<IntVec<T>>(r.target + p) >= 0) & (confidence == confidence);
        store(t.row(kTop) + p, confidence);
        store(t.row(kMean) + p, known ? splat(T(1)) : Vec<T>{});
        store(t.row(kOut) + p, Vec<T>{});
        const Vec<T> y = shifted_logit<T, true>(load<Vec<T>>(r.logit + p), ref);
        store(r.logit + p, norm(exp_boosted<T>(y, ref)));
        store(r.rest + p, norm(load<Vec<T>>(r.rest + p)));
    }
    for (ptrdiff_t p = 0; p < t.count; ++p)
        if (r.target[p] >= 0) t.z[r.target[p] * t.ld + p] = 0;
}

template <class Source>
inline void run_statistics(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    scratch += Source::bytes(job);
    const auto r = LossRows<T>::make(job, scratch);
    Tally tally(job, scratch + LossRows<T>::bytes(job));
    ExactSum nll(tally.nll), brier(tally.brier);
    Source::for_tiles(job, begin, end, scratch - Source::bytes(job), [&](auto&, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        NoFeed none;
        tally.reserve(job, t.count);
        read_target(t, job, r.target);
        mapped_maxima<T, true, false, true>(t, job, none, [] {});
        label_nans(t, t.row(kSum));
        take_target(t, r);
        exp_sum<T, Keep::rest_terms>(t, feeds[0]);
        losses_of(t, job, r);
        rows_of(t, r);
        tally_tile(t, job, r, tally, nll, brier);
    });
    tally.release(job);
    nll.release(job.counts.nll);
    brier.release(job.counts.brier);
}

}  // namespace
