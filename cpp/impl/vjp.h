// Derivatives of softmax and log-softmax, from their results.
//
//   softmax:      grad_z_k = p_k (g_k - Σ_j p_j g_j)      (the Jacobian is symmetric: also the jvp)
//   log-softmax:  grad_z_k = g_k - exp(log p_k) Σ_j g_j
//
// The differences cancel, so sums are carried as high + low in float64, where the products of
// float32 and narrower numbers are exact (float64 keeps each product's tail as well), and rounded
// once at the end.
//
// Memory traffic: two reads and one write of the logits' size.
#pragma once
#include "reduce.h"
#include "store.h"

namespace {

inline Vec<double> load_wide(const double* p) { return load<Vec<double>>(p); }
inline Vec<double> load_wide(const float* p) {
    using Narrow = VecOf<float, kVectorBytes / 2>::type;
    return __builtin_convertvector(load<Narrow>(p), Vec<double>);
}
inline void store_wide(double* p, Vec<double> v) { store(p, v); }
inline void store_wide(float* p, Vec<double> v) {
    using Narrow = VecOf<float, kVectorBytes / 2>::type;
    store(p, __builtin_convertvector(v, Narrow));
}

// Both for the pixels at p: `a` the probabilities, then the result; `g` the incoming gradient.
template <class T>
inline void softmax_vjp_column(Tile<T>& a, const Tile<T>& g, ptrdiff_t p, const Ahead& next_a, const Ahead& next_g) {
    Sum<double> dot;
    for (ptrdiff_t k = 0; k < a.classes; ++k) {
        next_a.fetch(k, p);
        next_g.fetch(k, p);
        Vec<double> prob = load_wide(a.z + k * a.ld + p), grad = load_wide(g.z + k * g.ld + p);
        Vec<double> product = prob * grad;
        if (sizeof(T) == 8) dot.low += product_tail<double>(prob, grad, product);
        dot.add(product);
    }
    for (ptrdiff_t k = 0; k < a.classes; ++k) {
        T* row = a.z + k * a.ld + p;
        Vec<double> grad = load_wide(g.z + k * g.ld + p);
        store_wide(row, load_wide(row) * ((grad - dot.high) - dot.low));
    }
}

template <class T>
inline void log_softmax_vjp_column(Tile<T>& a, const Tile<T>& g, ptrdiff_t p, const Ahead& next_a, const Ahead& next_g) {
    Sum<double> sum;
    for (ptrdiff_t k = 0; k < a.classes; ++k) {
        next_a.fetch(k, p);
        next_g.fetch(k, p);
        sum.add(load_wide(g.z + k * g.ld + p));
    }
    for (ptrdiff_t k = 0; k < a.classes; ++k) {
        T* row = a.z + k * a.ld + p;
        Vec<double> log_prob = load_wide(row), grad = load_wide(g.z + k * g.ld + p), prob;
        Vec<double> less = exp_minus_one<double>(log_prob, prob);
        // A confident class: g - p S = (g - S) - (p - 1) S, where p - 1 is known to full precision.
        Vec<double> confident = ((grad - sum.high) - sum.low) - less * sum.value();
        store_wide(row, log_prob > -0.5 ? confident : grad - prob * sum.value());
    }
}

template <class S, class T, bool logs>
inline void run_vjp(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    Tile<T> a = make_tile<T>(job, scratch, 0, 2), g = make_tile<T>(job, scratch, 1, 2);
    for (; begin < end; begin += a.count) {
        move_to(a, job, begin, end);
        g.count = a.count;
        g.padded = a.padded;
        g.segment_count = a.segment_count;
        fill<S>(a, job, 0);
        fill<S>(g, job, 1);
        const Ahead next_a = look_ahead(job, a, 0, begin + a.count, end);
        const Ahead next_g = look_ahead(job, a, 1, begin + a.count, end);
        for (ptrdiff_t p = 0; p < a.padded; p += kLanes<double>) {
            if (logs)
                log_softmax_vjp_column(a, g, p, next_a, next_g);
            else
                softmax_vjp_column(a, g, p, next_a, next_g);
        }
        store_classes<S>(a, job, 2);
    }
    stream_done();
}

}  // namespace
