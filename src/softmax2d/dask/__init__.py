"""softmax2d for Dask: lazy results of dask arrays and of xarray DataArrays.

The same operations as in :mod:`softmax2d`, a task for each chunk of pixels. Calling them computes
nothing and reads nothing; what cannot be used is refused at once, in the words of the NumPy
functions, and every chunk has the bits that the whole array in memory would have. Installed with
``pip install ".[dask]"`` in a clone.

Chunks of pixels stay as they are. The class axis must lie in one chunk; where it does not, its
chunks are put together first, which keeps all of them in memory at a time and moves them between
workers: store logits with all classes in one chunk. Tasks of the threaded scheduler share the
process's threads (correct in any number); where chunks are small, ``SOFTMAX2D_NUM_THREADS=1``
leaves the parallel work to Dask, and so it is best set for workers of several threads each.

>>> import dask.array as da, softmax2d.dask as s2d
>>> logits = da.zeros((3, 100, 100), chunks=(3, 50, 50), dtype="float32")  # C, H, W
>>> found = s2d.segment(logits, outputs=("labels", "entropy"))
>>> found.labels.dtype, found.labels.chunks  # nothing is computed yet
(dtype('uint8'), ((50, 50), (50, 50)))
>>> round(float(found.entropy.mean().compute()), 4)
1.0986
"""

try:
    import dask as _dask_itself  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "dask":
        raise
    from softmax2d.extras import install_command as _command

    raise ModuleNotFoundError(
        f"softmax2d.dask needs Dask. Install it with `{_command('dask', 'dask')}`.",
        name="dask",
    ) from None

from softmax2d.dask._evaluate import evaluate
from softmax2d.dask._functions import log_softmax2d, segment, softmax2d

__all__ = ["evaluate", "log_softmax2d", "segment", "softmax2d"]
