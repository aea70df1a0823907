// How often each class's probability lies where, and how often it is the truth there: what precision-recall
// curves are made of.
//
// Bins are those of x = -log2 p where p is at most 1/2, and of x = -log2(1 - p) above: in a floating-point
// form of x, exponent and eight bits below x = 8, seven beyond. So thresholds are close to each other near 1
// as they are near 0, and at equal relative distances of x: logits times a factor fill as many bins. Below p
// = 2^-1024 lies the first bin, above p = 1 - 2^-53 the last: to a float64 these are 0 and 1.
//
// Where the pixels of a bin lie is seen in 64 spots, the next six bits of x: those where any pixel lies are
// marked, and those where any of the class lies. So one tie is told from many probabilities, and of a few
// pixels the order is known.
//
// -log2 p is (m - z) + log Σ e, which no underflow ends; 1 - p of the largest class is the sum of the others.
// All counts are integers: their order changes no bit.
//
// Memory traffic: one read of the logits and of the target.
#pragma once
#include "../../kernels.h"

namespace softmax2d {

// Of each class by bins of its probability, from the lowest up: classes x kCurveBins. Pixels without
// probabilities, or ignored, are in none.
struct CurveCounts {
    int64_t* pixels;  // added to
    int64_t* own;     // whose truth is the class; added to
    int64_t* spots;   // as 64 bits; joined
    int64_t* own_spots;
};

}  // namespace softmax2d

#ifdef SOFTMAX2D_BUILD
#include "../math/log.h"
#include "../steps/exp_sum.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"
#include "../steps/target.h"

namespace {

struct CurveCell {
    uint32_t pixels, own;
    uint64_t spots;
};

// Counts of one call, added to the caller's at its end. Behind the bins of a class is a cell for what does
// not count.
struct CurveTally {
    static constexpr ptrdiff_t kRow = kCurveBins + 1, kMost = 1 << 30;
    CurveCell* cells;
    uint64_t* own_spots;
    ptrdiff_t room = kMost;  // pixels that may still be counted before 32 bits are full

    static size_t bytes(const Job& job) {
        return whole_lines(size_t(job.classes) * kRow * (sizeof(CurveCell) + sizeof(uint64_t)));
    }
    CurveTally(const Job& job, char* scratch)
        : cells((CurveCell*)scratch), own_spots((uint64_t*)(cells + job.classes * kRow)) {
        std::memset(scratch, 0, bytes(job));
    }
    void release(const Job& job) const {
        const CurveCounts& out = arguments_of<CurveCounts>(job);
        for (ptrdiff_t k = 0; k < job.classes; ++k)
            for (ptrdiff_t i = 0; i < kCurveBins; ++i) {
                const CurveCell& cell = cells[k * kRow + i];
                const ptrdiff_t at = k * kCurveBins + i;
                if (!cell.pixels) continue;
                __atomic_fetch_add(out.pixels + at, int64_t(cell.pixels), __ATOMIC_RELAXED);
                __atomic_fetch_or(out.spots + at, int64_t(cell.spots), __ATOMIC_RELAXED);
                if (!cell.own) continue;
                __atomic_fetch_add(out.own + at, int64_t(cell.own), __ATOMIC_RELAXED);
                __atomic_fetch_or(out.own_spots + at, int64_t(own_spots[k * kRow + i]), __ATOMIC_RELAXED);
            }
    }
    // Makes room for as many pixels more.
    void reserve(const Job& job, ptrdiff_t pixels) {
        room -= pixels;
        if (room >= 0) return;
        release(job);
        std::memset(cells, 0, bytes(job));
        room = kMost - pixels;
    }
};

// Where pixels are counted: bin and spot in one integer.
constexpr int kSpotBits = 6, kSpotMask = (1 << kSpotBits) - 1;
constexpr int kNowhere = kCurveBins << kSpotBits;

// The bin of x >= 1 and its spot, from x = 1 on; 0 below.
template <class T>
inline IntVec<T> step_of(Vec<T> x) {
    using Int = typename Lanes<T>::Int;
    constexpr int fraction = sizeof(T) == 4 ? 23 : 52, bias = sizeof(T) == 4 ? 127 : 1023;
    constexpr int fine = kCurveFineBits + kSpotBits, coarse = fine - 1;
    constexpr int octaves = 3;  // of x, below 8
    constexpr Int one = Int(bias) << fine, eight = Int(bias + octaves) << coarse, shift = octaves << fine;
    const auto bits = bits_as<UIntVec<T>>(x);
    const IntVec<T> near = bits_as<IntVec<T>>(bits >> (fraction - fine)) - one, none = {};
    const IntVec<T> far = bits_as<IntVec<T>>(bits >> (fraction - coarse)) - eight + shift;
    return x < 1 ? none : x < 8 ? near : far;
}

// The place of p = 2^-x <= 1/2; that of 1/2 where rounding has left x below 1.
template <class T>
inline IntVec<T> place_below(Vec<T> x) {
    using Int = typename Lanes<T>::Int;
    const IntVec<T> step = step_of<T>(x), last = IntVec<T>{} + (Int(kCurveBinsBelow) << kSpotBits);
    return ((Int(kCurveBinsBelow) << kSpotBits) | kSpotMask) - (step > last ? last : step);
}

// The place of 1 - p = 2^-x <= 1/2.
template <class T>
inline IntVec<T> place_above(Vec<T> x) {
    using Int = typename Lanes<T>::Int;
    constexpr Int most = Int(kCurveBins - 1 - (kCurveBinsBelow + 1)) << kSpotBits;
    const IntVec<T> step = step_of<T>(x), last = IntVec<T>{} + most;
    return (step > last ? last : step) + (Int(kCurveBinsBelow + 1) << kSpotBits);
}

template <class T>
constexpr T kInverseLn2 = T(0x1.71547652b82fep+0);

// kSecond <- the place of the largest class, kNowhere where the pixel does not count; kMean <- 1 where the
// place of the others is known.
template <class T>
inline void place_largest(Tile<T>& t, const typename Lanes<T>::Int* target) {
    using Int = typename Lanes<T>::Int;
    const Vec<T> none = {}, one = splat(T(1));
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const Vec<T> rest = load<Vec<T>>(t.row(kOut) + p), log_sum = load<Vec<T>>(t.row(kLog) + p);
        const auto known = (rest == rest) & (load<IntVec<T>>(target + p) >= 0);
        const Vec<T> x = log_one_plus<T>(1 / rest - 1, none) * kInverseLn2<T>;
        const IntVec<T> place = rest < T(0.5) ? place_above<T>(x) : place_below<T>(log_sum * kInverseLn2<T>);
        store((Int*)t.row(kSecond) + p, known ? place : IntVec<T>{} + Int(kNowhere));
        store(t.row(kMean) + p, known ? one : none);
    }
}

// The place of a class with logits z that may be the largest.
template <class T>
inline IntVec<T> place_of(const Tile<T>& t, Vec<T> z, IntVec<T> is_largest, ptrdiff_t p) {
    using Int = typename Lanes<T>::Int;
    const Vec<T> x = (load<Vec<T>>(t.largest() + p) - z) + load<Vec<T>>(t.row(kLog) + p);
    const IntVec<T> below = place_below<T>(x * kInverseLn2<T>), nowhere = IntVec<T>{} + Int(kNowhere);
    const IntVec<T> place = load<Vec<T>>(t.row(kMean) + p) != 0 ? below : nowhere;
    return is_largest ? load<IntVec<T>>((Int*)t.row(kSecond) + p) : place;
}

// One class of a tile.
template <class T>
inline void tally_places(const Tile<T>& t, CurveCell* cells, ptrdiff_t k) {
    using Int = typename Lanes<T>::Int;
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const IntVec<T> is_largest = load<IntVec<T>>(t.label() + p) == Int(k);
        Int place[kLanes<T>];
        store(place, place_of<T>(t, load<Vec<T>>(t.z + k * t.ld + p), is_largest, p));
        for (int i = 0; i < kLanes<T>; ++i) {
            CurveCell& cell = cells[place[i] >> kSpotBits];
            ++cell.pixels;
            cell.spots |= uint64_t(1) << (place[i] & kSpotMask);
        }
    }
}

// The true class of each pixel. kTop takes its logits.
template <class T>
inline void tally_truth(const Tile<T>& t, const typename Lanes<T>::Int* target, const CurveTally& tally) {
    using Int = typename Lanes<T>::Int;
    for (ptrdiff_t p = 0; p < t.padded; ++p)
        t.row(kTop)[p] = target[p] < 0 ? T(0) : t.z[target[p] * t.ld + p];
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const IntVec<T> is_largest = load<IntVec<T>>(t.label() + p) == load<IntVec<T>>(target + p);
        Int place[kLanes<T>];
        store(place, place_of<T>(t, load<Vec<T>>(t.row(kTop) + p), is_largest, p));
        for (int i = 0; i < kLanes<T>; ++i) {
            if (target[p + i] < 0) continue;
            const ptrdiff_t at = target[p + i] * CurveTally::kRow + (place[i] >> kSpotBits);
            ++tally.cells[at].own;
            tally.own_spots[at] |= uint64_t(1) << (place[i] & kSpotMask);
        }
    }
}

template <class Source>
inline void run_curves(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    CurveTally tally(job, scratch + Source::bytes(job));
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        NoFeed none;
        auto* target = (typename Lanes<T>::Int*)t.row(kSum);
        tally.reserve(job, t.count);
        read_target(t, job, target);
        mapped_maxima<T, true, false, false>(t, job, none, [] {});
        exp_sum<T, Keep::logs>(t, feeds[0]);
        place_largest(t, target);
        for (ptrdiff_t k = 0; k < t.classes; ++k) tally_places(t, tally.cells + k * CurveTally::kRow, k);
        tally_truth(t, target, tally);
    });
    tally.release(job);
}

template <class Source>
struct CurveSink : Sink {
    static constexpr auto run = run_curves<Source>;
    static constexpr auto bytes = bytes_of<Source, CurveTally>;
    static Needs needs(const Job&) { return {0, 1 << 14}; }
};

}  // namespace
#endif
