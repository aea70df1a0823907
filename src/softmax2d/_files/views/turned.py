"""A source with its axes in another order or direction, or a part of one: nothing is resampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from softmax2d._files.source.orientation import turn_of, turn_space
from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d._files.views.view import View


@dataclass(frozen=True)
class Turn:
    """Axis ``d`` of the view is axis ``axes[d]`` of the source, backwards where ``flips[d]``."""

    axes: tuple[int, ...]
    flips: tuple[bool, ...]

    def __call__(self, source: Source) -> Source:
        """Return the source, turned."""
        return TurnedSource(source, self)


@dataclass(frozen=True)
class Cut:
    """The pixels from ``first`` up to ``last`` along every axis of the source."""

    first: tuple[int, ...]
    last: tuple[int, ...]

    def __call__(self, source: Source) -> Source:
        """Return that part of the source."""
        return CutSource(source, self)


class TurnedSource(View):
    """A source with its axes turned; a piece is read as it is stored, and turned in memory.

    Where the length of a flipped axis is no multiple of its chunk, a piece of a chunk's length lies
    in two chunks.
    """

    def __init__(self, stored: Source, turn: Turn) -> None:
        super().__init__(stored)
        self._turn, axes = turn, turn.axes
        self._back = tuple(int(d) for d in np.argsort(axes))
        self.shape = tuple(stored.shape[d] for d in axes)
        self.space = None  # that of the grid as it is stored
        if stored.axes is not None:
            self.axes = tuple(stored.axes[d] for d in axes)
        if stored.class_axis is not None:
            self.class_axis = self._back[stored.class_axis]
        last = len(axes) - 1
        if stored.chunks is not None:
            self.chunks = tuple(stored.chunks[d] for d in axes)
        elif axes[last] != last:  # rows as they are stored, so that no number is read alone
            self.chunks = tuple(
                n if d == last else 1 for d, n in zip(axes, self.shape, strict=True)
            )
        self.bare = stored.bare and axes[last] == last

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        return self._see(self._stored.read(self._stored_box(box)))

    def read_again(self, box: Box) -> Array:
        """:meth:`read`, perhaps into memory that the next such call overwrites."""
        return self._see(self._stored.read_again(self._stored_box(box)))

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        """As the source, of the values as it stores them."""
        flips = tuple(slice(None, None, -1 if flip else 1) for flip in self._turn.flips)
        stored = values[flips].transpose(self._back)
        return self._see(self._stored.lacks(stored, self._stored_box(box), nodata))

    def identity_of_view(self) -> dict[str, Any]:
        """Return the order and direction of the axes."""
        return {"turned": [list(self._turn.axes), list(self._turn.flips)]}

    def _stored_box(self, box: Box) -> Box:
        turn = self._turn
        each = zip(box, turn.flips, self.shape, strict=True)
        turned = [slice(n - s.stop, n - s.start) if flip else s for s, flip, n in each]
        return tuple(turned[d] for d in self._back)

    def _see(self, stored: Array) -> Array:
        flips = tuple(slice(None, None, -1 if flip else 1) for flip in self._turn.flips)
        return stored.transpose(self._turn.axes)[flips]


def upright(stored: Source, orientation: int, rows: int) -> Source:
    """Return a source as its tag says that it is seen; itself where it is stored so.

    ``rows`` is the axis that counts rows; columns follow it.
    """
    if orientation == 1:
        return stored
    seen = TurnedSource(stored, Turn(*turn_of(orientation, len(stored.shape), rows)))
    if stored.space is not None:
        seen.space = turn_space(stored.space, orientation)
    return seen


class CutSource(View):
    """A part of a source."""

    def __init__(self, stored: Source, cut: Cut) -> None:
        super().__init__(stored)
        self._cut = cut
        pairs = zip(cut.first, cut.last, strict=True)
        self.shape = tuple(last - first for first, last in pairs)
        self.space = None  # that of the whole
        if stored.chunks is not None:
            each = zip(stored.chunks, self.shape, strict=True)
            self.chunks = tuple(max(1, min(c, n)) for c, n in each)

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        return self._stored.read(self._stored_box(box))

    def read_again(self, box: Box) -> Array:
        """:meth:`read`, perhaps into memory that the next such call overwrites."""
        return self._stored.read_again(self._stored_box(box))

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        """As the source, of the part."""
        return self._stored.lacks(values, self._stored_box(box), nodata)

    def identity_of_view(self) -> dict[str, Any]:
        """Return the part."""
        return {"cut": [list(self._cut.first), list(self._cut.last)]}

    def _stored_box(self, box: Box) -> Box:
        pairs = zip(box, self._cut.first, strict=True)
        return tuple(slice(s.start + first, s.stop + first) for s, first in pairs)
