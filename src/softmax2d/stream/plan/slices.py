"""Volumes of one slice, seen as the image that they are where a result or a truth is an image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from softmax2d._files.source.suffix import suffix_of
from softmax2d._files.views.squeezed import Drop
from softmax2d.stream.plan.geometry import Geometry, lay_out
from softmax2d.stream.plan.inputs import Input

_IMAGE = 2  # axes


def show_image(
    scores: Input, geometry: Geometry, where: str, rank: int | None, results: Iterable[Any] = ()
) -> Geometry:
    """See scores without their axes of one pixel, where the other side is one image.

    Parameters
    ----------
    geometry : Geometry
        Of the scores as they are.
    rank : int or None
        How many axes the truth or the reference has, if there is one.
    results : iterable of path
        What is written: a .png holds one image.

    Returns
    -------
    Geometry
        Of the scores as they are seen.
    """
    leading = geometry.own[:-_IMAGE]
    if geometry.last or not leading or any(n != 1 for n in leading):
        return geometry
    if any(suffix_of(path) == ".png" for path in results):
        first = 0
    elif rank == _IMAGE and len(leading) > geometry.batch:
        first = geometry.batch
    else:
        return geometry
    axis, each = geometry.axis, range(first, len(leading))
    scores.show(Drop(tuple(d + (d >= axis) for d in each)))
    return lay_out(scores.source, axis - sum(d < axis for d in each), where)
