// Reads each entry once.
#include "targets.h"

#include <algorithm>
#include <atomic>

#include "parallel.h"
#include "read_once.h"

namespace softmax2d {
namespace {

constexpr ptrdiff_t kGrain = 1 << 18;
constexpr ptrdiff_t kBlock = 1024;
constexpr int kSets = 4;  // counters used in turn: equal neighbours need not wait for each other

struct Look {
    Target target;
    int64_t classes;
    int64_t* counts;
    std::atomic<int64_t>*ignored, *first_bad;
};

void at_most(std::atomic<int64_t>& value, int64_t candidate) {
    int64_t known = value;
    while ((known < 0 || candidate < known) && !value.compare_exchange_weak(known, candidate)) {
    }
}

// One block, a private copy: what is no class counts in the place that follows the classes. Where there is
// any of that, the ignored are counted and the first that is not ignored is noted.
template <class Stored>
void look(const Look& l, const Stored* target, ptrdiff_t begin, ptrdiff_t n, int64_t* counts, int64_t& none) {
    const ptrdiff_t set = l.classes + 1;
    const uint64_t classes = uint64_t(l.classes);
    const auto place = [&](ptrdiff_t i) {
        const uint64_t value = uint64_t(int64_t(target[i]));
        return value < classes ? value : classes;
    };
    const auto outside = [&] {
        int64_t found = 0;
        for (int j = 0; j < kSets; ++j) found += counts[j * set + l.classes];
        return found;
    };
    const int64_t before = outside();
    ptrdiff_t i = 0;
    for (; i + kSets <= n; i += kSets)
        for (int j = 0; j < kSets; ++j) ++counts[j * set + place(i + j)];
    for (; i < n; ++i) ++counts[place(i)];
    const int64_t others = outside() - before;
    if (others == 0) return;
    int64_t ignored = 0;
    const bool ignores = l.target.ignores && uint64_t(l.target.ignored) >= classes;
    for (i = 0; ignores && i < n; ++i) ignored += int64_t(target[i]) == l.target.ignored;
    none += ignored;
    for (i = 0; i < n && ignored < others; ++i)
        if (place(i) == classes && !(ignores && int64_t(target[i]) == l.target.ignored))
            return at_most(*l.first_bad, begin + i);
}

template <class Stored>
void look(const Look& l, ptrdiff_t begin, ptrdiff_t end, int64_t* counts) {
    const Stored* target = reinterpret_cast<const Stored*>(l.target.data);
    const ptrdiff_t set = l.classes + 1;
    std::fill(counts, counts + kSets * set, 0);
    int64_t none = 0;
    Stored block[kBlock];
    for (ptrdiff_t at = begin; at < end; at += kBlock) {
        const ptrdiff_t n = std::min(kBlock, end - at);
        read_once(target + at, n, block);
        look(l, block, at, n, counts, none);
    }
    for (int j = 1; j < kSets; ++j)
        for (ptrdiff_t k = 0; k < set; ++k) counts[k] += counts[j * set + k];
    if (l.target.ignores && uint64_t(l.target.ignored) < uint64_t(l.classes))
        std::swap(none, counts[l.target.ignored]);
    *l.ignored += none;
    for (int64_t k = 0; k < l.classes; ++k)
        if (counts[k]) __atomic_fetch_add(l.counts + k, counts[k], __ATOMIC_RELAXED);
}

void look_at(const void* context, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    const Look& l = *static_cast<const Look*>(context);
    int64_t* counts = reinterpret_cast<int64_t*>(scratch);
    switch (l.target.bytes * 2 + l.target.is_signed) {
        case 2: return look<uint8_t>(l, begin, end, counts);
        case 3: return look<int8_t>(l, begin, end, counts);
        case 4: return look<uint16_t>(l, begin, end, counts);
        case 5: return look<int16_t>(l, begin, end, counts);
        case 8: return look<uint32_t>(l, begin, end, counts);
        case 9: return look<int32_t>(l, begin, end, counts);
        default: return look<int64_t>(l, begin, end, counts);
    }
}

}  // namespace

TargetCount count_targets(const Target& target, ptrdiff_t n, int64_t classes, int64_t* counts) {
    std::atomic<int64_t> ignored{0}, first_bad{-1};
    if (n == 0) return {};
    const Look l{target, classes, counts, &ignored, &first_bad};
    const int threads = int(std::min<ptrdiff_t>(num_threads(), (n + kGrain - 1) / kGrain));
    parallel_for(n, kGrain, threads, kSets * size_t(classes + 1) * sizeof(int64_t), look_at, &l);
    return {ignored, first_bad};
}

}  // namespace softmax2d
