"""The module that reads and writes each suffix.

A format is a module or package in this room with some of these functions:

    open_source(path, key, *, fill)
        A :class:`~softmax2d._files.source.source.Source`; ``key`` names one array of several,
        ``fill`` lets missing chunks be fill values.
    check_result(path, shape, dtype, look)
        Refuse, before anything is computed, what the file cannot hold.
    assemble(path, target, staged, look)
        Write the complete file ``target``, a temporary name beside ``path``, from a staged array
        with ``shape``, ``dtype`` and ``staged[box]``. Messages and the suffix use ``path``.

    companions(path, look), left_over(path)
        The small files beside a result that say its names and colours, and what is in them; those
        that an earlier result of this name left.

Every claim of a file about itself is checked, only the named driver opens it, and no pickle is ever
loaded.
"""

from __future__ import annotations

import os
import pathlib
from importlib import import_module
from types import ModuleType

from softmax2d._errors import Path, Refused
from softmax2d._files.source.regular import open_regular
from softmax2d._files.source.suffix import suffix_of

_MODULES = {
    ".npy": "npy",
    ".npz": "npz",
    ".zarr": "zarr",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".safetensors": "safetensors",
    ".png": "png",
    ".jpg": "png",
    ".jpeg": "png",
    ".webp": "png",
}

_PICKLED = " No pickle is opened: save the array with numpy.save."
_WAYS = {  # what else such a file may be used for
    ".onnx": " A network comes first: softmax2d predict MODEL IMAGE.",
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".pkl", ".pickle"), _PICKLED),
}


def format_of(path: Path, ability: str) -> ModuleType:
    """Return the module of a path's suffix, if it has the function ``ability``."""
    suffix = suffix_of(path)
    module = _MODULES.get(suffix)
    if module is None:
        if ability == "open_source":
            _check_store(path)
            with open_regular(path):
                pass
        known = ", ".join(_MODULES)
        what = f"has the unknown suffix {suffix!r}" if suffix else "has no suffix"
        way = _WAYS.get(suffix, "") if ability == "open_source" else ""
        raise Refused(path, f"{what}; known are {known}.{way}")
    found = import_module(f"softmax2d._files.{module}")
    if not hasattr(found, ability):
        kind = "read" if ability == "open_source" else "written"
        raise Refused(path, f"{suffix} files are not {kind}.")
    return found


def _check_store(path: Path) -> None:
    """Refuse a folder inside a Zarr store, naming store and key, or a store of another suffix."""
    for above in pathlib.Path(path).parents if os.path.isdir(path) else ():
        if above.suffix.lower() == ".zarr":
            key = pathlib.Path(path).relative_to(above).as_posix()
            raise Refused(path, f"is a part of the store {above}; give that, and --key {key}.")
    if any(
        os.path.isfile(os.path.join(path, name)) for name in ("zarr.json", ".zgroup", ".zarray")
    ):
        raise Refused(path, "is a Zarr store without the suffix .zarr; rename it or link to it.")
