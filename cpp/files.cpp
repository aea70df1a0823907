#include "files.h"

#include <unistd.h>

#include <cerrno>

namespace softmax2d {
namespace {

// `move` is pread or pwrite, which may do less than they are asked to.
template <class Byte, class Move>
int each_run(const int64_t* starts, ptrdiff_t count, size_t bytes, Byte* data, Move move) {
    for (ptrdiff_t i = 0; i < count; ++i) {
        off_t at = off_t(starts[i]);
        for (size_t left = bytes; left > 0;) {
            const ssize_t done = move(data, left, at);
            if (done < 0 && errno == EINTR) continue;
            if (done < 0) return errno;
            if (done == 0) return kFileEnded;
            data += done;
            at += done;
            left -= size_t(done);
        }
    }
    return 0;
}

}  // namespace

int read_runs(int file, const int64_t* starts, ptrdiff_t count, size_t bytes, char* out) {
    return each_run(starts, count, bytes, out,
                    [&](char* to, size_t left, off_t at) { return pread(file, to, left, at); });
}

int write_runs(int file, const int64_t* starts, ptrdiff_t count, size_t bytes, const char* data) {
    const int found = each_run(starts, count, bytes, data, [&](const char* from, size_t left, off_t at) {
        return pwrite(file, from, left, at);
    });
    return found == kFileEnded ? EIO : found;
}

}  // namespace softmax2d
