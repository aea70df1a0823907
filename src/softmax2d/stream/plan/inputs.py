"""What a run reads: files or arrays as sources, opened once here and once in every worker."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from softmax2d._errors import StreamError, Unusable
from softmax2d._files.formats import format_of
from softmax2d._files.hdf5 import space_of_dataset
from softmax2d._files.places.labelled import space_of_array
from softmax2d._files.source.attributes import describe_axes, statements_of
from softmax2d._files.source.presentation import Space
from softmax2d._files.source.source import ArraySource, Source
from softmax2d._files.views.scaled import interpret
from softmax2d._gate.arrays import as_array

# How a source is seen: turned, cut, or as other numbers. It can be sent to another process, and
# hashed: a frozen dataclass.
Show = Callable[[Source], Source]


def is_path(value: Any) -> bool:
    """Whether a value is the name of a file."""
    return isinstance(value, str | os.PathLike)


def numpy_view(held: Any, name: str = "source") -> Any:
    """A view, as NumPy's, of another library's tensor (DLPack) on the CPU; others as they are."""
    if isinstance(held, np.ndarray) or not hasattr(held, "__dlpack__"):
        return held
    try:
        return as_array("stream", name, held)
    except TypeError as error:
        raise Unusable(str(error)) from None


def _mapped_file(held: Any) -> str | None:
    """The file of the mapped array that an array is a view of."""
    name = None
    while isinstance(held, np.ndarray):
        if isinstance(held, np.memmap) and held.filename is not None:
            name = str(held.filename)
        held = held.base
    return name if isinstance(held, mmap.mmap) else None


class _MappedSource(ArraySource):
    """A view of a mapped file, which a resumed run knows by the file's size and time."""

    def identity(self) -> dict[str, Any]:
        return Source.identity(self)


def open_any(source: Any, key: str | None = None, *, fill: bool = False) -> Source:
    """A source from a path, or from anything with ``shape``, ``dtype`` and ``__getitem__``."""
    if isinstance(source, Source):
        return source
    if is_path(source):
        opened: Source = format_of(source, "open_source").open_source(source, key, fill=fill)
        return opened
    missing = [n for n in ("shape", "dtype", "__getitem__") if not hasattr(source, n)]
    if missing:
        kind = type(source).__name__
        raise Unusable(
            f"a source is a path, or has shape, dtype and __getitem__; {kind} has no {missing[0]}."
        )
    if key is not None:
        raise Unusable("key names an array of a file; the source is an array itself.")
    held = numpy_view(source)
    name = _mapped_file(held)
    mapped = name and os.path.exists(name)
    found = _MappedSource(held, name) if name and mapped else ArraySource(held)
    describe_axes(found)
    found.space = space_of_object(held, found.class_axis)
    return interpret(found, statements_of(held, found.path))


def space_of_object(held: Any, counting: int | None) -> Space | None:
    """Where the pixels of an array object lie: a DataArray, h5py.Dataset or zarr.Array."""
    zarr = sys.modules.get("zarr")
    if zarr is not None and isinstance(held, zarr.Array):
        root = getattr(held.store, "root", None)
        if root is None or not os.path.isdir(root):
            return None
        module = import_module("softmax2d._files.zarr")
        try:
            with module.open_source(str(root), held.path or None, fill=True) as source:
                found: Space | None = source.space
                return found
        except StreamError:  # the array is read by its own library
            return None
    return space_of_array(held, counting) or space_of_dataset(held, counting)


def file_of_array(held: Any) -> str | None:
    """The file, or the folder of a Zarr array, in which an array lies; None if unknown."""
    name = _mapped_file(held)
    if name is not None:
        return name
    root = getattr(getattr(held, "store", None), "root", None)
    if root is not None and isinstance(getattr(held, "path", None), str):
        return os.path.join(str(root), held.path)
    name = getattr(getattr(held, "file", None), "filename", None)
    return name if isinstance(name, str) and os.path.exists(name) else None


def input_files(*inputs: Any) -> list[Path]:
    """The files that inputs are or lie in, which a run leaves as they are."""
    names = (held if is_path(held) else file_of_array(held) for held in inputs)
    return [Path(name) for name in names if name is not None]


def title_of(held: Any) -> str:
    """The name of an input in the title of a report."""
    return Path(held).name if is_path(held) else type(held).__name__


@dataclass(frozen=True)
class Opening:
    """A file that several processes open, and how they see it."""

    path: str
    key: str | None = None
    fill: bool = False
    shows: tuple[Show, ...] = ()

    def open(self) -> Source:
        """The source."""
        source = open_any(self.path, self.key, fill=self.fill)
        for show in self.shows:
            source = show(source)
        return source


@dataclass
class Input:
    """Logits, a truth or an image; the source is open within the block."""

    place: Any  # as it was given
    key: str | None = None  # which array of a file with several
    fill: bool = False  # whether missing chunks are the fill value
    shows: tuple[Show, ...] = ()  # how the source is seen
    source: Source = field(init=False)  # what is read there

    def __enter__(self) -> Input:
        self.source = open_any(self.place, self.key, fill=self.fill)
        return self

    def __exit__(self, *error: Any) -> None:
        self.source.close()

    def show(self, how: Show) -> None:
        """See the open source differently from now on, here and in every worker."""
        self.source, self.shows = how(self.source), (*self.shows, how)

    @property
    def files(self) -> list[Path]:
        """The files that must stay as they are."""
        return input_files(self.place)

    def opening(self) -> Opening | None:
        """How other processes open it; None of an array."""
        if not is_path(self.place):
            return None
        return Opening(os.path.abspath(self.place), self.key, self.fill, self.shows)
