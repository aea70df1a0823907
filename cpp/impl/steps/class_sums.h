// Sums that are the same in any order: float64 as whole numbers and parts, and counts.
#pragma once
#include "../math/wide.h"
#include "../tiles/tile.h"

namespace {

inline void add_in_parts(int64_t* sum, double value) {
    constexpr int64_t unit = int64_t(1) << kPartBits;
    sum[1] += int64_t(value * unit);
    sum[0] += sum[1] >> kPartBits;
    sum[1] &= unit - 1;
}

// Σ over the lanes, the first one first.
inline double total_of(Wide sum) {
    double total = 0;
    for (int lane = 0; lane < kLanes<double>; ++lane) total += sum[lane];
    return total;
}

// Adds what a thread has collected to the caller's numbers, which other threads add to as well.
template <class Count>
inline void release_counts(const Count* from, int64_t* to, size_t n) {
    for (size_t i = 0; i < n; ++i)
        if (from[i]) __atomic_fetch_add(to + i, int64_t(from[i]), __ATOMIC_RELAXED);
}

}  // namespace
