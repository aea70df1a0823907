#include "buffers.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <mutex>
#include <utility>

namespace softmax2d {
namespace {

constexpr size_t kPage = 2 << 20;  // a huge page
constexpr int kKept = 2;           // a result and its gradient

struct Buffer {
    char* data = nullptr;
    size_t bytes = 0;
};

// Never destroyed: results may outlive everything else.
struct Kept {
    std::mutex mutex;
    Buffer buffers[kKept];  // the last one given back first
    // A child must not wait for a thread that it does not have.
    Kept();
};

Kept& kept() {
    static Kept* all = new Kept;
    return *all;
}

Kept::Kept() {
    pthread_atfork([] { kept().mutex.lock(); }, [] { kept().mutex.unlock(); }, [] { kept().mutex.unlock(); });
}

size_t rounded(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

void unmap(const Buffer& buffer) {
    if (buffer.data) munmap(buffer.data, buffer.bytes);
}

// Aligned to a huge page: a page more is asked for and what is over is returned.
Buffer map(size_t bytes) {
    void* mapped = mmap(nullptr, bytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return {};
    char* begin = static_cast<char*>(mapped);
    const size_t head = (kPage - reinterpret_cast<uintptr_t>(begin) % kPage) % kPage;
    if (head) munmap(begin, head);
    munmap(begin + head + bytes, kPage - head);
#if defined(MADV_HUGEPAGE)
    madvise(begin + head, bytes, MADV_HUGEPAGE);
#endif
    return {begin + head, bytes};
}

}  // namespace

char* take_buffer(size_t bytes) {
    bytes = rounded(bytes);
    {
        const std::lock_guard<std::mutex> lock(kept().mutex);
        for (Buffer& buffer : kept().buffers)
            if (buffer.bytes == bytes) return std::exchange(buffer, Buffer{}).data;
    }
    return map(bytes).data;
}

void give_buffer(char* data, size_t bytes) {
    Buffer given{data, rounded(bytes)};
#if defined(MADV_FREE)
    madvise(given.data, given.bytes, MADV_FREE);
#endif
    {
        const std::lock_guard<std::mutex> lock(kept().mutex);
        for (Buffer& buffer : kept().buffers) std::swap(buffer, given);
    }
    unmap(given);
}

}  // namespace softmax2d
