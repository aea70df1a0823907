"""Places that a run reads and writes: which are the same, which may be written, their size."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from softmax2d._errors import Refused, Unusable, brief, failing
from softmax2d._files.formats import format_of
from softmax2d._files.source.presentation import Space
from softmax2d._gate.options import Resampling
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.inputs import (
    file_of_array,
    input_files,
    is_path,
    numpy_view,
    space_of_object,
)

COLOURS = (1, 3, 4)  # values of a pixel of a picture whose file names no axes
_VOLUME = 3
LONGEST = 255  # bytes of a name, of files and folders
_STORES = ("zarr.json", ".zgroup", ".zarray")


def same_file(a: Any, b: Any) -> bool:
    """Whether two names lead to one file, through links of any kind."""
    try:
        return bool(os.path.samefile(a, b))
    except OSError:
        return bool(os.path.realpath(a) == os.path.realpath(b))


def _same_array(one: Any, other: Any) -> bool:
    """Whether what is written to one array may be read from the other."""
    if one is other:
        return True
    one, other = numpy_view(one), numpy_view(other)
    arrays = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    if arrays and bool(np.may_share_memory(one, other)):
        return True
    if hasattr(one, "file") and hasattr(other, "file"):  # h5py: datasets of one file are many
        return bool(one == other)
    first, second = file_of_array(one), file_of_array(other)
    return first is not None and second is not None and same_file(first, second)


def check_apart(name: str, held: Any, source: Any) -> None:
    """Refuse to write what is being read."""
    if is_path(source):
        place = file_of_array(held)
        same = place is not None and same_file(place, source)
    else:
        same = _same_array(held, source)
    if same:
        raise Unusable(f"the result for {name} is the source itself; give another array.")


def account_path(path: Any, held: Sequence[Any], what: str = "account") -> Path | None:
    """Where the account goes: a file that the run itself neither reads nor writes.

    ``held`` are the paths and arrays that the run reads and writes; the message names ``what``.
    """
    if path is None:
        return None
    account = Path(path)
    _check_length(account)
    if not account.parent.is_dir():
        raise Refused(account, f"there is no folder {account.parent}.")
    if account.is_dir() or any(same_file(account, other) for other in input_files(*held)):
        raise Refused(account, f"is no place for the {what}; choose another name.")
    return account


def scores_path(where: str, per_image: Any) -> Path | None:
    """Where the scores of each image go, a .csv; None where ``per_image`` is True or False."""
    if isinstance(per_image, bool | np.bool_):
        return None
    if not is_path(per_image):
        expected = "per_image must be True, False or the path of a .csv"
        raise TypeError(f"{where}: {expected}; got {brief(per_image)}.")
    path = Path(per_image)
    if path.suffix.lower() != ".csv":
        cause = f"has the suffix {path.suffix!r}; the scores of each image are a .csv."
        raise Refused(path, cause)
    return path


def _check_length(path: Path) -> None:
    """Refuse a name that no file system takes."""
    if (size := len(os.fsencode(path.name))) > LONGEST:
        cause = (
            f"is a name of {size} bytes, and file systems take {LONGEST}; shorten it, or that of "
        )
        raise Refused(path, f"{cause}the result beside which it lies.")


def chunked_format(path: Path) -> Any:
    """The module of a result that is stored in chunks, in place; None for all others."""
    if path.suffix.lower() != ".zarr":
        return None
    return import_module("softmax2d._files.zarr.result")


def check_paths(paths: Sequence[Path], inputs: Iterable[Path], overwrite: bool) -> None:
    """Refuse results that are inputs, that have the same name, or that exist already."""
    inputs = list(inputs)
    for path in (*paths, *inputs):
        if "\0" in str(path):
            raise Refused(str(path).replace("\0", "\\0"), "no file has such a name.")
    for path in paths:
        _check_length(path)
    for i, path in enumerate(paths):
        for source in inputs:
            if same_file(path, source):
                raise Refused(path, f"is the input {source} itself; choose another name.")
            if chunked_format(source) is not None and _lies_inside(path, source):
                raise Refused(path, f"lies inside the input {source}; choose another name.")
            if _lies_inside(source, path):
                raise Refused(path, f"holds the input {source}; choose another name.")
        if any(same_file(path, other) for other in paths[:i]):
            raise Refused(path, "would be written twice; give each result its own name.")
        _check_kind(path)
        check_new(path, overwrite)
        if not path.parent.is_dir():
            raise Refused(path, f"there is no folder {path.parent}.")


def _lies_inside(path: Path, folder: Path) -> bool:
    """Whether a name lies below a folder, links followed."""
    real = os.path.realpath(folder)
    return os.path.isdir(folder) and Path(os.path.realpath(path)).is_relative_to(real)


def _check_kind(path: Path) -> None:
    store = chunked_format(path) is not None
    if path.is_dir():
        if not store:
            raise Refused(path, "is a directory; name a file.")
        if any(path.iterdir()) and not any((path / name).exists() for name in _STORES):
            raise Refused(path, "is a directory, but no Zarr store; choose another name.")
    elif path.exists() and (store or not path.is_file()):
        raise Refused(path, "is no folder." if store else "is not a regular file.")


def check_new(path: Path, overwrite: bool) -> None:
    """Refuse to replace an existing file without ``overwrite``."""
    if os.path.lexists(path) and not overwrite:
        raise Refused(path, "exists; add --overwrite to replace it.")


def check_same(path: Path, made: Path) -> None:
    """Refuse to replace an existing result by other bytes."""
    with failing(path):
        same = _same_bytes(made, path)
    if not same:
        cause = "exists and is not what this run makes; add --overwrite to replace it."
        raise Refused(path, cause)


def _same_bytes(made: Path, existing: Path) -> bool:
    """Whether two files, or all files of two folders, are equal."""
    if not made.is_dir():
        return existing.is_file() and filecmp.cmp(made, existing, shallow=False)
    files = [
        {p.relative_to(top) for p in top.rglob("*") if not p.is_dir()} for top in (made, existing)
    ]
    return files[0] == files[1] and all(
        filecmp.cmp(made / name, existing / name, shallow=False) for name in files[0]
    )


def reference(like: Any, spatial: int) -> tuple[tuple[int, ...], Space | None]:
    """The size of a reference of so many spatial axes, and where its pixels lie."""
    if not is_path(like):
        return tuple(int(n) for n in getattr(like, "shape", like)), space_of_object(like, None)
    module = format_of(like, "open_source")
    if hasattr(module, "size_of"):
        size, space = module.size_of(like), module.space_of(like)
    else:
        with module.open_source(like, None, fill=True) as source:
            size, space = source.shape, source.space
            counting = source.class_axis
        if counting is not None:
            size = size[:counting] + size[counting + 1 :]
        elif len(size) == spatial + 1 and size[-1] in COLOURS:
            size = size[:-1]
    return tuple(size), space


def _reference(like: Any, geometry: Geometry) -> tuple[tuple[int, ...], Space | None]:
    """The spatial size of a reference, and where its pixels lie: a path, or an array."""
    spatial = len(geometry.shape) - geometry.batch
    size, space = reference(like, spatial)
    rank = len(size)
    if is_path(like) and rank != spatial and not (geometry.last and rank == _VOLUME):
        shown = " × ".join(map(str, size))
        raise Refused(like, f"has size {shown}; the logits have {spatial} spatial axes.")
    return size, space


def resampling_of(
    size: Any, like: Any, interpolation: Any, align_corners: bool, geometry: Geometry
) -> tuple[Resampling, Space | None]:
    """To what size, how, and where that lies in the world; ``geometry`` without resampling."""
    if size is not None and like is not None:
        raise Unusable("give size or like (--size or --like), not both.")
    space = None
    if like is not None:
        size, space = _reference(like, geometry)
    kinds = interpolation if isinstance(interpolation, str) else tuple(interpolation)
    return Resampling(size, kinds, align_corners), space
