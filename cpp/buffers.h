// Memory of large results, kept for the next one.
//
// A fresh 160 MB result costs more in pages that the system must clear than in arithmetic (softmax of
// 19 x 1024 x 2048: 29 ms, 13 into memory that is there). So the memory of a result that is no longer used
// is kept for the next of about its size, and offered to the system, which may take it back whenever it
// needs pages (MADV_FREE).
#pragma once
#include <cstddef>

namespace softmax2d {

constexpr size_t kLargeBytes = 4 << 20;  // below, malloc does well

// `bytes` of memory, aligned to a page at least, with whatever in it; nullptr if there is none.
char* take_buffer(size_t bytes);
// Gives back what take_buffer returned for `bytes`.
void give_buffer(char* data, size_t bytes);

}  // namespace softmax2d
