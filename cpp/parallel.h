// The only place that knows about threads.
//
// Workers sleep on a condition variable when there is nothing to do; having worked they look for more
// for 30 microseconds first, and no longer. The calling thread always works along, so a call finishes even if
// every worker is busy elsewhere. After fork() the child starts with no workers and makes its own when it
// first needs them.
#pragma once
#include <cstddef>

namespace softmax2d {

// Works on items [begin, end) with `scratch` of the size asked for, aligned to 64 bytes.
using Body = void (*)(const void* context, ptrdiff_t begin, ptrdiff_t end, char* scratch);

// Runs body over [0, items) in chunks of `grain`, on at most `threads` threads. Throws
// std::bad_alloc if the caller's own scratch cannot be had.
void parallel_for(ptrdiff_t items, ptrdiff_t grain, int threads, size_t scratch_bytes, Body body,
                  const void* context);

// Threads that a large call uses: what was set, else what this process may use.
int num_threads();
// n >= 1 sets the number; 0 returns to what this process may use.
void set_num_threads(int n);
// The same for calls from this thread alone: it is one of several that call at a time. 0 ends it.
void set_own_threads(int n);
// Processors this process may use: affinity mask and cgroup quota, at least 1.
int available_processors();

}  // namespace softmax2d
