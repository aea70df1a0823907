// Pieces of a file, read or written one after the other without asking for the interpreter in between.
#pragma once
#include <cstddef>
#include <cstdint>

namespace softmax2d {

constexpr int kFileEnded = -1;

// Fills `out` with what lies at each of `count` places of an open file, `bytes` from each. Returns 0;
// kFileEnded where the file ends before; or the system's number of an error.
int read_runs(int file, const int64_t* starts, ptrdiff_t count, size_t bytes, char* out);

// Writes `data` to such places. Returns 0 or the system's number of an error.
int write_runs(int file, const int64_t* starts, ptrdiff_t count, size_t bytes, const char* data);

}  // namespace softmax2d
