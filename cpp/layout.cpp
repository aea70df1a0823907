#include "layout.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "dispatch.h"
#include "parallel.h"

namespace softmax2d {
namespace {

constexpr ptrdiff_t kMostTileBytes = 1 << 20;  // of the tiles that fill, whatever the classes
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
    const Operand& out = job.operand[job.operand[2].data ? 2 : 1];
    const int size = out.dtype == DType::float64 ? 8 : out.dtype == DType::float32 ? 4 : 2;
    return ptrdiff_t(reinterpret_cast<uintptr_t>(out.data) % 64 / size);
}

struct Call {
    const Job* job;
    Kernel kernel;
};

void run_chunk(const void* context, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
    const Call& call = *static_cast<const Call*>(context);
    const ptrdiff_t lead = call.job->lead;
    call.kernel(*call.job, std::max<ptrdiff_t>(begin - lead, 0), end - lead, scratch);
}

}  // namespace

void lay_out(Job& job, const Array* arrays, int count, int axis, bool pixels_in_order) {
    Walk& w = job.walk;
    w = Walk{};
    for (int o = 0; o < count; ++o) {
        const Array& a = arrays[o];
        job.operand[o] = {a.data, a.stride[axis], a.dtype, a.swapped};
    }
    job.classes = arrays[0].shape[axis];
    const long double most = std::log(static_cast<long double>(job.classes));
    job.most_entropy = static_cast<double>(most);
    if (job.most_entropy > most) job.most_entropy = std::nextafter(job.most_entropy, 0.0);
    w.pixels = 1;
    for (int d = 0; d < arrays[0].ndim; ++d) {
        if (d == axis) continue;
        w.size[w.ndim] = arrays[0].shape[d];
        for (int o = 0; o < count; ++o) w.stride[o][w.ndim] = arrays[o].stride[d];
        w.pixels *= w.size[w.ndim++];
    }
    if (pixels_in_order) {
        ptrdiff_t step = 1;
        for (int d = w.ndim - 1; d >= 0; --d) {
            w.stride[count][d] = step;
            step *= w.size[d];
        }
    }
    sort_axes(w);
    merge_axes(w);
}

void run(Job& job, Kernel kernel, size_t result_bytes) {
    if (job.walk.pixels == 0 || job.classes == 0) return;
    const int size = job.operand[0].dtype == DType::float64 ? 8 : 4;
    const ptrdiff_t pixel_bytes = (job.classes + 2 * job.segment.top_k) * size;
    const int arrays = job.operand[2].data ? 2 : 1;
    const auto pixels_in = [&](ptrdiff_t bytes, ptrdiff_t step) {
        return bytes / arrays / pixel_bytes / step * step;
    };
    job.stream = result_bytes >= kStreamBytes;
    // Rows of 128 pixels at least, while that many fit. Long rows suit results that go to memory; where
    // there are none, tiles that come near to fitting L1 do better (19 x 1024 x 2048, labels and
    // confidence: 8.9 ms with 384 pixels, 10.8 with 2048).
    const ptrdiff_t widest = job.stream ? 2048 : 384;
    ptrdiff_t tile = std::clamp<ptrdiff_t>(pixels_in(tile_bytes(), 64), 128, widest);
    tile = std::min(tile, std::max<ptrdiff_t>(pixels_in(kMostTileBytes, 16), 16));

    const ptrdiff_t logits = job.walk.pixels * job.classes;
    const int threads = int(std::min<ptrdiff_t>(num_threads(), std::max<ptrdiff_t>(logits / kPerThread, 1)));
    // No tile is wider than a thread's share.
    const ptrdiff_t share = (job.walk.pixels + threads - 1) / threads;
    job.tile = std::min<ptrdiff_t>(tile, (share + 63) / 64 * 64);
    // Chunks of whole tiles, at least a few for each thread so that a slow one holds up little.
    const ptrdiff_t tiles = (job.walk.pixels + job.tile - 1) / job.tile;
    const ptrdiff_t chunk = std::clamp<ptrdiff_t>(tiles / (threads * 8), 1, 32);
    job.lead = job.stream ? lead(job) % job.tile : 0;
    const Call call{&job, kernel};
    const ptrdiff_t items = job.walk.pixels + job.lead;
    parallel_for(items, threads == 1 ? items : chunk * job.tile, threads, kernels().scratch_bytes(job),
                 run_chunk, &call);
}

}  // namespace softmax2d
