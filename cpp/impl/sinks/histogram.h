// How often each class's probability lies where: counts and sums in bins of equal relative width.
//
// Bins are those of a floating-point number: kHistogramOctaves octaves below 1 of kHistogramSteps steps each,
// and one bin, the first, for all that lies lower. A cut at the edge of a bin then is within 1 / steps of any
// threshold, relatively, however rare a class is; bins of equal width would put a rare class into one of
// them.
//
// Beside them what argmax gives to each class.
//
// Few probabilities of a pixel lie above the lowest bin: these are scattered one by one, how many there are
// in the others follows from the pixels. All sums are of integers, units of 2^-30: their order changes no
// bit.
//
// Memory traffic: one read of the logits and, where pixels are ignored, of the target.
#pragma once
#include "../../kernels.h"
#include "../steps/given.h"

namespace softmax2d {

// How often each class's probability lies where; both are classes x kHistogramBins and
// added to.
struct Histogram {
    int64_t* count;  // pixels
    int64_t* sum;    // of their probabilities, in units of 2^-30
    Given argmax;    // by the labels of the largest probabilities
};

}  // namespace softmax2d

#ifdef SOFTMAX2D_BUILD
#include "../steps/exp_sum.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"

namespace {

// Counts of one call, added to the caller's at its end. A cell holds a sum in its low 47 bits and how many
// above: 2^16 - 1 pixels fit.
struct ProbTally {
    static constexpr ptrdiff_t kFine = kHistogramBins - 1, kMost = (1 << 16) - 1;
    uint64_t* cells;    // classes x kFine
    int64_t* below;     // of each class, the sum of the lowest bin
    ptrdiff_t counted;  // pixels
    ptrdiff_t room;     // pixels that may still be counted before a cell is full

    static size_t bytes(const Job& job) {
        return whole_lines(size_t(job.classes) * (kFine + 1) * sizeof(int64_t));
    }
    ProbTally(const Job& job, char* scratch) : cells((uint64_t*)scratch) {
        below = (int64_t*)scratch + job.classes * kFine;
        clear(job);
    }
    void clear(const Job& job) {
        std::memset(cells, 0, bytes(job));
        counted = 0;
        room = kMost;
    }
    void release(const Job& job) const {
        const Histogram& out = arguments_of<Histogram>(job);
        constexpr uint64_t sum_bits = (uint64_t(1) << 47) - 1;
        const auto add = [](int64_t* to, int64_t n) { __atomic_fetch_add(to, n, __ATOMIC_RELAXED); };
        for (ptrdiff_t k = 0; k < job.classes; ++k) {
            int64_t *count = out.count + k * kHistogramBins, *sum = out.sum + k * kHistogramBins,
                    lowest = counted;
            for (ptrdiff_t i = 0; i < kFine; ++i) {
                const uint64_t cell = cells[k * kFine + i];
                if (!cell) continue;
                lowest -= int64_t(cell >> 47);
                add(count + 1 + i, int64_t(cell >> 47));
                add(sum + 1 + i, int64_t(cell & sum_bits));
            }
            add(count, lowest);
            add(sum, below[k]);
        }
    }
    // Makes room for as many pixels more.
    void reserve(const Job& job, ptrdiff_t pixels) {
        if (room < pixels) release(job), clear(job);
        room -= pixels;
    }
};

// The bins of p above the lowest: exponent and first bits of the fraction.
template <class T>
inline IntVec<T> fine_bins(Vec<T> p) {
    using Int = typename Lanes<T>::Int;
    constexpr int fraction = sizeof(T) == 4 ? 23 : 52, bias = sizeof(T) == 4 ? 127 : 1023, step_bits = 6;
    static_assert(1 << step_bits == kHistogramSteps);
    const auto bits = bits_as<UIntVec<T>>(p) >> (fraction - step_bits);
    const IntVec<T> bin = bits_as<IntVec<T>>(bits) - (Int(bias - kHistogramOctaves) << step_bits);
    const IntVec<T> last = IntVec<T>{} + Int(ProbTally::kFine - 1);
    return bin > last ? last : bin;
}

// One class of a tile of at most 400 pixels: the lanes' sums of what lies below, under 2^22 units a pixel, do
// not fill 31 bits.
template <class T>
inline void tally_probs(const Tile<T>& t, ProbTally& tally, ptrdiff_t k) {
    using Int = typename Lanes<T>::Int;
    constexpr uint32_t every = (1u << kLanes<T>)-1;
    constexpr uint64_t one = uint64_t(1) << 47;
    uint64_t* cells = tally.cells + k * ProbTally::kFine;
    IntVec<T> below = {};
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const Vec<T> none = {};
        Vec<T> prob = Normaliser<T>::at(t, p)(load<Vec<T>>(t.z + k * t.ld + p));
        prob = load<Vec<T>>(t.row(kMean) + p) != 0 ? prob : none;
        const auto fine = prob >= T(1.0 / (1 << kHistogramOctaves));
        below += __builtin_convertvector((fine ? none : prob) * T(0x1p30) + T(0.5), IntVec<T>);
        uint32_t lanes = lanes_of(fine);
        if (!lanes) continue;
        Int bin[kLanes<T>], unit[kLanes<T>];
        store(bin, fine_bins<T>(prob));
        store(unit, __builtin_convertvector(prob * T(0x1p30), IntVec<T>));
        if (lanes == every)
            for (int i = 0; i < kLanes<T>; ++i) cells[bin[i]] += one + uint64_t(unit[i]);
        else
            for (; lanes; lanes &= lanes - 1) {
                const int i = __builtin_ctz(lanes);
                cells[bin[i]] += one + uint64_t(unit[i]);
            }
    }
    for (int lane = 0; lane < kLanes<T>; ++lane) tally.below[k] += below[lane];
}

template <class Source>
inline void run_histogram(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    ProbTally tally(job, scratch + Source::bytes(job));
    const GivenTally given(job, scratch + Source::bytes(job) + ProbTally::bytes(job));
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        NoFeed none;
        tally.reserve(job, t.count);
        mapped_maxima<T, true, false, false>(t, job, none, [] {});
        exp_sum<T, Keep::terms>(t, feeds[0]);
        mark_known(t);
        if (job.target.data) leave_out_ignored(t, job);
        for (ptrdiff_t p = 0; p < t.count; ++p) tally.counted += t.row(kMean)[p] != 0;
        for (ptrdiff_t k = 0; k < t.classes; ++k) tally_probs(t, tally, k);
        given.add(t);
    });
    tally.release(job);
    given.release(job, arguments_of<Histogram>(job).argmax);
}

template <class Source>
struct HistogramSink : Sink {
    static constexpr auto run = run_histogram<Source>;
    static constexpr auto bytes = bytes_of<Source, ProbTally, GivenTally>;
    static Needs needs(const Job&) { return {0, 1 << 14}; }
};

}  // namespace
#endif
