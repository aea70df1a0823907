#include "layout.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "dispatch.h"
#include "parallel.h"

namespace softmax2d {
namespace {

constexpr ptrdiff_t kMostTileBytes = 1 << 20;  // of the tiles that fill, whatever the classes
constexpr ptrdiff_t kWidestStrip = 256;        // of a grid: 384 and 512 take up to 10 % longer
constexpr ptrdiff_t kMostColumns = 1 << 13;    // of the source under a strip, where a strip has more than 16
constexpr ptrdiff_t kPerThread = 1 << 15;      // logits that are worth waking a thread for
constexpr size_t kStreamBytes = 4 << 20;       // results from here on are stored past the caches

// Bytes of a tile: there are two for each array read, and they should leave L2 room for the rest.
// Measured at 150 x 512 x 512 with 2 MiB of L2: softmax takes 2.2 copies with 96 KiB, 1.6 with 192,
// 1.4 with 400 (longer rows suit the memory), no less with 800.
ptrdiff_t tile_bytes() {
    static const ptrdiff_t bytes = [] {
        long l2 = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
        l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
        return std::clamp<ptrdiff_t>(l2 > 0 ? l2 / 6 : 0, 96 * 1024, 384 * 1024);
    }();
    return bytes;
}

// Fastest axis last: by the first operand's strides, but only where pixels need no order of their own.
void sort_axes(Walk& w) {
    auto size = [&](int d) { return std::abs(w.stride[0][d]); };
    for (int i = 1; i < w.ndim; ++i)
        for (int d = i; d > 0 && size(d - 1) < size(d); --d) {
            std::swap(w.size[d - 1], w.size[d]);
            for (auto& stride : w.stride) std::swap(stride[d - 1], stride[d]);
        }
}

// Joins neighbouring axes that every operand steps through as one.
void merge_axes(Walk& w) {
    int kept = 0;
    for (int d = 0; d < w.ndim; ++d) {
        if (w.size[d] == 1) continue;
        bool joins = kept > 0;
        for (auto& stride : w.stride) joins = joins && stride[kept - 1] == stride[d] * w.size[d];
        if (joins) {
            w.size[kept - 1] *= w.size[d];
            for (auto& stride : w.stride) stride[kept - 1] = stride[d];
        } else {
            w.size[kept] = w.size[d];
            for (auto& stride : w.stride) stride[kept] = stride[d];
            ++kept;
        }
    }
    if (kept == 0) {  // a single pixel
        w.size[0] = 1;
        for (auto& stride : w.stride) stride[0] = 1;
        kept = 1;
    }
    w.ndim = kept;
}

// Pixels by which the result starts after a cache line's beginning. Tiles that begin with a line
// leave no line to be written by two of them.
ptrdiff_t lead(const Job& job) {
    const Operand& out = job.operand[job.output];
    const int size = out.dtype == DType::float64 ? 8 : out.dtype == DType::float32 ? 4 : 2;
    return ptrdiff_t(reinterpret_cast<uintptr_t>(out.data) % 64 / size);
}

struct Task {
    const Job* job;
    const Kernel* kernel;
};

void run_chunk(const void* context, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    const Task& task = *static_cast<const Task*>(context);
    const ptrdiff_t lead = task.job->lead;
    task.kernel->run(*task.job, std::max<ptrdiff_t>(begin - lead, 0), end - lead, scratch);
}

// Threads that `logits` keep busy.
int threads_for(ptrdiff_t logits) {
    return int(std::min<ptrdiff_t>(num_threads(), std::max<ptrdiff_t>(logits / kPerThread, 1)));
}

// Pixels of a tile: rows of 128 pixels at least, while that many fit. Long rows suit results that go to
// memory; where there are none, tiles that come near to fitting L1 do better (19 x 1024 x 2048, labels and
// confidence: 8.9 ms with 384 pixels, 10.8 with 2048).
ptrdiff_t tile_pixels(const Job& job, int arrays) {
    const int size = job.operand[0].dtype == DType::float64 ? 8 : 4;
    const ptrdiff_t pixel_bytes = (job.classes + job.numbers) * size;
    const auto pixels_in = [&](ptrdiff_t bytes, ptrdiff_t step) {
        return bytes / arrays / pixel_bytes / step * step;
    };
    const ptrdiff_t widest = job.stream ? 2048 : 384;
    const ptrdiff_t tile = std::clamp<ptrdiff_t>(pixels_in(tile_bytes(), 64), 128, widest);
    return std::min(tile, std::max<ptrdiff_t>(pixels_in(kMostTileBytes, 16), 16));
}

// Rows at which bands begin, and the end. A band keeps all output rows between two source rows together and
// has enough of them that interpolating its first source rows anew weighs little.
std::vector<ptrdiff_t> bands_of(const Axis& rows) {
    const ptrdiff_t least = std::clamp<ptrdiff_t>(rows.size / 16, 8, 64);
    std::vector<ptrdiff_t> bands = {0};
    for (ptrdiff_t y = 1; y < rows.size; ++y)
        if (y - bands.back() >= least && rows.lower[y] != rows.lower[y - 1]) bands.push_back(y);
    bands.push_back(rows.size);
    return bands;
}

// Most source columns that a strip of `width` needs.
ptrdiff_t most_columns(const Axis& columns, ptrdiff_t width) {
    ptrdiff_t most = 0;
    for (ptrdiff_t x = 0; x < columns.size; x += width) {
        const ptrdiff_t last = std::min(x + width, columns.size) - 1;
        most = std::max(most, columns.lower[last] + 2 - columns.lower[x]);
    }
    return most;
}

void run_on_grid(Job& job, const Kernel& kernel) {
    Grid& grid = job.grid;
    // Three source rows are held beside the two tiles, and two sums of gradients.
    const ptrdiff_t widest =
        std::min({tile_pixels(job, grid.backward ? 3 : 2), kWidestStrip, grid.column.size});
    for (ptrdiff_t width = widest;; width /= 2) {
        grid.strips = (grid.column.size + width - 1) / width;
        job.tile = ((grid.column.size + grid.strips - 1) / grid.strips + 15) / 16 * 16;
        grid.strips = (grid.column.size + job.tile - 1) / job.tile;
        grid.columns = most_columns(grid.column, job.tile);
        if (grid.columns <= kMostColumns || width <= 16) break;
    }
    const std::vector<ptrdiff_t> bands = bands_of(grid.row);
    grid.bands = bands.data();
    grid.band_count = ptrdiff_t(bands.size()) - 1;
    job.lead = 0;
    const ptrdiff_t pixels = grid.plane.size * grid.row.size * grid.column.size;
    const ptrdiff_t outer = job.walk.pixels / pixels;
    const int threads = threads_for(job.walk.pixels * job.classes);
    const size_t scratch = kernel.scratch_bytes(job);
    const Task task{&job, &kernel};
    if (!grid.backward) {
        const ptrdiff_t items = outer * grid.plane.size * grid.band_count * grid.strips;
        const ptrdiff_t grain = 1 + job.least * grid.band_count / (grid.row.size * job.tile);
        parallel_for(items, threads == 1 ? items : grain, threads, scratch, run_chunk, &task);
        return;
    }
    // Neighbouring bands share a source row: every other one first, then the rest.
    for (grid.parity = 0; grid.parity < 2; ++grid.parity) {
        const ptrdiff_t items = outer * ((grid.band_count - grid.parity + 1) / 2);
        if (items) parallel_for(items, threads == 1 ? items : 1, threads, scratch, run_chunk, &task);
    }
}

}  // namespace

void lay_out(Job& job, const Array* arrays, int reads, const Array* result, int axis, bool pixels_in_order,
             const Resampling* resampling, bool backward) {
    Walk& w = job.walk;
    w = Walk{};
    job.reads = reads;
    job.pixels = pixels_in_order ? reads : 0;
    const int operands = reads + pixels_in_order;
    job.output = result ? operands : 0;
    const auto array_of = [&](int o) -> const Array* {
        return o < reads ? &arrays[o] : o == job.output ? result : nullptr;
    };
    const int count = operands + (result != nullptr);
    for (int o = 0; o < count; ++o) {
        const Array* a = array_of(o);
        if (!a) continue;
        if (a->ndim != arrays[0].ndim || a->shape[axis] != arrays[0].shape[axis])
            throw std::invalid_argument("arrays of different shapes");
        job.operand[o] = {a->data, a->stride[axis], a->dtype, a->swapped};
    }
    job.classes = arrays[0].shape[axis];
    w.pixels = 1;
    const int ndim = arrays[0].ndim, resampled = resampling ? resampling->ndim : 0;
    // Of the axes beside the class axis, those from here on are resampled.
    const int first = ndim - 1 - resampled;
    const auto add = [&](ptrdiff_t size) {
        w.size[w.ndim] = size;
        w.pixels *= size;
        return w.ndim++;
    };
    for (int d = 0, place = 0; place < ndim - 1; ++d) {
        if (d == axis) continue;
        // Planes and rows of an image that has none.
        for (int missing = 3 - resampled; resampling && place == first && missing > 0; --missing) add(1);
        const int at = add(place < first ? arrays[0].shape[d] : resampling->axes[place - first].size);
        for (int o = 0; o < count; ++o) {
            const Array* a = array_of(o);
            if (!a) continue;
            // Those of the source's size: itself, and its gradient.
            const bool source = o == 0 || (o == job.output && (backward || !resampling));
            if (a->shape[d] != (source ? arrays[0].shape[d] : w.size[at]))
                throw std::invalid_argument("arrays of different shapes");
            w.stride[o][at] = a->stride[d];
        }
        ++place;
    }
    if (pixels_in_order) {
        ptrdiff_t step = 1;
        for (int d = w.ndim - 1; d >= 0; --d) {
            w.stride[job.pixels][d] = step;
            step *= w.size[d];
        }
    }
    if (!resampling) {
        sort_axes(w);
        merge_axes(w);
        return;
    }
    static const int64_t none[1] = {0};
    static const double whole[1] = {0};
    Axis* axes[] = {&job.grid.plane, &job.grid.row, &job.grid.column};
    for (int i = 0; i < 3; ++i) {
        const int from = i - (3 - resampled);
        *axes[i] = from < 0 ? Axis{none, whole, 1, 1, 0} : resampling->axes[from];
        axes[i]->stride = from < 0 ? 0 : w.stride[0][w.ndim - 3 + i];
    }
    job.grid.active = true;
    job.grid.backward = backward;
}

void run(Job& job, const Kernel& kernel, size_t result_bytes) {
    if (job.walk.pixels == 0 || job.classes == 0) return;
    const Needs needs = kernel.needs(job);
    job.numbers = needs.numbers;
    job.least = needs.least;
    job.stream = job.output && result_bytes >= kStreamBytes && !job.grid.backward;
    if (job.grid.active) return run_on_grid(job, kernel);
    const int threads = threads_for(job.walk.pixels * job.classes);
    // No tile is wider than a thread's share.
    const ptrdiff_t share = (job.walk.pixels + threads - 1) / threads;
    job.tile = std::min<ptrdiff_t>(tile_pixels(job, job.reads), (share + 63) / 64 * 64);
    // Chunks of whole tiles, at least a few for each thread so that a slow one holds up little.
    const ptrdiff_t tiles = (job.walk.pixels + job.tile - 1) / job.tile;
    const ptrdiff_t chunk =
        std::max(std::clamp<ptrdiff_t>(tiles / (threads * 8), 1, 32), (job.least + job.tile - 1) / job.tile);
    job.lead = job.stream ? lead(job) % job.tile : 0;
    const Task task{&job, &kernel};
    const ptrdiff_t items = job.walk.pixels + job.lead;
    parallel_for(items, threads == 1 ? items : chunk * job.tile, threads, kernel.scratch_bytes(job),
                 run_chunk, &task);
}

}  // namespace softmax2d
