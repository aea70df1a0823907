"""The chain of a TIFF's pages, walked once before a library walks it: a circle has no end [1]_.

References
----------
.. [1] TIFF 6.0, section 2: each directory of tags gives the place of the next; BigTIFF, the same
   with places of 64 bits.
"""

from __future__ import annotations

import os
import struct
from typing import IO, NamedTuple

from softmax2d._errors import Path, Refused, failing

_SUB_PAGES = 330  # the tag with the places of directories below one
_DEEP = 8
_LONGS = {4: "I", 13: "I", 16: "Q", 18: "Q"}  # types of tags that are places
_WIDTHS = {"I": 4, "Q": 8}


class _Kind(NamedTuple):
    """How a file stores numbers."""

    order: str
    length: str  # the letter of how many tags a directory has
    place: str  # that of a place
    entry: int  # bytes of a tag

    def read(self, file: int, code: str, at: int, number: int = 1) -> tuple[int, ...] | None:
        """Return numbers at a place; None where the file ends before."""
        form = f"{self.order}{number}{code}"
        size = struct.calcsize(form)
        data = os.pread(file, size, at) if 0 <= at < 1 << 63 else b""
        return struct.unpack(form, data) if len(data) == size else None


_KINDS = {
    b"II*\0": _Kind("<", "H", "I", 12),
    b"MM\0*": _Kind(">", "H", "I", 12),
    b"II+\0": _Kind("<", "Q", "Q", 20),
    b"MM\0+": _Kind(">", "Q", "Q", 20),
}


def check_chain(path: Path, file: IO[bytes]) -> None:
    """Refuse a TIFF whose pages, or the pages below one, come back to where they were.

    Whatever else is wrong with a directory ends its chain here: the library says it.
    """
    number = file.fileno()
    with failing(path):
        head = os.pread(number, 16, 0)
        size = os.fstat(number).st_size
        kind = _KINDS.get(head[:4])
        if kind is None or len(head) < 16:
            return
        first = kind.read(number, kind.place, 8 if kind.place == "Q" else 4)
        left = [size // kind.entry]  # directories of one tag that the file may hold
        _walk(path, number, kind, first[0] if first else 0, (), left)


def _walk(
    path: Path, file: int, kind: _Kind, at: int, above: tuple[set[int], ...], left: list[int]
) -> None:
    """Walk one chain, and those below its directories."""
    seen: set[int] = set()
    while at:
        left[0] -= 1
        if at in seen or left[0] < 0 or any(at in others for others in above):
            raise Refused(path, "is damaged: the chain of its pages is a circle.")
        seen.add(at)
        found = kind.read(file, kind.length, at)
        if found is None:
            return
        tags = at + struct.calcsize("=" + kind.length)
        entries = os.pread(file, min(found[0], 1 << 16) * kind.entry, tags)
        if len(above) < _DEEP:
            for place in _places_below(file, kind, entries, tags):
                _walk(path, file, kind, place, (*above, seen), left)
        following = kind.read(file, kind.place, tags + found[0] * kind.entry)
        at = following[0] if following else 0


def _places_below(file: int, kind: _Kind, entries: bytes, tags: int) -> tuple[int, ...]:
    """Return the places of the directories below one, from the bytes of its tags."""
    if entries.find(struct.pack(f"{kind.order}H", _SUB_PAGES)) < 0:
        return ()
    for i in range(0, len(entries) - kind.entry + 1, kind.entry):
        code, form, count = struct.unpack_from(f"{kind.order}HH{kind.place}", entries, i)
        if code != _SUB_PAGES or form not in _LONGS or not 0 < count < 1 << 16:
            continue
        letter = _LONGS[form]
        value = tags + i + 4 + _WIDTHS[kind.place]
        if count * _WIDTHS[letter] > _WIDTHS[kind.place]:
            (value,) = kind.read(file, kind.place, value) or (0,)
        return kind.read(file, letter, value, count) or ()
    return ()
