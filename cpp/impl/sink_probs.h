// Probabilities and log-probabilities: C x H x W results, for those who ask.
//
// Memory traffic: one read and one write of the logits' size.
#pragma once
#include "reduce.h"
#include "store.h"

namespace {

// Fills tile and maxima; the map comes before them or, where it keeps the order, after.
template <class S, class T, bool label, bool second, class BeforeMap>
inline void read_tile(Tile<T>& t, const Job& job, const Ahead& ahead, BeforeMap before_map) {
    fill<S>(t, job, 0);
    const Affine& a = job.affine;
    if (a.active && !a.keeps_order) apply_affine(t, a);
    maxima<T, label, second>(t, ahead);
    before_map();
    if (a.active && a.keeps_order) {
        apply_affine(t, a);
        map_row(t.largest(), t.padded, a.factor_high[0], a.factor_low[0], a.bias[0]);
        if (second) map_row(t.row(kSecond), t.padded, a.factor_high[0], a.factor_low[0], a.bias[0]);
    }
}

// p_k = e_k / Z, row by row.
template <class T>
inline void normalise(Tile<T>& t) {
    for (ptrdiff_t k = 0; k < t.classes; ++k) {
        T* row = t.z + k * t.ld;
        for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>)
            store(row + p, Normaliser<T>::at(t, p)(load<Vec<T>>(row + p)));
    }
}

// log p_k = (z_k - m) - log Σ exp(z - m): both terms negative, nothing cancels.
template <class T>
inline void log_normalise(Tile<T>& t) {
    for (ptrdiff_t k = 0; k < t.classes; ++k) {
        T* row = t.z + k * t.ld;
        for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>)
            store(row + p, (load<Vec<T>>(row + p) - load<Vec<T>>(t.largest() + p)) -
                               load<Vec<T>>(t.row(kLog) + p));
    }
}

template <class S, class T, bool logs>
inline void run_probs(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    Tile<T> t = make_tile<T>(job, scratch, 0, 1);
    for (; begin < end; begin += t.count) {
        move_to(t, job, begin, end);
        const Ahead ahead = look_ahead(job, t, 0, begin + t.count, end);
        Ahead none;
        none.base = (const char*)t.z;
        read_tile<S, T, logs, false>(t, job, none, [] {});
        exp_sum<T, logs ? Keep::logs : Keep::terms>(t, ahead);
        if (logs)
            log_normalise(t);
        else
            normalise(t);
        store_classes<S>(t, job, 1);
    }
    stream_done();
}

}  // namespace
