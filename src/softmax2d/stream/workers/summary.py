"""What a run says of itself when it ends, well or not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softmax2d._errors import failing
from softmax2d.stream.plan.pixel_counts import Counts
from softmax2d.stream.recovery.journal import Record


@dataclass
class Summary:
    """An account of every tile and pixel.

    Attributes
    ----------
    status : "done", "failed" or "stopped"
        How it ended.
    source : str
        What was read.
    results : dict of str to str
        Where each result is.
    shape : tuple of int
        Of a result with one entry a pixel.
    classes : int
        How many.
    tiles, tiles_resumed, tiles_done : int
        All; those that an earlier run had stored; those of this run.
    tiles_failed : list of int
        Numbers of those that failed.
    counts : Counts
        Of the pixels in the tiles that are stored.
    pixels : int
        All pixels of the result.
    bytes_read : int
        Of logits, as numbers, in this run.
    seconds : float
        Of this run.
    truth : str or None
        What the logits were compared with.
    """

    source: str
    results: dict[str, str]
    shape: tuple[int, ...]
    classes: int
    pixels: int
    tiles: int
    status: str = "stopped"
    tiles_resumed: int = 0
    tiles_done: int = 0
    tiles_failed: list[int] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    bytes_read: int = 0
    seconds: float = 0.0
    truth: str | None = None

    def resumed(self, records: Iterable[Record]) -> None:
        """Take down what an earlier run stored, all of it."""
        self.tiles_resumed = self.tiles
        for record in records:
            self.counts += Counts.of_record(record)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        counts = self.counts
        rest = self.tiles - self.tiles_resumed - self.tiles_done - len(self.tiles_failed)
        return {
            "status": self.status,
            "source": self.source,
            **({} if self.truth is None else {"truth": self.truth}),
            "results": self.results,
            "shape": list(self.shape),
            "classes": self.classes,
            "tiles": {
                "total": self.tiles,
                "done": self.tiles_done,
                "resumed": self.tiles_resumed,
                "failed": self.tiles_failed,
                "not_started": rest,
            },
            "pixels": {
                "total": self.pixels,
                "done": counts.pixels,
                "nan": counts.nan,
                "minus_inf": counts.minus_inf,
                "ignored": counts.ignored,
            },
            "areas": {str(c): n for c, n in sorted(counts.areas.items())},
            "bytes_read": self.bytes_read,
            "seconds": round(self.seconds, 3),
        }

    def write(self, path: Path) -> None:
        """Write the account as JSON, whole; it replaces what was there.

        Raises
        ------
        Failed
            It cannot be written.
        """
        text = json.dumps(self.to_json(), indent=2) + "\n"
        final = Path(os.path.realpath(path))
        part = final.with_name(f".{final.name}.{os.getpid()}.part")
        try:
            with failing(path):
                part.write_text(text, encoding="utf-8")
                os.replace(part, final)
        finally:
            with suppress(OSError):
                part.unlink()


# Called with pixels done, all pixels and seconds, after every tile.
Progress = Callable[[int, int, float], None]
