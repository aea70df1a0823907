"""Zarr arrays as sources and results."""

from softmax2d._files.zarr.array import open_source
from softmax2d._files.zarr.result import assemble, check_result

__all__ = ["assemble", "check_result", "open_source"]
