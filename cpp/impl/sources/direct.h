// The direct source: fills a tile from an array of any strides, then applies the affine map.
//
// Memory traffic: each logit is read once from memory and written once to the tile, in cache.
#pragma once
#include "../tiles/store.h"

namespace {

// S: stored type; T: type of the tile.
template <class S, class T>
inline void fill_strided(const S* src, ptrdiff_t class_stride, ptrdiff_t pixel_stride, bool swapped,
                         Tile<T>& t, ptrdiff_t at, ptrdiff_t n) {
    for (ptrdiff_t k = 0; k < t.classes; ++k) {
        const S* p = src + k * class_stride;
        T* row = t.z + k * t.ld + at;
        for (ptrdiff_t i = 0; i < n; ++i) {
            using U = typename VecBits<sizeof(S)>::type;
            U u;
            std::memcpy(&u, p + i * pixel_stride, sizeof u);
            row[i] = widen(bits_as<S>(swapped ? swap_bytes(u) : u));
        }
    }
}

template <class S, class T>
inline void fill(Tile<T>& t, const Job& job, int o) {
    const Operand& a = job.operand[o];
    const ptrdiff_t pixel_stride = job.walk.stride[o][job.walk.ndim - 1];
    ptrdiff_t at = 0;
    for (ptrdiff_t i = 0; i < t.segment_count; ++i) {
        const Segment& s = t.segments[i];
        const S* src = (const S*)a.data + s.offset[o];
        if (a.swapped)
            fill_strided(src, a.class_stride, pixel_stride, true, t, at, s.length);
        else if (pixel_stride == 1 || s.length == 1)
            for (ptrdiff_t k = 0; k < t.classes; ++k)
                read_row(src + k * a.class_stride, t.z + k * t.ld + at, s.length);
        else if (a.class_stride == 1 && sizeof(T) == sizeof(widen(S())))
            fill_transposed(src, pixel_stride, t, at, s.length);
        else
            fill_strided(src, a.class_stride, pixel_stride, false, t, at, s.length);
        at += s.length;
    }
    // Lanes past the last pixel: any number that takes no detour.
    for (ptrdiff_t k = 0; k < t.classes; ++k)
        for (ptrdiff_t i = t.count; i < t.padded; ++i) t.z[k * t.ld + i] = 0;
}

constexpr int kStep = 4;

// Fills the next tile a few vectors at a time, between the instructions of this tile's arithmetic: memory
// and arithmetic overlap, and nothing waits in a cache that the next class's row, often a power of
// two away, would throw out again. A few rows further on are asked for in advance.
template <class S, class T>
class Feeder {
   public:
    // Feeds `t`, which has been moved to its pixels, if they lie side by side in memory.
    void start(const Job& job, int o, const Tile<T>& t) {
        if constexpr (sizeof(T) > sizeof(widen(S()))) return;  // no vector of S is as long as one of T
        const Operand& a = job.operand[o];
        if (a.swapped || job.walk.stride[o][job.walk.ndim - 1] != 1 || t.segment_count != 1 ||
            t.count % (kStep * kLanes<T>))
            return;
        src_ = (const S*)a.data + t.segments[0].offset[o];
        dst_ = t.z;
        class_stride_ = a.class_stride;
        ld_ = t.ld;
        columns_ = t.count;
        classes_ = t.classes;
        const ptrdiff_t rows = 1 + kAhead / (t.count * ptrdiff_t(sizeof(T)));
        rows_ahead_ = rows < classes_ ? rows : classes_;
        point_ahead();
    }
    bool active() const { return columns_ > 0; }
    // kStep vectors of one class.
    inline void step() {
        if (class_ == classes_) return;
#pragma GCC unroll 4
        for (int i = 0; i < kStep; ++i) {
            const ptrdiff_t at = column_ + i * kLanes<T>;
            if constexpr (sizeof(T) == sizeof(widen(S()))) store(dst_ + at, read_vector(src_ + at));
            __builtin_prefetch(ahead_ + at, 0, 2);
        }
        column_ += kStep * kLanes<T>;
        if (column_ < columns_) return;
        column_ = 0;
        ++class_;
        src_ += class_stride_;
        dst_ += ld_;
        point_ahead();
    }
    void finish() {
        while (class_ < classes_) step();
    }

   private:
    static constexpr ptrdiff_t kAhead = 4096;  // bytes of tile: about the latency of memory

    // Past the last class: the first ones of the tile after, which lies behind this one.
    void point_ahead() {
        const ptrdiff_t k = class_ + rows_ahead_;
        ahead_ = k < classes_ ? src_ + rows_ahead_ * class_stride_
                              : src_ + (rows_ahead_ - classes_) * class_stride_ + columns_;
    }

    const S* src_ = nullptr;
    const S* ahead_ = nullptr;
    T* dst_ = nullptr;
    ptrdiff_t column_ = 0, columns_ = 0, class_ = 0, classes_ = 0;
    ptrdiff_t class_stride_ = 0, ld_ = 0, rows_ahead_ = 0;
};

// Logits as they lie in memory: the first `arrays` operands, stored as S.
template <class S, class T, int arrays = 1>
class Direct {
   public:
    using Stored = S;
    using Number = T;
    using Feed = Feeder<S, T>;

    static size_t bytes(const Job& job) { return Workspace<T, arrays>::bytes(job); }

    // Walks the tiles of pixels [begin, end): work(source, tiles, feeds) gets a tile of each array and
    // what feeds their successors.
    template <class Work>
    static void for_tiles(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch, Work work) {
        Direct source{job};
        Tile<T> tiles[2][arrays];
        for (int o = 0; o < arrays; ++o)
            for (int turn = 0; turn < 2; ++turn)
                tiles[turn][o] = Workspace<T, arrays>::tile(job, scratch, o, turn);
        int turn = 0;
        for (int o = 0; o < arrays; ++o) {
            move_to(tiles[0][o], job, begin, end);
            fill<S>(tiles[0][o], job, o);
        }
        for (;;) {
            Tile<T>*now = tiles[turn], *next = tiles[1 - turn];
            Feed feeds[arrays];
            begin += now[0].count;
            if (begin < end)
                for (int o = 0; o < arrays; ++o) {
                    move_to(next[o], job, begin, end);
                    feeds[o].start(job, o, next[o]);
                }
            work(source, now, feeds);
            if (begin >= end) return;
            for (int o = 0; o < arrays; ++o) {
                if (feeds[o].active())
                    feeds[o].finish();
                else
                    fill<S>(next[o], job, o);
            }
            turn = 1 - turn;
        }
    }

    // The gradient of the tile's logits, result(k, p), to where it belongs.
    template <class Result>
    void store_gradient(Tile<T>& t, Result result) const {
        store_classes<S>(t, job, job.output, result);
    }

    const Job& job;
};

// A bias for all of a row, or one for each of its pixels.
struct OneBias {
    double value;
    inline double operator[](ptrdiff_t) const { return value; }
    inline Vec<double> at(ptrdiff_t) const { return splat(value); }
};
struct EachBias {
    const double* values;
    inline double operator[](ptrdiff_t i) const { return values[i]; }
    inline Vec<double> at(ptrdiff_t i) const { return load<Vec<double>>(values + i); }
};

// z <- z / temperature + bias over one row, rounded once.
template <class Bias>
inline void map_row(float* row, ptrdiff_t n, double high, double, Bias bias) {
    for (ptrdiff_t i = 0; i < n; ++i) row[i] = float(double(row[i]) * high + bias[i]);
}
template <class Bias>
inline void map_row(double* row, ptrdiff_t n, double high, double low, Bias biases) {
    constexpr int lanes = kLanes<double>;
    for (ptrdiff_t i = 0; i < n; i += lanes) {
        const Vec<double> z = load<Vec<double>>(row + i), bias = biases.at(i);
        Vec<double> product = z * high;
        Vec<double> tail = product_tail<double>(z, splat(high), product) + z * low;
        Vec<double> sum = product + bias;
        Vec<double> t = sum - product;
        Vec<double> exact = sum + ((product - (sum - t)) + (bias - t) + tail);
        // Where a part overflowed or was infinite, its tail is no number: keep the plain sum.
        store(row + i, exact - exact == 0 ? exact : sum);
    }
}

// One row of logits of any classes, where the map is the same for all.
template <class T>
inline void map_like_first(const Tile<T>& t, const Affine& a, T* row) {
    map_row(row, t.padded, a.factor_high[0], a.factor_low[0], OneBias{a.bias[0]});
}

template <class T>
inline void apply_affine(Tile<T>& t, const Affine& a) {
    for (ptrdiff_t k = 0; k < t.classes; ++k)
        map_row(t.z + k * t.ld, t.padded, a.factor_high[k], a.factor_low[k], OneBias{a.bias[k]});
}

}  // namespace
