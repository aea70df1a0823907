"""TIFF, GeoTIFF and OME-TIFF as sources and results."""

from softmax2d._files.tiff.styles import companions, left_over
from softmax2d._files.tiff.tiff import assemble, check_result, open_source, size_of, space_of

__all__ = [
    "assemble",
    "check_result",
    "companions",
    "left_over",
    "open_source",
    "size_of",
    "space_of",
]
