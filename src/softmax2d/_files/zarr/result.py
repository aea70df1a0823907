"""Zarr 3 arrays as results: chunks and shards, each of which one task writes as a whole."""

from __future__ import annotations

import filecmp
import os
from itertools import product
from math import prod
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Path, Refused, require
from softmax2d._files.source.presentation import Look
from softmax2d._files.source.source import Array, Box
from softmax2d._files.zarr.array import name_errors
from softmax2d._files.zarr.chunks import chunk_numbers

_INNER = 1 << 22  # bytes: larger chunks are stored as shards of smaller ones
_BLOCK = 512  # pixels: side of a chunk along each of the last two axes by default
_NEAR = 2  # axes along which chunks are blocks; along those before, chunks are single


def check_result(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> None:
    """Refuse what no Zarr array holds."""
    require("zarr", "zarr")
    if not shape:
        raise Refused(path, "a Zarr array needs an axis; use .npy.")
    if look.palette is not None and look.classes > 1 << 16:
        raise Refused(path, f"a palette holds 65536 classes; got {look.classes}.")
    if dtype.kind not in "uif":
        raise Refused(path, f"a Zarr array holds no {dtype}; use float32 or float16.")


def _inner(chunks: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the inner chunks of a shard: halves of halves, while the sizes are even."""
    inner = list(chunks)
    while prod(inner) * itemsize > _INNER:
        even = [n if n % 2 == 0 else 0 for n in inner]
        largest = int(np.argmax(even))
        if not even[largest]:
            break
        inner[largest] //= 2
    return tuple(inner)


def _axes(rank: int, look: Look) -> list[str]:
    spatial = rank - (look.class_axis is not None)
    names = (
        ["n", "z", "y", "x"][-spatial:] if spatial <= 4 else [f"axis_{d}" for d in range(spatial)]
    )
    if look.class_axis is not None:
        name = "rank" if look.what.startswith("top") else "class"
        names.insert(look.class_axis, name)
    return names


def create_result(
    target: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...], look: Look
) -> None:
    """Make an array without chunks in the folder ``target``.

    Parameters
    ----------
    target : path
        A folder that does not exist.
    chunks : tuple of int
        What is written as one: a chunk or, where it is large, a shard.
    """
    zarr = require("zarr", "zarr")
    whole = tuple(max(1, min(c, n)) if n else 1 for c, n in zip(chunks, shape, strict=True))
    inner = _inner(whole, dtype.itemsize)
    attributes: dict[str, Any] = {"what": look.what}
    if look.names is not None:
        attributes["class_names"] = list(look.names)
    if look.palette is not None:
        attributes["palette"] = np.asarray(look.palette).tolist()
    numbers = {"nodata": look.nodata, "scale": look.scale}
    attributes |= {name: value for name, value in numbers.items() if value is not None}
    if look.space is not None and look.space.kind == "ome":  # the name "ome" belongs to OME-Zarr
        attributes |= look.space.fields
    elif look.space is not None:
        attributes[look.space.kind] = look.space.fields
    with name_errors(target, Failed):
        zarr.create_array(
            zarr.storage.LocalStore(os.fspath(target)),
            shape=shape,
            dtype=dtype,
            chunks=inner,
            shards=None if inner == whole else whole,
            compressors=zarr.codecs.ZstdCodec(level=1),
            fill_value=0,
            zarr_format=3,
            dimension_names=_axes(len(shape), look),
            attributes=attributes,
            config={"write_empty_chunks": True},
        )


def mend(target: Path, fresh: Path) -> None:
    """Give ``target`` the metadata of ``fresh``, the same array without a chunk."""
    name = "zarr.json"
    said = os.path.join(target, name)
    with name_errors(target, Failed):
        os.makedirs(target, exist_ok=True)
        if not (os.path.isfile(said) and filecmp.cmp(said, os.path.join(fresh, name), False)):
            os.replace(os.path.join(fresh, name), said)


def tidy(target: Path) -> None:
    """Remove the partial chunks of killed writers, which zarr fills under another name."""
    for folder, _, names in os.walk(target):
        for name in names:
            if name.endswith(".partial"):
                os.unlink(os.path.join(folder, name))


def assemble(path: Path, target: Path, staged: Any, look: Look) -> None:
    """Make the complete store ``target`` from a staged array, chunk by chunk."""
    depth = () if look.class_axis is None else (look.class_axis,)
    near = len(staged.shape) - len(depth) - _NEAR
    chunks, count = [], 0
    for d, n in enumerate(staged.shape):
        chunks.append(n if d in depth else min(n, 1 if count < near else _BLOCK))
        count += d not in depth
    create_result(target, staged.shape, staged.dtype, tuple(chunks), look)
    found = ZarrResult(target, path)
    each = zip(staged.shape, found.chunks, strict=True)
    for place in np.ndindex(*(-(-n // c) for n, c in each)):
        spans = zip(place, found.chunks, staged.shape, strict=True)
        box = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in spans)
        found.write(box, staged[box])


class ZarrResult:
    """A result in chunks, each of which one task writes as a whole."""

    def __init__(self, target: Path, name: Path) -> None:
        zarr = require("zarr", "zarr")
        self._name = name
        with name_errors(name, Failed):
            store = zarr.storage.LocalStore(os.fspath(target))
            self._folder = os.fspath(target)
            self._array = zarr.open_array(store, mode="r+")
            self._array = self._array.with_config({"write_empty_chunks": True})
        self.shape = tuple(int(n) for n in self._array.shape)
        self.dtype = np.dtype(self._array.dtype)
        self.chunks = tuple(map(int, self._array.shards or self._array.chunks))

    def write(self, box: Box, values: Array) -> None:
        """Store ``values`` at ``box``: whole chunks, or up to the array's end."""
        for s, c, n in zip(box, self.chunks, self.shape, strict=True):
            if s.start % c or (s.stop % c and s.stop != n):
                raise Failed(self._name, f"tile {box} does not lie on chunks of {self.chunks}.")
        with name_errors(self._name, Failed):
            self._array[box] = values

    def read(self, box: Box) -> Array:
        """Return the stored values in ``box``."""
        with name_errors(self._name, Failed):
            for place in product(*map(chunk_numbers, box, self.chunks)):
                # zarr returns zeros for a missing chunk: stat raises instead.
                os.stat(os.path.join(self._folder, "c", *map(str, place)))
            return np.asarray(self._array[box])

    def close(self) -> None:
        """Do nothing: no file stays open."""


def open_result(target: Path, name: Path) -> ZarrResult:
    """Open the array that :func:`create_result` made."""
    return ZarrResult(target, name)
