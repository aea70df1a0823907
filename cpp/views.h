// What the core sees of Python's arguments: memory with a shape, maps, grids, targets.
#pragma once
#include <nanobind/nanobind.h>

#include <memory>
#include <stdexcept>
#include <vector>

#include "layout.h"
#include "read_once.h"

namespace softmax2d {

namespace nb = nanobind;

constexpr int kSwapped = 4;  // added to a dtype whose bytes are swapped
constexpr int kProbs = 16;   // added to a dtype: a target of class probabilities

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

    // dtype: a DType, and kSwapped where the bytes are in the other order.
    Array array(int dtype) const {
        Array a{};
        a.data = static_cast<char*>(buffer_.buf);
        a.dtype = DType(dtype & (kSwapped - 1));
        a.swapped = (dtype & kSwapped) != 0;
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
    int itemsize() const { return int(buffer_.itemsize); }

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
    Affine affine(ptrdiff_t classes) const {
        if (!views[0]) return {};
        auto values = [&](int i) {
            if (views[i]->bytes() < size_t(classes) * sizeof(double))
                throw std::invalid_argument("a map of too few classes");
            return reinterpret_cast<const double*>(views[i]->data());
        };
        return {values(0), values(1), values(2), true, keeps_order};
    }
    std::unique_ptr<View> views[3];
    bool keeps_order = false;
};

// For each resampled axis, the last ones, a pair of arrays, one entry for each output pixel along it:
// the lower neighbour (int64) and the weight of the upper one (float64). None: the logits' own size. They are
// copied and checked: the lower neighbours address memory.
struct GridViews {
    GridViews(nb::handle grid, const Array& logits, int axis) {
        if (grid.is_none()) return;
        const nb::tuple axes = nb::cast<nb::tuple>(grid);
        resampling.ndim = int(axes.size());
        int extents[kMaxDims], spatial = 0;
        for (int d = 0; d < logits.ndim; ++d)
            if (d != axis) extents[spatial++] = d;
        if (resampling.ndim < 1 || resampling.ndim > 3 || resampling.ndim > spatial)
            throw std::invalid_argument("one to three axes can be resampled");
        for (int i = 0; i < resampling.ndim; ++i) {
            const nb::tuple pair = nb::cast<nb::tuple>(axes[i]);
            const View lower(pair[0], false), weight(pair[1], false);
            rows[i].resize(lower.bytes() / sizeof(int64_t));
            shares[i].resize(rows[i].size());
            if (weight.bytes() != lower.bytes()) throw std::invalid_argument("tables of different lengths");
            read_once(reinterpret_cast<const int64_t*>(lower.data()), ptrdiff_t(rows[i].size()),
                      rows[i].data());
            read_once(reinterpret_cast<const double*>(weight.data()), ptrdiff_t(rows[i].size()),
                      shares[i].data());
            resampling.axes[i] = {rows[i].data(), shares[i].data(), ptrdiff_t(rows[i].size()),
                                  logits.shape[extents[spatial - resampling.ndim + i]], 0};
            check(resampling.axes[i]);
        }
        active = true;
    }
    // Neighbours never fall and lie within the source, wherever a kernel goes with them.
    static void check(const Axis& axis) {
        int64_t least = 0;
        for (ptrdiff_t i = 0; i < axis.size; ++i) {
            const int64_t lower = axis.lower[i], most = axis.extent - (axis.weight[i] != 0 ? 2 : 1);
            if (lower < least || lower > most) throw std::invalid_argument("a table leaves the logits");
            least = lower;
        }
    }
    const Resampling* get() const { return active ? &resampling : nullptr; }
    std::vector<int64_t> rows[3];
    std::vector<double> shares[3];
    Resampling resampling{};
    bool active = false;
};

// The class of each pixel, C-contiguous.
inline Target target_of(const View& view, bool is_signed, nb::handle ignore, bool* changed = nullptr) {
    const bool ignores = !ignore.is_none();
    return {view.data(), view.itemsize(), is_signed, ignores, ignores ? nb::cast<int64_t>(ignore) : 0,
            changed};
}

}  // namespace softmax2d
