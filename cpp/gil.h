// Work without Python's global lock.
#pragma once
#include <Python.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace softmax2d {

// A daemon thread that asks for the GIL while the interpreter shuts down is ended by it on the spot,
// through C++ frames that cannot be unwound: the process would abort. So no thread asks any more once
// shutting down has begun (atexit, when only daemon threads are left); those that asked are let in first.
inline std::atomic<bool> shutting_down{false};
inline std::atomic<int> asking{0};
inline std::thread::id shutdown_thread;

class WithoutGil {
   public:
    WithoutGil() : state_(PyEval_SaveThread()), home_(std::this_thread::get_id()) {}
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;
    ~WithoutGil() {
        ++asking;
        if (shutting_down && home_ != shutdown_thread) {
            --asking;
            for (;;) std::this_thread::sleep_for(std::chrono::hours(24));
        }
        PyEval_RestoreThread(state_);
        --asking;
    }

   private:
    PyThreadState* state_;
    std::thread::id home_;
};
inline void shut_down() {
    shutdown_thread = std::this_thread::get_id();
    shutting_down = true;
    PyThreadState* state = PyEval_SaveThread();
    for (int tries = 0; asking > 0 && tries < 1000; ++tries)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    PyEval_RestoreThread(state);
}

}  // namespace softmax2d
