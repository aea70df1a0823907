// Labels by a score of the class's probability p, of those classes that take part:
//
//   s_c = gain_c p_c - loss_c
//
// what a pixel adds to a class's Dice or IoU (src/softmax2d/_ops/decode.py). The first of equals wins, and
// none with p = 0. A pixel without probabilities keeps the label of numpy.argmax, and all do where no class
// takes part.
//
// Memory traffic: one read of the logits and, where pixels are ignored, of the target; results of a few bytes
// a pixel.
#pragma once
#include "../../kernels.h"
#include "../steps/given.h"

namespace softmax2d {

// The classes that may be given to a pixel, and their scores gain p - loss.
struct Decision {
    const int64_t* classes;
    const double *gain, *loss;
    ptrdiff_t count;
    char *labels, *confidence;  // results; null where not asked for
    int label_bytes;            // 1, 2 or 4
    Given given;                // null where not asked for
};

}  // namespace softmax2d

#ifdef SOFTMAX2D_BUILD
#include "../steps/exp_sum.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"
#include "../tiles/store.h"

namespace {

// `width` vectors side by side, from the terms of the exponential sum: labels, and into kOut, which holds
// the largest probabilities, those of the labels.
template <class T, int width>
inline void decide_block(Tile<T>& t, const Decision& d, ptrdiff_t p) {
    constexpr int lanes = kLanes<T>;
    using Int = typename Lanes<T>::Int;
    Vec<T> best[width], prob[width], known[width];
    IntVec<T> label[width];
    Normaliser<T> norm[width];
    for (int j = 0; j < width; ++j) {
        best[j] = splat(-T(__builtin_inf()));
        known[j] = load<Vec<T>>(t.row(kMean) + p + j * lanes);
        prob[j] = known[j] != 0 ? load<Vec<T>>(t.row(kOut) + p + j * lanes) : splat(T(__builtin_nan("")));
        label[j] = load<IntVec<T>>(t.label() + p + j * lanes);
        norm[j] = Normaliser<T>::at(t, p + j * lanes);
    }
    for (ptrdiff_t i = 0; i < d.count; ++i) {
        const T* row = t.z + d.classes[i] * t.ld + p;
        const Vec<T> gain = splat(T(d.gain[i])), loss = splat(T(-d.loss[i]));
        for (int j = 0; j < width; ++j) {
            const Vec<T> own = norm[j](load<Vec<T>>(row + j * lanes)), score = fma(gain, own, loss);
            const auto better = (score > best[j]) & (own > 0) & (known[j] != 0);
            best[j] = better ? score : best[j];
            prob[j] = better ? own : prob[j];
            label[j] = better ? IntVec<T>{} + Int(d.classes[i]) : label[j];
        }
    }
    for (int j = 0; j < width; ++j) {
        store(t.label() + p + j * lanes, label[j]);
        store(t.row(kOut) + p + j * lanes, prob[j]);
    }
}

template <class T>
inline void decide(Tile<T>& t, const Decision& d) {
    constexpr int lanes = kLanes<T>;
    ptrdiff_t p = 0;
    for (; p + 4 * lanes <= t.padded; p += 4 * lanes) decide_block<T, 4>(t, d, p);
    for (; p < t.padded; p += lanes) decide_block<T, 1>(t, d, p);
}

template <class Source>
inline void run_decide(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    const Decision& rule = arguments_of<Decision>(job);
    const GivenTally given(job, scratch + Source::bytes(job));
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        NoFeed none;
        mapped_maxima<T, true, false, true>(t, job, none, [] {});
        label_nans(t, t.row(kSum));
        exp_sum<T, Keep::terms>(t, feeds[0]);
        mark_known(t);
        decide(t, rule);
        store_labels(t.label(), rule.labels, rule.label_bytes, job, t);
        store_row<T, T>(t.row(kOut), rule.confidence, job, t.segments, t.segment_count);
        if (!rule.given.count) return;
        if (job.target.data) leave_out_ignored(t, job);
        given.add(t);
    });
    given.release(job, rule.given);
}

template <class Source>
struct Decider : Sink {
    static constexpr auto run = run_decide<Source>;
    static constexpr auto bytes = bytes_of<Source, GivenTally>;
};

}  // namespace
#endif
