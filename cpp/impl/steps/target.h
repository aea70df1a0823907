// The target: one class a pixel, or none where the pixel is to be ignored.
//
// Classes address memory in the sinks, and they lie in the caller's memory, which may have changed since the
// gate looked at it. So each is read once and bounded here: what is neither a class nor ignored counts as
// ignored, and is reported.
#pragma once
#include "../../read_once.h"
#include "../tiles/tile.h"

namespace {

template <int bytes>
struct WideFor {
    using type = uint32_t;
};
template <>
struct WideFor<8> {
    using type = uint64_t;
};

// row[i] <- the class, -1 where there is none: negative numbers are large unsigned ones. Whether there is
// any. Sums of bits, since a choice between two numbers keeps a compiler from vectors.
template <class Wide, class Stored, class Int>
inline bool bound_classes(const Stored* from, ptrdiff_t n, Wide limit, Int* row) {
    Int any = 0;
    for (ptrdiff_t i = 0; i < n; ++i) {
        const Wide value = Wide(from[i]);
        const Int outside = Int(value < limit) - 1;  // all bits or none
        row[i] = Int(value) | outside;
        any |= outside;
    }
    return any != 0;
}

// row[i] <- -1 where the class is ignored; whether anything is neither a class nor ignored.
template <class Wide, class Stored, class Int>
inline bool leave_out(const Stored* from, ptrdiff_t n, Wide limit, const Target& target, Int* row) {
    const Wide ignored = Wide(Stored(target.ignored));
    const Int every = target.ignores ? 0 : 1;
    Int bad = 0;
    for (ptrdiff_t i = 0; i < n; ++i) {
        const Wide value = Wide(from[i]);
        const Int counts = Int(value != ignored) | every;
        bad |= Int(value >= limit) & counts;
        row[i] |= counts - 1;
    }
    return bad != 0;
}

// The same, block by block; most have nothing to leave out. Whether something is neither a class nor ignored.
template <class Stored, class Int>
inline bool read_classes(const Stored* from, ptrdiff_t stride, ptrdiff_t n, const Target& target,
                         ptrdiff_t classes, Int* row) {
    using Wide = typename WideFor<sizeof(Stored)>::type;
    constexpr ptrdiff_t kBlock = 512;
    const Wide limit = Wide(classes);
    const bool inside = target.ignores && target.ignored >= 0 && target.ignored < classes;
    Stored block[kBlock];
    bool bad = false;
    for (ptrdiff_t at = 0; at < n; at += kBlock) {
        const ptrdiff_t count = n - at < kBlock ? n - at : kBlock;
        read_once(from + at * stride, stride, count, block);
        if (bound_classes(block, count, limit, row + at) || inside)
            bad |= leave_out(block, count, limit, target, row + at);
    }
    return bad;
}

template <class Stored, class T>
inline void read_target(const Tile<T>& t, const Job& job, typename Lanes<T>::Int* row) {
    const ptrdiff_t stride = job.walk.stride[job.pixels][job.walk.ndim - 1];
    ptrdiff_t at = 0;
    bool bad = false;
    for (ptrdiff_t i = 0; i < t.segment_count; ++i) {
        const Segment& s = t.segments[i];
        bad |= read_classes((const Stored*)job.target.data + s.offset[job.pixels], stride, s.length,
                            job.target, t.classes, row + at);
        at += s.length;
    }
    for (; at < t.padded; ++at) row[at] = -1;
    if (bad) __atomic_store_n(job.target.changed, true, __ATOMIC_RELAXED);
}

// The tile's target. 64 bits are read as signed ones: the gate has seen that all fit.
template <class T>
inline void read_target(const Tile<T>& t, const Job& job, typename Lanes<T>::Int* row) {
    switch (job.target.bytes * 2 + job.target.is_signed) {
        case 2: return read_target<uint8_t>(t, job, row);
        case 3: return read_target<int8_t>(t, job, row);
        case 4: return read_target<uint16_t>(t, job, row);
        case 5: return read_target<int16_t>(t, job, row);
        case 8: return read_target<uint32_t>(t, job, row);
        case 9: return read_target<int32_t>(t, job, row);
        default: return read_target<int64_t>(t, job, row);
    }
}

}  // namespace
