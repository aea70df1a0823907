// For tests: the elementary functions as the kernels compute them.
#include "../impl/math/log.h"
#include "../kernels.h"

namespace {

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
#define SOFTMAX2D_JOINED(a, b) a##_##b
#define SOFTMAX2D_NAME(a, b) SOFTMAX2D_JOINED(a, b)
extern const Elementary SOFTMAX2D_NAME(SOFTMAX2D_BUILD, elementary);
const Elementary SOFTMAX2D_NAME(SOFTMAX2D_BUILD, elementary) = {exp_values<float>, exp_values<double>,
                                                                log1p_values<float>, log1p_values<double>};
}  // namespace softmax2d
