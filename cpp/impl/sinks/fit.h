// What fitting temperatures and biases to class indices needs of all pixels: the loss and its derivatives.
//
// With z' = u / temperature + bias, p = softmax(z'), w = weight_y and every expectation over p,
//
//   Σ w (-log p_y),   Σ w (E[u] - u_y),   Σ w (E[u²] - E[u]²)
//
// are the loss, its slope and its curvature by the factor of u that all classes share; and by class
//
//   Σ w g_c,   Σ w g_c u_c,   Σ w q_c,   Σ w q_c u_c²,   g_c = p_c - [c = y],   q_c = p_c (1 - p_c),
//
// are its gradient and its diagonal curvature by the class's own bias and factor.
//
// u is centred on the largest class, d_k = u_k - u_m: E[d]² is at most (1 - p_m) E[d²], so that little of
// the variance cancels, and E[u] - u_y = Σ_{k≠y} p_k d_k - d_y Σ_{k≠y} p_k loses nothing where y is far
// ahead. A class at -inf has p = 0 and counts nowhere, 0 (-inf) = 0.
//
// Memory traffic: one read of the logits and of the target.
#pragma once
#include "../../kernels.h"

namespace softmax2d {

// What a fit of temperatures and biases to class indices needs; all are added to.
struct Fit {
    static constexpr int kPartBits = 40;  // of sums by class
    const double* weight;                 // one a class; null: all 1
    int64_t* sums;       // exact sums of loss, slope upwards, downwards, curvature, one after the other
    int64_t* left_out;   // by class: pixels without probabilities, then those of infinite loss
    int64_t* classes;    // 8 a class: four sums, each as whole and 2^-40 parts; null if not asked for
    int64_t* too_large;  // set where a logit that they need passes 2^17
};

}  // namespace softmax2d

#ifdef SOFTMAX2D_BUILD
#include "../steps/class_sums.h"
#include "../steps/loss_rows.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"

namespace {

// Sums of numbers up to 2^33 in whole units and 2^-40 parts. Each number is rounded to that unit before
// it is added, and nothing is rounded after: the same in any order.
struct ClassSums {
    static constexpr int kEach = 4;             // g, g u, q, q u²
    static constexpr double kLargest = 0x1p17;  // of u: q u² is at most 2^32
    int64_t* sums;                              // for each class and each of four, whole and parts

    static size_t bytes(const Job& job) {
        return arguments_of<Fit>(job).classes ? whole_lines(2 * kEach * job.classes * sizeof(int64_t)) : 0;
    }
    ClassSums(const Job& job, char* scratch) : sums((int64_t*)scratch) {
        std::memset(scratch, 0, bytes(job));
    }
    inline void add(ptrdiff_t at, double whole, double parts) {
        int64_t* sum = sums + 2 * at;
        constexpr int64_t unit = int64_t(1) << Fit::kPartBits;
        sum[1] += int64_t(parts * unit);
        sum[0] += int64_t(whole) + (sum[1] >> Fit::kPartBits);
        sum[1] &= unit - 1;
    }
    void release(const Job& job) const {
        int64_t* to = arguments_of<Fit>(job).classes;
        release_counts(sums, to, to ? 2 * kEach * job.classes : 0);
    }
};

// One such sum over the pixels of a tile, a vector at a time. float64 holds 2^11 times 2^33 in whole units,
// and as many times one in units of 2^-40; numbers up to one need the second alone.
template <bool large>
struct GridSum {
    Wide whole = {}, parts = {};
    inline void add(Wide x) {
        constexpr double to_whole = 0x1.8p52, to_parts = 0x1.8p12;
        if (large) {
            const Wide near = (x + to_whole) - to_whole;
            whole += near;
            x -= near;
        }
        parts += (x + to_parts) - to_parts;
    }
    inline void release(ClassSums& sums, ptrdiff_t at) const {
        sums.add(at, total_of(whole), total_of(parts));
    }
};

// What the sink keeps of each pixel, the exact sums, and u where the tile holds z'.
template <class T>
struct FitRows {
    using Exact = typename ExactSumFor<T>::type;
    static constexpr int kSumsOf = 4;  // loss; slope up, slope down; curvature
    LossRows<T> pixel;                 // scale is the weight; 0 where a pixel is left out
    T *lead, *own;                     // u of the largest class, of the target
    T *up, *down, *curve;
    char* sums;
    T* u;

    static size_t tile(const Job& job) { return whole_lines(job.classes * padding(job.tile) * sizeof(T)); }
    static size_t bytes(const Job& job) {
        return LossRows<T>::bytes(job) + 5 * LossRows<T>::row(job) + kSumsOf * Exact::bytes + tile(job);
    }
    static FitRows make(const Job& job, char* scratch) {
        FitRows r;
        r.pixel = LossRows<T>::make(job, scratch);
        scratch += LossRows<T>::bytes(job);
        T** rows[] = {&r.lead, &r.own, &r.up, &r.down, &r.curve};
        for (T** row : rows) {
            *row = (T*)scratch;
            scratch += LossRows<T>::row(job);
        }
        r.sums = scratch;
        r.u = (T*)(scratch + kSumsOf * Exact::bytes);
        return r;
    }
};

// The exponentials of all classes but the target, their sum, and the sums of their products with d and d².
template <class T, bool terms, class Feed>
struct FitSum {
    Tile<T>& t;
    const T* u;
    Feed& feeder;
    ptrdiff_t p;
    Reference<T> ref;
    Vec<T> lead;
    Sum<T> rest, first;
    Vec<T> second = {};

    template <int n, bool shifted>
    inline void group(ptrdiff_t k) {
        Vec<T> e[4] = {}, moment[4] = {};
        if (n == kStep) feeder.step();
#pragma GCC unroll 4
        for (int i = 0; i < n; ++i) {
            T* z = t.z + (k + i) * t.ld + p;
            const Vec<T> logit = load<Vec<T>>(u + (k + i) * t.ld + p);
            const Vec<T> y = shifted_logit<T, shifted>(load<Vec<T>>(z), ref);
            e[i] = exp_boosted<T>(y, ref);
            const Vec<T> d = y <= ref.lowest ? Vec<T>{} : logit - lead;
            moment[i] = e[i] * d;
            second += moment[i] * d;
            if (terms) store(z, e[i]);
        }
        rest.add((e[0] + e[1]) + (e[2] + e[3]));
        first.add((moment[0] + moment[1]) + (moment[2] + moment[3]));
    }

    template <bool shifted>
    inline void all_classes() {
        ptrdiff_t k = 0;
        for (; k + 4 <= t.classes; k += 4) group<4, shifted>(k);
        if (k < t.classes) feeder.step();
        const ptrdiff_t left = t.classes - k;
        if (left == 3) group<3, shifted>(k);
        if (left == 2) group<2, shifted>(k);
        if (left == 1) group<1, shifted>(k);
    }

    inline void run() {
        if (unshifted(ref))
            all_classes<false>();
        else
            all_classes<true>();
    }
};

// The unmapped logits of a tile, and u of the largest class into r.lead.
template <class T>
inline const T* map_and_keep(Tile<T>& t, const Job& job, const FitRows<T>& r, bool terms) {
    NoFeed none;
    const Affine& a = job.affine;
    const bool copies = a.active || terms;
    const auto keep = [&] {
        for (ptrdiff_t k = 0; copies && k < t.classes; ++k)
            std::memcpy(r.u + k * t.ld, t.z + k * t.ld, t.padded * sizeof(T));
    };
    if (a.active && !a.keeps_order) {
        keep();
        mapped_maxima<T, true, false, false>(t, job, none, [] {});
        for (ptrdiff_t p = 0; p < t.padded; ++p) r.lead[p] = r.u[t.label()[p] * t.ld + p];
    } else {
        mapped_maxima<T, false, false, false>(t, job, none, [&] {
            keep();
            std::memcpy(r.lead, t.largest(), t.padded * sizeof(T));
        });
    }
    return copies ? r.u : t.z;
}

// Weights, and u of the target; the target's class leaves the tile.
template <class T>
inline void take_weights(Tile<T>& t, const Job& job, const FitRows<T>& r, const T* u) {
    const double* weight = arguments_of<Fit>(job).weight;
    for (ptrdiff_t p = 0; p < t.padded; ++p) {
        const ptrdiff_t y = r.pixel.target[p];
        r.pixel.scale[p] = y < 0 ? T(0) : weight ? T(weight[y]) : T(1);
        r.own[p] = y < 0 ? T(0) : u[y * t.ld + p];
    }
    take_target(t, r.pixel);
}

// Counts pixels without probabilities, and those whose loss is infinite, by their class.
template <class T>
inline void count_left_out(const Tile<T>& t, const Job& job, const FitRows<T>& r) {
    for (ptrdiff_t p = 0; p < t.count; ++p) {
        const T loss = r.pixel.loss[p];
        if (r.pixel.target[p] < 0 || loss < __builtin_inf()) continue;
        const ptrdiff_t kind = loss == loss ? job.classes : 0;
        __atomic_fetch_add(arguments_of<Fit>(job).left_out + kind + r.pixel.target[p], int64_t(1),
                           __ATOMIC_RELAXED);
        r.pixel.loss[p] = 0;
    }
}

// One vector of pixels: the loss, its slope (by sign) and its curvature, times the weight.
template <class T, bool terms, class Feed>
inline IntVec<T> fit_pixels(Tile<T>& t, const FitRows<T>& r, const T* u, Feed& feeder, ptrdiff_t p) {
    const Vec<T> top = load<Vec<T>>(t.largest() + p), none = {}, lead = load<Vec<T>>(r.lead + p);
    FitSum<T, terms, Feed> sum{t, u, feeder, p, reference_of<T>(top), lead, {}, {}};
    sum.run();
    const Vec<T> z = load<Vec<T>>(r.pixel.logit + p), rest = sum.rest.value();
    Sum<T> all = sum.rest;
    const Vec<T> loss = target_loss<T>(t, p, z, all);
    const auto norm = Normaliser<T>::of(all);
    norm.save(t, p);
    const auto targeted = load<IntVec<T>>(r.pixel.target + p) >= 0;
    const auto kept = targeted & (loss < T(__builtin_inf()));
    const Vec<T> e = exp_boosted<T>(shifted_logit<T, true>(z, sum.ref), sum.ref);
    const Vec<T> d = kept ? load<Vec<T>>(r.own + p) - lead : none, prob = norm(e);
    const Vec<T> first = norm(sum.first.value()), mean = first + prob * d;
    const Vec<T> variance = (norm(sum.second) + prob * d * d) - mean * mean;
    const Vec<T> weight = kept ? load<Vec<T>>(r.pixel.scale + p) : none;
    const Vec<T> slope = (first - d * norm(rest)) * weight;
    store(r.pixel.rest + p, -rest);
    store(r.pixel.scale + p, weight);
    store(r.pixel.loss + p, kept ? loss * weight : targeted ? loss : none);
    store(r.up + p, kept & (slope > 0) ? slope : none);
    store(r.down + p, kept & (slope < 0) ? -slope : none);
    store(r.curve + p, kept & (variance > 0) ? variance * weight : none);
    return targeted & ~kept;
}

// One class of a tile; whether all its logits were small enough for the sums.
template <class T>
inline bool fit_class(const Tile<T>& t, const FitRows<T>& r, ClassSums& sums, ptrdiff_t k) {
    GridSum<false> g, q;
    GridSum<true> gu, quu;
    Vec<T> most = {};
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
        const Vec<T> weight = load<Vec<T>>(r.pixel.scale + p), none = {};
        Vec<T> grad = Normaliser<T>::at(t, p)(load<Vec<T>>(t.z + k * t.ld + p));
        grad = weight == 0 ? none : grad;
        Vec<T> logit = load<Vec<T>>(r.u + k * t.ld + p);
        logit = grad == 0 ? none : logit;
        most = larger(most, logit < 0 ? -logit : logit);
        for (int i = 0; i < kParts<T>; ++i) {
            const Wide w = part(weight, i), u = part(logit, i), d = part(grad, i), weighted = d * w;
            const Wide spread = (d < 0 ? -weighted : weighted) * (1 - (d < 0 ? -d : d));
            g.add(weighted);
            gu.add(weighted * u);
            q.add(spread);
            quu.add(spread * u * u);
        }
    }
    for (int lane = 0; lane < kLanes<T>; ++lane)
        if (!(most[lane] < T(ClassSums::kLargest))) return false;
    ptrdiff_t at = k * ClassSums::kEach;
    g.release(sums, at++);
    gu.release(sums, at++);
    q.release(sums, at++);
    quu.release(sums, at);
    return true;
}

template <class Source, bool terms>
inline void run_fit_of(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    using Exact = typename FitRows<T>::Exact;
    const Fit& out = arguments_of<Fit>(job);
    const auto r = FitRows<T>::make(job, scratch + Source::bytes(job));
    ClassSums sums(job, scratch + Source::bytes(job) + FitRows<T>::bytes(job));
    Exact exact[] = {Exact(r.sums), Exact(r.sums + Exact::bytes), Exact(r.sums + 2 * Exact::bytes),
                     Exact(r.sums + 3 * Exact::bytes)};
    bool fits = true;
    Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        read_target(t, job, r.pixel.target);
        const T* u = map_and_keep(t, job, r, terms);
        take_weights(t, job, r, u);
        IntVec<T> odd = {};
        for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) odd |= fit_pixels<T, terms>(t, r, u, feeds[0], p);
        if (any_lane(odd)) count_left_out(t, job, r);
        const T* rows[] = {r.pixel.loss, r.up, r.down, r.curve};
        for (int i = 0; i < FitRows<T>::kSumsOf; ++i) exact[i].add_row(rows[i], t.padded);
        if (!terms) return;
        put_target(t, r.pixel);
        for (ptrdiff_t k = 0; k < t.classes; ++k) fits = fit_class(t, r, sums, k) && fits;
    });
    const ptrdiff_t length = sizeof(T) == 8 ? softmax2d::kWideSums : softmax2d::kSums;
    for (int i = 0; i < FitRows<T>::kSumsOf; ++i) exact[i].release(out.sums + i * length);
    sums.release(job);
    if (!fits) __atomic_store_n(out.too_large, int64_t(1), __ATOMIC_RELAXED);
}

template <class Source>
inline void run_fit(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    if (arguments_of<Fit>(job).classes)
        run_fit_of<Source, true>(job, begin, end, scratch);
    else
        run_fit_of<Source, false>(job, begin, end, scratch);
}

template <class Source>
struct Fitter : Sink {
    static constexpr auto run = run_fit<Source>;
    static constexpr auto bytes = bytes_of<Source, FitRows<typename Source::Number>, ClassSums>;
};

}  // namespace
#endif
