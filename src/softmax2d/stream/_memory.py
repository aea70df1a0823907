"""Sizes of memory in words: ``"512MB"``."""

from __future__ import annotations

import re

from softmax2d._files._errors import Unusable

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
LEAST = 10**6


def in_bytes(memory: str | int) -> int:
    """``"512MB"``, ``"2GiB"`` or a number of bytes.

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
