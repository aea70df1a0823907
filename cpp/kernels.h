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
constexpr int kMaxOperands = 3;

// One array, with its class axis taken out. Strides are in elements and may be zero or negative.
struct Operand {
    char* data;
    ptrdiff_t class_stride;
    DType dtype;
    bool swapped;  // bytes in the other order than this machine's
};

// The pixels: every axis but the class axis, merged where all operands allow, the last one fastest.
struct Walk {
    ptrdiff_t size[kMaxDims];
    ptrdiff_t stride[kMaxOperands][kMaxDims];
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

// Where segmentation leaves its results; null where not asked for. Indexed by
// operand 1 of the walk. top_* hold top_k planes, one after the other, each of `pixels` entries.
struct SegmentOut {
    char* labels;
    char* confidence;
    char* margin;
    char* entropy;
    char* top_labels;
    char* top_probs;
    int label_bytes;  // 1, 2 or 4
    int top_k;
};

struct Job {
    Walk walk;
    Operand operand[kMaxOperands];
    Affine affine;
    SegmentOut segment;
    ptrdiff_t classes;
    double most_entropy;  // log of the classes, rounded down
    ptrdiff_t tile;       // pixels in a tile
    ptrdiff_t lead;       // tiles begin at pixels i * tile - lead
    bool stream;          // results too large for the caches: store past them
};

// Works on pixels [begin, end) of the job. `scratch` holds at least scratch_bytes(job) bytes,
// aligned to 64.
using Kernel = void (*)(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch);

struct Kernels {
    const char* name;
    Kernel softmax;          // operands: logits, probs
    Kernel log_softmax;      // operands: logits, log_probs
    Kernel segment;          // operands: logits; results in job.segment
    Kernel softmax_vjp;      // operands: probs, grad_probs, grad_logits (the vjp is also the jvp)
    Kernel log_softmax_vjp;  // operands: log_probs, grad_log_probs, grad_logits
    size_t (*scratch_bytes)(const Job& job);
    // For tests: exp and log(1 + x) as the kernels compute them, over n values.
    void (*exp_float)(const float* x, float* out, ptrdiff_t n);
    void (*exp_double)(const double* x, double* out, ptrdiff_t n);
    void (*log1p_float)(const float* x, float* out, ptrdiff_t n);
    void (*log1p_double)(const double* x, double* out, ptrdiff_t n);
};

}  // namespace softmax2d
