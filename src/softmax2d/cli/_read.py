"""Class scores from files that may be damaged, hostile or not files at all."""

from __future__ import annotations

import os

from softmax2d._files._errors import Path, Refused
from softmax2d._files._npy import Array, open_npy
from softmax2d._files._npz import open_npz
from softmax2d._files._regular import open_regular


def open_logits(path: Path, key: str | None, folder: Path) -> Array:
    """Memory-map the array in ``path``, checked against the size of the file.

    Parameters
    ----------
    path : path
        A .npy file, or a .npz file with one array or with ``key``.
    key : str or None
        Name of the array in a .npz file.
    folder : path
        Where a compressed .npz member is unpacked, in a file without a name.

    Returns
    -------
    array, any shape and dtype but objects
        Read-only.

    Raises
    ------
    Refused
        Not a regular file, or not one that holds such an array.
    Failed
        The operating system failed to read it.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix == ".npz":
        return open_npz(path, key, folder)
    if suffix != ".npy":
        with open_regular(path):
            pass
        raise Refused(
            path, f"has the unknown suffix {suffix!r}; logits are read from .npy and .npz."
        )
    if key is not None:
        raise Refused(path, "is a single array; --key is for .npz files.")
    return open_npy(path)
