// A private copy of the caller's memory, which another thread may write to meanwhile.
//
// What is checked and then used must be read once: a compiler may read again what the program read once, and
// so check one value and use another. Behind the barrier it can no longer take `to` for what `from` holds.
#pragma once
#include <cstddef>
#include <cstring>

namespace {

template <class T>
inline void read_once(const T* from, ptrdiff_t n, T* to) {
    if (n) std::memcpy(to, from, size_t(n) * sizeof(T));  // pointers to nothing may be null
    asm volatile("" ::"r"(to) : "memory");
}
template <class T>
inline void read_once(const T* from, ptrdiff_t stride, ptrdiff_t n, T* to) {
    if (stride == 1) return read_once(from, n, to);
    for (ptrdiff_t i = 0; i < n; ++i) to[i] = from[i * stride];
    asm volatile("" ::"r"(to) : "memory");
}

}  // namespace
