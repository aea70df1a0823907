// The table of kernels: one function pointer per operation, plain argument structs.
//
// kernels.cpp is compiled once per instruction set and exports one such table; dispatch.cpp picks
// one at run time. Everything here is plain data, so that objects compiled with different flags
// share no code.
#pragma once
#include <cstddef>
#include <cstdint>

namespace softmax2d {

enum class DType : int { float16, bfloat16, float32, float64 };

constexpr int kMaxDims = 64;
constexpr int kMaxOperands = 4;
constexpr int kSums = 256;  // entries of an exact sum of float32: one for each exponent
constexpr int kHistogramOctaves = 8;
constexpr int kHistogramBins = 64 * kHistogramOctaves + 1;  // 64 an octave, and what lies below them
constexpr int kWideSums = 4096;                             // of float64: the low halves, then the high ones

// One array, with its class axis taken out. Strides are in elements and may be zero or negative.
struct Operand {
    char* data;
    ptrdiff_t class_stride;
    DType dtype;
    bool swapped;  // bytes in the other order than this machine's
};

// The pixels: every axis but the class axis, merged where all operands allow, the last one fastest.
struct Walk {
    ptrdiff_t size[kMaxDims + 2];  // a grid has three axes at least
    ptrdiff_t stride[kMaxOperands][kMaxDims + 2];
    ptrdiff_t pixels;
    int ndim;
};

// z <- z / temperature + bias, one entry a class; the quotient's factor is kept as high + low.
struct Affine {
    const double* factor_high;  // 1 / temperature, nearest double
    const double* factor_low;   // what the nearest double leaves out
    const double* bias;
    bool active;
    bool keeps_order;  // one positive factor for all classes and no bias: labels before the map
};

// One axis of the resampled source: output i lies between entries lower[i] and lower[i] + 1 of the
// source, `weight[i]` of the way, in [0, 1); where that is 0 only the first counts.
struct Axis {
    const int64_t* lower;
    const double* weight;
    ptrdiff_t size;    // of the output
    ptrdiff_t extent;  // of the source
    ptrdiff_t stride;  // of operand 0
};

// The grid on which operand 0 (and the gradient) lie, where it is not the output's. The walk then ends
// with three axes, those below, and is neither sorted nor merged.
struct Grid {
    bool active;
    Axis plane, row, column;
    const ptrdiff_t* bands;  // rows at which bands begin, and the end: no two bands share a cell
    ptrdiff_t band_count;
    ptrdiff_t strips;   // of job.tile columns each
    ptrdiff_t columns;  // most source columns that a strip needs
    bool backward;      // items are bands whose gradients touch no other item's rows
    int parity;         // of the bands at work, where backward
};

// Where segmentation leaves its results; null where not asked for. Indexed by
// the walk's operand job.pixels. top_* hold top_k planes, one after the other, each of `pixels` entries.
struct SegmentOut {
    char* labels;
    char* confidence;
    char* margin;
    char* entropy;
    char* top_labels;
    char* top_probs;
    int label_bytes;  // 1, 2 or 4
    int top_k;
    int64_t* without;  // pixels without probabilities, added to; null where nobody asks
};

// Class indices, one a pixel in C order (the walk's operand job.pixels); null where there are none.
struct Target {
    const char* data;
    int bytes;  // 1, 2, 4 or 8
    bool is_signed;
    bool ignores;
    int64_t ignored;
};

// L = Σ_c weight_c t'_c (1 - p_c)^gamma (-log p_c),  t' = (1 - smoothing) t + smoothing / C.
struct Loss {
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
    int64_t* region;  // 4 a class: inside and total, each as whole and 2^-44 parts
};

// Counts of what was predicted for what; all are added to.
struct Counts {
    int64_t* confusion;    // classes x classes, rows are the truth
    int64_t* top_bins;     // 3 x bins: pixels, confidence in units of 2^-30, correct
    int64_t* class_bins;   // 3 x classes x bins: pixels, probability in units of 2^-24, of that class
    int64_t *nll, *brier;  // exact sums
    ptrdiff_t bins;
};

// How often each class's probability lies where (sinks/histogram.h); both are classes x kHistogramBins and
// added to.
struct Histogram {
    int64_t* count;  // pixels
    int64_t* sum;    // of their probabilities, in units of 2^-30
};

// The classes that may be given to a pixel, and their scores (gain p - loss) / (rest - p), or without the
// divisor where `rest` is null.
struct Decision {
    const int64_t* classes;
    const double *gain, *loss, *rest;
    ptrdiff_t count;
};

// What a fit of temperatures and biases to class indices needs; all are added to (sinks/fit.h).
struct Fit {
    int64_t* sums;       // exact sums of loss, slope upwards, downwards, curvature, one after the other
    int64_t* left_out;   // by class: pixels without probabilities, then those of infinite loss
    int64_t* classes;    // 8 a class: four sums, each as whole and 2^-40 parts; null if not asked for
    int64_t* too_large;  // set where a logit that they need passes 2^17
};

// What labels become at each of `count` ascending biases of class `label`; all are added to.
struct Shift {
    int64_t *led, *right;  // classes x (count + 1): by the leader of the others and the first value that
                           // makes the pixel k's; of those, whose truth the leader is
    int64_t* own;          // count + 1: pixels whose truth is k
    const double* values;
    ptrdiff_t count;
    ptrdiff_t label;
};

// Sums of weighted probabilities, added to: for each class, then of log s, whole and 2^-44 parts; pixels.
struct Prior {
    const double* weight;  // one a class
    int64_t* sums;
};

struct Job {
    Walk walk;
    Operand operand[kMaxOperands];
    Affine affine;
    Grid grid;
    SegmentOut segment;
    Target target;
    Loss loss;
    Counts counts;
    Histogram histogram;
    Decision decision;
    Fit fit;
    Shift shift;
    Prior prior;
    ptrdiff_t classes;
    int reads;            // operands that are read tile by tile: the first ones
    int output;           // the operand that takes results with a class axis; 0 if there is none
    int pixels;           // the operand that counts pixels in C order; 0 if there is none
    double most_entropy;  // log of the classes, rounded down
    ptrdiff_t tile;       // pixels in a tile
    ptrdiff_t lead;       // tiles begin at pixels i * tile - lead
    bool stream;          // results too large for the caches: store past them
};

// One operation: what it does to items [begin, end) of the job (pixels, or pieces of the grid), and the
// scratch that it needs for it, aligned to 64.
struct Kernel {
    void (*run)(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch);
    size_t (*scratch_bytes)(const Job& job);
};

struct Kernels {
    const char* name;
    Kernel softmax;          // operands: logits, probs
    Kernel log_softmax;      // operands: logits, log_probs
    Kernel segment;          // operands: logits, pixels; results in job.segment
    Kernel softmax_vjp;      // operands: probs, grad_probs, grad_logits (the vjp is also the jvp)
    Kernel log_softmax_vjp;  // operands: log_probs, grad_log_probs, grad_logits
    Kernel loss;             // operands: logits, pixels, grad_logits; one class a pixel is the target
    Kernel soft_loss;        // operands: logits, (target probs,) pixels, grad_logits
    Kernel region_sums;      // operands: logits, pixels; results in job.loss.region
    Kernel statistics;       // operands: logits, pixels; results in job.counts
    Kernel histogram;        // operands: logits, pixels; results in job.histogram
    Kernel decide;           // operands: logits, pixels; job.decision, results in job.segment
    Kernel fit;              // operands: logits, pixels; results in job.fit
    Kernel shift;            // operands: logits, pixels; results in job.shift
    Kernel prior;            // operands: logits; results in job.prior
    // For tests: exp and log(1 + x) as the kernels compute them, over n values.
    void (*exp_float)(const float* x, float* out, ptrdiff_t n);
    void (*exp_double)(const double* x, double* out, ptrdiff_t n);
    void (*log1p_float)(const float* x, float* out, ptrdiff_t n);
    void (*log1p_double)(const double* x, double* out, ptrdiff_t n);
};

}  // namespace softmax2d
