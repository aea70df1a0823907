"""The kernels behind the operators: CPU, CUDA, plain formulas."""
