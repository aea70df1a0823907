// Probabilities and log-probabilities: C x H x W results, for those who ask.
//
// Memory traffic: one read and one write of the logits' size.
#pragma once
#include "../../kernels.h"

#ifdef SOFTMAX2D_BUILD
#include "../steps/exp_sum.h"
#include "../steps/maxima.h"
#include "../steps/sink.h"

namespace {

// p_k = e_k / Z
// log p_k = (z_k - m) - log Σ exp(z - m): both terms negative, nothing cancels.
template <class Source, bool logs>
inline void run_probs(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    using T = typename Source::Number;
    Source::for_tiles(job, begin, end, scratch, [&](auto& source, Tile<T>* tiles, auto* feeds) {
        Tile<T>& t = tiles[0];
        NoFeed none;
        mapped_maxima<T, logs, false, false>(t, job, none, [] {});
        exp_sum<T, logs ? Keep::logs : Keep::terms>(t, feeds[0]);
        source.store_result(t, [&](ptrdiff_t k, ptrdiff_t p) {
            const Vec<T> term = load<Vec<T>>(t.z + k * t.ld + p);
            if (!logs) return one_nan<T>(Normaliser<T>::at(t, p)(term));
            return one_nan<T>((term - load<Vec<T>>(t.largest() + p)) - load<Vec<T>>(t.row(kLog) + p));
        });
    });
    stream_done();
}

template <class Source, bool logs>
struct ClassArray : Sink {
    static constexpr auto run = run_probs<Source, logs>;
    static constexpr auto bytes = bytes_of<Source>;
    static constexpr bool pixels = false;
};
template <class Source>
using Softmax = ClassArray<Source, false>;
template <class Source>
using LogSoftmax = ClassArray<Source, true>;

}  // namespace
#endif
