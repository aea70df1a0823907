"""Losses on NumPy arrays, with their gradients."""
