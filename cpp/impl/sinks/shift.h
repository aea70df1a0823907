// What labels become when one class's bias takes other values: all of them in one pass.
//
// As the bias v of class k grows, a pixel's label stays the leader o of the other classes until k leads, and
// is k from then on. So each pixel has a first value at which it is k's, and counts by o and that value
// say for every value which labels there are and how many are right. The logit of k is mapped for each
// value as the affine map maps it, so labels are those of `segment` with that bias to the bit.
//
// Memory traffic: one read of the logits and of the target.
#pragma once
#include "../../kernels.h"

namespace softmax2d {

// What labels become at each of `count` ascending biases of class `label`; all are added to.
struct Shift {
    int64_t *led, *right;  // classes x (count + 1): by the leader of the others and the first value that
                           // makes the pixel k's; of those, whose truth the leader is
    int64_t* own;          // count + 1: pixels whose truth is k
    const double* values;
    ptrdiff_t count;
    ptrdiff_t label;
};

}  // namespace softmax2d

#ifdef SOFTMAX2D_BUILD
#include "../steps/class_sums.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"
#include "../steps/target.h"

namespace {

// Counts of one call, added to the caller's at its end.
struct ShiftTally {
    int64_t *led, *right, *own;
    static size_t columns(const Job& job) { return size_t(arguments_of<Shift>(job).count) + 1; }
    static size_t cells(const Job& job) { return size_t(job.classes) * columns(job); }
    static size_t bytes(const Job& job) {
        return whole_lines((2 * cells(job) + columns(job)) * sizeof(int64_t));
    }
    ShiftTally(const Job& job, char* scratch) {
        std::memset(scratch, 0, bytes(job));
        led = (int64_t*)scratch;
        right = led + cells(job);
        own = right + cells(job);
    }
    void release(const Job& job) const {
        const Shift& out = arguments_of<Shift>(job);
        release_counts(led, out.led, cells(job));
        release_counts(right, out.right, cells(job));
        release_counts(own, out.own, columns(job));
    }
};

// What the sink keeps of each pixel beside the rows of the tile.
template <class T>
struct ShiftRows {
    typename Lanes<T>::Int *target, *first;  // the value from which on the pixel is k's
    T *logit, *mapped;                       // of class k
    double* bias;

    static size_t row(const Job& job) { return whole_lines(padding(job.tile) * sizeof(T)); }
    static size_t bytes(const Job& job) {
        return 4 * row(job) + whole_lines(padding(job.tile) * sizeof(double));
    }
    ShiftRows(const Job& job, char* scratch)
        : target((typename Lanes<T>::Int*)scratch),
          first((typename Lanes<T>::Int*)(scratch + row(job))),
          logit((T*)(scratch + 2 * row(job))),
          mapped((T*)(scratch + 3 * row(job))),
          bias((double*)(scratch + 4 * row(job))) {}
};

// kLabel and kLargest <- the leader among the classes but k, the first of equals, and its logit. Another
// class's row stands in for k's: behind its own it never leads.
template <class T, class Feed>
inline void lead_others(Tile<T>& t, ptrdiff_t k, Feed& feeder) {
    const ptrdiff_t other = k == 0 && t.classes > 1 ? 1 : 0;
    if (k != other) std::memcpy(t.z + k * t.ld, t.z + other * t.ld, t.padded * sizeof(T));
    maxima<T, true, false, true>(t, feeder);
    label_nans(t, t.row(kSum));
    for (ptrdiff_t p = 0; p < t.count; ++p) {
        if (k == 0 && t.label()[p] == 0) t.label()[p] = typename Lanes<T>::Int(other);
        if (t.row(kSum)[p] != t.row(kSum)[p]) t.largest()[p] = t.z[t.label()[p] * t.ld + p];
    }
}

// r.first <- how many of the values leave the pixel to the others. The mapped logit never falls as the
// value grows, so the first that wins is found by halving, for all pixels of the tile at a time.
template <class T>
inline void first_values(const Tile<T>& t, const Job& job, const ShiftRows<T>& r) {
    using Int = typename Lanes<T>::Int;
    const Shift& shift = arguments_of<Shift>(job);
    const ptrdiff_t k = shift.label, count = shift.count;
    const double high = job.affine.active ? job.affine.factor_high[k] : 1;
    const double low = job.affine.active ? job.affine.factor_low[k] : 0;
    std::memset(r.first, 0, t.padded * sizeof(Int));
    ptrdiff_t step = count > 0;
    while (step && 2 * step <= count) step *= 2;
    for (; step > 0; step /= 2) {
        for (ptrdiff_t p = 0; p < t.padded; ++p) {
            const ptrdiff_t at = r.first[p] + step - 1;
            r.bias[p] = shift.values[at < count ? at : count - 1];
        }
        std::memcpy(r.mapped, r.logit, t.padded * sizeof(T));
        map_row(r.mapped, t.padded, high, low, EachBias{r.bias});
        for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
            const Vec<T> z = load<Vec<T>>(r.mapped + p), top = load<Vec<T>>(t.largest() + p);
            const IntVec<T> first = load<IntVec<T>>(r.first + p), none = {};
            const auto before = load<IntVec<T>>(t.label() + p) > Int(k);
            const auto leads = (z > top) | ((z == top) & before) | (first + Int(step) > Int(count));
            store(r.first + p, first + (leads ? none : none + Int(step)));
        }
    }
    // NaN leads whatever the value, behind another NaN never.
    for (ptrdiff_t p = 0; p < t.count; ++p)
        if (r.logit[p] != r.logit[p])
            r.first[p] = Int(t.largest()[p] != t.largest()[p] && t.label()[p] < k ? count : 0);
}

template <class Source>
inline void run_shift(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    const ShiftRows<T> r(job, scratch + Source::bytes(job));
    const ShiftTally tally(job, scratch + Source::bytes(job) + ShiftRows<T>::bytes(job));
    const ptrdiff_t k = arguments_of<Shift>(job).label, columns = ptrdiff_t(ShiftTally::columns(job));
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        read_target(t, job, r.target);
        std::memcpy(r.logit, t.z + k * t.ld, t.padded * sizeof(T));
        if (job.affine.active) apply_affine(t, job.affine);
        lead_others(t, k, feeds[0]);
        if (t.classes > 1)
            first_values(t, job, r);
        else
            std::memset(r.first, 0, t.padded * sizeof(T));
        for (ptrdiff_t p = 0; p < t.count; ++p) {
            const ptrdiff_t y = r.target[p], leader = t.label()[p], first = r.first[p];
            if (y < 0) continue;
            ++tally.led[leader * columns + first];
            tally.right[leader * columns + first] += y == leader;
            tally.own[first] += y == k;
        }
    });
    tally.release(job);
}

template <class Source>
struct Shifter : Sink {
    static constexpr auto run = run_shift<Source>;
    static constexpr auto bytes = bytes_of<Source, ShiftRows<typename Source::Number>, ShiftTally>;
};

}  // namespace
#endif
