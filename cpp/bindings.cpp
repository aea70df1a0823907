// Unwraps arrays, releases the GIL, calls the table. No checks beyond what keeps a wrong caller from
// writing where it should not: src/softmax2d/_checks.py refuses bad input, this file trusts it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>

#include "dispatch.h"
#include "layout.h"
#include "parallel.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace softmax2d;

namespace {

// A daemon thread that asks for the GIL while the interpreter shuts down is ended by it on the spot,
// through C++ frames that cannot be unwound: the process would abort. So no thread asks any more once
// shutting down has begun (atexit, when only daemon threads are left); those that asked are let in first.
std::atomic<bool> shutting_down{false};
std::atomic<int> asking{0};

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
    static std::thread::id shutdown_thread;

   private:
    PyThreadState* state_;
    std::thread::id home_;
};
std::thread::id WithoutGil::shutdown_thread;

void shut_down() {
    WithoutGil::shutdown_thread = std::this_thread::get_id();
    shutting_down = true;
    PyThreadState* state = PyEval_SaveThread();
    for (int tries = 0; asking > 0 && tries < 1000; ++tries)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    PyEval_RestoreThread(state);
}

// A view of a Python object's memory, held as long as this lives.
class View {
   public:
    View(nb::handle object, bool writable) {
        const int flags = PyBUF_STRIDES | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object.ptr(), &buffer_, flags) != 0) throw nb::python_error();
    }
    View(const View&) = delete;
    View& operator=(const View&) = delete;
    ~View() { PyBuffer_Release(&buffer_); }

    // dtype: 0 float16, 1 bfloat16, 2 float32, 3 float64; 4 more where the bytes are swapped
    Array array(int dtype) const {
        Array a{};
        a.data = static_cast<char*>(buffer_.buf);
        a.dtype = DType(dtype & 3);
        a.swapped = (dtype & 4) != 0;
        a.ndim = buffer_.ndim;
        if (a.ndim > kMaxDims) throw std::invalid_argument("too many axes");
        for (int d = 0; d < a.ndim; ++d) {
            a.shape[d] = buffer_.shape[d];
            a.stride[d] = buffer_.strides[d] / buffer_.itemsize;
        }
        return a;
    }
    char* data() const { return static_cast<char*>(buffer_.buf); }
    size_t bytes() const { return size_t(buffer_.len); }

   private:
    Py_buffer buffer_;
};

// factor, factor_low and bias: float64 arrays of one entry a class, or None.
struct AffineViews {
    explicit AffineViews(nb::handle map) {
        if (map.is_none()) return;
        nb::tuple parts = nb::cast<nb::tuple>(map);
        for (int i = 0; i < 3; ++i) views[i] = std::make_unique<View>(parts[i], false);
        keeps_order = nb::cast<bool>(parts[3]);
    }
    Affine affine() const {
        if (!views[0]) return {};
        auto values = [&](int i) { return reinterpret_cast<const double*>(views[i]->data()); };
        return {values(0), values(1), values(2), true, keeps_order};
    }
    std::unique_ptr<View> views[3];
    bool keeps_order = false;
};

void probs(bool logs, nb::handle logits, nb::handle out, int dtype, int out_dtype, int axis, nb::handle map) {
    const View from(logits, false), to(out, true);
    const AffineViews affine(map);
    const Array arrays[] = {from.array(dtype), to.array(out_dtype)};
    Job job{};
    lay_out(job, arrays, 2, axis, false);
    job.affine = affine.affine();
    const WithoutGil released;
    run(job, logs ? kernels().log_softmax : kernels().softmax, to.bytes());
}

void vjp(bool logs, nb::handle result, nb::handle grad, nb::handle out, int dtype, int grad_dtype,
         int out_dtype, int axis) {
    const View a(result, false), g(grad, false), to(out, true);
    const Array arrays[] = {a.array(dtype), g.array(grad_dtype), to.array(out_dtype)};
    Job job{};
    lay_out(job, arrays, 3, axis, false);
    const WithoutGil released;
    run(job, logs ? kernels().log_softmax_vjp : kernels().softmax_vjp, to.bytes());
}

// outputs: labels, confidence, margin, entropy, top_labels, top_probs; None where not asked for.
void segment(nb::handle logits, int dtype, int axis, nb::handle map, nb::tuple outputs, int label_bytes,
             int top_k) {
    const View from(logits, false);
    const AffineViews affine(map);
    std::unique_ptr<View> views[6];
    char* data[6] = {};
    for (int i = 0; i < 6; ++i) {
        if (outputs[i].is_none()) continue;
        views[i] = std::make_unique<View>(outputs[i], true);
        data[i] = views[i]->data();
    }
    const Array array = from.array(dtype);
    Job job{};
    lay_out(job, &array, 1, axis, true);
    job.affine = affine.affine();
    job.segment = {data[0], data[1], data[2], data[3], data[4], data[5], label_bytes, top_k};
    const WithoutGil released;
    run(job, kernels().segment, 0);
}

// A bfloat16 array of another library, through DLPack, as uint16 (NumPy itself has no bfloat16).
nb::object import_bfloat16(nb::ndarray<nb::ro, nb::device::cpu> array) {
    const nb::dlpack::dtype dtype = array.dtype();
    if (dtype.code != uint8_t(nb::dlpack::dtype_code::Bfloat) || dtype.bits != 16)
        throw std::invalid_argument("not bfloat16");
    size_t shape[kMaxDims];
    int64_t strides[kMaxDims];
    for (size_t d = 0; d < array.ndim(); ++d) {
        shape[d] = array.shape(d);
        strides[d] = array.stride(d);
    }
    nb::object owner = nb::cast(array, nb::rv_policy::reference);
    return nb::cast(
        nb::ndarray<nb::numpy, nb::ro, uint16_t>(array.data(), array.ndim(), shape, owner, strides));
}

// For tests: a float32 or float64 array through the kernels' own exp or log1p.
void elementary(const std::string& name, nb::handle x, nb::handle out) {
    const View from(x, false), to(out, true);
    const Kernels& table = kernels();
    const bool wide = name.back() == '8';  // "exp8", "log1p4"
    auto apply = [&](auto* function, auto* as) {
        using T = std::remove_pointer_t<decltype(as)>;
        function(reinterpret_cast<const T*>(from.data()), reinterpret_cast<T*>(to.data()),
                 ptrdiff_t(from.bytes() / sizeof(T)));
    };
    const bool is_exp = name.rfind("exp", 0) == 0;
    const WithoutGil released;
    if (wide)
        apply(is_exp ? table.exp_double : table.log1p_double, (double*)nullptr);
    else
        apply(is_exp ? table.exp_float : table.log1p_float, (float*)nullptr);
}

}  // namespace

// For threadpoolctl, which finds them by name in the loaded library.
extern "C" __attribute__((visibility("default"))) int softmax2d_get_num_threads() { return num_threads(); }
extern "C" __attribute__((visibility("default"))) void softmax2d_set_num_threads(int n) {
    set_num_threads(n);
}

NB_MODULE(_core, m) {
    m.doc() = "softmax2d's kernels. Private: the public functions are in the package softmax2d.";
    m.def("probs", &probs, "logs"_a, "logits"_a, "out"_a, "dtype"_a, "out_dtype"_a, "axis"_a, "map"_a.none());
    m.def("vjp", &vjp);
    m.def("segment", &segment, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "outputs"_a, "label_bytes"_a,
          "top_k"_a);
    m.def("import_bfloat16", &import_bfloat16);
    m.def("elementary", &elementary);
    m.def("shut_down", &shut_down);
    m.def("runnable_builds", &runnable_builds);
    m.def("all_builds", &all_builds);
    m.def("use_build", &use_build);
    m.def("build_in_use", [] { return std::string(kernels().name); });
    m.def("num_threads", &num_threads);
    m.def("set_num_threads", &set_num_threads);
    m.def("available_processors", &available_processors);
}
