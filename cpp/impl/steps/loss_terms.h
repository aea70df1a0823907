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
    // Σ_c (total_c + inside_c t_c + square_c p_c / 2) p_c in the place of L; one a class. `inside` is null
    // for cross-entropy, `square` where there are no squares.
    const double *inside, *total, *square;
};

}  // namespace softmax2d
