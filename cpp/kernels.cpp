// THE file compiled once per instruction set. SOFTMAX2D_TABLE names the one symbol it exports.
#include "kernels.h"

#include "impl/sink_probs.h"
#include "impl/sink_segment.h"
#include "impl/vjp.h"

namespace {

// Calls Kernel<stored, computed>::run for the type of the first operand.
template <template <class, class> class K>
void by_type(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    switch (job.operand[0].dtype) {
        case DType::float16: return K<Half, float>::run(job, begin, end, scratch);
        case DType::bfloat16: return K<BFloat, float>::run(job, begin, end, scratch);
        case DType::float32: return K<float, float>::run(job, begin, end, scratch);
        case DType::float64: return K<double, double>::run(job, begin, end, scratch);
    }
}

template <class S, class T>
struct Softmax {
    static constexpr auto run = run_probs<S, T, false>;
};
template <class S, class T>
struct LogSoftmax {
    static constexpr auto run = run_probs<S, T, true>;
};
template <class S, class T>
struct Segmenter {
    static constexpr auto run = run_segment<S, T>;
};
template <class S, class T>
struct SoftmaxVjp {
    static constexpr auto run = run_vjp<S, T, false>;
};
template <class S, class T>
struct LogSoftmaxVjp {
    static constexpr auto run = run_vjp<S, T, true>;
};

template <class T>
size_t scratch_of(const Job& job) {
    if (job.operand[2].data) return Workspace<T, 2>::bytes(job);
    return Workspace<T, 1>::bytes(job) + Best<T>::bytes(job);
}

size_t scratch_bytes(const Job& job) {
    return job.operand[0].dtype == DType::float64 ? scratch_of<double>(job) : scratch_of<float>(job);
}

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
    by_type<Softmax>,
    by_type<LogSoftmax>,
    by_type<Segmenter>,
    by_type<SoftmaxVjp>,
    by_type<LogSoftmaxVjp>,
    scratch_bytes,
    exp_values<float>,
    exp_values<double>,
    log1p_values<float>,
    log1p_values<double>,
};
}  // namespace softmax2d
