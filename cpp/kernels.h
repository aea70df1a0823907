// The table of kernels: one row an operation, and what every kernel is given.
//
// The files in kernels/ are compiled once per instruction set and export constants of type Kernel;
// dispatch.cpp picks one build at run time. Everything here is plain data, so that objects compiled with
// different flags share no code. What one operation alone needs stands in its sink's header.
#pragma once
#include <cstddef>
#include <cstdint>

namespace softmax2d {

enum class DType : int { float16, bfloat16, float32, float64 };

constexpr int kMaxDims = 64;
constexpr int kMaxOperands = 4;
constexpr int kSums = 256;       // entries of an exact sum of float32: one for each exponent
constexpr int kWideSums = 4096;  // of float64: the low halves, then the high ones
constexpr int kPartBits = 44;    // of the parts in sums kept as whole numbers and parts
constexpr int kHistogramOctaves = 8;
constexpr int kHistogramSteps = 64;                                      // bins of an octave
constexpr int kHistogramBins = kHistogramSteps * kHistogramOctaves + 1;  // and what lies below them
constexpr int kCurveFineBits = 8;                        // of x = -log2 p in a curve's bins, below x = 8
constexpr int kCurveBinsBelow = 3 * 256 + 7 * 128;       // of p <= 1/2, down to 2^-1024
constexpr int kCurveBinsAbove = 3 * 256 + 2 * 128 + 84;  // of 1 - p < 1/2, down to 2^-53
constexpr int kCurveBins = kCurveBinsBelow + kCurveBinsAbove + 2;  // and what is 0, and what is 1

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

// Class indices, one a pixel in C order (the walk's operand job.pixels); null where there are none.
struct Target {
    const char* data;
    int bytes;  // 1, 2, 4 or 8
    bool is_signed;
    bool ignores;
    int64_t ignored;
    bool* changed;  // set where a kernel meets what is neither a class nor ignored
};

struct Job {
    Walk walk;
    Operand operand[kMaxOperands];
    Affine affine;
    Grid grid;
    Target target;
    const void* arguments;  // of the sink: the struct in its header
    ptrdiff_t classes;
    int reads;          // operands that are read tile by tile: the first ones
    int output;         // the operand that takes results with a class axis; 0 if there is none
    int pixels;         // the operand that counts pixels in C order; 0 if there is none
    ptrdiff_t numbers;  // that the sink keeps of each pixel beside the classes
    ptrdiff_t least;    // pixels of a chunk
    ptrdiff_t tile;     // pixels in a tile
    ptrdiff_t lead;     // tiles begin at pixels i * tile - lead
    bool stream;        // results too large for the caches: store past them
};

// What a sink asks of the layout.
struct Needs {
    ptrdiff_t numbers;  // that it keeps of each pixel beside the classes
    ptrdiff_t least;    // pixels below which a call would spend its time on clearing and adding up counts
};

// One operation: what it does to items [begin, end) of the job (pixels, or pieces of the grid), and the
// scratch that it needs for it, aligned to 64.
struct Kernel {
    void (*run)(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch);
    size_t (*scratch_bytes)(const Job& job);
    Needs (*needs)(const Job& job);
    bool pixels;  // whether there are arrays with one entry a pixel, in C order
};

// Of the functions in elementary.cpp, for tests: exp and log(1 + x) over n values.
struct Elementary {
    void (*exp_float)(const float* x, float* out, ptrdiff_t n);
    void (*exp_double)(const double* x, double* out, ptrdiff_t n);
    void (*log1p_float)(const float* x, float* out, ptrdiff_t n);
    void (*log1p_double)(const double* x, double* out, ptrdiff_t n);
};

// The rows: name, sink, and by which source (kernels/row.h) it is fed. `build` names the table.
#define SOFTMAX2D_ARRAYS(ROW, build)            \
    ROW(build, softmax, Softmax, Typed)         \
    ROW(build, log_softmax, LogSoftmax, Typed)  \
    ROW(build, softmax_vjp, SoftmaxVjp, Paired) \
    ROW(build, log_softmax_vjp, LogSoftmaxVjp, Paired)
#define SOFTMAX2D_LOSSES(ROW, build)           \
    ROW(build, loss, HardLoss, Typed)          \
    ROW(build, soft_loss, SoftLoss, TypedWide) \
    ROW(build, region_sums, RegionSink, Typed) \
    ROW(build, soft_region_sums, SoftRegionSink, TypedWide)
#define SOFTMAX2D_PIXELS(ROW, build)              \
    ROW(build, segment, Segmenter, Typed)         \
    ROW(build, statistics, StatisticsSink, Typed) \
    ROW(build, histogram, HistogramSink, Shared)  \
    ROW(build, curves, CurveSink, Shared)         \
    ROW(build, decide, Decider, Shared)           \
    ROW(build, fit, Fitter, Shared)               \
    ROW(build, shift, Shifter, Shared)            \
    ROW(build, prior, PriorStep, Shared)
#define SOFTMAX2D_KERNELS(ROW, build) \
    SOFTMAX2D_ARRAYS(ROW, build) SOFTMAX2D_LOSSES(ROW, build) SOFTMAX2D_PIXELS(ROW, build)

#define SOFTMAX2D_FIELD(build, name, sink, source) const Kernel& name;
struct Kernels {
    const char* name;
    const Elementary& elementary;
    SOFTMAX2D_KERNELS(SOFTMAX2D_FIELD, )
};
#undef SOFTMAX2D_FIELD

}  // namespace softmax2d
