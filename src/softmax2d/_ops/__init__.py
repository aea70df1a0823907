"""Probabilities, segmentation, decoding and derivatives on NumPy arrays."""
