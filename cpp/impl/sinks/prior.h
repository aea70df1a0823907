// One step of the EM algorithm for the shares of the classes: weights w of the classes times the
// probabilities, normalised at each pixel, summed; and the log-likelihood that goes with them.
//
//   sums_c = Σ w_c p_c / s,   log = Σ log s,   s = Σ_k w_k p_k
//
// Memory traffic: one read of the logits.
#pragma once
#include "../../kernels.h"

namespace softmax2d {

// Sums of weighted probabilities, added to: for each class, then of log s, whole and 2^-44 parts; pixels.
struct Prior {
    const double* weight;  // one a class
    int64_t* sums;
};

}  // namespace softmax2d

#ifdef SOFTMAX2D_BUILD
#include "../steps/class_sums.h"
#include "../steps/exp_sum.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"

namespace {

// Two integers a class and two for the logarithms, whole and 2^-44 parts; then the number of pixels.
struct PriorSums {
    int64_t* sums;
    static size_t entries(const Job& job) { return 2 * size_t(job.classes) + 3; }
    static size_t bytes(const Job& job) { return whole_lines(entries(job) * sizeof(int64_t)); }
    PriorSums(const Job& job, char* scratch) : sums((int64_t*)scratch) {
        std::memset(scratch, 0, bytes(job));
    }
    void release(const Job& job) const { release_counts(sums, arguments_of<Prior>(job).sums, entries(job)); }
};

// x as a multiple of the last bit of `unit`: sums of such numbers are exact in any order.
inline Wide quantised(Wide x, double unit) { return (x + unit) - unit; }

// log s of a number above 0.
inline Wide log_of(Wide s) {
    const auto large = s >= 1;
    const Wide log = log_one_plus<double>((large ? s : 1 / s) - 1, Wide{});
    return large ? log : -log;
}

// The tile's terms become probabilities; kOut s, in float64.
template <class T>
inline void weigh(Tile<T>& t, const double* weight) {
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const auto norm = Normaliser<T>::at(t, p);
        Wide s[kParts<T>] = {};
        for (ptrdiff_t k = 0; k < t.classes; ++k) {
            T* row = t.z + k * t.ld + p;
            store(row, norm(load<Vec<T>>(row)));
            for (int i = 0; i < kParts<T>; ++i) s[i] += load_wide(row + i * kLanes<double>) * weight[k];
        }
        for (int i = 0; i < kParts<T>; ++i) store(t.wide_row(kOut) + p + i * kLanes<double>, s[i]);
    }
}

template <class T>
inline void add_tile(const Tile<T>& t, const double* weight, const PriorSums& to) {
    double *sum = t.wide_row(kOut), *factor = t.wide_row(kMean), pixels = 0;
    for (ptrdiff_t p = t.count; p < t.padded; ++p) sum[p] = 0;
    Wide logs = {};
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<double>) {
        const Wide s = load<Wide>(sum + p), none = {}, one = splat(1.0);
        const auto counts = s > 0;  // neither NaN nor without any weight
        store(factor + p, counts ? 1 / s : none);
        logs += counts ? quantised(log_of(s), 0x1.8p18) : none;
        pixels += total_of(counts ? one : none);
    }
    add_in_parts(to.sums + 2 * t.classes, total_of(logs));
    to.sums[2 * t.classes + 2] += int64_t(pixels);
    for (ptrdiff_t k = 0; k < t.classes; ++k) {
        Wide total = {};
        for (ptrdiff_t p = 0; p < t.padded; p += kLanes<double>) {
            const Wide by = load<Wide>(factor + p), none = {};
            const Wide share = load_wide(t.z + k * t.ld + p) * weight[k] * by;
            total += by > 0 ? quantised(share, 0x1.8p8) : none;
        }
        add_in_parts(to.sums + 2 * k, total_of(total));
    }
}

template <class Source>
inline void run_prior(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    const double* weight = arguments_of<Prior>(job).weight;
    const PriorSums sums(job, scratch + Source::bytes(job));
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
        NoFeed none;
        mapped_maxima<T, false, false, false>(tiles[0], job, none, [] {});
        exp_sum<T, Keep::terms>(tiles[0], feeds[0]);
        weigh(tiles[0], weight);
        add_tile(tiles[0], weight, sums);
    });
    sums.release(job);
}

template <class Source>
struct PriorStep : Sink {
    static constexpr auto run = run_prior<Source>;
    static constexpr auto bytes = bytes_of<Source, PriorSums>;
    static constexpr bool pixels = false;
};

}  // namespace
#endif
