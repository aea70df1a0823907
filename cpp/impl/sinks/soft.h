// Losses that look at every class of a pixel, and their gradients, in float64 whatever the logits' type:
//
//   cross-entropy with smoothing, focusing or class probabilities as its target,
//       L = Σ_c a_c (1 - p_c)^γ (-log p_c),    a_c = weight_c ((1 - smoothing) t_c + smoothing / C);
//   sums over a region, L = Σ_c (total_c + inside_c t_c + square_c p_c / 2) p_c, t the target, one-hot or
//       probabilities, of which Dice and its relatives are made.
//
// With h_c = p_c ∂L/∂p_c the gradient is  grad_i = h_i (1 - p_i) - p_i Σ_{c≠i} h_c,  which loses nothing
// where one class is far ahead: its 1 - p comes from the sum over the others, and the others' h are added up
// apart from its own. Terms of the two sides may cancel; float64 leaves float32 and narrower types enough.
//
// Memory traffic: one read of the logits (and of target probabilities) and, for the gradient, one write.
#pragma once
#include "../steps/loss_terms.h"

#ifdef SOFTMAX2D_BUILD
#include "../steps/maxima.h"
#include "../steps/sink.h"
#include "../steps/soft_rows.h"

namespace {

// One class of a vector of pixels. The largest class's 1 - p comes from the sum over the others.
struct ClassTerm {
    Wide prob, other, log_prob;
    static inline ClassTerm of(const Tile<double>& t, ptrdiff_t k, ptrdiff_t p) {
        const Wide z = load<Wide>(t.z + k * t.ld + p), top = load<Wide>(t.largest() + p);
        const auto ref = reference_of<double>(top);
        const Wide e = exp_boosted<double>(shifted_logit<double, true>(z, ref), ref);
        const Wide prob = Normaliser<double>::at(t, p)(e);
        const auto leads = load<IntVec<double>>(t.label() + p) == int64_t(k);
        return {prob, leads ? load<Wide>(t.row(kOut) + p) : 1 - prob,
                (z - top) - load<Wide>(t.row(kLog) + p)};
    }
};

// (1 - p)^gamma. Small whole powers are products: an exponential would lose what the rounding of its argument
// amounts to, gamma |log(1 - p)| ulp.
inline Wide to_power(const ClassTerm& c, double gamma) {
    if (gamma == int(gamma) && gamma <= 8) {
        Wide power = c.other;
        for (int i = 1; i < int(gamma); ++i) power *= c.other;
        return power;
    }
    Wide power, log_other = -log_one_plus<double>(c.prob / c.other, Wide{});
    exp_minus_one<double>(log_other * gamma, power);
    return power;
}

// (1 - p)^gamma (-log p), and p times its derivative.
struct Focused {
    Wide value, h;
    static inline Focused of(const ClassTerm& c, double gamma) {
        if (gamma == 0) return {-c.log_prob, splat(-1.0)};
        const Wide none = {};
        Wide power = to_power(c, gamma);
        power = c.other == 0 ? none : power;
        const Wide p_log_p = c.prob == 0 ? none : c.prob * c.log_prob;
        const Wide slope = c.other == 0 ? none : p_log_p / c.other;
        return {power == 0 ? none : -power * c.log_prob, power * (slope * gamma - 1)};
    }
};

// h of every class, and of each pixel: the loss (cross-entropy), h of the largest class, and the sum of
// the others' h.
struct PixelSums {
    Sum<double> loss, others;
    Wide largest = {};
    inline void add(const Tile<double>& t, ptrdiff_t k, ptrdiff_t p, Wide h) {
        const auto leads = load<IntVec<double>>(t.label() + p) == int64_t(k);
        largest = leads ? h : largest;
        others.add(leads ? Wide{} : h);
    }
};

// Cross-entropy: h and the loss.
inline void entropy_terms(Tile<double>& t, const Job& job, const SoftRows& r, ptrdiff_t p, PixelSums& sums) {
    const LossTerms& out = arguments_of<LossTerms>(job);
    const bool hard = job.target.data != nullptr;
    const double even = out.smoothing / double(job.classes), keep = 1 - out.smoothing;
    const auto y = load<IntVec<double>>(r.pixel.target + p);
    const Wide none = {};
    for (ptrdiff_t k = 0; k < t.classes; ++k) {
        double* cell = r.h + k * t.ld + p;
        const Wide target = hard ? (y == int64_t(k) ? splat(1.0) : none) : load<Wide>(cell);
        const Wide a = (target * keep + even) * (out.weight ? out.weight[k] : 1.0);
        const ClassTerm c = ClassTerm::of(t, k, p);
        const Focused f = Focused::of(c, out.gamma);
        const Wide h = a == 0 ? none : a * f.h;
        sums.loss.add(a == 0 ? none : a * f.value);
        sums.add(t, k, p, h);
        store(cell, h);
        store(t.z + k * t.ld + p, c.prob);
    }
}

// Sums over a region: h alone.
inline void region_terms(Tile<double>& t, const Job& job, const SoftRows& r, ptrdiff_t p, PixelSums& sums) {
    const LossTerms& out = arguments_of<LossTerms>(job);
    const bool hard = job.target.data != nullptr;
    const auto y = load<IntVec<double>>(r.pixel.target + p);
    for (ptrdiff_t k = 0; k < t.classes; ++k) {
        double* cell = r.h + k * t.ld + p;
        const ClassTerm c = ClassTerm::of(t, k, p);
        const Wide total = splat(out.total[k]), inside = splat(out.inside[k]);
        Wide slope = hard ? (y == int64_t(k) ? total + inside : total) : total + inside * load<Wide>(cell);
        if (out.square) slope += c.prob * out.square[k];
        const Wide h = c.prob * slope;
        sums.add(t, k, p, h);
        store(cell, h);
        store(t.z + k * t.ld + p, c.prob);
    }
}

// Losses and what remains to be known for the gradient: rows kMean (h of the largest), kSecond (the others').
inline void soft_pixels(Tile<double>& t, const Job& job, const SoftRows& r) {
    const LossTerms& out = arguments_of<LossTerms>(job);
    const bool region = out.inside != nullptr, narrow = job.operand[0].dtype != DType::float64;
    const Wide none = {}, one = splat(1.0);
    for (ptrdiff_t p = 0; p < t.padded; p += kLanes<double>) {
        PixelSums sums;
        region ? region_terms(t, job, r, p, sums) : entropy_terms(t, job, r, p, sums);
        const auto ignored = load<IntVec<double>>(r.pixel.target + p) < 0;
        // An infinite loss, of a class at -inf, has no tail.
        const Wide high = sums.loss.high, whole = high - high == 0 ? sums.loss.value() : high;
        const Wide exact = ignored ? none : one_nan<double>(whole);
        // As stored, for a cut compares them. GCC 12 drops a rounding written as float(loss), lane by lane.
        typedef float Rounded __attribute__((vector_size(sizeof(Wide) / 2)));
        const Wide loss =
            narrow ? __builtin_convertvector(__builtin_convertvector(exact, Rounded), Wide) : exact;
        const Wide factor = out.cuts ? cut_factor<double>(loss, out) : one;
        store(r.pixel.loss + p, loss);
        store(r.pixel.rest + p, factor == 0 ? none : loss * factor);
        store(r.pixel.scale + p, ignored ? none : factor * out.scale);
        store(t.row(kMean) + p, sums.largest);
        store(t.row(kSecond) + p, sums.others.value());
    }
}

template <class Source>
inline void store_soft_gradient(Source& source, Tile<double>& t, const Job& job, const SoftRows& r) {
    const double* map = job.affine.active ? job.affine.factor_high : nullptr;
    source.store_gradient(t, [&](ptrdiff_t k, ptrdiff_t p) {
        const Wide prob = load<Wide>(t.z + k * t.ld + p), h = load<Wide>(r.h + k * t.ld + p);
        const Wide largest = load<Wide>(t.row(kMean) + p), others = load<Wide>(t.row(kSecond) + p);
        const auto leads = load<IntVec<double>>(t.label() + p) == int64_t(k);
        const Wide other = leads ? load<Wide>(t.row(kOut) + p) : 1 - prob;
        const Wide grad = h * other - prob * (leads ? others : (others - h) + largest);
        const Wide scale = load<Wide>(r.pixel.scale + p);
        return one_nan<double>(scale == 0 ? Wide{} : grad * scale * (map ? map[k] : 1.0));
    });
}

template <class Source>
inline void run_soft_loss(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    const LossTerms& out = arguments_of<LossTerms>(job);
    const auto r = SoftRows::make(job, scratch + Source::bytes(job));
    const bool narrow = job.operand[0].dtype != DType::float64;
    // In the same place: one of them is used.
    ExactSum sum(r.pixel.sums);
    WideSum wide_sum(r.pixel.sums);
    Source::for_tiles(job, begin, end, scratch, [&](auto& source, Tile<double>* tiles, auto* feeds) {
        Tile<double>& t = tiles[0];
        NoFeed none;
        if (job.target.data) {
            read_target(t, job, r.pixel.target);
        } else {
            read_soft_target(t, job, r.h);
            for (ptrdiff_t p = 0; p < t.padded; ++p) r.pixel.target[p] = 0;
        }
        mapped_maxima<double, true, false, false>(t, job, none, [] {});
        exp_sum<double, Keep::logs>(t, feeds[0]);
        soft_pixels(t, job, r);
        if (out.upstream)
            narrow ? scale_pixels<float>(t, job, r.pixel) : scale_pixels<double>(t, job, r.pixel);
        if (narrow) {
            for (ptrdiff_t p = 0; p < t.count; ++p) sum.add(float(r.pixel.rest[p]), p);
            store_row<double, float>(r.pixel.loss, out.losses, job, t.segments, t.segment_count);
        } else {
            wide_sum.add_row(r.pixel.rest, t.count);
            store_row<double, double>(r.pixel.loss, out.losses, job, t.segments, t.segment_count);
        }
        if (job.output) store_soft_gradient(source, t, job, r);
    });
    narrow ? sum.release(out.sums) : wide_sum.release(out.sums);
    stream_done();
}

template <class Source>
struct SoftLoss : Sink {
    static constexpr auto run = run_soft_loss<Source>;
    static constexpr auto bytes = bytes_of<Source, SoftRows>;
};

}  // namespace
#endif
