// Python's door to the table: each function unwraps its arguments and runs one kernel. No checks beyond what
// keeps a wrong caller from writing where it should not: the gate, in Python, refuses bad input.
//
// `logits` is (array, dtype, axis, map, grid), `target` (array, kind, ignored class): see call.h. Other
// tuples are in the order of the sink's arguments.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <memory>

#include "buffers.h"
#include "call.h"
#include "dispatch.h"
#include "files.h"
#include "impl/sinks/curves.h"
#include "impl/sinks/decide.h"
#include "impl/sinks/fit.h"
#include "impl/sinks/histogram.h"
#include "impl/sinks/prior.h"
#include "impl/sinks/region.h"
#include "impl/sinks/segment.h"
#include "impl/sinks/shift.h"
#include "impl/sinks/statistics.h"
#include "impl/steps/loss_terms.h"
#include "pairs.h"
#include "parallel.h"
#include "targets.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace softmax2d;

namespace {

void probs(bool logs, nb::tuple logits, nb::handle out, int out_dtype) {
    Call call(logits);
    call.result(out, out_dtype);
    call.run(logs ? kernels().log_softmax : kernels().softmax);
}

void vjp(bool logs, nb::handle result, nb::handle grad, nb::handle out, int dtype, int grad_dtype,
         int out_dtype, int axis) {
    Call call(result, dtype, axis);
    call.read(grad, grad_dtype);
    call.result(out, out_dtype);
    call.run(logs ? kernels().log_softmax_vjp : kernels().softmax_vjp);
}

// The largest double not above log n.
double log_below(ptrdiff_t n) {
    const long double exact = std::log(static_cast<long double>(n));
    const double rounded = static_cast<double>(exact);
    return rounded > exact ? std::nextafter(rounded, 0.0) : rounded;
}

// outputs: labels, confidence, margin, entropy, top_labels, top_probs; None where not asked for. Returns how
// many pixels have no probabilities if the outputs are labels and nothing else.
int64_t segment(nb::tuple logits, nb::tuple outputs, int label_bytes, int top_k) {
    Call call(logits);
    if (top_k < 0 || top_k > call.classes()) throw std::invalid_argument("top_k is out of range");
    char* out[6];
    for (int i = 0; i < 6; ++i) out[i] = call.output(outputs[i]);
    const bool alone = out[0] && std::all_of(out + 1, out + 6, [](char* o) { return !o; });
    int64_t without = 0;
    call.run(kernels().segment, SegmentOut{out[0], out[1], out[2], out[3], out[4], out[5], label_bytes, top_k,
                                           log_below(call.classes()), alone ? &without : nullptr});
    return without;
}

size_t count_bytes(int64_t entries) { return size_t(entries) * sizeof(int64_t); }

// How often each class occurs in a C-contiguous array of integers; returns how many are ignored and the
// first place of an integer that is neither ignored nor a class, -1 if there is none.
nb::tuple look_at_targets(nb::handle target, bool is_signed, int64_t classes, nb::handle ignore,
                          nb::handle counts) {
    const View from(target, false), to(counts, true);
    const Target described = target_of(from, is_signed, ignore);
    const ptrdiff_t entries = ptrdiff_t(from.bytes()) / described.bytes;
    if (to.bytes() < count_bytes(classes)) throw std::invalid_argument("an array of counts is too short");
    TargetCount count;
    {
        const WithoutGil released;
        count = count_targets(described, entries, classes, reinterpret_cast<int64_t*>(to.data()));
    }
    return nb::make_tuple(count.ignored, count.first_bad);
}

// How many entries of two C-contiguous arrays of integers have each pair of classes. Returns how many have
// the truth to ignore, how many of the others the label to ignore, and the first places of a truth and of a
// label that are no class, -1 if there is none.
nb::tuple look_at_pairs(nb::tuple labels, nb::tuple truth, int64_t classes, nb::handle confusion) {
    const View first(labels[0], false), second(truth[0], false), to(confusion, true);
    const Target label = target_of(first, nb::cast<int>(labels[1]) != 0, labels[2]);
    const Target target = target_of(second, nb::cast<int>(truth[1]) != 0, truth[2]);
    const ptrdiff_t entries = ptrdiff_t(first.bytes()) / label.bytes;
    if (ptrdiff_t(second.bytes()) / target.bytes != entries || to.bytes() < count_bytes(classes * classes))
        throw std::invalid_argument("arrays of different sizes");
    PairCount count;
    {
        const WithoutGil released;
        count = count_pairs(label, target, entries, classes, reinterpret_cast<int64_t*>(to.data()));
    }
    return nb::make_tuple(count.ignored, count.unlabelled, count.bad_truth, count.bad_label);
}

// weight, scale, upstream, smoothing, gamma, (threshold, tie) or None.
LossTerms loss_terms(Call& call, const nb::tuple& terms) {
    LossTerms out{};
    out.weight = call.numbers(terms[0], call.classes());
    out.scale = nb::cast<double>(terms[1]);
    out.upstream = call.factors(terms[2]);
    out.smoothing = nb::cast<double>(terms[3]);
    out.gamma = nb::cast<double>(terms[4]);
    out.cuts = !terms[5].is_none();
    if (out.cuts) std::tie(out.threshold, out.tie) = nb::cast<std::pair<double, double>>(terms[5]);
    return out;
}

// The loss of each pixel goes into `losses`, their exact sum into `sums`, their gradient into `grad`.
void loss(nb::tuple logits, nb::tuple target, nb::tuple terms, nb::handle losses, nb::handle grad,
          int grad_dtype, nb::handle sums) {
    Call call(logits);
    call.target(target);
    call.gradient(grad, grad_dtype);
    LossTerms out = loss_terms(call, terms);
    out.losses = call.losses(losses);
    out.sums = call.exact_sums(sums);
    const bool soft = nb::cast<int>(target[1]) >= kProbs || out.smoothing != 0 || out.gamma != 0;
    call.run(soft ? kernels().soft_loss : kernels().loss, out);
}

// n numbers out of whole ones and parts.
void join_parts(const int64_t* sums, ptrdiff_t n, double* out) {
    for (ptrdiff_t k = 0; k < n; ++k)
        out[k] = double(sums[2 * k]) + std::ldexp(double(sums[2 * k + 1]), -kPartBits);
}

// sums: inside, total and truth of each class; see struct Region. Returns what is odd.
int64_t region_sums(nb::tuple logits, nb::tuple target, bool squared, nb::handle sums) {
    Call call(logits);
    call.target(target);
    const bool soft = nb::cast<int>(target[1]) >= kProbs;
    const ptrdiff_t n = call.classes();
    std::vector<int64_t> found(size_t(kRegionSums * n));
    int64_t odd = 0;
    call.run(soft ? kernels().soft_region_sums : kernels().region_sums, Region{found.data(), &odd, squared});
    std::vector<double> rest(static_cast<size_t>(n));
    double* to = call.output<double>(sums);
    join_parts(found.data(), 3 * n, to);
    join_parts(found.data() + 6 * n, n, rest.data());
    for (ptrdiff_t k = 0; k < n; ++k) to[n + k] += std::ldexp(rest[k], -kPartBits);
    return odd;
}

// The gradient of Σ_c (total_c + inside_c t_c + square_c p_c / 2) p_c.
void region_grad(nb::tuple logits, nb::tuple target, nb::tuple slopes, nb::handle grad, int grad_dtype) {
    Call call(logits);
    call.target(target);
    call.gradient(grad, grad_dtype);
    std::vector<int64_t> unused(kWideSums);
    LossTerms out{};
    out.scale = 1, out.sums = unused.data();
    out.inside = call.numbers(slopes[0], call.classes());
    out.total = call.numbers(slopes[1], call.classes());
    out.square = call.numbers(slopes[2], call.classes());
    call.run(kernels().soft_loss, out);
}

// counts: confusion, top_bins, class_bins, nll, brier; see struct Counts.
void statistics(nb::tuple logits, nb::tuple target, ptrdiff_t bins, nb::tuple counts) {
    Call call(logits);
    call.target(target);
    int64_t* to[5];
    for (int i = 0; i < 5; ++i) to[i] = call.output<int64_t>(counts[i]);
    call.run(kernels().statistics, Counts{to[0], to[1], to[2], to[3], to[4], bins});
}

// What a labelling gives: counts and sums of the classes, or None.
Given given_of(Call& call, nb::handle given) {
    if (given.is_none()) return {};
    const nb::tuple both = nb::cast<nb::tuple>(given);
    return {call.counts(both[0], call.classes()), call.counts(both[1], call.classes())};
}

// Of a target, which may be None, only what is ignored matters.
void histogram(nb::tuple logits, nb::handle target, nb::handle count, nb::handle sum, nb::handle argmax) {
    Call call(logits);
    if (!target.is_none()) call.target(nb::cast<nb::tuple>(target));
    const ptrdiff_t cells = call.classes() * kHistogramBins;
    call.run(kernels().histogram,
             Histogram{call.counts(count, cells), call.counts(sum, cells), given_of(call, argmax)});
}

// counts: pixels, own, spots, own_spots; see struct CurveCounts.
void curves(nb::tuple logits, nb::tuple target, nb::tuple counts) {
    Call call(logits);
    call.target(target);
    const ptrdiff_t cells = call.classes() * kCurveBins;
    int64_t* to[4];
    for (int i = 0; i < 4; ++i) to[i] = call.counts(counts[i], cells);
    call.run(kernels().curves, CurveCounts{to[0], to[1], to[2], to[3]});
}

// A class that addresses memory.
int64_t known_class(int64_t label, ptrdiff_t classes) {
    if (label < 0 || label >= classes) throw std::invalid_argument("there is no such class");
    return label;
}

// rule: classes, gain, loss; outputs: labels, confidence, None where not asked for. Of a target, which may be
// None, only what is ignored matters, and only to what is given.
void decide(nb::tuple logits, nb::handle target, nb::tuple rule, nb::tuple outputs, int label_bytes,
            nb::handle given) {
    Call call(logits);
    if (!target.is_none()) call.target(nb::cast<nb::tuple>(target));
    const ptrdiff_t count = ptrdiff_t(nb::len(nb::handle(rule[0])));
    std::vector<int64_t> taking(static_cast<size_t>(count));
    read_once(call.input<int64_t>(rule[0]), count, taking.data());  // none: argmax
    for (const int64_t label : taking) known_class(label, call.classes());
    call.run(kernels().decide,
             Decision{taking.data(), call.numbers(rule[1], count), call.numbers(rule[2], count), count,
                      call.output(outputs[0]), call.output(outputs[1]), label_bytes, given_of(call, given)});
}

// Adds to the loss and its derivatives by temperatures and biases; see struct Fit. Returns whether the sums
// by class hold all numbers.
bool fit(nb::tuple logits, nb::tuple target, nb::handle weight, nb::handle sums, nb::handle left_out,
         nb::handle class_sums) {
    Call call(logits);
    call.target(target);
    int64_t too_large = 0;
    call.run(kernels().fit,
             Fit{call.numbers(weight, call.classes()), call.exact_sums(sums, 4),
                 call.output<int64_t>(left_out), call.output<int64_t>(class_sums), &too_large});
    return too_large == 0;
}

// counts: led, right, own; see struct Shift.
void shift(nb::tuple logits, nb::tuple target, ptrdiff_t label, nb::handle values, nb::tuple counts) {
    Call call(logits);
    call.target(target);
    int64_t* to[3];
    for (int i = 0; i < 3; ++i) to[i] = call.output<int64_t>(counts[i]);
    call.run(kernels().shift, Shift{to[0], to[1], to[2], call.input(values), ptrdiff_t(nb::len(values)),
                                    known_class(label, call.classes())});
}

// Adds to sums of weighted probabilities; see struct Prior.
void prior(nb::tuple logits, nb::handle weight, nb::handle sums) {
    Call call(logits);
    call.run(kernels().prior,
             Prior{call.numbers(weight, call.classes()), call.counts(sums, 2 * call.classes() + 3)});
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
    if (array.ndim() > kMaxDims) throw std::invalid_argument("too many axes");
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
    const Elementary& table = kernels().elementary;
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
    m.attr("FLOAT16") = int(DType::float16);
    m.attr("BFLOAT16") = int(DType::bfloat16);
    m.attr("FLOAT32") = int(DType::float32);
    m.attr("FLOAT64") = int(DType::float64);
    m.attr("SWAPPED") = kSwapped;
    m.attr("PROBS") = kProbs;
    m.attr("TOO_LARGE") = kTooLarge;
    m.attr("SUMS") = kSums;
    m.attr("WIDE_SUMS") = kWideSums;
    m.attr("PART_BITS") = kPartBits;
    m.attr("FIT_PART_BITS") = Fit::kPartBits;
    m.attr("HISTOGRAM_STEPS") = kHistogramSteps;
    m.attr("HISTOGRAM_BINS") = kHistogramBins;
    m.attr("CURVE_BINS") = kCurveBins;
    m.def("probs", &probs);
    m.def("vjp", &vjp);
    m.def("segment", &segment);
    m.def("count_targets", &look_at_targets, "target"_a, "is_signed"_a, "classes"_a, "ignore"_a.none(),
          "counts"_a);
    m.def("count_pairs", &look_at_pairs, "labels"_a, "truth"_a, "classes"_a, "confusion"_a);
    m.def("loss", &loss, "logits"_a, "target"_a, "terms"_a, "losses"_a.none(), "grad"_a.none(),
          "grad_dtype"_a, "sums"_a);
    m.def("region_sums", &region_sums);
    m.def("region_grad", &region_grad, "logits"_a, "target"_a, "slopes"_a, "grad"_a, "grad_dtype"_a);
    m.def("statistics", &statistics);
    m.def("histogram", &histogram, "logits"_a, "target"_a.none(), "count"_a, "sum"_a, "argmax"_a);
    m.def("curves", &curves);
    m.def("decide", &decide, "logits"_a, "target"_a.none(), "rule"_a, "outputs"_a, "label_bytes"_a,
          "given"_a.none());
    m.def("fit", &fit, "logits"_a, "target"_a, "weight"_a.none(), "sums"_a, "left_out"_a,
          "class_sums"_a.none());
    m.def("shift", &shift);
    m.def("prior", &prior);
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
