// The first light pass over a tile: the largest logit of each pixel, its class, and the runner-up where
// asked for.
//
// Memory traffic: the tile is read once, from cache.
#pragma once
#include "affine.h"

namespace {

// `width` vectors side by side, so that the comparisons of one do not wait for the other's.
template <class T, int width, bool label, bool second, bool nans, class Feed>
inline void maxima_block(Tile<T>& t, ptrdiff_t p, Feed& feeder) {
    constexpr int lanes = kLanes<T>;
    Vec<T> top[width], next[width], sum[width];
    IntVec<T> best[width];
    for (int j = 0; j < width; ++j) {
        top[j] = sum[j] = load<Vec<T>>(t.z + p + j * lanes);
        next[j] = splat(-T(__builtin_inf()));
        best[j] = IntVec<T>{};
    }
    const T* row = t.z + p;
    for (ptrdiff_t k = 1; k < t.classes; ++k) {
        row += t.ld;
        if (width == kStep || k % kStep == 0) feeder.step();
        for (int j = 0; j < width; ++j) {
            Vec<T> z = load<Vec<T>>(row + j * lanes);
            if (second) next[j] = larger(next[j], smaller(z, top[j]));
            if (label) best[j] = z > top[j] ? IntVec<T>{} + typename Lanes<T>::Int(k) : best[j];
            if (nans) sum[j] += z;
            top[j] = z > top[j] ? z : top[j];
        }
    }
    for (int j = 0; j < width; ++j) {
        store(t.largest() + p + j * lanes, top[j]);
        if (label) store(t.label() + p + j * lanes, best[j]);
        if (nans) store(t.row(kSum) + p + j * lanes, sum[j]);
        if (second) store(t.row(kSecond) + p + j * lanes, next[j]);
    }
}

// numpy.argmax says that the first NaN wins. `row` is NaN for a pixel that has one (and perhaps for a
// few more, looked at in vain). Says whether `row` has any NaN.
template <class T>
inline bool label_nans(Tile<T>& t, const T* row) {
    IntVec<T> any = {};
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const Vec<T> v = load<Vec<T>>(row + p);
        any |= v != v;
    }
    if (!any_lane(any)) return false;
    for (ptrdiff_t p = 0; p < t.count; ++p) {
        if (row[p] == row[p]) continue;
        for (ptrdiff_t k = 0; k < t.classes; ++k) {
            const T z = t.z[k * t.ld + p];
            if (z == z) continue;
            t.label()[p] = typename Lanes<T>::Int(k);
            break;
        }
    }
    return true;
}

// Feeds nothing: for a pass that is not the last.
struct NoFeed {
    inline void step() {}
};

template <class T, bool label, bool second, bool nans, class Feed>
inline void maxima(Tile<T>& t, Feed& feeder) {
    constexpr int lanes = kLanes<T>;
    ptrdiff_t p = 0;
    for (; p + 4 * lanes <= t.padded; p += 4 * lanes) maxima_block<T, 4, label, second, nans>(t, p, feeder);
    for (; p < t.padded; p += lanes) maxima_block<T, 1, label, second, nans>(t, p, feeder);
}

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

}  // namespace
