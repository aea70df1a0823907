#include "dispatch.h"

#include <atomic>

namespace softmax2d {

#define SOFTMAX2D_DECLARE(build, name, sink, source) extern const Kernel build##_##name;
#define SOFTMAX2D_ROW(build, name, sink, source) , build##_##name
// Names the constants that the objects of a build export, and gathers them in a table.
#define SOFTMAX2D_TABLE(build, isa)             \
    SOFTMAX2D_KERNELS(SOFTMAX2D_DECLARE, build) \
    extern const Elementary build##_elementary; \
    static const Kernels build = {isa, build##_elementary SOFTMAX2D_KERNELS(SOFTMAX2D_ROW, build)};

#if defined(__x86_64__)
#ifdef SOFTMAX2D_BUILD_V2
SOFTMAX2D_TABLE(kernels_v2, "x86-64-v2")
#endif
#ifdef SOFTMAX2D_BUILD_V3
SOFTMAX2D_TABLE(kernels_v3, "x86-64-v3")
#endif
#ifdef SOFTMAX2D_BUILD_V4
SOFTMAX2D_TABLE(kernels_v4, "x86-64-v4")
#endif

namespace {

// The psABI's micro-architecture levels, as far as the compiler uses them in loops. The check covers
// the operating system's support for the wider registers.
bool has_v2() { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"); }
bool has_v3() {
    return has_v2() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
}
[[maybe_unused]] bool has_v4() {
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

struct Build {
    const Kernels* table;
    bool (*runs)();
};
const Build builds[] = {
#ifdef SOFTMAX2D_BUILD_V2
    {&kernels_v2, has_v2},
#endif
#ifdef SOFTMAX2D_BUILD_V3
    {&kernels_v3, has_v3},
#endif
#ifdef SOFTMAX2D_BUILD_V4
    {&kernels_v4, has_v4},
#endif
};

}  // namespace
#else
SOFTMAX2D_TABLE(kernels_baseline, "baseline")

namespace {
struct Build {
    const Kernels* table;
    bool (*runs)();
};
const Build builds[] = {{&kernels_baseline, [] { return true; }}};
}  // namespace
#endif

namespace {

std::atomic<const Kernels*> in_use{nullptr};

const Kernels* best() {
    const Kernels* found = nullptr;
    for (const Build& build : builds)
        if (build.runs()) found = build.table;
    return found;
}

}  // namespace

std::vector<std::string> runnable_builds() {
    std::vector<std::string> names;
    for (const Build& build : builds)
        if (build.runs()) names.push_back(build.table->name);
    return names;
}

std::vector<std::string> all_builds() {
    std::vector<std::string> names;
    for (const Build& build : builds) names.push_back(build.table->name);
    return names;
}

bool use_build(const std::string& name) {
    for (const Build& build : builds)
        if (name == build.table->name && build.runs()) {
            in_use = build.table;
            return true;
        }
    return false;
}

const Kernels& kernels() {
    const Kernels* table = in_use;
    if (!table) in_use = table = best();
    return *table;
}

}  // namespace softmax2d
