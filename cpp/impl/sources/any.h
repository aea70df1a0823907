// One source for whatever lies in memory: a sink that uses it is compiled once for each type of the tile,
// not for each stored type and grid.
//
// The work on a tile and the feed of the next one are called through pointers, which costs some percent
// where a pass is short. Such sinks do without, and so do those that store gradients.
#pragma once
#include "direct.h"
#include "resample.h"

namespace {

// What feeds the next tile, of any type: a few steps at a call.
class AnyFeed {
   public:
    template <class Feed>
    explicit AnyFeed(Feed& feed) : feed_(&feed), steps_(step_in<Feed>), left_(feed.active() ? kSteps : -1) {}
    inline void step() {
        if (__builtin_expect(--left_ == 0, 0)) {
            steps_(feed_);
            left_ = kSteps;
        }
    }

   private:
    static constexpr ptrdiff_t kSteps = 8;
    template <class Feed>
    static void step_in(void* feed) {
        for (ptrdiff_t i = 0; i < kSteps; ++i) ((Feed*)feed)->step();
    }

    void* feed_;
    void (*steps_)(void*);
    ptrdiff_t left_;  // steps until the next call; negative where there is nothing to feed
};

template <class T>
class AnySource {
   public:
    using Number = T;

    static size_t bytes(const Job& job) {
        return job.grid.active ? Resampled<T>::bytes(job) : Workspace<T, 1>::bytes(job);
    }

    template <class Work>
    static void for_tiles(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch, Work work) {
        const auto call = [](void* context, Tile<T>& t, AnyFeed& feed) {
            AnySource source;
            (*(Work*)context)(source, &t, &feed);
        };
        walk(job, begin, end, scratch, {&work, call});
    }

   private:
    struct Called {
        void* context;
        void (*work)(void* context, Tile<T>& t, AnyFeed& feed);
    };

    template <class Source>
    static void walk_in(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch, Called called) {
        Source::for_tiles(job, begin, end, scratch, [&](auto&, Tile<T>* tiles, auto* feeds) {
            AnyFeed feed(feeds[0]);
            called.work(called.context, tiles[0], feed);
        });
    }
    [[gnu::noinline]] static void walk(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch,
                                       Called called) {
        if (job.grid.active) return walk_in<Resampled<T>>(job, begin, end, scratch, called);
        if constexpr (sizeof(T) == 8) return walk_in<Direct<double, T>>(job, begin, end, scratch, called);
        switch (job.operand[0].dtype) {
            case DType::float16: return walk_in<Direct<Half, T>>(job, begin, end, scratch, called);
            case DType::bfloat16: return walk_in<Direct<BFloat, T>>(job, begin, end, scratch, called);
            default: return walk_in<Direct<float, T>>(job, begin, end, scratch, called);
        }
    }
};

}  // namespace
