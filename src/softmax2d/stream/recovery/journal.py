"""The journal of a run: its request, and a line for every tile that is stored.

A line is JSON and its checksum, written after the tile's data. The journal ends before the first
line that is torn or has a wrong checksum, as a killed process leaves it.
"""

from __future__ import annotations

import json
import os
import re
import threading
import zlib
from pathlib import Path
from typing import Any

from softmax2d._errors import Refused, failing
from softmax2d._records.fields import count

Record = dict[str, Any]
_LABEL = re.compile("[0-9]{1,18}")  # of a class, in an account of areas


def line_of(record: Record) -> bytes:
    """A record as a line: its checksum and JSON."""
    text = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def record_in(line: bytes) -> Record | None:
    """The record in a line; None where it is torn."""
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    text = line[9:-1]
    if b"%08x" % zlib.crc32(text) != line[:8]:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # the right checksum, but not one of our lines
        return None
    return found if isinstance(found, dict) else None


def _is_known(record: Record, first: bool) -> bool:
    """Whether a record has the fields of one in its place."""
    if first:
        return "version" in record
    if "commit" in record:
        return True
    numbers = [record.get(name) for name in ("tile", "pixels", "nan", "minus_inf", "ignored")]
    areas, sums = record.get("areas"), record.get("crc")
    return (
        all(map(count, numbers))
        and isinstance(sums, dict)
        and isinstance(areas, dict)
        and all(_LABEL.fullmatch(label) and count(n) for label, n in areas.items())
    )


class Journal:
    """A file to which several threads append records; messages name the ``result``."""

    def __init__(self, path: Path, result: Path) -> None:
        self._path, self._result = path, result
        self._lock = threading.Lock()
        self._number = -1

    def read(self) -> list[Record]:
        """The whole records, in order; none where there is no journal."""
        records: list[Record] = []
        self._whole = 0
        if not self._path.exists():
            return records
        if not self._path.is_file():
            raise Refused(
                self._result, f"{self._path} is in the way: it is no regular file; delete it."
            )
        with failing(self._result), open(self._path, "rb") as file:
            for line in file:
                record = record_in(line)
                if record is None or not _is_known(record, first=not records):
                    break
                records.append(record)
                self._whole += len(line)
        return records

    def start(self, header: Record) -> None:
        """Begin a new journal."""
        with failing(self._result):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._number = os.open(self._path, flags, 0o666)
        self.append(header)

    def go_on(self) -> None:
        """Open the journal that was read, and cut off a torn line at its end."""
        with failing(self._result):
            self._number = os.open(self._path, os.O_RDWR | os.O_APPEND)
            os.ftruncate(self._number, self._whole)

    def append(self, record: Record, sync: bool = False) -> None:
        """Write a record as one line."""
        data = line_of(record)
        with self._lock, failing(self._result):
            done = os.write(self._number, data)
            if done != len(data):  # the disk is full: writing the rest raises the error
                os.write(self._number, data[done:])
            if sync:
                os.fsync(self._number)

    def close(self) -> None:
        """Give back the file."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1


def check_request(result: Path, before: Record, now: Record) -> None:
    """Refuse to continue a run whose request was another; the message names the difference."""
    kinds = {
        "version": "version of softmax2d",
        "input": "input",
        "truth": "truth",
        "parameters": "parameter",
        "tiling": "tiling",
    }
    for kind, called in kinds.items():
        old, new = before.get(kind), now.get(kind)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            name = next(n for n in (*old, *new) if old.get(n) != new.get(n))
            old, new = old.get(name), new.get(name)
            what = f"{called} {name}"
        else:
            what = called
        raise Refused(
            result,
            f"cannot be resumed: {what} was {_short(old)}, now it is {_short(new)}"
            f"{_budget_change(before, now) if kind == 'tiling' else ''}. Start anew "
            "without resume (--resume), or go back to what it was.",
        )


def _budget_change(before: Record, now: Record) -> str:
    """A change of the budget, from which tiles follow, in words; empty without one."""
    old, new = before.get("budget") or {}, now.get("budget") or {}
    changed = [
        f"{name} was {_short(old[name])}, now it is {_short(new[name])}"
        for name in old
        if name in new and old[name] != new[name]
    ]
    return f" (tiles follow from the budget: {'; '.join(changed)})" if changed else ""


def _short(value: Any) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:
        return "something nested too deeply"
    return text if len(text) <= 80 else f"{text[:77]}..."
