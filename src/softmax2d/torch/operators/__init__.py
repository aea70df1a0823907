"""Custom operators: the kernels as PyTorch sees them."""
