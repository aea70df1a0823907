// Unwraps arrays, releases the GIL, calls the table. No checks beyond what keeps a wrong caller from
// writing where it should not: src/softmax2d/_checks.py refuses bad input, this file trusts it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>

#include "buffers.h"
#include "dispatch.h"
#include "files.h"
#include "layout.h"
#include "parallel.h"
#include "targets.h"
#include "views.h"

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

void probs(bool logs, nb::handle logits, nb::handle out, int dtype, int out_dtype, int axis, nb::handle map,
           nb::handle grid) {
    const View from(logits, false), to(out, true);
    const AffineViews affine(map);
    const Array source = from.array(dtype), result = to.array(out_dtype);
    const GridViews resampling(grid, source, axis);
    Job job{};
    lay_out(job, &source, 1, &result, axis, false, resampling.get());
    job.affine = affine.affine();
    const WithoutGil released;
    run(job, logs ? kernels().log_softmax : kernels().softmax, to.bytes());
}

void vjp(bool logs, nb::handle result, nb::handle grad, nb::handle out, int dtype, int grad_dtype,
         int out_dtype, int axis) {
    const View a(result, false), g(grad, false), to(out, true);
    const Array arrays[] = {a.array(dtype), g.array(grad_dtype)}, written = to.array(out_dtype);
    Job job{};
    lay_out(job, arrays, 2, &written, axis, false);
    const WithoutGil released;
    run(job, logs ? kernels().log_softmax_vjp : kernels().softmax_vjp, to.bytes());
}

// outputs: labels, confidence, margin, entropy, top_labels, top_probs; None where not asked for. Returns how
// many pixels have no probabilities if the outputs are labels and nothing else.
int64_t segment(nb::handle logits, int dtype, int axis, nb::handle map, nb::handle grid, nb::tuple outputs,
                int label_bytes, int top_k) {
    const View from(logits, false);
    const AffineViews affine(map);
    std::unique_ptr<View> views[6];
    for (int i = 0; i < 6; ++i) views[i] = optional_view(outputs[i]);
    const Array array = from.array(dtype);
    const GridViews resampling(grid, array, axis);
    Job job{};
    lay_out(job, &array, 1, nullptr, axis, true, resampling.get());
    job.affine = affine.affine();
    bool alone = views[0] != nullptr;
    for (int i = 1; i < 6; ++i) alone = alone && !views[i];
    int64_t without = 0;
    job.segment = {data_of(views[0]),         data_of(views[1]), data_of(views[2]), data_of(views[3]),
                   data_of(views[4]),         data_of(views[5]), label_bytes,       top_k,
                   alone ? &without : nullptr};
    const WithoutGil released;
    run(job, kernels().segment, 0);
    return without;
}

// How often each class occurs in a C-contiguous array of integers; returns how many are ignored and the
// first place of an integer that is neither ignored nor a class, -1 if there is none.
nb::tuple look_at_targets(nb::handle target, bool is_signed, int64_t classes, nb::handle ignore,
                          nb::handle counts) {
    const View from(target, false), to(counts, true);
    const Target described = target_of(from, is_signed, ignore);
    TargetCount count;
    {
        const WithoutGil released;
        count = softmax2d::count_targets(described, ptrdiff_t(from.bytes()) / described.bytes, classes,
                                         reinterpret_cast<int64_t*>(to.data()));
    }
    return nb::make_tuple(count.ignored, count.first_bad);
}

// Types of a target from here on are dtypes of class probabilities; below, 0 or 1: signed integers.
constexpr int kProbs = 16;

// The loss of each pixel into `losses`, their exact sum into `sums`, their gradient into `grad`.
void loss(nb::handle logits, int dtype, int axis, nb::handle map, nb::handle grid, nb::handle target,
          int target_type, nb::handle ignore, nb::handle weight, double scale, nb::handle upstream,
          double smoothing, double gamma, nb::handle cut, nb::handle losses, nb::handle grad, int grad_dtype,
          nb::handle sums) {
    const View from(logits, false), target_view(target, false), totals(sums, true);
    const AffineViews affine(map);
    const std::unique_ptr<View> weights = optional_view(weight, false), each = optional_view(losses),
                                to = optional_view(grad), above = optional_view(upstream, false);
    const bool probs = target_type >= kProbs;
    const Array array = from.array(dtype);
    const Array arrays[] = {array, probs ? target_view.array(target_type - kProbs) : Array{}};
    const Array written = to ? to->array(grad_dtype) : Array{};
    const GridViews resampling(grid, array, axis);
    Job job{};
    lay_out(job, arrays, 1 + probs, to ? &written : nullptr, axis, true, resampling.get(), to != nullptr);
    job.affine = affine.affine();
    if (!probs) job.target = target_of(target_view, target_type, ignore);
    job.loss.weight = reinterpret_cast<const double*>(data_of(weights));
    job.loss.scale = scale;
    job.loss.upstream = data_of(above);
    job.loss.smoothing = smoothing;
    job.loss.gamma = gamma;
    if (!cut.is_none()) {
        const nb::tuple pair = nb::cast<nb::tuple>(cut);
        job.loss.cuts = true;
        job.loss.threshold = nb::cast<double>(pair[0]);
        job.loss.tie = nb::cast<double>(pair[1]);
    }
    if (totals.bytes() < size_t(array.dtype == DType::float64 ? kWideSums : kSums) * sizeof(int64_t))
        throw std::invalid_argument("sums are too short");
    job.loss.losses = data_of(each);
    job.loss.sums = reinterpret_cast<int64_t*>(totals.data());
    const WithoutGil released;
    const bool soft = probs || smoothing != 0 || gamma != 0;
    run(job, soft ? kernels().soft_loss : kernels().loss, to ? to->bytes() : 0);
}

// Sums of each class's probability, over all pixels and over those whose target it is; returns whether
// they are numbers.
bool region_sums(nb::handle logits, int dtype, int axis, nb::handle map, nb::handle grid, nb::handle target,
                 bool is_signed, nb::handle ignore, nb::handle inside, nb::handle total) {
    const View from(logits, false), classes(target, false), in(inside, true), all(total, true);
    const AffineViews affine(map);
    const Array array = from.array(dtype);
    const GridViews resampling(grid, array, axis);
    Job job{};
    lay_out(job, &array, 1, nullptr, axis, true, resampling.get());
    job.affine = affine.affine();
    job.target = target_of(classes, is_signed, ignore);
    std::vector<int64_t> sums(size_t(4 * job.classes));
    int64_t odd = 0;
    job.loss.region = sums.data();
    job.loss.sums = &odd;
    const WithoutGil released;
    run(job, kernels().region_sums, 0);
    double* results[] = {reinterpret_cast<double*>(in.data()), reinterpret_cast<double*>(all.data())};
    for (ptrdiff_t k = 0; k < job.classes; ++k)
        for (int i = 0; i < 2; ++i) {
            const int64_t* sum = sums.data() + 2 * (i * job.classes + k);
            results[i][k] = double(sum[0]) + double(sum[1]) * 0x1p-44;
        }
    return odd == 0;
}

// The gradient of Σ_c inside_c Σ_{y=c} p_c + total_c Σ p_c.
void region_grad(nb::handle logits, int dtype, int axis, nb::handle map, nb::handle grid, nb::handle target,
                 bool is_signed, nb::handle ignore, nb::handle inside, nb::handle total, nb::handle grad,
                 int grad_dtype) {
    const View from(logits, false), classes(target, false), in(inside, false), all(total, false),
        to(grad, true);
    const AffineViews affine(map);
    const Array array = from.array(dtype), written = to.array(grad_dtype);
    const GridViews resampling(grid, array, axis);
    Job job{};
    lay_out(job, &array, 1, &written, axis, true, resampling.get(), true);
    job.affine = affine.affine();
    job.target = target_of(classes, is_signed, ignore);
    std::vector<int64_t> unused(kWideSums);
    job.loss.sums = unused.data();
    job.loss.scale = 1;
    job.loss.inside = reinterpret_cast<const double*>(in.data());
    job.loss.total = reinterpret_cast<const double*>(all.data());
    const WithoutGil released;
    run(job, kernels().soft_loss, to.bytes());
}

// Adds to counts of what was predicted for what; see struct Counts.
void statistics(nb::handle logits, int dtype, int axis, nb::handle map, nb::handle grid, nb::handle target,
                bool is_signed, nb::handle ignore, ptrdiff_t bins, nb::handle confusion, nb::handle top_bins,
                nb::handle class_bins, nb::handle nll, nb::handle brier) {
    const View from(logits, false), classes(target, false),
        results[] = {{confusion, true}, {top_bins, true}, {class_bins, true}, {nll, true}, {brier, true}};
    const auto counts = [&](int i) { return reinterpret_cast<int64_t*>(results[i].data()); };
    const AffineViews affine(map);
    const Array array = from.array(dtype);
    const GridViews resampling(grid, array, axis);
    Job job{};
    lay_out(job, &array, 1, nullptr, axis, true, resampling.get());
    job.affine = affine.affine();
    job.target = target_of(classes, is_signed, ignore);
    job.loss.scale = 1;
    job.counts = {counts(0), counts(1), counts(2), counts(3), counts(4), bins};
    const WithoutGil released;
    run(job, kernels().statistics, 0);
}

// Adds to the histogram of every class's probability; see struct Histogram. Of a target, which may be None,
// only what is ignored matters.
void histogram(nb::handle logits, int dtype, int axis, nb::handle map, nb::handle grid, nb::handle target,
               bool is_signed, nb::handle ignore, nb::handle count, nb::handle sum) {
    const View from(logits, false), counts(count, true), sums(sum, true);
    const std::unique_ptr<View> classes = optional_view(target, false);
    const AffineViews affine(map);
    const Array array = from.array(dtype);
    const GridViews resampling(grid, array, axis);
    Job job{};
    lay_out(job, &array, 1, nullptr, axis, true, resampling.get());
    const size_t bytes = size_t(job.classes) * kHistogramBins * sizeof(int64_t);
    if (counts.bytes() != bytes || sums.bytes() != bytes)
        throw std::invalid_argument("count and sum must be of classes x HISTOGRAM_BINS");
    job.affine = affine.affine();
    if (classes) job.target = target_of(*classes, is_signed, ignore);
    job.histogram = {reinterpret_cast<int64_t*>(counts.data()), reinterpret_cast<int64_t*>(sums.data())};
    const WithoutGil released;
    run(job, kernels().histogram, 0);
}

// outputs: labels, confidence; None where not asked for. rule: classes, gain, loss, rest; see struct
// Decision.
void decide(nb::handle logits, int dtype, int axis, nb::handle map, nb::handle grid, nb::tuple outputs,
            int label_bytes, nb::tuple rule) {
    const View from(logits, false), classes(rule[0], false), gain(rule[1], false), loss(rule[2], false);
    const std::unique_ptr<View> rest = optional_view(rule[3], false), labels = optional_view(outputs[0]),
                                confidence = optional_view(outputs[1]);
    const AffineViews affine(map);
    const Array array = from.array(dtype);
    const GridViews resampling(grid, array, axis);
    const auto numbers = [](const char* data) { return reinterpret_cast<const double*>(data); };
    Job job{};
    lay_out(job, &array, 1, nullptr, axis, true, resampling.get());
    job.affine = affine.affine();
    job.segment.labels = data_of(labels);
    job.segment.confidence = data_of(confidence);
    job.segment.label_bytes = label_bytes;
    job.decision = {reinterpret_cast<const int64_t*>(classes.data()), numbers(gain.data()),
                    numbers(loss.data()), numbers(data_of(rest)),
                    ptrdiff_t(classes.bytes() / sizeof(int64_t))};
    const WithoutGil released;
    run(job, kernels().decide, 0);
}

// Adds to the loss and its derivatives by temperatures and biases; see struct Fit. Returns whether the sums
// by class hold all numbers.
bool fit(nb::handle logits, int dtype, int axis, nb::handle map, nb::handle grid, nb::handle target,
         bool is_signed, nb::handle ignore, nb::handle weight, nb::handle sums, nb::handle left_out,
         nb::handle class_sums) {
    const View from(logits, false), classes(target, false), totals(sums, true), odd(left_out, true);
    const std::unique_ptr<View> weights = optional_view(weight, false), each = optional_view(class_sums);
    const AffineViews affine(map);
    const Array array = from.array(dtype);
    const GridViews resampling(grid, array, axis);
    Job job{};
    lay_out(job, &array, 1, nullptr, axis, true, resampling.get());
    job.affine = affine.affine();
    job.target = target_of(classes, is_signed, ignore);
    job.loss.weight = reinterpret_cast<const double*>(data_of(weights));
    if (totals.bytes() < 4 * size_t(array.dtype == DType::float64 ? kWideSums : kSums) * sizeof(int64_t))
        throw std::invalid_argument("sums are too short");
    int64_t too_large = 0;
    const auto counts = [](char* data) { return reinterpret_cast<int64_t*>(data); };
    job.fit = {counts(totals.data()), counts(odd.data()), counts(data_of(each)), &too_large};
    const WithoutGil released;
    run(job, kernels().fit, 0);
    return too_large == 0;
}

// Adds to counts of labels at ascending biases of one class; see struct Shift.
void shift(nb::handle logits, int dtype, int axis, nb::handle map, nb::handle grid, nb::handle target,
           bool is_signed, nb::handle ignore, ptrdiff_t label, nb::handle values, nb::handle led,
           nb::handle right, nb::handle own) {
    const View from(logits, false), classes(target, false), biases(values, false),
        results[] = {{led, true}, {right, true}, {own, true}};
    const auto counts = [&](int i) { return reinterpret_cast<int64_t*>(results[i].data()); };
    const AffineViews affine(map);
    const Array array = from.array(dtype);
    const GridViews resampling(grid, array, axis);
    Job job{};
    lay_out(job, &array, 1, nullptr, axis, true, resampling.get());
    job.affine = affine.affine();
    job.target = target_of(classes, is_signed, ignore);
    job.shift = {counts(0),
                 counts(1),
                 counts(2),
                 reinterpret_cast<const double*>(biases.data()),
                 ptrdiff_t(biases.bytes() / sizeof(double)),
                 label};
    const WithoutGil released;
    run(job, kernels().shift, 0);
}

// Adds to sums of weighted probabilities; see struct Prior.
void prior(nb::handle logits, int dtype, int axis, nb::handle map, nb::handle grid, nb::handle weight,
           nb::handle sums) {
    const View from(logits, false), weights(weight, false), to(sums, true);
    const AffineViews affine(map);
    const Array array = from.array(dtype);
    const GridViews resampling(grid, array, axis);
    Job job{};
    lay_out(job, &array, 1, nullptr, axis, false, resampling.get());
    job.affine = affine.affine();
    job.prior = {reinterpret_cast<const double*>(weights.data()), reinterpret_cast<int64_t*>(to.data())};
    const WithoutGil released;
    run(job, kernels().prior, 0);
}

// As many runs of a file as there are `starts`, int64, from or to memory without gaps; False where the file
// ends before.
bool move_runs(bool write, int file, nb::handle starts, nb::handle data) {
    const View places(starts, false), held(data, !write);
    const int64_t* at = reinterpret_cast<const int64_t*>(places.data());
    const ptrdiff_t count = ptrdiff_t(places.bytes() / sizeof(int64_t));
    if (count == 0) return true;
    const size_t bytes = held.bytes() / size_t(count);
    int code;
    {
        const WithoutGil released;
        code = write ? write_runs(file, at, count, bytes, held.data())
                     : read_runs(file, at, count, bytes, held.data());
    }
    if (code > 0) {
        errno = code;
        PyErr_SetFromErrno(PyExc_OSError);
        throw nb::python_error();
    }
    return code == 0;
}

// Memory for a large result, as bytes; what was in it before may still be.
nb::object new_buffer(size_t bytes) {
    struct Owned {
        char* data;
        size_t bytes;
    };
    auto owned = std::make_unique<Owned>(Owned{take_buffer(bytes), bytes});
    if (!owned->data) throw std::bad_alloc();
    const nb::capsule owner(owned.get(), [](void* p) noexcept {
        const std::unique_ptr<Owned> mine(static_cast<Owned*>(p));
        give_buffer(mine->data, mine->bytes);
    });
    char* data = owned.release()->data;
    const size_t shape[] = {bytes};
    return nb::cast(nb::ndarray<nb::numpy, uint8_t>(data, 1, shape, owner));
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
    m.def("probs", &probs, "logs"_a, "logits"_a, "out"_a, "dtype"_a, "out_dtype"_a, "axis"_a, "map"_a.none(),
          "grid"_a.none());
    m.def("vjp", &vjp);
    m.def("segment", &segment, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "grid"_a.none(), "outputs"_a,
          "label_bytes"_a, "top_k"_a);
    m.def("count_targets", &look_at_targets, "target"_a, "is_signed"_a, "classes"_a, "ignore"_a.none(),
          "counts"_a);
    m.def("loss", &loss, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "grid"_a.none(), "target"_a,
          "target_type"_a, "ignore"_a.none(), "weight"_a.none(), "scale"_a, "upstream"_a.none(),
          "smoothing"_a, "gamma"_a, "cut"_a.none(), "losses"_a.none(), "grad"_a.none(), "grad_dtype"_a,
          "sums"_a);
    m.def("region_sums", &region_sums, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "grid"_a.none(),
          "target"_a, "is_signed"_a, "ignore"_a.none(), "inside"_a, "total"_a);
    m.def("region_grad", &region_grad, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "grid"_a.none(),
          "target"_a, "is_signed"_a, "ignore"_a.none(), "inside"_a, "total"_a, "grad"_a, "grad_dtype"_a);
    m.def("statistics", &statistics, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "grid"_a.none(),
          "target"_a, "is_signed"_a, "ignore"_a.none(), "bins"_a, "confusion"_a, "top_bins"_a, "class_bins"_a,
          "nll"_a, "brier"_a);
    m.def("histogram", &histogram, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "grid"_a.none(),
          "target"_a.none(), "is_signed"_a, "ignore"_a.none(), "count"_a, "sum"_a);
    m.attr("HISTOGRAM_BINS") = kHistogramBins;
    m.def("decide", &decide, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "grid"_a.none(), "outputs"_a,
          "label_bytes"_a, "rule"_a);
    m.def("fit", &fit, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "grid"_a.none(), "target"_a,
          "is_signed"_a, "ignore"_a.none(), "weight"_a.none(), "sums"_a, "left_out"_a, "class_sums"_a.none());
    m.def("shift", &shift, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "grid"_a.none(), "target"_a,
          "is_signed"_a, "ignore"_a.none(), "label"_a, "values"_a, "led"_a, "right"_a, "own"_a);
    m.def("prior", &prior, "logits"_a, "dtype"_a, "axis"_a, "map"_a.none(), "grid"_a.none(), "weight"_a,
          "sums"_a);
    m.def("move_runs", &move_runs, "write"_a, "file"_a, "starts"_a, "data"_a);
    m.def("new_buffer", &new_buffer);
    m.def("import_bfloat16", &import_bfloat16);
    m.def("elementary", &elementary);
    m.def("shut_down", &shut_down);
    m.def("runnable_builds", &runnable_builds);
    m.def("all_builds", &all_builds);
    m.def("use_build", &use_build);
    m.def("build_in_use", [] { return std::string(kernels().name); });
    m.def("num_threads", &num_threads);
    m.def("set_num_threads", &set_num_threads);
    m.def("set_own_threads", &set_own_threads);
    m.def("available_processors", &available_processors);
}
