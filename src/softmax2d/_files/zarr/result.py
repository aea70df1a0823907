"""Results in Zarr 3: chunks and shards, each of which one task writes as a whole."""

from __future__ import annotations

import filecmp
import json
import os
from itertools import product
from math import isnan, prod
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Path, Refused, require
from softmax2d._files.source.coordinates import of_transform, values_of
from softmax2d._files.source.presentation import Look, meaning_of
from softmax2d._files.source.source import Array, Box
from softmax2d._files.zarr.array import name_errors
from softmax2d._files.zarr.chunks import chunk_numbers
from softmax2d._files.zarr.coordinates import multiscales
from softmax2d._files.zarr.groups import find_array

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
    """Return the names of a result's axes: the source's, of coordinates, or the usual ones."""
    spatial = rank - (look.class_axis is not None)
    usual = ["n", "z", "y", "x"][-spatial:] if spatial <= 4 else [f"axis_{d}" for d in range(rank)]
    names = list(look.axes) if look.axes is not None and len(look.axes) == spatial else usual
    for held in _fields(look).get("coordinates", ()):
        if -held["axis"] <= spatial:
            names[held["axis"]] = held["name"]
    kind = "rank" if look.what.startswith("top") else "class"
    if len({*names, kind}) != len(names) + 1:
        names = usual
    if look.class_axis is not None:
        names.insert(look.class_axis, kind)
    return names


def _fields(look: Look) -> dict[str, Any]:
    """Return the fields of a result's place; those of a GeoTIFF with coordinates of its pixels."""
    if look.space is None:
        return {}
    fields = dict(look.space.fields)
    if look.space.kind == "geotiff" and "coordinates" not in fields and fields.get("crs"):
        held = of_transform(fields["transform"], look.space.size)
        if held and fields["transform"] != [1, 0, 0, 0, 1, 0] and "points" not in fields:
            said = {"crs_wkt": fields["crs"], "spatial_ref": fields["crs"]}
            fields["coordinates"] = held
            fields["mapping"] = {"name": "spatial_ref", "attributes": said}
    return fields


def _attributes(look: Look) -> dict[str, Any]:
    """Return the attributes of a result's array."""
    found: dict[str, Any] = {"what": look.what}
    if meaning_of(look) is not None:
        found["meaning"] = meaning_of(look)
    if look.names is not None:
        found["class_names"] = list(look.names)
    if look.palette is not None:
        found["palette"] = np.asarray(look.palette).tolist()
    if look.nodata is not None:  # JSON has no NaN
        found["nodata"] = "NaN" if isnan(look.nodata) else look.nodata
    if look.scale is not None:
        found |= {"scale": look.scale, "scale_factor": look.scale}
    fields = _fields(look)
    if "mapping" in fields:
        found["grid_mapping"] = found["coordinates"] = fields["mapping"]["name"]
    own = {name: value for name, value in fields.items() if name not in ("coordinates", "mapping")}
    if look.space is not None and look.space.kind == "ome":  # the name "ome" belongs to OME-Zarr
        found |= own
    elif own and look.space is not None:
        found[look.space.kind] = own
    return found


def _image_label(look: Look) -> dict[str, Any]:
    """Return OME-Zarr's colours and names of labels."""
    found: dict[str, Any] = {}
    if look.palette is not None:
        colours = [[*map(int, colour), 255] for colour in np.asarray(look.palette)]
        found["colors"] = [{"label-value": k, "rgba": c} for k, c in enumerate(colours)]
    if look.names is not None:
        found["properties"] = [{"label-value": k, "class": n} for k, n in enumerate(look.names)]
    return {"image-label": found} if found and look.what == "labels" else {}


def create_result(
    target: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...], look: Look
) -> None:
    """Make a group with an array without chunks in the folder ``target``.

    The array is named after what it holds; beside it lie the coordinates of its axes. So xarray
    opens the group as a Dataset, and programs of OME-Zarr as an image.

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
    axes, fields = _axes(len(shape), look), _fields(look)
    ome = multiscales(axes, look.what, look.class_axis, look.space)
    with name_errors(target, Failed):
        store = zarr.storage.LocalStore(os.fspath(target))
        described = {} if ome is None else {"ome": ome | _image_label(look)}
        group = zarr.create_group(store, zarr_format=3, attributes=described)
        group.create_array(
            look.what,
            shape=shape,
            dtype=dtype,
            chunks=inner,
            shards=None if inner == whole else whole,
            compressors=zarr.codecs.ZstdCodec(level=1),
            fill_value=0,
            dimension_names=axes,
            attributes=_attributes(look),
            config={"write_empty_chunks": True},
        )
        if "mapping" in fields:
            held = fields["mapping"]
            _create_beside(group, held["name"], np.int64(0), [], held["attributes"])
        for held in fields.get("coordinates", ()):
            if held["name"] in axes:
                values = values_of(held)
                _create_beside(group, held["name"], values, [held["name"]], held["attributes"])
        _consolidate(os.fspath(target))


def _consolidate(folder: str) -> None:
    """Copy the arrays' metadata into the group's, where xarray looks for them first."""
    name = "zarr.json"
    arrays = sorted(e.name for e in os.scandir(folder) if e.is_dir())
    said = {}
    for array in ("", *arrays):
        with open(os.path.join(folder, array, name), "rb") as file:
            said[array] = json.load(file)
    whole = said.pop("")
    whole["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": said}
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(whole, file, indent=2)


def _create_beside(
    group: Any, name: str, values: Any, axes: list[str], attributes: dict[str, Any]
) -> None:
    """Make a small array that describes the result."""
    made = group.create_array(
        name,
        shape=np.shape(values),
        dtype=values.dtype,
        chunks=np.shape(values),
        compressors=None,
        fill_value=0,
        dimension_names=axes,
        attributes=attributes,
        config={"write_empty_chunks": True},
    )
    made[...] = values


def mend(target: Path, fresh: Path) -> None:
    """Give ``target`` the metadata and coordinates of ``fresh``, the same without a chunk."""
    with name_errors(target, Failed):
        for folder, _, names in os.walk(fresh):
            there = os.path.join(target, os.path.relpath(folder, fresh))
            os.makedirs(there, exist_ok=True)
            for name in names:
                made, said = os.path.join(folder, name), os.path.join(there, name)
                if not (os.path.isfile(said) and filecmp.cmp(said, made, False)):
                    os.replace(made, said)


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
            self._folder = find_array(target, None)
            store = zarr.storage.LocalStore(self._folder)
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
