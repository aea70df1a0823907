// What a loss is made of: the arguments of its sinks.
#pragma once
#include "../../kernels.h"

namespace softmax2d {

// L = Σ_c weight_c t'_c (1 - p_c)^gamma (-log p_c),  t' = (1 - smoothing) t + smoothing / C.
struct LossTerms {
    const double* weight;  // one a class; null: all 1
    double scale;          // of the gradient
    const char* upstream;  // and one for each pixel's, as `losses`; null: all 1
    double smoothing;
    double gamma;
    // Losses above the threshold count once, those equal to it `tie` times, those below not at all.
    bool cuts;
    double threshold, tie;
    char* losses;   // float32, or float64 for float64 logits: one a pixel; may be null
    int64_t* sums;  // exact sum of what counts: kSums entries, or kWideSums for float64 logits
    // Σ_c inside_c Σ_{y=c} p_c + total_c Σ p_c in the place of L; one a class, null for cross-entropy.
    const double *inside, *total;
};

}  // namespace softmax2d
