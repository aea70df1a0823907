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
#include "../../kernels.h"

namespace softmax2d {

// Counts of what was predicted for what; all are added to.
struct Counts {
    int64_t* confusion;    // classes x classes, rows are the truth
    int64_t* top_bins;     // 3 x bins: pixels, confidence in units of 2^-30, correct
    int64_t* class_bins;   // 3 x classes x bins: pixels, probability in units of 2^-24, of that class
    int64_t *nll, *brier;  // exact sums
    ptrdiff_t bins;
};

}  // namespace softmax2d

#ifdef SOFTMAX2D_BUILD
#include "../steps/class_sums.h"
#include "../steps/loss_rows.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"

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

    static size_t bins(const Job& job) { return size_t(arguments_of<Counts>(job).bins); }
    static size_t cells(const Job& job) { return size_t(job.classes) * bins(job); }
    static size_t bytes(const Job& job) {
        return 2 * ExactSum::bytes + whole_lines((3 * bins(job) + job.classes + cells(job)) * 8) +
               whole_lines((size_t(job.classes) * job.classes + 2 * cells(job)) * 4);
    }
    Tally(const Job& job, char* scratch) : valid(0), room(kMost) {
        std::memset(scratch, 0, bytes(job));
        nll = scratch;
        brier = nll + ExactSum::bytes;
        top = (int64_t*)(brier + ExactSum::bytes);
        whole = top + 3 * bins(job);
        class_sum = whole + job.classes;
        confusion = (uint32_t*)((char*)top + whole_lines((3 * bins(job) + job.classes + cells(job)) * 8));
        class_count = confusion + job.classes * job.classes;
        class_right = class_count + cells(job);
    }
    void release(const Job& job) {
        const Counts& out = arguments_of<Counts>(job);
        const size_t bins = out.bins;
        for (ptrdiff_t k = 0; k < job.classes; ++k) {
            uint32_t* count = class_count + k * bins;
            int64_t* sum = class_sum + k * bins;
            int64_t pixels = valid, rest = whole[k];
            for (size_t i = 1; i < bins; ++i) pixels -= count[i], rest -= sum[i];
            count[0] = uint32_t(pixels);
            sum[0] = rest;
        }
        release_counts(confusion, out.confusion, size_t(job.classes) * job.classes);
        release_counts(top, out.top_bins, 3 * bins);
        release_counts(class_count, out.class_bins, cells(job));
        release_counts(class_sum, out.class_bins + cells(job), cells(job));
        release_counts(class_right, out.class_bins + 2 * cells(job), cells(job));
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

// floor(p bins), the last bin for 1. Where the product is rounded up to a whole number, its tail says so.
template <class T>
inline IntVec<T> bins_of(Vec<T> p, T bins) {
    const Vec<T> product = p * bins;
    IntVec<T> bin = __builtin_convertvector(product, IntVec<T>);
    const Vec<T> whole = __builtin_convertvector(bin, Vec<T>);
    const auto past = (whole == product) & (product_tail<T>(p, splat(bins), product) < 0);
    bin = past ? bin - 1 : bin;
    const IntVec<T> last = IntVec<T>{} + typename Lanes<T>::Int(bins) - 1;
    return bin > last ? last : bin;
}

// x >= 0 as the nearest integer; beyond half of what T resolves it is one.
template <class T>
inline IntVec<T> to_nearest(Vec<T> x) {
    return __builtin_convertvector(x < T(0x1p23) ? x + T(0.5) : x, IntVec<T>);
}

// What is collected of a tile before it is counted.
template <class T>
struct TallyRows {
    typename Lanes<T>::Int *bin, *unit;  // of one class: what lies above the lowest bin

    static size_t row(const Job& job) { return whole_lines((padding(job.tile) + kLanes<T>)*sizeof(T)); }
    static size_t bytes(const Job& job) { return 2 * row(job); }
    TallyRows(const Job& job, char* scratch)
        : bin((typename Lanes<T>::Int*)scratch), unit((typename Lanes<T>::Int*)(scratch + row(job))) {}
};

// Of a class's row of probabilities: its whole sum, what lies above the lowest bin, and the squares of what
// the probabilities are off, into kOut.
template <class T>
inline void tally_class(const Tile<T>& t, const Job& job, const LossRows<T>& r, const TallyRows<T>& rows,
                        Tally& tally, ptrdiff_t k) {
    const ptrdiff_t bins = arguments_of<Counts>(job).bins;
    IntVec<T> whole = {};
    ptrdiff_t found = 0;
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const Vec<T> keep = load<Vec<T>>(t.row(kMean) + p), squares = load<Vec<T>>(t.row(kOut) + p);
        Vec<T> prob = Normaliser<T>::at(t, p)(load<Vec<T>>(t.z + k * t.ld + p));
        prob = keep != 0 ? prob : Vec<T>{};
        const auto targeted = load<IntVec<T>>(r.target + p) == typename Lanes<T>::Int(k);
        const Vec<T> off = targeted ? load<Vec<T>>(r.rest + p) : prob;
        store(t.row(kOut) + p, squares + off * off);
        const IntVec<T> unit = to_nearest<T>(prob * T(0x1p24)), bin = bins_of<T>(prob, T(bins));
        whole += unit;
        const uint32_t above = lanes_of(bin > 0);
        append(unit, above, rows.unit + found);
        found += append(bin, above, rows.bin + found);
    }
    uint32_t* count = tally.class_count + k * bins;
    int64_t* sum = tally.class_sum + k * bins;
    for (ptrdiff_t i = 0; i < found; ++i) {
        ++count[rows.bin[i]];
        sum[rows.bin[i]] += rows.unit[i];
    }
    for (int lane = 0; lane < kLanes<T>; ++lane) tally.whole[k] += whole[lane];
}

// What is counted of each pixel. r.logit holds p_y, kTop the confidence.
template <class T>
inline void tally_pixels(const Tile<T>& t, const Job& job, const LossRows<T>& r, Tally& tally) {
    using Int = typename Lanes<T>::Int;
    const ptrdiff_t bins = arguments_of<Counts>(job).bins;
    for (ptrdiff_t from = 0; from < t.count; from += kLanes<T>) {
        Int top[kLanes<T>], own[kLanes<T>], unit[kLanes<T>];
        const Vec<T> none = {}, keep = load<Vec<T>>(t.row(kMean) + from);
        const Vec<T> confidence = keep != 0 ? load<Vec<T>>(t.row(kTop) + from) : none;
        store(top, bins_of<T>(confidence, T(bins)));
        store(own, bins_of<T>(keep != 0 ? load<Vec<T>>(r.logit + from) : none, T(bins)));
        store(unit, to_nearest<T>(confidence * T(0x1p30)));
        const ptrdiff_t left = t.count - from < kLanes<T> ? t.count - from : kLanes<T>;
        for (ptrdiff_t i = 0; i < left; ++i) {
            const ptrdiff_t y = r.target[from + i], label = t.label()[from + i];
            if (y < 0) continue;
            ++tally.confusion[y * t.classes + label];
            if (t.row(kMean)[from + i] == 0) continue;  // no probabilities
            ++tally.valid;
            ++tally.top[top[i]];
            tally.top[bins + top[i]] += unit[i];
            tally.top[2 * bins + top[i]] += y == label;
            ++tally.class_right[y * bins + own[i]];
        }
    }
}

// Rows: kTop the confidence, kMean 1 where there are probabilities, kOut 0 (NaN where there should be some);
// r.logit p_y, r.rest 1 - p_y. The target's term goes back into the tile.
template <class T>
inline void rows_of(Tile<T>& t, const LossRows<T>& r) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const auto norm = Normaliser<T>::at(t, p);
        const Vec<T> top = load<Vec<T>>(t.largest() + p), none = {};
        const auto ref = reference_of<T>(top);
        const Vec<T> confidence = norm(exp_boosted<T>(top - ref.shift, ref));
        const auto targeted = load<IntVec<T>>(r.target + p) >= 0, known = confidence == confidence;
        store(t.row(kTop) + p, confidence);
        store(t.row(kMean) + p, targeted & known ? splat(T(1)) : none);
        store(t.row(kOut) + p, targeted & ~known ? confidence : none);
        const Vec<T> y = exp_boosted<T>(shifted_logit<T, true>(load<Vec<T>>(r.logit + p), ref), ref);
        store(r.scale + p, y);
        store(r.logit + p, norm(y));
        store(r.rest + p, norm(load<Vec<T>>(r.rest + p)));
    }
    for (ptrdiff_t p = 0; p < t.count; ++p)
        if (r.target[p] >= 0) t.z[r.target[p] * t.ld + p] = r.scale[p];
}

inline void add_row(ExactSum& sum, const float* row, ptrdiff_t n) { sum.add_row(row, n); }
inline void add_row(ExactSum& sum, const double* row, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; ++i) sum.add(row[i], i);
}

template <class Source>
inline void run_statistics(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    LossTerms terms{};
    terms.scale = 1;
    scratch += Source::bytes(job);
    const auto r = LossRows<T>::make(job, scratch);
    const TallyRows<T> rows(job, scratch + LossRows<T>::bytes(job));
    Tally tally(job, scratch + LossRows<T>::bytes(job) + TallyRows<T>::bytes(job));
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
        losses_of(t, terms, r);
        rows_of(t, r);
        for (ptrdiff_t k = 0; k < t.classes; ++k) tally_class(t, job, r, rows, tally, k);
        tally_pixels(t, job, r, tally);
        add_row(nll, r.loss, t.padded);
        add_row(brier, t.row(kOut), t.padded);
    });
    tally.release(job);
    nll.release(arguments_of<Counts>(job).nll);
    brier.release(arguments_of<Counts>(job).brier);
}

template <class Source>
struct StatisticsSink : Sink {
    static constexpr auto run = run_statistics<Source>;
    static constexpr auto bytes =
        bytes_of<Source, LossRows<typename Source::Number>, TallyRows<typename Source::Number>, Tally>;
    static Needs needs(const Job& job) { return {0, arguments_of<Counts>(job).bins ? 64 * job.classes : 0}; }
};

}  // namespace
#endif
