// One call of a kernel: the views of Python's arrays, the job, and the run without the global lock.
#pragma once
#include <nanobind/stl/string.h>

#include <deque>
#include <optional>
#include <string>
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
    // target: array, kind, ignored class or None, and perhaps how the error begins if it changes meanwhile.
    // Kinds: 0 or 1 for signed integers, from kProbs on dtypes of class probabilities.
    void target(const nb::tuple& target) {
        const int kind = nb::cast<int>(target[1]);
        if (kind >= kProbs) return read(target[0], kind - kProbs);
        job_.target = target_of(hold(target[0], false), kind, target[2], &changed_);
        one_a_pixel(size_t(job_.target.bytes));
        if (target.size() > 3) name_ = target[3];
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
    // Losses, or what they are multiplied by: one number a pixel.
    char* losses(nb::handle array) {
        char* data = output(array);
        if (data) one_a_pixel(wide() ? sizeof(double) : sizeof(float));
        return data;
    }
    const char* factors(nb::handle array) {
        const char* data = input<char>(array);
        if (data) one_a_pixel(wide() ? sizeof(double) : sizeof(float));
        return data;
    }
    // Of as many numbers, or more.
    const double* numbers(nb::handle array, ptrdiff_t entries) {
        const double* data = input(array);
        if (data && views_.back().bytes() < size_t(entries) * sizeof(double))
            throw std::invalid_argument("an array of numbers is too short");
        return data;
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
        if (affine_) job_.affine = affine_->affine(classes());
        for (const auto& [bytes, each] : pixels_)
            if (bytes != size_t(job_.walk.pixels) * each)
                throw std::invalid_argument("an array of another number of pixels");
        {
            const WithoutGil released;
            softmax2d::run(job_, kernel, result_bytes_);
        }
        if (changed_) refuse_change();
    }

   private:
    void one_a_pixel(size_t bytes) { pixels_.emplace_back(views_.back().bytes(), bytes); }
    [[noreturn]] void refuse_change() const {
        const std::string who = name_.is_valid() ? nb::cast<std::string>(name_) : "target changed";
        throw nb::value_error(
            (who + "; a pixel that was a class is none now. Pass a copy, or write to it later.").c_str());
    }

    const View& hold(nb::handle array, bool writable) { return views_.emplace_back(array, writable); }

    int axis_;
    std::deque<View> views_;
    std::vector<Array> arrays_;
    Array result_{};
    size_t result_bytes_ = 0;
    std::vector<std::pair<size_t, size_t>> pixels_;  // bytes of arrays, and of one pixel in them
    bool backward_ = false;
    bool changed_ = false;
    nb::handle name_;
    std::optional<AffineViews> affine_;
    std::optional<GridViews> grid_;
    Job job_{};
};

}  // namespace softmax2d
