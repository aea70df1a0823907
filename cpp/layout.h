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

// Describes the pixels of `arrays` (same shape, class axis `axis`) in job.walk and job.operand. Where
// `pixels_in_order`, one more operand follows that counts the pixels in C order, for results that
// have no class axis.
void lay_out(Job& job, const Array* arrays, int count, int axis, bool pixels_in_order);

// Chooses the tile, how results are stored, and whether threads pay; runs the kernel.
void run(Job& job, Kernel kernel, size_t result_bytes);

}  // namespace softmax2d
