// Reads each label and each truth once; a block of both is brought to 32 bits before its pairs are counted.
#include "pairs.h"

#include <algorithm>
#include <atomic>
#include <type_traits>

#include "parallel.h"
#include "read_once.h"

namespace softmax2d {
namespace {

constexpr ptrdiff_t kBlock = 1024;
constexpr int kSets = 4;               // counters used in turn: equal neighbours need not wait for each other
constexpr int64_t kManyClasses = 254;  // from here on counters are too many for four sets

struct Look {
    Target labels, truth;
    int64_t classes;
    int64_t* confusion;
    std::atomic<int64_t>*ignored, *unlabelled, *bad_truth, *bad_label;
};

int64_t side_of(int64_t classes) { return classes + 2; }
int sets_of(int64_t classes) { return classes < kManyClasses ? kSets : 1; }

// Large tables are cleared and added up rarely.
ptrdiff_t grain_of(int64_t classes) {
    return std::max<ptrdiff_t>(1 << 18, ptrdiff_t(4 * side_of(classes) * side_of(classes)));
}

void at_most(std::atomic<int64_t>& value, int64_t candidate) {
    int64_t known = value;
    while ((known < 0 || candidate < known) && !value.compare_exchange_weak(known, candidate)) {
    }
}

// The class of each entry; `classes` for the one to ignore, `classes` + 1 for what is no class. Negative
// numbers become large ones.
template <class Stored, class Wide = std::conditional_t<sizeof(Stored) == 8, uint64_t, uint32_t>>
void places(const Target& t, ptrdiff_t begin, ptrdiff_t n, int64_t classes, uint32_t* out) {
    Stored from[kBlock];
    read_once(reinterpret_cast<const Stored*>(t.data) + begin, n, from);
    const Wide limit = Wide(classes);
    const uint32_t none = uint32_t(classes), bad = none + 1;
    for (ptrdiff_t i = 0; i < n; ++i) {
        const Wide value = Wide(from[i]);
        out[i] = value < limit ? uint32_t(value) : bad;
    }
    if (!t.ignores) return;
    // An entry to ignore that the type cannot hold was taken away before: the cast is exact.
    const Stored ignored = Stored(t.ignored);
    for (ptrdiff_t i = 0; i < n; ++i) out[i] = from[i] == ignored ? none : out[i];
}

void read_places(const Target& t, ptrdiff_t begin, ptrdiff_t n, int64_t classes, uint32_t* out) {
    switch (t.bytes * 2 + t.is_signed) {
        case 2: return places<uint8_t>(t, begin, n, classes, out);
        case 3: return places<int8_t>(t, begin, n, classes, out);
        case 4: return places<uint16_t>(t, begin, n, classes, out);
        case 5: return places<int16_t>(t, begin, n, classes, out);
        case 8: return places<uint32_t>(t, begin, n, classes, out);
        case 9: return places<int32_t>(t, begin, n, classes, out);
        default: return places<int64_t>(t, begin, n, classes, out);
    }
}

// Looks again for the first entries that are no class.
void note_bad(const Look& l, ptrdiff_t begin, ptrdiff_t end, uint32_t* labels, uint32_t* truth) {
    const uint32_t none = uint32_t(l.classes), bad = none + 1;
    ptrdiff_t first_truth = -1, first_label = -1;
    for (ptrdiff_t at = begin; at < end && (first_truth < 0 || first_label < 0); at += kBlock) {
        const ptrdiff_t n = std::min(kBlock, end - at);
        read_places(l.labels, at, n, l.classes, labels);
        read_places(l.truth, at, n, l.classes, truth);
        for (ptrdiff_t i = 0; i < n; ++i) {
            if (first_truth < 0 && truth[i] == bad) first_truth = at + i;
            if (first_label < 0 && truth[i] < none && labels[i] == bad) first_label = at + i;
        }
    }
    if (first_truth >= 0) at_most(*l.bad_truth, first_truth);
    if (first_label >= 0) at_most(*l.bad_label, first_label);
}

// Adds the sets of counters up, to the confusion and to what does not count; whether anything is no class.
bool finish(const Look& l, uint32_t* counts, int sets) {
    const int64_t side = side_of(l.classes), table = side * side;
    for (int j = 1; j < sets; ++j)
        for (int64_t k = 0; k < table; ++k) counts[k] += counts[j * table + k];
    int64_t ignored = 0, unlabelled = 0, bad = 0;
    for (int64_t t = 0; t < l.classes; ++t) {
        unlabelled += counts[t * side + l.classes];
        bad += counts[t * side + l.classes + 1];
        for (int64_t c = 0; c < l.classes; ++c)
            if (const uint32_t many = counts[t * side + c])
                __atomic_fetch_add(l.confusion + t * l.classes + c, int64_t(many), __ATOMIC_RELAXED);
    }
    for (int64_t c = 0; c < side; ++c) {
        ignored += counts[l.classes * side + c];
        bad += counts[(l.classes + 1) * side + c];
    }
    *l.ignored += ignored;
    *l.unlabelled += unlabelled;
    return bad > 0;
}

void look_at(const void* context, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    const Look& l = *static_cast<const Look*>(context);
    const int64_t side = side_of(l.classes), table = side * side;
    const int sets = sets_of(l.classes);
    uint32_t* const labels = reinterpret_cast<uint32_t*>(scratch);
    uint32_t* const truth = labels + kBlock;
    uint32_t* const counts = truth + kBlock;
    std::fill(counts, counts + sets * table, 0u);
    for (ptrdiff_t at = begin; at < end; at += kBlock) {
        const ptrdiff_t n = std::min(kBlock, end - at);
        read_places(l.labels, at, n, l.classes, labels);
        read_places(l.truth, at, n, l.classes, truth);
        ptrdiff_t i = 0;
        if (sets == kSets)
            for (; i + kSets <= n; i += kSets)
                for (int j = 0; j < kSets; ++j)
                    ++counts[j * table + int64_t(truth[i + j]) * side + labels[i + j]];
        for (; i < n; ++i) ++counts[int64_t(truth[i]) * side + labels[i]];
    }
    if (finish(l, counts, sets)) note_bad(l, begin, end, labels, truth);
}

}  // namespace

PairCount count_pairs(const Target& labels, const Target& truth, ptrdiff_t n, int64_t classes,
                      int64_t* confusion) {
    std::atomic<int64_t> ignored{0}, unlabelled{0}, bad_truth{-1}, bad_label{-1};
    if (n == 0) return {};
    const Look l{labels, truth, classes, confusion, &ignored, &unlabelled, &bad_truth, &bad_label};
    const ptrdiff_t grain = grain_of(classes);
    const int threads = int(std::min<ptrdiff_t>(num_threads(), (n + grain - 1) / grain));
    const size_t table = size_t(side_of(classes)) * size_t(side_of(classes));
    const size_t scratch = (2 * size_t(kBlock) + sets_of(classes) * table) * sizeof(uint32_t);
    parallel_for(n, grain, threads, scratch, look_at, &l);
    return {ignored, unlabelled, bad_truth, bad_label};
}

}  // namespace softmax2d
