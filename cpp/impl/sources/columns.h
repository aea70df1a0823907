// Along the columns: a source row of one class, read as float64 and interpolated to the columns of a strip.
#pragma once
#include "blend.h"

namespace {

// v[index]: each lane from one of the same vector.
template <class T>
inline Vec<T> spread_lanes(Vec<T> v, IntVec<T> index) {
#if defined(__clang__)
    T from[kLanes<T>], to[kLanes<T>];
    store(from, v);
    for (int i = 0; i < kLanes<T>; ++i) to[i] = from[index[i]];
    return load<Vec<T>>(to);
#else
    return __builtin_shuffle(v, index);
#endif
}

// The columns of a strip: where each one lies between its neighbours, as whole vectors.
struct Columns {
    ptrdiff_t from;    // first column of the output
    ptrdiff_t count;   // columns of the output
    ptrdiff_t first;   // first column of the source
    ptrdiff_t needed;  // columns of the source
    bool gathers;      // some vector's columns lie too far apart to be spread from one
    ptrdiff_t padded;
    int64_t* lower;  // source column less `first`
    double* weight;

    static size_t bytes(const Job& job) { return 2 * whole_lines(padding(job.tile) * sizeof(double)); }
    void place(char* scratch, const Job& job) {
        lower = (int64_t*)scratch;
        weight = (double*)(scratch + bytes(job) / 2);
        padded = padding(job.tile);
    }
    void move_to(const Axis& axis, ptrdiff_t begin, ptrdiff_t n) {
        from = begin;
        count = n;
        first = axis.lower[begin];
        const ptrdiff_t last = axis.lower[begin + n - 1] + 1;
        needed = (last < axis.extent ? last + 1 : axis.extent) - first;
        gathers = false;
        constexpr int lanes = kLanes<double>;
        for (ptrdiff_t i = 0; i < padded; ++i) {
            const ptrdiff_t x = begin + (i < n ? i : n - 1);
            lower[i] = axis.lower[x] - first;
            weight[i] = axis.weight[x];
            gathers |= lower[i] - lower[i / lanes * lanes] >= lanes;
        }
    }
    // Two neighbours of a vector of columns.
    inline void neighbours(const double* row, ptrdiff_t i, Vec<double>& low, Vec<double>& high) const {
        if (gathers) {
            for (int j = 0; j < kLanes<double>; ++j) {
                low[j] = row[lower[i + j]];
                high[j] = row[lower[i + j] + 1];
            }
            return;
        }
        const double* base = row + lower[i];
        const IntVec<double> index = load<IntVec<double>>(lower + i) - lower[i];
        low = spread_lanes<double>(load<Vec<double>>(base), index);
        high = spread_lanes<double>(load<Vec<double>>(base + 1), index);
    }
    // out[i] <- the row's value at column i of the strip.
    template <class T, bool any>
    inline void expand(const double* row, T* out) const {
        for (ptrdiff_t i = 0; i < padded; i += kLanes<double>) {
            Vec<double> low, high, w = load<Vec<double>>(weight + i);
            neighbours(row, i, low, high);
            Vec<double> z = sizeof(T) == 8 ? blend_exactly(low, high, w) : fma(w, high - low, low);
            if (any) z = blend_any(z, low, high, w);
            store_wide(out + i, z);
        }
    }
};

// n numbers, `stride` apart, as float64, the last one repeated for a vector more; whether all are finite,
// and so far from the largest number that the difference of two is as well.
template <class S>
inline bool read_coarse(const char* data, ptrdiff_t offset, ptrdiff_t n, ptrdiff_t stride, bool swapped,
                        double* out) {
    const S* src = (const S*)data + offset;
    if (stride == 1 && !swapped)
        read_row(src, out, n);
    else
        for (ptrdiff_t i = 0; i < n; ++i) {
            using U = typename VecBits<sizeof(S)>::type;
            U u;
            std::memcpy(&u, src + i * stride, sizeof u);
            out[i] = widen(bits_as<S>(swapped ? swap_bytes(u) : u));
        }
    store(out + n, splat(out[n - 1]));
    Vec<double> odd = {};
    for (ptrdiff_t i = 0; i < n; i += kLanes<double>) odd += load<Vec<double>>(out + i) * 0x1p30 * 0;
    return !any_lane(odd != 0);
}

inline bool read_coarse(const Operand& a, ptrdiff_t offset, ptrdiff_t n, ptrdiff_t stride, double* out) {
    switch (a.dtype) {
        case DType::float16: return read_coarse<Half>(a.data, offset, n, stride, a.swapped, out);
        case DType::bfloat16: return read_coarse<BFloat>(a.data, offset, n, stride, a.swapped, out);
        case DType::float32: return read_coarse<float>(a.data, offset, n, stride, a.swapped, out);
        case DType::float64: return read_coarse<double>(a.data, offset, n, stride, a.swapped, out);
    }
    return true;
}

}  // namespace
