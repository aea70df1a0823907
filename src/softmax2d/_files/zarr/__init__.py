"""Zarr arrays as sources and results."""
