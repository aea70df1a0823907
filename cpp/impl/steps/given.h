// What a labelling gives to each class: pixels, and the sum of their probabilities.
#pragma once
#include "class_sums.h"
#include "target.h"

namespace softmax2d {

// Both are added to.
struct Given {
    int64_t* count;  // pixels
    int64_t* sum;    // of the probabilities of their labels, in units of 2^-30
};

}  // namespace softmax2d

namespace {

// kMean: 0 where the target is ignored.
template <class T>
inline void leave_out_ignored(Tile<T>& t, const Job& job) {
    auto* row = (typename Lanes<T>::Int*)t.row(kSecond);
    read_target(t, job, row);
    for (ptrdiff_t p = 0; p < t.count; ++p)
        if (row[p] < 0) t.row(kMean)[p] = 0;
}

// What one call gives, added to the caller's at its end.
struct GivenTally {
    int64_t *count, *sum;
    static size_t bytes(const Job& job) { return whole_lines(2 * size_t(job.classes) * sizeof(int64_t)); }
    GivenTally(const Job& job, char* scratch) : count((int64_t*)scratch), sum(count + job.classes) {
        std::memset(scratch, 0, bytes(job));
    }
    // The tile's labels, whose probabilities stand in kOut, where kMean is 1.
    template <class T>
    void add(const Tile<T>& t) const {
        const auto* label = t.label();
        const T *prob = t.row(kOut), *counts = t.row(kMean);
        for (ptrdiff_t p = 0; p < t.count; ++p) {
            if (counts[p] == 0) continue;
            ++count[label[p]];
            sum[label[p]] += int64_t(prob[p] * T(0x1p30));
        }
    }
    void release(const Job& job, const Given& out) const {
        if (!out.count) return;
        release_counts(count, out.count, size_t(job.classes));
        release_counts(sum, out.sum, size_t(job.classes));
    }
};

}  // namespace
