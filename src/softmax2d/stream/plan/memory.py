"""The budget of a run: sizes in words, ``"512MB"``, what decoders take of them, workers."""

from __future__ import annotations

import re
from math import ceil, prod
from typing import Any

from softmax2d import _runtime
from softmax2d._errors import Unusable, name_of
from softmax2d._files.source.source import Source

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
LEAST = 10**6


def parse_memory(memory: str | int) -> int:
    """The bytes in ``"512MB"``, ``"2GiB"`` or a number.

    Raises
    ------
    Unusable
        No such size, or less than a megabyte.
    """
    if isinstance(memory, int) and not isinstance(memory, bool):
        count = memory
    else:
        found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B?\s*", str(memory), re.I)
        if found is None:
            raise Unusable(f"memory={str(memory)[:40]!r}: expected a size as 512MB, 2GB or 1GiB.")
        number, unit, binary = found[1], found[2].upper(), found[3]
        count = int(float(number) * (_BINARY[unit] if binary and unit else _UNITS[unit]))
    if count < LEAST:
        raise Unusable(f"memory={memory}: at least 1 MB is needed.")
    return count


def workers_of(workers: Any) -> int:
    """The number of workers that ``workers=`` asks for; as many as threads for None."""
    if workers is None:
        return max(1, _runtime.get_num_threads())
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise Unusable(f"workers must be a positive number; got {workers!r}.")
    return workers


def decoded_bytes(source: Source) -> int:
    """Bytes that reading one pixel takes: its chunk, decoded, or a whole picture."""
    if source.whole_bytes or source.chunks is None or source.bare:
        return source.whole_bytes
    return prod(source.chunks) * (2 * source.dtype.itemsize + source.converted)


def budget_left(source: Source, memory: int, held: int = 0) -> int:
    """Bytes that a budget leaves while a pixel is decoded and ``held`` bytes are in use.

    Raises
    ------
    Unusable
        No byte is left; the message names the memory needed. Nothing was decoded.
    """
    least = decoded_bytes(source) + held
    if least < memory:
        return memory - least
    pieces = "as a whole"
    hint = "store it as .tif or .npy"
    if not source.whole_bytes:
        pieces = f"in pieces of {' × '.join(map(str, source.chunks or ()))} numbers"
        hint = "store it in smaller pieces"
    raise Unusable(
        f"memory of {memory / 1e6:.0f} MB is too small: {name_of(source.path)} is decoded {pieces}"
        f", which takes {least / 1e6:.0f} MB; give memory='{ceil(least / 1e6) + 1}MB' (--memory), "
        f"or {hint}."
    )
