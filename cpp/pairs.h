// Two maps of class indices beside each other.
#pragma once
#include "kernels.h"

namespace softmax2d {

struct PairCount {
    int64_t ignored = 0;     // entries whose truth is the one to ignore
    int64_t unlabelled = 0;  // of the others, those whose label is the one to ignore
    int64_t bad_truth = -1;  // the first entry whose truth is neither ignored nor a class
    int64_t bad_label = -1;  // the first entry that counts and whose label is no class
};

// Adds to confusion[t * classes + l] how many of `n` entries have the truth t and the label l.
PairCount count_pairs(const Target& labels, const Target& truth, ptrdiff_t n, int64_t classes,
                      int64_t* confusion);

}  // namespace softmax2d
