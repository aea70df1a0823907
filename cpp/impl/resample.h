// The resampled source: tiles of a finer (or coarser) grid, interpolated on the way; and, for gradients,
// its transpose.
//
// A source row is interpolated along the columns once, in float64, rounded once and held; all output
// rows between two source rows are then blended from the two that are held, z = near + w (upper - lower)
// with the nearer one as the base: |w| <= 1/2, and equal logits stay equal. (In float64 each blend carries
// what it rounds, twofold.) With planes, each source row is a blend of two rows first.
//
// -inf (a class ruled out) wins over every number, a neighbour of weight 0 does not count.
//
// Memory traffic: each source logit is read about once for each plane that needs it; no output
// logit leaves the cache.
#pragma once
#include "source.h"

namespace {

// low + weight (high - low), rounded about once.
inline Vec<double> blend_exactly(Vec<double> low, Vec<double> high, Vec<double> weight) {
    const Vec<double> d = high - low, back = d - high;
    const Vec<double> tail = (high - (d - back)) - (low + back);
    const Vec<double> product = weight * d;
    const Vec<double> rest = product_tail<double>(weight, d, product) + weight * tail;
    const Vec<double> sum = low + product, t = sum - low;
    return sum + (((low - (sum - t)) + (product - t)) + rest);
}

// The same where a number is infinite, NaN, or so large that the difference is: what the weighted sum says.
template <class V>
inline V blend_any(V blended, V low, V high, V weight) {
    const V sum = (1 - weight) * low + weight * high;
    const V odd = weight == 0 ? low : sum;
    const V d = high - low;
    return d - d == 0 ? blended : odd;
}

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

// n numbers, `stride` apart, as float64, the last one repeated for a vector more; whether all are finite.
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
    for (ptrdiff_t i = 0; i < n; i += kLanes<double>) odd += load<Vec<double>>(out + i) * 0;
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

// One source row with all its classes, at the strip's columns.
template <class T>
struct HeldRow {
    T* z;
    ptrdiff_t row;  // of the source; -1: nothing is held
    bool finite;
};

// What an output row is blended from.
template <class T>
struct Blend {
    const T *low, *high, *difference;
    T weight;
    bool finite;

    inline Vec<T> at(ptrdiff_t i) const {
        if constexpr (sizeof(T) == 8) {
            return blend_exactly(load<Vec<T>>(low + i), load<Vec<T>>(high + i), splat(weight));
        } else {
            const bool upper = weight > T(0.5);
            return fma(splat(upper ? weight - 1 : weight), load<Vec<T>>(difference + i),
                       load<Vec<T>>((upper ? high : low) + i));
        }
    }
    inline Vec<T> anything_at(ptrdiff_t i) const {
        return blend_any(at(i), load<Vec<T>>(low + i), load<Vec<T>>(high + i), splat(weight));
    }
};

// Copies blended rows to the next tile between the instructions of this one's arithmetic.
template <class T>
class BlendFeed {
   public:
    void start(const Blend<T>& blend, T* to, ptrdiff_t count) {
        blend_ = blend;
        to_ = to;
        count_ = count;
    }
    bool active() const { return count_ > 0; }
    inline void step() {
        if (at_ >= count_) return;
#pragma GCC unroll 4
        for (int i = 0; i < kStep; ++i) store(to_ + at_ + i * kLanes<T>, blend_.at(at_ + i * kLanes<T>));
        at_ += kStep * kLanes<T>;
    }
    void finish() {
        while (at_ < count_) step();
    }

   private:
    Blend<T> blend_ = {};
    T* to_ = nullptr;
    ptrdiff_t at_ = 0, count_ = 0;
};

// The transpose for one source row: gradients of output rows, weighted, with all their columns.
struct RowGradient {
    double* z;
    ptrdiff_t row;  // of the source; -1: nothing is held
};

template <class T>
class Resampled {
   public:
    using Number = T;
    using Feed = BlendFeed<T>;

    // Rows of all classes, rounded up to what one step of the feed writes.
    static ptrdiff_t numbers(const Job& job) {
        const ptrdiff_t step = kStep * kLanes<T>;
        return (job.classes * padding(job.tile) + step - 1) / step * step;
    }
    static size_t held_bytes(const Job& job) { return whole_lines(numbers(job) * sizeof(T)); }
    static size_t sum_bytes(const Job& job) {
        return job.grid.backward ? whole_lines(numbers(job) * sizeof(double)) : 0;
    }
    // A source row of one class, for as many classes as a vector has lanes where gradients go back.
    static size_t row_bytes(const Job& job) {
        const ptrdiff_t classes = job.grid.backward ? kLanes<double> : 1;
        return whole_lines((job.grid.columns + 2 * kLanes<double> + 2) * classes * sizeof(double));
    }
    // The feed may write a little past the last class: the rows of the workspace follow there.
    static size_t bytes(const Job& job) {
        return Workspace<T, 1>::bytes(job) + 3 * held_bytes(job) + 2 * sum_bytes(job) + 2 * row_bytes(job) +
               Columns::bytes(job);
    }

    template <class Work>
    static void for_tiles(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch, Work work) {
        Resampled source(job, scratch);
        for (ptrdiff_t item = begin; item < end; ++item) source.run_item(item, work);
    }

    // The gradient of the tile's logits, result(k, p), spread over the source's rows.
    template <class Result>
    void store_gradient(Tile<T>& t, Result result) {
        const Axis& rows = grid_.row;
        const ptrdiff_t low = rows.lower[y_];
        const double weight = rows.weight[y_];
        hold_gradient(low, weight != 0);
        if (weight == 0)
            add_gradient<false>(t, weight, result);
        else
            add_gradient<true>(t, weight, result);
    }

   private:
    template <bool two, class Result>
    void add_gradient(const Tile<T>& t, double weight, Result result) {
        for (ptrdiff_t k = 0; k < t.classes; ++k)
            for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
                const Vec<T> grad = result(k, p);
#pragma GCC unroll 2
                for (int i = 0; i < kParts<T>; ++i) {
                    const Vec<double> g = part(grad, i);
                    const ptrdiff_t at = k * t.ld + p + i * kLanes<double>;
                    double* lower = gradient_[0].z + at;
                    store(lower, fma(splat(1 - weight), g, load<Vec<double>>(lower)));
                    if (!two) continue;
                    double* upper = gradient_[1].z + at;
                    store(upper, fma(splat(weight), g, load<Vec<double>>(upper)));
                }
            }
    }

    Resampled(const Job& job, char* scratch) : job_(job), grid_(job.grid) {
        for (int turn = 0; turn < 2; ++turn) tiles_[turn] = Workspace<T, 1>::tile(job, scratch, 0, turn);
        scratch += Workspace<T, 1>::bytes(job);
        const auto take = [&](size_t bytes) {
            char* taken = scratch;
            scratch += bytes;
            return taken;
        };
        for (auto& held : held_) held = {(T*)take(held_bytes(job)), -1, true};
        difference_ = (T*)take(held_bytes(job));
        for (auto& held : held_)
            for (ptrdiff_t i = job.classes * padding(job.tile); i < numbers(job); ++i)
                held.z[i] = difference_[i] = 0;
        for (auto& sum : gradient_) sum = {(double*)take(sum_bytes(job)), -1};
        for (auto& row : rows_) row = (double*)take(row_bytes(job));
        columns_.place(scratch, job);
    }

    // Items are (what lies before the grid, plane, band, strip), the last fastest; where gradients go
    // back, (what lies before the grid, every other band) with all planes and strips.
    template <class Work>
    void run_item(ptrdiff_t item, Work& work) {
        const Grid& g = grid_;
        if (!g.backward) {
            const ptrdiff_t strip = item % g.strips, rest = item / g.strips;
            const ptrdiff_t band = rest % g.band_count, planes = rest / g.band_count;
            move_outer(planes / g.plane.size);
            run_strip(planes % g.plane.size, band, strip, work);
            return;
        }
        const ptrdiff_t bands = (g.band_count - g.parity + 1) / 2;
        move_outer(item / bands);
        for (ptrdiff_t strip = 0; strip < g.strips; ++strip)
            for (ptrdiff_t z = 0; z < g.plane.size; ++z)
                run_strip(z, item % bands * 2 + g.parity, strip, work);
    }

    // To the index-th of what lies before the grid.
    void move_outer(ptrdiff_t index) {
        const Walk& w = job_.walk;
        for (ptrdiff_t& offset : outer_) offset = 0;
        for (int d = w.ndim - 4; d >= 0; --d) {
            for (int o = 0; o < kMaxOperands; ++o) outer_[o] += index % w.size[d] * w.stride[o][d];
            index /= w.size[d];
        }
    }

    template <class Work>
    void run_strip(ptrdiff_t z, ptrdiff_t band, ptrdiff_t strip, Work& work) {
        z_ = z;
        const ptrdiff_t from = strip * job_.tile, left = grid_.column.size - from;
        columns_.move_to(grid_.column, from, left < job_.tile ? left : job_.tile);
        held_[0].row = held_[1].row = -1;
        const ptrdiff_t last = grid_.bands[band + 1];
        int turn = 0;
        y_ = grid_.bands[band];
        fill_next(tiles_[0], y_);
        for (;; ++y_) {
            Tile<T>&now = tiles_[turn], &next = tiles_[1 - turn];
            Feed feed;
            const bool more = y_ + 1 < last;
            if (more && holds(y_ + 1)) {
                place(next, y_ + 1);
                feed.start(blend(y_ + 1), next.z, numbers(job_));
            }
            work(*this, &now, &feed);
            if (!more) break;
            if (feed.active())
                feed.finish();
            else
                fill_next(next, y_ + 1);
            turn = 1 - turn;
        }
        if (grid_.backward) release_gradients();
    }

    // Where the strip's row y lies in the operands of the output's size.
    void place(Tile<T>& t, ptrdiff_t y) {
        const Walk& w = job_.walk;
        const int d = w.ndim - 3;
        t.count = columns_.count;
        t.padded = (t.count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
        t.segment_count = 1;
        t.segments[0].length = t.count;
        for (int o = 1; o < kMaxOperands; ++o)
            t.segments[0].offset[o] =
                outer_[o] + z_ * w.stride[o][d] + y * w.stride[o][d + 1] + columns_.from * w.stride[o][d + 2];
    }

    // Whether row y of the output lies between rows that are held, all of them finite.
    bool holds(ptrdiff_t y) const {
        const ptrdiff_t low = grid_.row.lower[y];
        if (held_[0].row != low || !held_[0].finite) return false;
        return grid_.row.weight[y] == 0 || (held_[1].row == low + 1 && held_[1].finite && differs_);
    }

    Blend<T> blend(ptrdiff_t y) const {
        const T weight = T(grid_.row.weight[y]);
        if (weight == 0) return {held_[0].z, held_[0].z, held_[0].z, weight, held_[0].finite};
        return {held_[0].z, held_[1].z, difference_, weight, held_[1].finite && held_[0].finite && differs_};
    }

    void fill_next(Tile<T>& t, ptrdiff_t y) {
        const ptrdiff_t low = grid_.row.lower[y];
        if (held_[0].row != low) {
            if (held_[1].row == low) {
                const HeldRow<T> upper = held_[1];
                held_[1] = held_[0];
                held_[0] = upper;
            } else {
                hold(held_[0], low);
            }
            held_[1].row = -1;
        }
        if (grid_.row.weight[y] != 0 && held_[1].row != low + 1) {
            hold(held_[1], low + 1);
            subtract();
        }
        place(t, y);
        const Blend<T> b = blend(y);
        for (ptrdiff_t i = 0; i < numbers(job_); i += kLanes<T>)
            store(t.z + i, b.finite ? b.at(i) : b.anything_at(i));
    }

    void subtract() {
        Vec<T> odd = {};
        for (ptrdiff_t i = 0; i < job_.classes * tiles_[0].ld; i += kLanes<T>) {
            const Vec<T> d = load<Vec<T>>(held_[1].z + i) - load<Vec<T>>(held_[0].z + i);
            odd += d * 0;
            store(difference_ + i, d);
        }
        differs_ = !any_lane(odd != 0);
    }

    // Source row `row` of the plane at z_, with all classes.
    void hold(HeldRow<T>& held, ptrdiff_t row) {
        const Axis& planes = grid_.plane;
        const double weight = planes.weight[z_];
        const ptrdiff_t offset = outer_[0] + planes.lower[z_] * planes.stride + row * grid_.row.stride +
                                 columns_.first * grid_.column.stride;
        held.row = row;
        held.finite = true;
        for (ptrdiff_t k = 0; k < job_.classes; ++k) {
            const ptrdiff_t at = offset + k * job_.operand[0].class_stride;
            bool finite = read(at, rows_[0]);
            if (weight != 0) {
                finite = read(at + planes.stride, rows_[1]) && finite;
                blend_rows(weight, finite);
            }
            T* out = held.z + k * tiles_[0].ld;
            if (finite)
                columns_.template expand<T, false>(rows_[0], out);
            else
                columns_.template expand<T, true>(rows_[0], out);
            held.finite = held.finite && finite;
        }
    }
    bool read(ptrdiff_t offset, double* out) {
        return read_coarse(job_.operand[0], offset, columns_.needed, grid_.column.stride, out);
    }
    void blend_rows(double weight, bool finite) {
        for (ptrdiff_t i = 0; i < columns_.needed; i += kLanes<double>) {
            const Vec<double> low = load<Vec<double>>(rows_[0] + i), high = load<Vec<double>>(rows_[1] + i);
            const Vec<double> w = splat(weight);
            Vec<double> z = sizeof(T) == 8 ? blend_exactly(low, high, w) : fma(w, high - low, low);
            if (!finite) z = blend_any(z, low, high, w);
            store(rows_[0] + i, z);
        }
    }

    // Gradients of rows `low` and, where `two`, the one above it are taken next.
    void hold_gradient(ptrdiff_t low, bool two) {
        if (gradient_[0].row != low) {
            release(gradient_[0]);
            if (gradient_[1].row == low) {
                const RowGradient upper = gradient_[1];
                gradient_[1] = gradient_[0];
                gradient_[0] = upper;
            } else {
                release(gradient_[1]);
                clear(gradient_[0], low);
            }
        }
        if (two && gradient_[1].row != low + 1) clear(gradient_[1], low + 1);
    }
    void clear(RowGradient& gradient, ptrdiff_t row) {
        gradient.row = row;
        for (ptrdiff_t i = 0; i < numbers(job_); ++i) gradient.z[i] = 0;
    }
    void release_gradients() {
        release(gradient_[0]);
        release(gradient_[1]);
    }

    // Adds a row's gradient to the caller's array, of float32 or float64: along the columns, then to one
    // plane or two.
    void release(RowGradient& gradient) {
        if (gradient.row < 0) return;
        if (job_.operand[job_.output].dtype == DType::float64)
            release_as<double>(gradient);
        else
            release_as<float>(gradient);
        gradient.row = -1;
    }
    template <class G>
    void release_as(const RowGradient& gradient) {
        const Operand& a = job_.operand[job_.output];
        const int d = job_.walk.ndim - 3;
        const ptrdiff_t* stride = job_.walk.stride[job_.output] + d;
        const double weight = grid_.plane.weight[z_];
        constexpr int lanes = kLanes<double>;
        for (ptrdiff_t k = 0; k < job_.classes; ++k) {
            if (k % lanes == 0) gather_columns(gradient.z, k);
            G* out = (G*)a.data + outer_[job_.output] + k * a.class_stride + gradient.row * stride[1] +
                     grid_.plane.lower[z_] * stride[0] + columns_.first * stride[2];
            for (ptrdiff_t i = 0; i < columns_.needed; ++i, out += stride[2]) {
                const double sum = rows_[0][i * lanes + k % lanes];
                *out = G(double(*out) + (1 - weight) * sum);
                if (weight != 0) out[stride[0]] = G(double(out[stride[0]]) + weight * sum);
            }
        }
    }
    // The transpose of Columns::expand for as many classes, from k, as a vector has lanes: rows_[0] <-
    // source column after source column, all these classes of each.
    void gather_columns(const double* z, ptrdiff_t k) {
        constexpr int lanes = kLanes<double>;
        const ptrdiff_t ld = tiles_[0].ld;
        for (ptrdiff_t i = 0; i <= columns_.needed; ++i) store(rows_[0] + i * lanes, Vec<double>{});
        for (ptrdiff_t i = 0; i < columns_.count; i += lanes) {
            Vec<double> v[lanes];
#pragma GCC unroll 8
            for (int j = 0; j < lanes; ++j)
                v[j] = k + j < job_.classes ? load<Vec<double>>(z + (k + j) * ld + i) : Vec<double>{};
            transpose<double>(v);
            for (ptrdiff_t j = 0; j < lanes && i + j < columns_.count; ++j) {
                const double weight = columns_.weight[i + j];
                double* to = rows_[0] + columns_.lower[i + j] * lanes;
                store(to, load<Vec<double>>(to) + (1 - weight) * v[j]);
                if (weight != 0) store(to + lanes, load<Vec<double>>(to + lanes) + weight * v[j]);
            }
        }
    }

    const Job& job_;
    const Grid& grid_;
    Tile<T> tiles_[2];
    HeldRow<T> held_[2];
    T* difference_;
    bool differs_ = true;
    RowGradient gradient_[2];
    double* rows_[2];
    Columns columns_;
    ptrdiff_t outer_[kMaxOperands];
    ptrdiff_t z_ = 0, y_ = 0;
};

}  // namespace
