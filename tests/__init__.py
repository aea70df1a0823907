"""Tests of softmax2d; ``cases`` is shared with the benchmarks."""
