// What the table of kernels asks of a sink beside `run` and `bytes`, and what most sinks answer.
#pragma once
#include "../tiles/tile.h"

namespace {

struct Sink {
    static constexpr bool pixels = true;  // arrays with one entry a pixel, in C order
    static Needs needs(const Job&) { return {0, 0}; }
};

// The source's scratch, and what the sink needs beside it.
template <class Source, class... Beside>
size_t bytes_of(const Job& job) {
    return (Source::bytes(job) + ... + Beside::bytes(job));
}

}  // namespace
