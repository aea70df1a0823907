"""How one grid of pixels lies over another."""

from __future__ import annotations

from dataclasses import dataclass

from softmax2d._files.source.presentation import Space

HALF = 0.5 + 1e-3  # of a pixel of the finer grid: what edges may differ by; and what rounding adds


@dataclass(frozen=True)
class Relation:
    """How a grid lies over another, ``fixed``, once its axes are turned as those of ``fixed``.

    Attributes
    ----------
    apart : str or None
        Why they have no pixels in common that could be compared; the rest then says nothing.
    axes : tuple of int
        The grid's axis that runs along each axis of ``fixed`` ...
    flips : tuple of bool
        ... and whether in the other direction.
    edges : tuple of pairs of float
        The outer edges of ``fixed`` along each axis, in pixels of the turned grid.
    size, fixed : tuple of int
        Sizes of the turned grid, and of ``fixed``.
    """

    apart: str | None = None
    axes: tuple[int, ...] = ()
    flips: tuple[bool, ...] = ()
    edges: tuple[tuple[float, float], ...] = ()
    size: tuple[int, ...] = ()
    fixed: tuple[int, ...] = ()

    @property
    def turned(self) -> bool:
        """Whether an axis is flipped, or in another place."""
        return any(self.flips) or self.axes != tuple(range(len(self.axes)))

    def inverse_edges(self) -> tuple[tuple[float, float], ...]:
        """The outer edges of the turned grid, in pixels of ``fixed``."""
        found = []
        for (first, last), n, k in zip(self.edges, self.size, self.fixed, strict=True):
            scale = k / (last - first)
            found.append((-first * scale, (n - first) * scale))
        return tuple(found)


def half_pixel(first: float, last: float, inner: int) -> float:
    """Half a pixel of the finer of two grids, in pixels of the outer one.

    The inner grid has ``inner`` pixels between ``first`` and ``last``.
    """
    return HALF * min(1.0, (last - first) / inner)


def whole(moving: Space, fixed: Space) -> Relation:
    """Return the relation of two grids of the same extents and orientation."""
    count = len(fixed.size)
    edges = tuple((0.0, float(n)) for n in moving.size)
    return Relation(None, tuple(range(count)), (False,) * count, edges, moving.size, fixed.size)
