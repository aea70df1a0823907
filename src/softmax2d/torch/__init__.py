"""softmax2d for PyTorch."""
