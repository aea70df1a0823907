// Targets of class probabilities: what sinks that read them keep of each pixel.
#pragma once
#include "../tiles/fill.h"
#include "loss_rows.h"

namespace {

// A second tile: target probabilities, then h; and a few numbers of each pixel.
struct SoftRows {
    LossRows<double> pixel;
    double* h;
    static size_t bytes(const Job& job) {
        return LossRows<double>::bytes(job) + whole_lines(job.classes * padding(job.tile) * sizeof(double));
    }
    static SoftRows make(const Job& job, char* scratch) {
        return {LossRows<double>::make(job, scratch), (double*)(scratch + LossRows<double>::bytes(job))};
    }
};

// Target probabilities, as they lie in operand 1.
inline void read_soft_target(const Tile<double>& t, const Job& job, double* to) {
    Tile<double> target = t;
    target.z = to;
    switch (job.operand[1].dtype) {
        case DType::float16: return fill<Half>(target, job, 1);
        case DType::bfloat16: return fill<BFloat>(target, job, 1);
        case DType::float32: return fill<float>(target, job, 1);
        case DType::float64: return fill<double>(target, job, 1);
    }
}

}  // namespace
