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
#include "spread.h"

namespace {

// One source row with all its classes, at the strip's columns.
template <class T>
struct HeldRow {
    T* z;
    ptrdiff_t row;  // of the source; -1: nothing is held
    bool finite;
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
    static size_t row_bytes(const Job& job) {
        return whole_lines((job.grid.columns + 2 * kLanes<double> + 2) * sizeof(double));
    }
    static size_t bytes(const Job& job) {
        return Workspace<T, 1>::bytes(job) + 3 * held_bytes(job) + 2 * row_bytes(job) + Columns::bytes(job) +
               Spread::bytes(job);
    }

    template <class Work>
    static void for_tiles(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch, Work work) {
        Resampled source(job, scratch);
        for (ptrdiff_t item = begin; item < end; ++item) source.run_item(item, work);
    }

    // result(k, p) of the tile's classes, to the output.
    template <class Result>
    void store_result(Tile<T>& t, Result result) const {
        store_any_classes(t, job_, job_.output, result);
    }
    // The gradient of the tile's logits, result(k, p), spread over the source's rows.
    template <class Result>
    void store_gradient(Tile<T>& t, Result result) {
        spread_.add(t, y_, result);
    }

   private:
    Resampled(const Job& job, char* scratch)
        : job_(job), grid_(job.grid), spread_(job, columns_, scratch + bytes(job) - Spread::bytes(job)) {
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
        if (grid_.backward) spread_.move_to(outer_[job_.output], z);
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
        if (grid_.backward) spread_.release();
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
        const double weight = grid_.row.weight[y];
        const T *low = held_[0].z, *high = weight == 0 ? low : held_[1].z;
        const bool finite = held_[0].finite && (weight == 0 || (held_[1].finite && differs_));
        return Blend<T>::of(low, high, weight == 0 ? low : difference_, weight, finite);
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

    const Job& job_;
    const Grid& grid_;
    Tile<T> tiles_[2];
    HeldRow<T> held_[2];
    T* difference_;
    bool differs_ = true;
    double* rows_[2];
    Columns columns_;
    Spread spread_;
    ptrdiff_t outer_[kMaxOperands];
    ptrdiff_t z_ = 0, y_ = 0;
};

}  // namespace
