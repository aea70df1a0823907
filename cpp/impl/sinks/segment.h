// Segmentation: label, confidence, margin, entropy and the k best classes of each pixel.
//
// Memory traffic: one read of the logits; results of a few bytes a pixel.
//   confidence = p_max = e_max / Z                      margin  = p_max (1 - exp(z_2nd - m))
//   entropy    = log Σ exp(z - m) + Σ p_k (m - z_k)     every term positive: nothing cancels
#pragma once
#include "../../kernels.h"

namespace softmax2d {

// Where segmentation leaves its results; null where not asked for. Indexed by
// the walk's operand job.pixels. top_* hold top_k planes, one after the other, each of `pixels` entries.
struct SegmentOut {
    char* labels;
    char* confidence;
    char* margin;
    char* entropy;
    char* top_labels;
    char* top_probs;
    int label_bytes;  // 1, 2 or 4
    int top_k;
    double most_entropy;  // log of the classes, rounded down
    int64_t* without;     // pixels without probabilities, added to; null where not asked for
};

}  // namespace softmax2d

#ifdef SOFTMAX2D_BUILD
#include "../steps/exp_sum.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"
#include "../tiles/store.h"

namespace {

// out <- the probabilities of the logits in `z`, one of a pixel's classes each.
template <class T>
inline void probability_of(const Tile<T>& t, const T* z, T* out) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const auto ref = reference_of<T>(load<Vec<T>>(t.largest() + p));
        const Vec<T> y = shifted_logit<T, true>(load<Vec<T>>(z + p), ref);
        store(out + p, one_nan<T>(Normaliser<T>::at(t, p)(exp_boosted<T>(y, ref))));
    }
}

template <class T>
inline void confidence(Tile<T>& t) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>)
        store(t.row(kOut) + p, one_nan<T>(Normaliser<T>::at(t, p)(load<Vec<T>>(t.row(kTop) + p))));
}

template <class T>
inline void margin(Tile<T>& t) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        Vec<T> top = load<Vec<T>>(t.largest() + p);
        Vec<T> confidence = Normaliser<T>::at(t, p)(load<Vec<T>>(t.row(kTop) + p));
        Vec<T> ignored, less = exp_minus_one<T>(load<Vec<T>>(t.row(kSecond) + p) - top, ignored);
        store(t.row(kOut) + p, one_nan<T>(confidence * (0 - less)));  // never -0
    }
}

// Clamped to the largest number not above log C, which rounding may pass.
template <class T>
inline void entropy(Tile<T>& t, T most) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        Vec<T> h = load<Vec<T>>(t.row(kLog) + p) + load<Vec<T>>(t.row(kMean) + p);
        store(t.row(kOut) + p, one_nan<T>(h > most ? splat(most) : h));
    }
}

// The k best of a tile, best first: top_k rows of logits and of labels.
template <class T>
struct Best {
    T* logits;
    typename Lanes<T>::Int* labels;
    static size_t plane(const Job& job) {
        return size_t(arguments_of<SegmentOut>(job).top_k) * padding(job.tile);
    }
    static size_t bytes(const Job& job) { return 2 * plane(job) * sizeof(T); }
    static Best make(const Job& job, char* scratch) {
        T* logits = (T*)scratch;
        return {logits, (typename Lanes<T>::Int*)(logits + plane(job))};
    }
};

// Inserts class after class, each pushing the worse ones down. Of equals the first class stays ahead;
// NaN comes before all numbers.
template <class T>
inline void select_best(const Tile<T>& t, ptrdiff_t top_k, const Best<T>& b) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>)
        for (ptrdiff_t k = 0; k < t.classes; ++k) {
            Vec<T> z = load<Vec<T>>(t.z + k * t.ld + p);
            IntVec<T> label = IntVec<T>{} + typename Lanes<T>::Int(k);
            IntVec<T> ahead = {};  // of all that follow, once it has passed one
            const ptrdiff_t found = k < top_k ? k : top_k;
            for (ptrdiff_t i = 0; i < found; ++i) {
                T* best = b.logits + i * t.ld + p;
                typename Lanes<T>::Int* best_label = b.labels + i * t.ld + p;
                const Vec<T> old = load<Vec<T>>(best);
                const IntVec<T> old_label = load<IntVec<T>>(best_label);
                ahead |= (z > old) | ((z != z) & (old == old));
                store(best, ahead ? z : old);
                store(best_label, ahead ? label : old_label);
                z = ahead ? old : z;
                label = ahead ? old_label : label;
            }
            if (k >= top_k) continue;
            store(b.logits + k * t.ld + p, z);
            store(b.labels + k * t.ld + p, label);
        }
}

template <class T>
inline void store_best(Tile<T>& t, const Job& job, const Best<T>& b) {
    const SegmentOut& out = arguments_of<SegmentOut>(job);
    const Affine& a = job.affine;
    for (int i = 0; i < out.top_k; ++i) {
        // Selected before the map, where the map keeps the order.
        if (a.active && a.keeps_order) map_like_first(t, a, b.logits + i * t.ld);
        const size_t plane = size_t(i) * job.walk.pixels;
        if (out.top_labels)
            store_labels(b.labels + i * t.ld, out.top_labels + plane * out.label_bytes, out.label_bytes, job,
                         t);
        if (!out.top_probs) continue;
        probability_of(t, b.logits + i * t.ld, t.row(kOut));
        store_row<T, T>(t.row(kOut), out.top_probs + plane * sizeof(T), job, t.segments, t.segment_count);
    }
}

// Adds to `without` the pixels that have no probabilities: the logit of the label, the largest or the
// first NaN, is not finite. `nans` says whether there may be a NaN.
template <class T>
inline void count_without(const Tile<T>& t, bool nans, int64_t* without) {
    const T* top = t.largest();
    IntVec<T> odd = {};
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const Vec<T> v = load<Vec<T>>(top + p);
        odd |= v - v != v - v;
    }
    if (!nans && !any_lane(odd)) return;
    int64_t found = 0;
    for (ptrdiff_t p = 0; p < t.count; ++p) {
        const T z = t.z[t.label()[p] * t.ld + p];
        found += z != z || top[p] - top[p] != 0;
    }
    __atomic_fetch_add(without, found, __ATOMIC_RELAXED);
}

// The largest T not above the limit, which rounding may have passed.
template <class T>
inline T at_most(double limit) {
    using U = typename Lanes<T>::UInt;
    const T rounded = T(limit);
    return double(rounded) > limit ? bits_as<T>(U(bits_as<U>(rounded) - 1)) : rounded;
}

// One tile, its next being fed by whichever pass is the last.
template <class T, class Feed>
inline void segment_tile(Tile<T>& t, const Job& job, Feed& feeder, const Best<T>& best) {
    const SegmentOut& out = arguments_of<SegmentOut>(job);
    const bool sums = out.confidence || out.margin || out.entropy || out.top_probs;
    auto write = [&](char* to) { store_row<T, T>(t.row(kOut), to, job, t.segments, t.segment_count); };
    auto before_map = [&] {
        if (out.top_k) select_best(t, out.top_k, best);
    };
    NoFeed none;
    if (out.margin)
        mapped_maxima<T, true, true, false>(t, job, none, before_map);
    else if (sums)
        mapped_maxima<T, true, false, false>(t, job, none, before_map);
    else
        largest_mapped<T>(t, job, feeder, before_map);
    if (out.entropy)
        exp_sum<T, Keep::entropy>(t, feeder);
    else if (sums)
        exp_sum<T, Keep::sums>(t, feeder);
    // A NaN has made the normaliser NaN; where there is none, the sum of the logits.
    const bool nans = label_nans(t, t.row(sums ? kNormHigh : kSum));
    if (out.without) count_without(t, nans, out.without);
    if (out.labels) store_labels(t.label(), out.labels, out.label_bytes, job, t);
    if (out.confidence) confidence(t), write(out.confidence);
    if (out.margin) margin(t), write(out.margin);
    if (out.entropy) entropy(t, at_most<T>(out.most_entropy)), write(out.entropy);
    if (out.top_k) store_best(t, job, best);
}

template <class Source>
inline void run_segment(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    const Best<T> best = Best<T>::make(job, scratch + Source::bytes(job));
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
        segment_tile(tiles[0], job, feeds[0], best);
    });
}

template <class Source>
struct Segmenter : Sink {
    static constexpr auto run = run_segment<Source>;
    static constexpr auto bytes = bytes_of<Source, Best<typename Source::Number>>;
    static Needs needs(const Job& job) { return {2 * arguments_of<SegmentOut>(job).top_k, 0}; }
};

}  // namespace
#endif
