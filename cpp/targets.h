// A look at class indices before a kernel trusts them.
#pragma once
#include "kernels.h"

namespace softmax2d {

struct TargetCount {
    int64_t ignored = 0;
    int64_t first_bad = -1;  // the first entry that is neither ignored nor a class
};

// Adds to counts[c] how often each class occurs in `n` integers that lie side by side.
TargetCount count_targets(const Target& target, ptrdiff_t n, int64_t classes, int64_t* counts);

}  // namespace softmax2d
