#include "targets.h"

#include <algorithm>
#include <atomic>

#include "parallel.h"

namespace softmax2d {
namespace {

constexpr ptrdiff_t kGrain = 1 << 18;
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

// What is no class counts in the place that follows the classes, and is looked at again if there is any.
template <class Stored>
void look(const Look& l, ptrdiff_t begin, ptrdiff_t end, int64_t* counts) {
    const Stored* target = reinterpret_cast<const Stored*>(l.target.data);
    const ptrdiff_t set = l.classes + 1;
    const uint64_t classes = uint64_t(l.classes);
    std::fill(counts, counts + kSets * set, 0);
    const auto place = [&](ptrdiff_t i) {
        const uint64_t value = uint64_t(int64_t(target[i]));
        return value < classes ? value : classes;
    };
    ptrdiff_t i = begin;
    for (; i + kSets <= end; i += kSets)
        for (int j = 0; j < kSets; ++j) ++counts[j * set + place(i + j)];
    for (; i < end; ++i) ++counts[place(i)];
    for (int j = 1; j < kSets; ++j)
        for (ptrdiff_t k = 0; k < set; ++k) counts[k] += counts[j * set + k];
    const auto ignored = [&](ptrdiff_t at) {
        return l.target.ignores && int64_t(target[at]) == l.target.ignored;
    };
    int64_t none = 0;
    if (l.target.ignores && uint64_t(l.target.ignored) < classes)
        std::swap(none, counts[l.target.ignored]);
    else if (counts[l.classes])
        for (ptrdiff_t at = begin; at < end; ++at) none += ignored(at);
    *l.ignored += none;
    for (int64_t k = 0; k < l.classes; ++k)
        if (counts[k]) __atomic_fetch_add(l.counts + k, counts[k], __ATOMIC_RELAXED);
    const bool inside = l.target.ignores && uint64_t(l.target.ignored) < classes;
    if (counts[l.classes] == (inside ? 0 : none)) return;
    for (ptrdiff_t at = begin; at < end; ++at)
        if (place(at) == classes && !ignored(at)) return at_most(*l.first_bad, at);
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
