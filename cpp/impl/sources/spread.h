// The way back of gradients: the exact transpose of the interpolation.
//
// The gradients of all output rows that lean on a source row are added up, weighted, in float64, with all
// their columns; when no more are to come, the columns are added up to the source's, and these to the
// caller's array, in one plane or two. One thread does so for a whole band, from left to right and row after
// row, so that the order of additions is always the same.
//
// Memory traffic: the source's gradient is read and written about once for each plane and strip.
#pragma once
#include "columns.h"

namespace {

class Spread {
   public:
    static size_t sum_bytes(const Job& job) {
        return whole_lines(job.classes * padding(job.tile) * sizeof(double));
    }
    // One source row of as many classes as a vector has lanes.
    static size_t row_bytes(const Job& job) {
        return whole_lines((job.grid.columns + 1) * kLanes<double> * sizeof(double));
    }
    static size_t bytes(const Job& job) {
        return job.grid.backward ? 2 * sum_bytes(job) + row_bytes(job) : 0;
    }

    Spread(const Job& job, const Columns& columns, char* scratch) : job_(job), columns_(columns) {
        for (auto& held : held_) {
            held = {(double*)scratch, -1};
            scratch += sum_bytes(job);
        }
        row_ = (double*)scratch;
    }

    // To a strip of a plane; `offset`: of what lies before the grid, in the caller's gradient.
    void move_to(ptrdiff_t offset, ptrdiff_t plane) {
        offset_ = offset;
        plane_ = plane;
    }

    // Takes the gradient of output row y, result(k, p).
    template <class T, class Result>
    void add(const Tile<T>& t, ptrdiff_t y, Result result) {
        const ptrdiff_t low = job_.grid.row.lower[y];
        const double weight = job_.grid.row.weight[y];
        hold(low, weight != 0);
        if (weight == 0)
            add_row<false>(t, weight, result);
        else
            add_row<true>(t, weight, result);
    }

    // Hands out what is held: no more is to come.
    void release() {
        release(held_[0]);
        release(held_[1]);
    }

   private:
    struct Held {
        double* z;
        ptrdiff_t row;  // of the source; -1: nothing is held
    };

    template <bool two, class T, class Result>
    void add_row(const Tile<T>& t, double weight, Result result) {
        for (ptrdiff_t k = 0; k < t.classes; ++k)
            for (ptrdiff_t p = 0; p < t.padded; p += kLanes<T>) {
                const Vec<T> grad = result(k, p);
#pragma GCC unroll 2
                for (int i = 0; i < kParts<T>; ++i) {
                    const Wide g = part(grad, i);
                    const ptrdiff_t at = k * t.ld + p + i * kLanes<double>;
                    double *lower = held_[0].z + at, *upper = held_[1].z + at;
                    store(lower, fma(splat(1 - weight), g, load<Wide>(lower)));
                    if (two) store(upper, fma(splat(weight), g, load<Wide>(upper)));
                }
            }
    }

    // Rows `low` and, where `two`, the one above it come next.
    void hold(ptrdiff_t low, bool two) {
        if (held_[0].row != low) {
            release(held_[0]);
            if (held_[1].row == low) {
                const Held upper = held_[1];
                held_[1] = held_[0];
                held_[0] = upper;
            } else {
                release(held_[1]);
                clear(held_[0], low);
            }
        }
        if (two && held_[1].row != low + 1) clear(held_[1], low + 1);
    }
    void clear(Held& held, ptrdiff_t row) {
        held.row = row;
        std::memset(held.z, 0, sum_bytes(job_));
    }
    void release(Held& held) {
        if (held.row < 0) return;
        if (job_.operand[job_.output].dtype == DType::float64)
            add_to<double>(held);
        else
            add_to<float>(held);
        held.row = -1;
    }

    // Adds a row to the caller's array of G.
    template <class G>
    void add_to(const Held& held) {
        const Operand& a = job_.operand[job_.output];
        const ptrdiff_t* stride = job_.walk.stride[job_.output] + job_.walk.ndim - 3;
        const Axis& planes = job_.grid.plane;
        const double weight = planes.weight[plane_];
        constexpr int lanes = kLanes<double>;
        for (ptrdiff_t k = 0; k < job_.classes; ++k) {
            if (k % lanes == 0) gather(held.z, k);
            G* out = (G*)a.data + offset_ + k * a.class_stride + held.row * stride[1] +
                     planes.lower[plane_] * stride[0] + columns_.first * stride[2];
            for (ptrdiff_t i = 0; i < columns_.needed; ++i, out += stride[2]) {
                const double sum = row_[i * lanes + k % lanes];
                *out = G(double(*out) + (1 - weight) * sum);
                if (weight != 0) out[stride[0]] = G(double(out[stride[0]]) + weight * sum);
            }
        }
    }

    // row_ <- source column after source column, of as many classes, from k, as a vector has lanes.
    void gather(const double* z, ptrdiff_t k) {
        constexpr int lanes = kLanes<double>;
        const ptrdiff_t ld = padding(job_.tile);
        for (ptrdiff_t i = 0; i <= columns_.needed; ++i) store(row_ + i * lanes, Wide{});
        for (ptrdiff_t i = 0; i < columns_.count; i += lanes) {
            Wide v[lanes];
#pragma GCC unroll 8
            for (int j = 0; j < lanes; ++j)
                v[j] = k + j < job_.classes ? load<Wide>(z + (k + j) * ld + i) : Wide{};
            transpose<double>(v);
            for (ptrdiff_t j = 0; j < lanes && i + j < columns_.count; ++j) {
                const double weight = columns_.weight[i + j];
                double* to = row_ + columns_.lower[i + j] * lanes;
                store(to, load<Wide>(to) + (1 - weight) * v[j]);
                if (weight != 0) store(to + lanes, load<Wide>(to + lanes) + weight * v[j]);
            }
        }
    }

    const Job& job_;
    const Columns& columns_;
    Held held_[2];
    double* row_;
    ptrdiff_t offset_ = 0, plane_ = 0;
};

}  // namespace
