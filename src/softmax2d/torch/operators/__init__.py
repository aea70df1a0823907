"""Custom operators: what PyTorch sees of the kernels."""
