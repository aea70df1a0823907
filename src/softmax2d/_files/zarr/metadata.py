"""The metadata of an array in a Zarr store, read and checked before zarr opens it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from softmax2d._errors import Path, Refused
from softmax2d._files.source.attributes import Statements, read_attributes
from softmax2d._files.zarr.chunks import Packing
from softmax2d._files.zarr.groups import STORES, find_array, has_file, read_json

MAX_CHUNK = 1 << 32  # bytes of a chunk, decoded
# Codecs that only move and shrink bytes. Others, such as pickle, run code from the file.
_CODECS_3 = ("bytes", "transpose", "gzip", "zstd", "blosc", "crc32c", "sharding_indexed")
_CODECS_2 = ("zlib", "gzip", "zstd", "blosc", "lz4", "bz2", "lzma", "shuffle", "delta", "crc32c")
_PACKED = ("zlib", "gzip", "zstd", "blosc", "lz4", "bz2", "lzma")  # the compressing ones among them
_WIDTHS = (8, 16, 32, 64)
_NUMBERS_3 = (
    "bool",
    *(f"int{bits}" for bits in _WIDTHS),
    *(f"uint{bits}" for bits in _WIDTHS),
    *(f"float{bits}" for bits in _WIDTHS[1:]),
)


@dataclass(frozen=True)
class Metadata:
    """The metadata of an array; axes as a source has them."""

    folder: str  # where it lies
    version: int  # 2 or 3
    separator: str  # between the numbers of a chunk's name
    prefix: str  # before them
    axes: tuple[str, ...] | None
    said: Statements  # of the numbers: factor, offset, no data; names of the classes
    bare: int | None  # bytes of every chunk's file, where nothing shrinks them
    direct: bool  # whether those bytes are the numbers, in C order and the array's byte order
    zstd: bool  # whether they are such numbers packed by zstd
    packing: Packing
    attributes: dict[str, Any]  # the array's, and those of its group that describe it

    def key(self, place: tuple[int, ...]) -> str:
        """Return the name of a chunk's file."""
        numbers = self.separator.join(map(str, place))
        if self.prefix:
            return self.prefix + (self.separator + numbers if numbers else "")
        return numbers or "0"


def read_metadata(path: Path, key: str | None) -> Metadata:
    """Find the array, and refuse metadata that are damaged, hostile or of no numbers.

    Raises
    ------
    Refused
        With the cause.
    """
    folder, root = find_array(path, key), os.path.realpath(path)
    if os.path.commonpath([os.path.realpath(folder), root]) != root:
        raise Refused(path, f"array {key!r} is a link that leads out of the store.")
    for name in (*STORES, ".zattrs"):  # zarr would read a device for ever
        said = os.path.join(folder, name)
        if os.path.lexists(said) and not os.path.isfile(said):
            raise Refused(path, f"is damaged: its {name} is no file.")
    outer = _group_attributes(path, folder, root)
    try:
        if has_file(folder, "zarr.json"):
            return _version_3(path, folder, root, outer)
        return _version_2(path, folder, root, outer)
    except (KeyError, TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(path, "is damaged: its Zarr metadata cannot be understood.") from error


def _sizes(path: Path, values: Any) -> tuple[int, ...]:
    sizes = tuple(values)
    if len(sizes) > 32 or not all(type(n) is int and 0 <= n < 1 << 62 for n in sizes):
        raise Refused(path, "is damaged: its Zarr metadata give no valid shape.")
    return sizes


def _check_chunk(path: Path, chunks: tuple[int, ...], itemsize: int) -> int:
    if 0 in chunks:
        raise Refused(path, "is damaged: its chunks are empty.")
    size = prod(chunks) * itemsize
    if size > MAX_CHUNK:
        shown = " × ".join(map(str, chunks))
        raise Refused(path, f"has chunks of {shown[:80]} values, {size:.3g} bytes, which no tile "
                            "holds; rechunk it.")  # fmt: skip
    return size


def _version_3(path: Path, folder: str, root: str, outer: dict[str, Any]) -> Metadata:
    said = read_json(path, os.path.join(folder, "zarr.json"), root)
    if said.get("node_type") != "array":
        raise Refused(path, "holds no array of that name, but a group.")
    shape, dtype = _sizes(path, said["shape"]), said["data_type"]
    if dtype not in _NUMBERS_3:
        raise Refused(path, f"holds {str(dtype)[:60]}; numbers of 8 to 64 bits are needed.")
    grid = said["chunk_grid"]
    if grid["name"] != "regular":
        raise Refused(
            path, f"has a {str(grid['name'])[:40]} chunk grid; only regular ones are read."
        )
    chunks = _sizes(path, grid["configuration"]["chunk_shape"])
    itemsize = np.dtype(dtype).itemsize
    size = _check_chunk(path, chunks, itemsize)
    codecs = said["codecs"]
    _check_codecs(path, codecs)
    names = [c["name"] for c in codecs]
    encoding = said["chunk_key_encoding"]
    default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if default else ".")
    attributes = {**outer, **said.get("attributes", {})}
    dimensions = said.get("dimension_names")
    return Metadata(
        folder=folder,
        version=3,
        separator=separator,
        prefix="c" if default else "",
        axes=_axes(dimensions or _ome_axes(attributes), len(shape)),
        said=read_attributes(attributes, dtype=np.dtype(dtype)),
        bare=size if names == ["bytes"] else None,
        direct=names == ["bytes"] and (itemsize == 1 or _native(codecs[0])),
        zstd=names == ["bytes", "zstd"] and (itemsize == 1 or _native(codecs[0])),
        packing=_packing(path, codecs, chunks, itemsize),
        attributes=attributes,
    )


def _native(codec: dict[str, Any]) -> bool:
    return bool((codec.get("configuration") or {}).get("endian") == sys.byteorder)


def _check_codecs(path: Path, codecs: Any) -> None:
    for codec in codecs:
        if codec["name"] not in _CODECS_3:
            raise Refused(path, f"is encoded with {str(codec['name'])[:40]!r}, which is not read.")
        inside = codec.get("configuration", {}) or {}
        for name in ("codecs", "index_codecs"):
            if codec["name"] == "sharding_indexed":
                _check_codecs(path, inside.get(name, []))


def _compressor(path: Path, names: list[str]) -> str | None:
    """Return the one codec that compresses; None without one."""
    used = [name for name in names if name in _PACKED]
    if len(used) > 1:
        raise Refused(path, f"is compressed twice, by {' and '.join(used)}, which is not read.")
    return used[0] if used else None


def _packing(path: Path, codecs: Any, chunks: tuple[int, ...], itemsize: int) -> Packing:
    """Return how chunks of version 3 are compressed, alone or in shards."""
    names = [c["name"] for c in codecs]
    if "sharding_indexed" not in names:
        return Packing(_compressor(path, names), 0, prod(chunks) * itemsize)
    inside = codecs[0]["configuration"]
    index = [c["name"] for c in inside["index_codecs"]]
    within = [c["name"] for c in inside["codecs"]]
    first = inside.get("index_location", "end") == "start"
    plain = index in (["bytes"], ["bytes", "crc32c"]) and "sharding_indexed" not in within
    if len(codecs) != 1 or not plain:
        raise Refused(path, "has shards in shards, or encoded as a whole, which are not read.")
    inner = _sizes(path, inside["chunk_shape"])
    nbytes = _check_chunk(path, inner, itemsize)
    if any(c % i for c, i in zip(chunks, inner, strict=True)):
        raise Refused(path, "is damaged: its shards are no whole chunks.")
    count = prod(c // i for c, i in zip(chunks, inner, strict=True))
    length = 16 * count + (4 if "crc32c" in index else 0)
    order = inside["index_codecs"][0].get("configuration", {}).get("endian")
    order = ">u8" if order == "big" else "<u8"
    return Packing(_compressor(path, within), 0, nbytes, inner, length, first, order)


def _version_2(path: Path, folder: str, root: str, outer: dict[str, Any]) -> Metadata:
    said = read_json(path, os.path.join(folder, ".zarray"), root)
    attributes = dict(outer)
    if has_file(folder, ".zattrs"):
        attributes |= read_json(path, os.path.join(folder, ".zattrs"), root)
    shape, chunks = _sizes(path, said["shape"]), _sizes(path, said["chunks"])
    if not isinstance(said["dtype"], str) or np.dtype(said["dtype"]).kind not in "bfiu":
        raise Refused(path, f"holds {str(said['dtype'])[:60]}; numbers of 8 to 64 bits are needed.")
    dtype = np.dtype(said["dtype"])
    size = _check_chunk(path, chunks, dtype.itemsize)
    used = [c for c in (said.get("compressor"), *(said.get("filters") or [])) if c is not None]
    for codec in used:
        if codec["id"] not in _CODECS_2:
            raise Refused(path, f"is encoded with {str(codec['id'])[:40]!r}, which is not read.")
    # crc32c stores a checksum before the compressed bytes; delta may widen the numbers.
    outer_sum = bool(used) and used[0]["id"] == "crc32c"
    most = size * (8 if any(c["id"] == "delta" for c in used) else 1)
    return Metadata(
        folder=folder,
        version=2,
        separator=said.get("dimension_separator", "."),
        prefix="",
        axes=_axes(attributes.get("_ARRAY_DIMENSIONS") or _ome_axes(attributes), len(shape)),
        said=read_attributes(attributes, fill=said.get("fill_value"), dtype=dtype),
        bare=None if used else size,
        direct=not used and said.get("order", "C") == "C",
        zstd=[c["id"] for c in used] == ["zstd"] and said.get("order", "C") == "C",
        packing=Packing(_compressor(path, [c["id"] for c in used]), 4 if outer_sum else 0, most),
        attributes=attributes,
    )


def _group_attributes(path: Path, folder: str, root: str) -> dict[str, Any]:
    """Return the attributes of the group around an array: the axes of OME-Zarr."""
    above = os.path.dirname(folder)
    if os.path.realpath(folder) == root:
        return {}
    if has_file(above, "zarr.json"):
        found = read_json(path, os.path.join(above, "zarr.json"), root).get("attributes", {})
    elif has_file(above, ".zattrs"):
        found = read_json(path, os.path.join(above, ".zattrs"), root)
    else:
        return {}
    kept = ("ome", "multiscales", "class_names")
    return {name: found[name] for name in kept if isinstance(found, dict) and name in found}


def _ome_axes(attributes: dict[str, Any]) -> list[str] | None:
    """Return the axes of an OME-Zarr image; None for other arrays."""
    scales = attributes.get("ome", attributes).get("multiscales")
    if not scales:
        return None
    axes = scales[0].get("axes", [])
    return ["class" if a.get("type") == "channel" else str(a["name"]) for a in axes]


def _axes(names: Any, rank: int) -> tuple[str, ...] | None:
    if not isinstance(names, list) or len(names) != rank or not all(names):
        return None
    return tuple(str(name)[:40] for name in names)
