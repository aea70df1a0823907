// The direct source: tiles of arrays as they lie in memory.
//
// Memory traffic: each logit is read once from memory and written once to the tile, in cache.
#pragma once
#include "../tiles/fill.h"
#include "../tiles/store.h"
#include "feeder.h"

namespace {

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

    // result(k, p) of the tile's classes, and the gradient of its logits, to where they belong.
    template <class Result>
    void store_result(Tile<T>& t, Result result) const {
        store_classes<S>(t, job, job.output, result);
    }
    template <class Result>
    void store_gradient(Tile<T>& t, Result result) const {
        store_result(t, result);
    }

    const Job& job;
};

}  // namespace
