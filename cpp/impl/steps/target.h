// The target: one class a pixel, or none where the pixel is to be ignored.
#pragma once
#include "../tiles/tile.h"

namespace {

// row[i] <- the class, -1 where ignored and past the last pixel.
template <class Stored, class Int>
inline void read_classes(const Stored* from, ptrdiff_t stride, ptrdiff_t n, const Target& target, Int* row) {
    const int64_t ignored = target.ignores ? target.ignored : -1;
    if (stride == 1)
        for (ptrdiff_t i = 0; i < n; ++i) row[i] = int64_t(from[i]) == ignored ? Int(-1) : Int(from[i]);
    else
        for (ptrdiff_t i = 0; i < n; ++i)
            row[i] = int64_t(from[i * stride]) == ignored ? Int(-1) : Int(from[i * stride]);
}

template <class Stored, class T>
inline void read_target(const Tile<T>& t, const Job& job, typename Lanes<T>::Int* row) {
    const ptrdiff_t stride = job.walk.stride[job.pixels][job.walk.ndim - 1];
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0; i < t.segment_count; ++i) {
        const Segment& s = t.segments[i];
        read_classes((const Stored*)job.target.data + s.offset[job.pixels], stride, s.length, job.target,
                     row + at);
        at += s.length;
    }
    for (; at < t.padded; ++at) row[at] = -1;
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
