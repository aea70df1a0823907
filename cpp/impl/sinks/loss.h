// Cross-entropy with one target class y a pixel, and its gradient.
//
//   loss = weight_y (-log p_y),    grad_k = scale upstream weight_y (p_k - [k = y])
//
// Memory traffic: one read of the logits and, for the gradient, one write; the target is read once.
#pragma once
#include "../steps/loss_terms.h"

#ifdef SOFTMAX2D_BUILD
#include "../steps/loss_rows.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"

namespace {

template <class Source, class T>
inline void store_loss_gradient(Source& source, Tile<T>& t, const Job& job, const LossRows<T>& r) {
    put_target(t, r);
    const double* factor = job.affine.active ? job.affine.factor_high : nullptr;
    source.store_gradient(t, [&](ptrdiff_t k, ptrdiff_t p) {
        const Vec<T> term = load<Vec<T>>(t.z + k * t.ld + p);
        const Vec<T> grad = Normaliser<T>::at(t, p)(term) * load<Vec<T>>(r.scale + p);
        return one_nan<T>(factor ? grad * T(factor[k]) : grad);
    });
}

template <class Source>
inline void run_loss(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    const LossTerms& out = arguments_of<LossTerms>(job);
    const auto r = LossRows<T>::make(job, scratch + Source::bytes(job));
    typename ExactSumFor<T>::type sum(r.sums);
    Source::for_tiles(job, begin, end, scratch, [&](auto& source, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        NoFeed none;
        read_target(t, job, r.target);
        mapped_maxima<T, false, false, false>(t, job, none, [] {});
        take_target(t, r);
        if (job.output)
            exp_sum<T, Keep::rest_terms>(t, feeds[0]);
        else
            exp_sum<T, Keep::rest>(t, feeds[0]);
        losses_of(t, out, r);
        if (out.upstream) scale_pixels<T>(t, job, r);
        sum.add_row(t.row(kOut), t.padded);
        store_row<T, T>(r.loss, out.losses, job, t.segments, t.segment_count);
        if (job.output) store_loss_gradient(source, t, job, r);
    });
    sum.release(out.sums);
    stream_done();
}

template <class Source>
struct HardLoss : Sink {
    static constexpr auto run = run_loss<Source>;
    static constexpr auto bytes = bytes_of<Source, LossRows<typename Source::Number>>;
};

}  // namespace
#endif
