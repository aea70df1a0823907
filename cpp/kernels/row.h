// From a sink to a row of the table: the source that the job's types ask for.
#pragma once
#include "../impl/sources/any.h"
#include "../impl/steps/sink.h"

namespace {

template <class Source>
struct As {
    using type = Source;
};

// A source for each stored type: the feed is inlined.
struct Typed {
    using Example = Direct<float, float>;
    template <class F>
    static auto choose(const Job& job, F f) {
        const DType dtype = job.operand[0].dtype;
        if (job.grid.active && dtype == DType::float64) return f(As<Resampled<double>>());
        if (job.grid.active) return f(As<Resampled<float>>());
        switch (dtype) {
            case DType::float16: return f(As<Direct<Half, float>>());
            case DType::bfloat16: return f(As<Direct<BFloat, float>>());
            case DType::float32: return f(As<Direct<float, float>>());
            default: return f(As<Direct<double, double>>());
        }
    }
};

// As Typed, with tiles of float64 whatever is stored.
struct TypedWide {
    using Example = Direct<double, double>;
    template <class F>
    static auto choose(const Job& job, F f) {
        if (job.grid.active) return f(As<Resampled<double>>());
        switch (job.operand[0].dtype) {
            case DType::float16: return f(As<Direct<Half, double>>());
            case DType::bfloat16: return f(As<Direct<BFloat, double>>());
            case DType::float32: return f(As<Direct<float, double>>());
            default: return f(As<Direct<double, double>>());
        }
    }
};

// Two arrays, read as they lie.
struct Paired {
    using Example = Direct<float, float, 2>;
    template <class F>
    static auto choose(const Job& job, F f) {
        switch (job.operand[0].dtype) {
            case DType::float16: return f(As<Direct<Half, float, 2>>());
            case DType::bfloat16: return f(As<Direct<BFloat, float, 2>>());
            case DType::float32: return f(As<Direct<float, float, 2>>());
            default: return f(As<Direct<double, double, 2>>());
        }
    }
};

// One source for all stored types: the sink is compiled once for each type of the tile.
struct Shared {
    using Example = AnySource<float>;
    template <class F>
    static auto choose(const Job& job, F f) {
        if (job.operand[0].dtype == DType::float64) return f(As<AnySource<double>>());
        return f(As<AnySource<float>>());
    }
};

// The sink K, fed by the source that suits the job.
template <template <class> class K, class Choice>
struct Operation {
    template <class F>
    static auto with(const Job& job, F f) {
        return Choice::choose(job, [&](auto source) { return f(K<typename decltype(source)::type>()); });
    }
    static void run(const Job& job, ptrdiff_t begin, ptrdiff_t end, char* scratch) {
        with(job, [&](auto sink) { sink.run(job, begin, end, scratch); });
    }
    static size_t bytes(const Job& job) {
        return with(job, [&](auto sink) { return sink.bytes(job); });
    }
    static Needs needs(const Job& job) {
        return with(job, [&](auto sink) { return sink.needs(job); });
    }
    static constexpr bool pixels = K<typename Choice::Example>::pixels;
};

}  // namespace

#define SOFTMAX2D_DEFINE(build, name, sink, source)                                              \
    extern const Kernel build##_##name;                                                          \
    const Kernel build##_##name = {Operation<sink, source>::run, Operation<sink, source>::bytes, \
                                   Operation<sink, source>::needs, Operation<sink, source>::pixels};
