"""NIfTI volumes as sources and results."""

from softmax2d._files.nifti.nifti import assemble, check_result, open_source, size_of, space_of

__all__ = ["assemble", "check_result", "open_source", "size_of", "space_of"]
