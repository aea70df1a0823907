"""Tensors in .safetensors files: a JSON header, then bare numbers.

The format is that of https://github.com/huggingface/safetensors: eight bytes that give the header's
length, little-endian; a JSON object of name to dtype, shape and data_offsets; the data.
"""

from __future__ import annotations

import json
import os
import struct
from contextlib import suppress
from itertools import pairwise
from math import prod
from typing import Any, NoReturn

import numpy as np

from softmax2d._errors import Path, Refused, failing
from softmax2d._files.source.attributes import RESULTS, Statements, read_attributes
from softmax2d._files.source.presentation import Look, meaning_in, meaning_of
from softmax2d._files.source.raw import RawSource, append_staged
from softmax2d._files.source.regular import choose_name, open_regular
from softmax2d._files.source.source import Source
from softmax2d._files.views.scaled import interpret
from softmax2d.extras import install_command

_MAX_HEADER = 1 << 22  # bytes; the header as Python objects takes twenty times as much
_NAMES = "class_names"
_DTYPES = {
    "BOOL": "|b1", "F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "|i1", "I16": "<i2",
    "I32": "<i4", "I64": "<i8", "U8": "|u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
}  # fmt: skip
_CODES = {np.dtype(text): code for code, text in _DTYPES.items()}


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _header(path: Path, number: int, size: int) -> tuple[dict[str, Any], int]:
    """Return the header, and where the data begin."""
    with failing(path):
        start = os.pread(number, 8, 0)
    if len(start) < 8:
        raise Refused(path, "is empty." if not start else "is truncated inside its header.")
    (length,) = struct.unpack("<Q", start)
    if length > size - 8:
        raise Refused(path, f"claims a header of {length} bytes; it has {size} bytes in all.")
    if length > _MAX_HEADER:
        raise Refused(path, f"has a header of {length} bytes; at most {_MAX_HEADER} are read.")
    with failing(path):
        text = os.pread(number, length, 8)
    try:
        found = json.loads(
            text.decode(), object_pairs_hook=_object_of, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        found = None
    stated = found.get("__metadata__", {}) if isinstance(found, dict) else None
    texts = isinstance(stated, dict) and all(isinstance(v, str) for v in stated.values())
    if not isinstance(found, dict) or not texts:
        raise Refused(path, "is damaged: its header cannot be read.")
    return found, 8 + length


def _dtype(path: Path, code: Any) -> np.dtype[Any]:
    if code == "BF16":
        try:
            import ml_dtypes
        except ImportError:
            raise Refused(
                path,
                "holds bfloat16, which needs ml_dtypes: "
                f"install it with `{install_command('bfloat16', 'ml_dtypes')}`.",
            ) from None
        known: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return known
    if code not in _DTYPES:
        raise Refused(path, f"holds {str(code)[:20]}, which is not read.")
    return np.dtype(_DTYPES[code])


def _check_places(path: Path, header: dict[str, Any], held: int) -> None:
    """Refuse tensors that do not fill the ``held`` bytes one after the other, as they must."""
    tensors = [e for name, e in header.items() if name != "__metadata__"]
    claimed = [e.get("data_offsets") if isinstance(e, dict) else None for e in tensors]
    pairs = [p for p in claimed if isinstance(p, list) and [type(n) for n in p] == [int, int]]
    if len(pairs) < len(claimed) or any(not 0 <= p[0] <= p[1] for p in pairs):
        raise Refused(path, "is damaged: a tensor has no place.")
    spans = sorted(p for p in pairs if p[0] < p[1])
    if any(after[0] < before[1] for before, after in pairwise(spans)):
        raise Refused(path, "is damaged: its tensors lie over one another.")
    end = spans[-1][1] if spans else 0
    if end > held:
        raise Refused(path, f"is truncated: {end} bytes of tensors are claimed, {held} are there.")
    if end < held or any(a[1] < b[0] for a, b in pairwise([[0, 0], *spans])):
        raise Refused(path, "is damaged: it has bytes that belong to none of its tensors.")


def open_source(path: Path, key: str | None, *, fill: bool = False) -> Source:  # noqa: ARG001
    """Open a tensor of a .safetensors file: the only one, or the one named ``key``.

    Raises
    ------
    Refused
        Not such a file, or one whose header does not agree with its length.
    """
    with open_regular(path) as file:
        number = file.fileno()
        size = os.fstat(number).st_size
        header, start = _header(path, number, size)
        tensors = [name for name in header if name != "__metadata__"]
        name = choose_name(path, tensors, key, "tensor")
        entry = header[name]
        try:
            dtype = _dtype(path, entry["dtype"])
            shape = tuple(entry["shape"])
            first, last = entry["data_offsets"]
            whole = all(type(n) is int and 0 <= n < 1 << 62 for n in (*shape, first, last))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, Refused):
                raise
            whole = False
        if not whole or len(shape) > 32 or last - first != prod(shape) * dtype.itemsize:
            raise Refused(path, "is damaged: a tensor's shape and place do not agree.")
        _check_places(path, header, size - start)
        source = RawSource(path, os.dup(number), start + first, shape, dtype)
    stated = header.get("__metadata__")
    stated = stated if isinstance(stated, dict) else {}
    source.meaning = meaning_in(stated)
    return interpret(source, _statements(stated, name, dtype))


def _statements(stated: dict[str, Any], name: str, dtype: np.dtype[Any]) -> Statements:
    """Return what the metadata say, all of them texts; those of numbers only of our results."""
    given: dict[str, Any] = {"class_names": stated.get(_NAMES), "what": name}
    for field in ("nodata", "scale"):
        with suppress(ValueError, TypeError):
            given[field] = float(stated[field]) if name in RESULTS and field in stated else None
    return read_attributes({k: v for k, v in given.items() if v is not None}, dtype=dtype)


def check_result(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> None:  # noqa: ARG001
    """Refuse what no .safetensors file holds."""
    if dtype not in _CODES and dtype.name != "bfloat16":
        raise Refused(path, f"a .safetensors file holds no {dtype}.")


def assemble(path: Path, target: Path, staged: Any, look: Look) -> None:
    """Write the complete file ``target`` from a staged array."""
    size = prod(staged.shape) * staged.dtype.itemsize
    code = "BF16" if staged.dtype.name == "bfloat16" else _CODES[staged.dtype]
    stated: dict[str, str] = {}
    if look.names is not None:
        stated[_NAMES] = "\n".join(look.names)
    for name, value in (("nodata", look.nodata), ("scale", look.scale)):
        if value is not None:
            stated[name] = repr(value)
    meaning = meaning_of(look)
    if meaning is not None:
        stated["meaning"] = meaning
    entry = {"dtype": code, "shape": list(staged.shape), "data_offsets": [0, size]}
    header = json.dumps(({"__metadata__": stated} if stated else {}) | {look.what: entry}).encode()
    header += b" " * (-len(header) % 8)
    with failing(path), open(target, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        append_staged(staged, file)
