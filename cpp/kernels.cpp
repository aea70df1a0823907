// THE file compiled once per instruction set. SOFTMAX2D_TABLE names the one symbol it exports.
#include "kernels.h"

#include "impl/sinks/decide.h"
#include "impl/sinks/fit.h"
#include "impl/sinks/histogram.h"
#include "impl/sinks/loss.h"
#include "impl/sinks/prior.h"
#include "impl/sinks/probs.h"
#include "impl/sinks/region.h"
#include "impl/sinks/segment.h"
#include "impl/sinks/shift.h"
#include "impl/sinks/soft.h"
#include "impl/sinks/statistics.h"
#include "impl/sinks/vjp.h"
#include "impl/sources/resample.h"

namespace {

// Calls f with K<source of logits, their stored type>. Operations on several arrays read them as they
// lie; wide ones calculate in float64 whatever the type.
template <template <class, class> class K, int arrays, bool wide, class F>
auto by_type(const Job& job, F f) {
    using Narrow = std::conditional_t<wide, double, float>;
    const auto with = [&](auto stored, auto number) {
        using S = decltype(stored);
        using T = decltype(number);
        if constexpr (arrays == 1)
            if (job.grid.active) return f(K<Resampled<T>, S>());
        return f(K<Direct<S, T, arrays>, S>());
    };
    switch (job.operand[0].dtype) {
        case DType::float16: return with(Half(), Narrow());
        case DType::bfloat16: return with(BFloat(), Narrow());
        case DType::float32: return with(float(), Narrow());
        default: return with(double(), double());
    }
}

template <template <class, class> class K, int arrays, bool wide>
void run(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    by_type<K, arrays, wide>(job, [&](auto kernel) { kernel.run(job, begin, end, scratch); });
}
template <template <class, class> class K, int arrays, bool wide>
size_t scratch_bytes(const Job& job) {
    return by_type<K, arrays, wide>(job, [&](auto kernel) { return kernel.bytes(job); });
}
template <template <class, class> class K, int arrays = 1, bool wide = false>
constexpr Kernel kKernel = {run<K, arrays, wide>, scratch_bytes<K, arrays, wide>};

// The source's scratch, and what a sink needs beside it.
template <class Source, class... Beside>
size_t bytes_of(const Job& job) {
    return (Source::bytes(job) + ... + Beside::bytes(job));
}

template <class Source, class S>
struct Softmax {
    static constexpr auto run = run_probs<Source, S, false>;
    static constexpr auto bytes = bytes_of<Source>;
};
template <class Source, class S>
struct LogSoftmax {
    static constexpr auto run = run_probs<Source, S, true>;
    static constexpr auto bytes = bytes_of<Source>;
};
template <class Source, class>
struct Segmenter {
    static constexpr auto run = run_segment<Source>;
    static constexpr auto bytes = bytes_of<Source, Best<typename Source::Number>>;
};
template <class Source, class>
struct SoftmaxVjp {
    static constexpr auto run = run_vjp<Source, false>;
    static constexpr auto bytes = bytes_of<Source>;
};
template <class Source, class>
struct LogSoftmaxVjp {
    static constexpr auto run = run_vjp<Source, true>;
    static constexpr auto bytes = bytes_of<Source>;
};
template <class Source, class>
struct HardLoss {
    static constexpr auto run = run_loss<Source>;
    static constexpr auto bytes = bytes_of<Source, LossRows<typename Source::Number>>;
};

template <class Source, class>
struct SoftLoss {
    static constexpr auto run = run_soft_loss<Source>;
    static constexpr auto bytes = bytes_of<Source, SoftRows>;
};
template <class Source, class>
struct Region {
    static constexpr auto run = run_region_sums<Source>;
    static constexpr auto bytes = bytes_of<Source, LossRows<typename Source::Number>, RegionSums>;
};
template <class Source, class>
struct Statistics {
    static constexpr auto run = run_statistics<Source>;
    static constexpr auto bytes =
        bytes_of<Source, LossRows<typename Source::Number>, TallyRows<typename Source::Number>, Tally>;
};

template <class Source, class>
struct ProbHistogram {
    static constexpr auto run = run_histogram<Source>;
    static constexpr auto bytes = bytes_of<Source, ProbTally>;
};
template <class Source, class>
struct Decider {
    static constexpr auto run = run_decide<Source>;
    static constexpr auto bytes = bytes_of<Source>;
};
template <class Source, class>
struct Fitter {
    static constexpr auto run = run_fit<Source>;
    static constexpr auto bytes = bytes_of<Source, FitRows<typename Source::Number>, ClassSums>;
};

template <class Source, class>
struct Shifter {
    static constexpr auto run = run_shift<Source>;
    static constexpr auto bytes = bytes_of<Source, ShiftRows<typename Source::Number>, ShiftTally>;
};
template <class Source, class>
struct PriorStep {
    static constexpr auto run = run_prior<Source>;
    static constexpr auto bytes = bytes_of<Source, PriorSums>;
};

// Calls f on whole vectors of x, the last one padded.
template <class T, class F>
void each(const T* x, T* out, ptrdiff_t n, F f) {
    for (ptrdiff_t i = 0; i < n; i += kLanes<T>) {
        const ptrdiff_t left = n - i < kLanes<T> ? n - i : kLanes<T>;
        T in[kLanes<T>] = {};
        for (ptrdiff_t j = 0; j < left; ++j) in[j] = x[i + j];
        Vec<T> v = f(load<Vec<T>>(in));
        store(in, v);
        for (ptrdiff_t j = 0; j < left; ++j) out[i + j] = in[j];
    }
}

template <class T>
void exp_values(const T* x, T* out, ptrdiff_t n) {
    each(x, out, n, [](Vec<T> v) {
        const auto ref = reference_of<T>(Vec<T>{});
        return exp_boosted<T>(shifted_logit<T, true>(v, ref), ref) * ExpConstants<T>::unboost;
    });
}

template <class T>
void log1p_values(const T* x, T* out, ptrdiff_t n) {
    each(x, out, n, [](Vec<T> v) { return log_one_plus<T>(v, Vec<T>{}); });
}

}  // namespace

namespace softmax2d {
#define SOFTMAX2D_TEXT(x) #x
#define SOFTMAX2D_NAME(x) SOFTMAX2D_TEXT(x)
extern const Kernels SOFTMAX2D_TABLE;
const Kernels SOFTMAX2D_TABLE = {
    SOFTMAX2D_NAME(SOFTMAX2D_ISA_NAME),
    kKernel<Softmax>,
    kKernel<LogSoftmax>,
    kKernel<Segmenter>,
    kKernel<SoftmaxVjp, 2>,
    kKernel<LogSoftmaxVjp, 2>,
    kKernel<HardLoss>,
    kKernel<SoftLoss, 1, true>,
    kKernel<Region>,
    kKernel<Statistics>,
    kKernel<ProbHistogram>,
    kKernel<Decider>,
    kKernel<Fitter>,
    kKernel<Shifter>,
    kKernel<PriorStep>,
    exp_values<float>,
    exp_values<double>,
    log1p_values<float>,
    log1p_values<double>,
};
}  // namespace softmax2d
