// From shapes and strides to a Job: takes the class axis out and merges what can be merged.
#pragma once
#include "kernels.h"

namespace softmax2d {

// An array as Python describes it; strides in elements.
struct Array {
    char* data;
    DType dtype;
    bool swapped;
    int ndim;
    ptrdiff_t shape[kMaxDims];
    ptrdiff_t stride[kMaxDims];
};

// How the source's axes are resampled: the last `ndim` of those beside the class axis, as many of
// `axes` (planes, rows, columns: the last ones).
struct Resampling {
    int ndim;
    Axis axes[3];
};

// Describes the pixels of a job in job.walk and job.operand. The `reads` first arrays are read, then
// comes, where `pixels_in_order`, an operand that counts the pixels in C order (for what has one entry
// a pixel), then `result`, if there is one. Arrays have the class axis `axis` and beside it the same
// shape, but for a resampled source (the first array): it, and the result where `backward`, are of the
// source's size, the others of the output's.
void lay_out(Job& job, const Array* arrays, int reads, const Array* result, int axis, bool pixels_in_order,
             const Resampling* resampling = nullptr, bool backward = false);

// Chooses the tile, how results are stored, and whether threads pay; runs the kernel.
void run(Job& job, const Kernel& kernel, size_t result_bytes);

}  // namespace softmax2d
