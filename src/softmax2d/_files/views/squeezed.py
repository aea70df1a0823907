"""A source without its axes of one entry, or some of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d._files.views.view import View


class SqueezedSource(View):
    """A source whose axes of one entry are left out: all, or those in ``dropped``."""

    def __init__(self, stored: Source, dropped: Iterable[int] | None = None) -> None:
        super().__init__(stored)
        ones = [d for d, n in enumerate(stored.shape) if n == 1] if dropped is None else dropped
        self._dropped = tuple(ones)
        self._kept = tuple(d for d in range(len(stored.shape)) if d not in self._dropped)
        self.shape = tuple(stored.shape[d] for d in self._kept)
        known = dropped is not None and stored.class_axis in self._kept
        self.class_axis = self._kept.index(stored.class_axis) if known else None
        if stored.axes is not None:
            self.axes = tuple(stored.axes[d] for d in self._kept)
        if stored.chunks is not None:
            self.chunks = tuple(stored.chunks[d] for d in self._kept)

    def _whole(self, box: Box) -> Box:
        found = [slice(0, 1)] * len(self._stored.shape)
        for d, part in zip(self._kept, box, strict=True):
            found[d] = part
        return tuple(found)

    def read(self, box: Box) -> Array:
        shape = tuple(s.stop - s.start for s in box)
        return self._stored.read(self._whole(box)).reshape(shape)

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        whole = self._whole(box)
        given = values.reshape(tuple(s.stop - s.start for s in whole))
        return self._stored.lacks(given, whole, nodata).reshape(values.shape)

    def identity_of_view(self) -> dict[str, Any]:
        """Return which axes are left out."""
        return {"dropped": list(self._dropped)}


@dataclass(frozen=True)
class Drop:
    """Axes of one entry are left out."""

    axes: tuple[int, ...]

    def __call__(self, source: Source) -> SqueezedSource:
        """The source, seen so."""
        return SqueezedSource(source, self.axes)
