#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <sched.h>
#endif
#include <pthread.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace softmax2d {
namespace {

// Rounding to nearest and subnormals kept, whatever another library has set for this thread.
class PlainFloats {
   public:
#if defined(__x86_64__)
    PlainFloats() : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80); }
    ~PlainFloats() { _mm_setcsr(saved_); }

   private:
    unsigned saved_;
#elif defined(__aarch64__)
    PlainFloats() {
        asm volatile("mrs %0, fpcr" : "=r"(saved_));
        asm volatile("msr fpcr, %0" : : "r"(0UL));
    }
    ~PlainFloats() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }

   private:
    unsigned long saved_;
#endif
};

// A thread's scratch: kept between calls, grown when a call needs more, freed with the thread. Fresh
// memory is zero, so that the padding of a first tile holds plain numbers.
class Scratch {
   public:
    // Null where there is no memory for it.
    char* find(size_t bytes) {
        if (bytes > size_) {
            std::free(data_);
            size_ = 0;
            bytes = (bytes + 4095) / 4096 * 4096;
            data_ = static_cast<char*>(std::aligned_alloc(4096, bytes));
            if (!data_) return nullptr;
            std::fill_n(data_, bytes, char(0));
            size_ = bytes;
        }
        return data_;
    }
    char* get(size_t bytes) {
        char* memory = find(bytes);
        if (!memory && bytes) throw std::bad_alloc();
        return memory;
    }
    ~Scratch() { std::free(data_); }

   private:
    char* data_ = nullptr;
    size_t size_ = 0;
};
thread_local Scratch scratch;  // a caller's

// Looks for `ready` for some microseconds before the caller goes to sleep: waking a sleeper takes
// longer than a small image's work, and the next call or the end of this one is often that near.
template <class Ready>
void look_for(Ready ready) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(30);
    while (!ready() && std::chrono::steady_clock::now() < until)
        for (int i = 0; i < 8; ++i) {
#if defined(__x86_64__)
            _mm_pause();
#elif defined(__aarch64__)
            asm volatile("yield");
#endif
        }
}

struct Task {
    ptrdiff_t items, grain;
    size_t scratch_bytes;
    Body body;
    const void* context;
    int helpers_wanted;  // changed under the pool's mutex, like `helpers`
    std::atomic<int> helpers{0};
    std::atomic<ptrdiff_t> next{0};
    std::condition_variable done{};

    bool finished() const { return next.load(std::memory_order_relaxed) >= items; }

    void work(char* memory) {
        PlainFloats guard;
        for (;;) {
            const ptrdiff_t begin = next.fetch_add(grain, std::memory_order_relaxed);
            if (begin >= items) return;
            body(context, begin, std::min(begin + grain, items), memory);
        }
    }
};

class Pool {
   public:
    void run(Task& task) {
        char* memory = scratch.get(task.scratch_bytes);
        int to_wake;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            tasks_.push_back(&task);
            wanted_ += task.helpers_wanted;
            grow(task.helpers_wanted);
            to_wake = std::min(task.helpers_wanted, sleeping_);
        }
        for (int i = 0; i < to_wake; ++i) wake_.notify_one();
        task.work(memory);
        look_for([&] { return task.helpers == 0; });
        std::unique_lock<std::mutex> lock(mutex_);
        tasks_.remove(&task);
        wanted_ -= task.helpers_wanted;
        task.done.wait(lock, [&] { return task.helpers == 0; });
    }

   private:
    // Called with the mutex held. A system that gives no more threads leaves us with those we have.
    void grow(int wanted) {
        while (workers_ < wanted) try {
                std::thread([this] { serve(); }).detach();
                ++workers_;
            } catch (const std::system_error&) {
                return;
            }
    }

    Task* open_task() {
        for (Task* task : tasks_)
            if (task->helpers_wanted > 0 && !task->finished()) return task;
        return nullptr;
    }

    void serve() {
        Scratch own;  // where a system has no memory for a thread_local, it ends the process
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            Task* task = nullptr;
            ++sleeping_;
            wake_.wait(lock, [&] { return (task = open_task()) != nullptr; });
            --sleeping_;
            --task->helpers_wanted;
            --wanted_;
            ++task->helpers;
            lock.unlock();
            try {
                char* memory = own.find(task->scratch_bytes);
                if (memory || !task->scratch_bytes) task->work(memory);
            } catch (const std::bad_alloc&) {
            }  // no memory for this helper: the caller does the work
            lock.lock();
            if (--task->helpers == 0) task->done.notify_one();
            lock.unlock();
            look_for([&] { return wanted_ > 0; });
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::list<Task*> tasks_;
    std::atomic<int> wanted_{0};  // helpers that open tasks still want
    int workers_ = 0, sleeping_ = 0;
};

// Never destroyed: its workers may outlive every static destructor. A child of fork() has none of the
// workers and possibly a locked mutex, so it leaves the old pool behind and makes a new one.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { the_pool = nullptr; });
    (void)registered;
    Pool* current = the_pool;
    if (!current) {
        Pool* made = new Pool;
        if (the_pool.compare_exchange_strong(current, made))
            current = made;
        else
            delete made;
    }
    return *current;
}

std::atomic<int> chosen_threads{0};
thread_local int own_threads = 0;

// cgroup quotas in processors, rounded up; 0 where there is none.
int cgroup_quota() {
    double quota = 0, period = 0;
    if (FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
        if (std::fscanf(f, "%lf %lf", &quota, &period) != 2) quota = 0;
        std::fclose(f);
    } else {
        if (FILE* q = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r")) {
            if (std::fscanf(q, "%lf", &quota) != 1) quota = 0;
            std::fclose(q);
        }
        if (FILE* p = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r")) {
            if (std::fscanf(p, "%lf", &period) != 1) period = 0;
            std::fclose(p);
        }
    }
    return quota > 0 && period > 0 ? int(std::ceil(quota / period)) : 0;
}

}  // namespace

int available_processors() {
    int processors = int(std::thread::hardware_concurrency());
#if defined(__linux__)
    // A mask for as many processors as the machine may have, however many that is.
    for (int most = 1024; most <= (1 << 20); most *= 2) {
        cpu_set_t* set = CPU_ALLOC(most);
        if (!set) break;
        const bool got = sched_getaffinity(0, CPU_ALLOC_SIZE(most), set) == 0;
        if (got) processors = CPU_COUNT_S(CPU_ALLOC_SIZE(most), set);
        CPU_FREE(set);
        if (got) break;
    }
#endif
    static const int quota = cgroup_quota();
    if (quota > 0) processors = std::min(processors, quota);
    return std::max(processors, 1);
}

int num_threads() {
    if (own_threads > 0) return own_threads;
    const int n = chosen_threads;
    return n > 0 ? n : available_processors();
}

void set_num_threads(int n) { chosen_threads = n; }

void set_own_threads(int n) { own_threads = n; }

void parallel_for(ptrdiff_t items, ptrdiff_t grain, int threads, size_t scratch_bytes, Body body,
                  const void* context) {
    const ptrdiff_t chunks = (items + grain - 1) / grain;
    const int helpers = int(std::min<ptrdiff_t>(threads, chunks)) - 1;
    Task task{items, grain, scratch_bytes, body, context, std::max(helpers, 0)};
    if (helpers > 0)
        pool().run(task);
    else
        task.work(scratch.get(scratch_bytes));
}

}  // namespace softmax2d
