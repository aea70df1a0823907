"""Triton kernels of softmax2d.torch and their launchers, one kernel a file."""
