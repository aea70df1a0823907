// One call of a kernel: the views of Python's arrays, the job, and the run without the global lock.
#pragma once
#include <deque>
#include <optional>
#include <vector>

#include "gil.h"
#include "views.h"

namespace softmax2d {

class Call {
   public:
    // logits: array, dtype, axis, map or None, grid or None.
    explicit Call(const nb::tuple& logits)
        : Call(logits[0], nb::cast<int>(logits[1]), nb::cast<int>(logits[2])) {
        affine_.emplace(logits[3]);
        grid_.emplace(logits[4], arrays_[0], axis_);
    }
    Call(nb::handle array, int dtype, int axis) : axis_(axis) { read(array, dtype); }

    ptrdiff_t classes() const { return arrays_[0].shape[axis_]; }
    bool wide() const { return arrays_[0].dtype == DType::float64; }

    // Another array that is read tile by tile, with a class axis.
    void read(nb::handle array, int dtype) { arrays_.push_back(hold(array, false).array(dtype)); }
    // target: array, kind, ignored class or None. Kinds: 0 or 1 for signed integers, from kProbs on
    // dtypes of class probabilities.
    void target(const nb::tuple& target) {
        const int kind = nb::cast<int>(target[1]);
        if (kind >= kProbs) return read(target[0], kind - kProbs);
        job_.target = target_of(hold(target[0], false), kind, target[2]);
    }
    // The array that takes results with a class axis, None for none: of the output's size, or gradients, of
    // the source's.
    void result(nb::handle array, int dtype) {
        if (array.is_none()) return;
        result_ = hold(array, true).array(dtype);
        result_bytes_ = views_.back().bytes();
    }
    void gradient(nb::handle array, int dtype) {
        result(array, dtype);
        backward_ = result_bytes_ > 0;
    }

    // Memory of other arrays; nullptr for None.
    template <class T = double>
    const T* input(nb::handle array) {
        return array.is_none() ? nullptr : reinterpret_cast<const T*>(hold(array, false).data());
    }
    template <class T = char>
    T* output(nb::handle array) {
        return array.is_none() ? nullptr : reinterpret_cast<T*>(hold(array, true).data());
    }
    // Of as many integers, or more.
    int64_t* counts(nb::handle array, ptrdiff_t entries) {
        int64_t* data = output<int64_t>(array);
        if (views_.back().bytes() < size_t(entries) * sizeof(int64_t))
            throw std::invalid_argument("an array of counts is too short");
        return data;
    }
    int64_t* exact_sums(nb::handle array, int count = 1) {
        return counts(array, count * (wide() ? kWideSums : kSums));
    }

    template <class Arguments>
    void run(const Kernel& kernel, const Arguments& arguments) {
        job_.arguments = &arguments;
        run(kernel);
    }
    void run(const Kernel& kernel) {
        lay_out(job_, arrays_.data(), int(arrays_.size()), result_bytes_ ? &result_ : nullptr, axis_,
                kernel.pixels, grid_ ? grid_->get() : nullptr, backward_);
        if (affine_) job_.affine = affine_->affine();
        const WithoutGil released;
        softmax2d::run(job_, kernel, result_bytes_);
    }

   private:
    const View& hold(nb::handle array, bool writable) { return views_.emplace_back(array, writable); }

    int axis_;
    std::deque<View> views_;
    std::vector<Array> arrays_;
    Array result_{};
    size_t result_bytes_ = 0;
    bool backward_ = false;
    std::optional<AffineViews> affine_;
    std::optional<GridViews> grid_;
    Job job_{};
};

}  // namespace softmax2d
