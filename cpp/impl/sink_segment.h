// Segmentation: label, confidence, margin, entropy and the k best classes of each pixel.
//
// Memory traffic: one read of the logits; results of a few bytes a pixel.
//   confidence = p_max = e_max / Z                      margin  = p_max (1 - exp(z_2nd - m))
//   entropy    = log Σ exp(z - m) + Σ p_k (m - z_k)     every term positive: nothing cancels
#pragma once
#include "sink_probs.h"

namespace {

// out <- the probabilities of the logits in `z`, one of a pixel's classes each.
template <class T>
inline void probability_of(const Tile<T>& t, const T* z, T* out) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const auto ref = reference_of<T>(load<Vec<T>>(t.largest() + p));
        const Vec<T> y = shifted_logit<T, true>(load<Vec<T>>(z + p), ref);
        store(out + p, Normaliser<T>::at(t, p)(exp_boosted<T>(y, ref)));
    }
}

template <class T>
inline void confidence(Tile<T>& t) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>)
        store(t.row(kOut) + p, Normaliser<T>::at(t, p)(load<Vec<T>>(t.row(kTop) + p)));
}

template <class T>
inline void margin(Tile<T>& t) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        Vec<T> top = load<Vec<T>>(t.largest() + p);
        Vec<T> confidence = Normaliser<T>::at(t, p)(load<Vec<T>>(t.row(kTop) + p));
        Vec<T> ignored, less = exp_minus_one<T>(load<Vec<T>>(t.row(kSecond) + p) - top, ignored);
        store(t.row(kOut) + p, confidence * -less);
    }
}

// Clamped to the largest number not above log C, which rounding may pass.
template <class T>
inline void entropy(Tile<T>& t, T most) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        Vec<T> h = load<Vec<T>>(t.row(kLog) + p) + load<Vec<T>>(t.row(kMean) + p);
        store(t.row(kOut) + p, h > most ? splat(most) : h);
    }
}

// The k best classes of one pixel, best first; of equals the first class; NaN before all numbers.
template <class T>
inline bool ranks_before(T a, T b) {
    return a > b || (a != a && b == b);
}

template <class T>
inline void best_of_pixel(const Tile<T>& t, ptrdiff_t p, int top_k, T* best, int32_t* label) {
    int found = 0;
    for (ptrdiff_t k = 0; k < t.classes; ++k) {
        const T z = t.z[k * t.ld + p];
        if (found == top_k && !ranks_before(z, best[found - 1])) continue;
        int at = found < top_k ? found++ : found - 1;
        for (; at > 0 && ranks_before(z, best[at - 1]); --at) {
            best[at] = best[at - 1];
            label[at] = label[at - 1];
        }
        best[at] = z;
        label[at] = int32_t(k);
    }
}

template <class T>
inline void store_label(const typename Lanes<T>::Int* row, char* out, const Job& job, const Tile<T>& t) {
    using Int = typename Lanes<T>::Int;
    if (job.segment.label_bytes == 1) store_row<Int, uint8_t>(row, out, job, t.segments, t.segment_count);
    if (job.segment.label_bytes == 2) store_row<Int, uint16_t>(row, out, job, t.segments, t.segment_count);
    if (job.segment.label_bytes == 4) store_row<Int, uint32_t>(row, out, job, t.segments, t.segment_count);
}

// The k best of a tile: top_k rows of logits and of labels.
template <class T>
struct Best {
    T* logits;
    typename Lanes<T>::Int* labels;
    T* one;              // scratch of a pixel
    int32_t* one_label;  // scratch of a pixel
    static size_t bytes(const Job& job) {
        return size_t(job.segment.top_k) * (2 * padding(job.tile) + 2) * sizeof(T);
    }
    static Best make(const Job& job, char* scratch) {
        const ptrdiff_t plane = job.segment.top_k * padding(job.tile);
        Best b;
        b.logits = (T*)scratch;
        b.labels = (typename Lanes<T>::Int*)(b.logits + plane);
        b.one = (T*)(b.labels + plane);
        b.one_label = (int32_t*)(b.one + job.segment.top_k);
        return b;
    }
};

template <class T>
inline void select_best(const Tile<T>& t, int top_k, const Best<T>& b) {
    for (ptrdiff_t p = 0; p < t.padded; ++p) {
        best_of_pixel(t, p, top_k, b.one, b.one_label);
        for (int i = 0; i < top_k; ++i) {
            b.logits[i * t.ld + p] = b.one[i];
            b.labels[i * t.ld + p] = b.one_label[i];
        }
    }
}

template <class T>
inline void store_best(Tile<T>& t, const Job& job, const Best<T>& b) {
    const SegmentOut& out = job.segment;
    for (int i = 0; i < out.top_k; ++i) {
        const size_t plane = size_t(i) * job.walk.pixels;
        if (out.top_labels)
            store_label<T>(b.labels + i * t.ld, out.top_labels + plane * out.label_bytes, job, t);
        if (!out.top_probs) continue;
        probability_of(t, b.logits + i * t.ld, t.row(kOut));
        store_row<T, T>(t.row(kOut), out.top_probs + plane * sizeof(T), job, t.segments, t.segment_count);
    }
}

// log C, or the largest number below where rounding went up.
template <class T>
inline T most_entropy(ptrdiff_t classes) {
    using U = typename Lanes<T>::UInt;
    const double exact = __builtin_log(double(classes));
    const T most = T(exact);
    return double(most) > exact ? bits_as<T>(U(bits_as<U>(most) - 1)) : most;
}

// One tile, its next being fed by whichever pass is the last.
template <class T, class Feed>
inline void segment_tile(Tile<T>& t, const Job& job, Feed& feeder, const Best<T>& best) {
    const SegmentOut& out = job.segment;
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
        mapped_maxima<T, true, false, true>(t, job, feeder, before_map);
    if (out.entropy)
        exp_sum<T, Keep::entropy>(t, feeder);
    else if (sums)
        exp_sum<T, Keep::sums>(t, feeder);
    // A NaN has made the normaliser NaN; where there is none, the sum of the logits.
    label_nans(t, t.row(sums ? kNormHigh : kSum));
    if (out.labels) store_label<T>(t.label(), out.labels, job, t);
    if (out.confidence) confidence(t), write(out.confidence);
    if (out.margin) margin(t), write(out.margin);
    if (out.entropy) entropy(t, most_entropy<T>(job.classes)), write(out.entropy);
    if (out.top_k) store_best(t, job, best);
}

template <class S, class T>
inline void run_segment(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    const Best<T> best = Best<T>::make(job, scratch + Workspace<T, 1>::bytes(job));
    for_tiles<S, T, 1>(job, begin, end, scratch, [&](Tile<T>* tiles, Feeder<S, T>* feeders) {
        segment_tile(tiles[0], job, feeders[0], best);
    });
}

}  // namespace
