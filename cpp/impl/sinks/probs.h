// Probabilities and log-probabilities: C x H x W results, for those who ask.
//
// Memory traffic: one read and one write of the logits' size.
#pragma once
#include "../steps/reduce.h"

namespace {

// The maxima of a filled tile; the map comes before them or, where it keeps the order, after.
template <class T, bool label, bool second, bool nans, class Feed, class BeforeMap>
inline void mapped_maxima(Tile<T>& t, const Job& job, Feed& feeder, BeforeMap before_map) {
    const Affine& a = job.affine;
    if (a.active && !a.keeps_order) apply_affine(t, a);
    maxima<T, label, second, nans>(t, feeder);
    before_map();
    if (a.active && a.keeps_order) {
        apply_affine(t, a);
        map_like_first(t, a, t.largest());
        if (second) map_like_first(t, a, t.row(kSecond));
    }
}

// The same where nobody needs the other logits: a map that keeps the order is left to the largest.
template <class T, class Feed, class BeforeMap>
inline void largest_mapped(Tile<T>& t, const Job& job, Feed& feeder, BeforeMap before_map) {
    const Affine& a = job.affine;
    if (a.active && !a.keeps_order) apply_affine(t, a);
    maxima<T, true, false, true>(t, feeder);
    before_map();
    if (a.active && a.keeps_order) map_like_first(t, a, t.largest());
}

// p_k = e_k / Z
// log p_k = (z_k - m) - log Σ exp(z - m): both terms negative, nothing cancels.
template <class Source, class S, bool logs>
inline void run_probs(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        NoFeed none;
        mapped_maxima<T, logs, false, false>(t, job, none, [] {});
        exp_sum<T, logs ? Keep::logs : Keep::terms>(t, feeds[0]);
        store_classes<S>(t, job, job.output, [&](ptrdiff_t k, ptrdiff_t p) {
            const Vec<T> term = load<Vec<T>>(t.z + k * t.ld + p);
            if (!logs) return one_nan<T>(Normaliser<T>::at(t, p)(term));
            return one_nan<T>((term - load<Vec<T>>(t.largest() + p)) - load<Vec<T>>(t.row(kLog) + p));
        });
    });
    stream_done();
}

}  // namespace
