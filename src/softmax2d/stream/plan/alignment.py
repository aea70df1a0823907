"""Logits, truth and references brought together by where their files say that pixels lie.

One gate for all of them: the same place up to half a pixel of the finer grid, or axes turned, which
are turned back; anything else is refused with both places. Two files of which one says no place
are compared by their sizes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from softmax2d._errors import Path, Refused, name_of
from softmax2d._files.places.comparison import relate
from softmax2d._files.places.relations import Relation, half_pixel
from softmax2d._files.places.words import describe_place, orientation_of
from softmax2d._files.source.presentation import Space
from softmax2d._files.source.source import Source
from softmax2d._files.views.turned import Cut, Turn
from softmax2d.stream.plan.inputs import Input, is_path

_WAY = "Where a place is wrong, ignore_place=True (--ignore-place) compares sizes alone."
_CROP = "softmax2d segment or probs with --like crop the logits to it."
_BEYOND = "reaches beyond"
_CUT = (
    "Labels of its region are made of the scores by softmax2d segment --like, or cut out by "
    "another program, such as gdal_translate -projwin."
)
_PART = "covers a part of"
_ROUNDED = 1e-3  # of a pixel: what rounding of places may add


@dataclass(frozen=True)
class Region:
    """Logits under a part of what they cover.

    Attributes
    ----------
    whole : tuple of int
        The spatial size to which all logits are interpolated.
    window : tuple of slice, or None
        The part of these pixels that is wanted; None: all.
    """

    whole: tuple[int, ...]
    window: tuple[slice, ...] | None = None

    def along(self, where: tuple[int | None, ...]) -> Region:
        """Without the axes that the source lacks; without a window that is all."""
        kept = [d for d, axis in enumerate(where) if axis is not None]
        whole = tuple(self.whole[d] for d in kept)
        window = None if self.window is None else tuple(self.window[d] for d in kept)
        if window == tuple(slice(0, n) for n in whole):
            window = None
        return Region(whole, window)


@dataclass(frozen=True)
class Placed:
    """A file, and the place that it says."""

    path: Path
    space: Space


def show_under(
    logits: Input, axis: int, like: Any, space: Space | None
) -> tuple[Region | None, list[str]]:
    """See logits as a reference lies, and cut them to it; also what there is to say of that.

    Parameters
    ----------
    axis : int
        The class axis of the logits.
    like : path or array
        The reference, and its place in ``space``.

    Returns
    -------
    Region or None
        The part of the logits under the reference; None where there was nothing to compare.
    list of str
        Notes for the summary.

    Raises
    ------
    Refused
        The reference lies elsewhere, or reaches beyond the logits.
    """
    own = logits.source.space
    relation, where = relate(own, space), _axes_of(logits.source, axis, own)
    if relation is None or where is None or own is None or space is None:
        return None, []
    name: Path = like if is_path(like) else "like"
    here, there = Placed(logits.source.path, own), Placed(name, space)
    _refuse(here, relation.apart, there)
    _refuse(there, _lies_outside(relation.edges, relation.size, relation.fixed), here)
    notes = _turn(logits, where, relation, here, there)
    cuts, region = _parts(relation.edges, relation.size, relation.fixed)
    _cut(logits, where, cuts)
    region = region.along(where)
    if any(cuts) or region.window is not None:
        notes.append(f"{name_of(here.path)}: cropped to {name_of(name)}.")
    return region, notes


def show_truth(truth: Input, logits: Source, axis: int) -> tuple[Region | None, list[str]]:
    """See a truth as the logits lie; also under what part of the logits it lies, and what to say.

    Cells of a network may reach beyond the truth by less than one of them.

    Returns
    -------
    Region or None
        The part of the logits over the truth; None for all.
    list of str
        Notes for the summary.

    Raises
    ------
    Refused
        The truth lies elsewhere, or covers more or less than the logits.
    """
    space, own = truth.source.space, logits.space
    relation = relate(space, own)
    where = _axes_of(truth.source, truth.source.class_axis, space)
    under = _axes_of(logits, axis, own)
    if relation is None or where is None or under is None or space is None or own is None:
        return None, _say_assumed(logits, truth.source)
    names = truth.source.path, logits.path
    if names[0] == names[1]:  # two arrays
        names = "target", "logits"
    here, there = Placed(names[0], space), Placed(names[1], own)
    _refuse(here, relation.apart, there)
    edges, sizes = relation.inverse_edges(), (relation.fixed, relation.size)
    _refuse(here, _lies_outside(edges, *sizes) or _leaves_cells(edges, *sizes), there)
    notes = _turn(truth, where, relation, here, there)
    _, region = _parts(edges, *sizes)
    region = region.along(under)
    return (None if region.window is None else region), notes


def show_alike(labels: Input, truth: Input) -> list[str]:
    """See one label map as another lies, which must be the same place; also what to say of that.

    Raises
    ------
    Refused
        They lie elsewhere, or one covers a part of the other.
    """
    space, own = labels.source.space, truth.source.space
    relation = relate(space, own)
    where = _axes_of(labels.source, labels.source.class_axis, space)
    if relation is None or where is None or space is None or own is None:
        return _say_assumed(labels.source, truth.source)
    here, there = Placed(labels.source.path, space), Placed(truth.source.path, own)
    _refuse(here, relation.apart, there)
    _refuse(there, _lies_outside(relation.edges, relation.size, relation.fixed), here)
    beyond = _lies_outside(relation.inverse_edges(), relation.fixed, relation.size)
    _refuse(here, beyond, there, f"{_CUT} {_WAY}" if beyond == _BEYOND else None)
    return _turn(labels, where, relation, here, there)


def _say_assumed(first: Source, truth: Source) -> list[str]:
    """Say that a file without a place is taken voxel by voxel with a scan's, whose axes differ."""
    if truth.space is None or truth.space.kind != "nifti" or first.space is not None:
        return []
    axes = orientation_of(truth.space)
    text = f"does not say where its voxels lie: taken to lie as {name_of(truth.path)} does ({axes})"
    return [f"{name_of(first.path)}: {text}. Labels made with --like SCAN (like=) say it."]


def _axes_of(
    source: Source, axis: int | None, space: Space | None
) -> tuple[int | None, ...] | None:
    """The axis of the source along each axis of its place; None where they do not fit.

    Axes of one pixel may be missing in the source (a NIfTI of two axes).
    """
    if space is None:
        return None
    pixels = [d for d in range(len(source.shape)) if d != axis]
    found: list[int | None] = []
    for n in reversed(space.size):
        if pixels and source.shape[pixels[-1]] == n:
            found.append(pixels.pop())
        elif not pixels and n == 1:
            found.append(None)
        else:
            return None
    return tuple(reversed(found))


def _turn(
    turning: Input,
    where: tuple[int | None, ...],
    relation: Relation,
    here: Placed,
    there: Placed,
) -> list[str]:
    """Turn the axes of an input to those of another grid."""
    count = len(turning.source.shape)
    axes, flips = list(range(count)), [False] * count
    for d, axis, flip in zip(where, relation.axes, relation.flips, strict=True):
        taken = where[axis]
        if (d is None) != (taken is None):
            _refuse(here, "lies in another plane than", there)
        if d is not None and taken is not None:
            axes[d], flips[d] = taken, flip
    if axes == list(range(count)) and not any(flips):
        return []
    turning.show(Turn(tuple(axes), tuple(flips)))
    before, after = orientation_of(here.space), orientation_of(there.space)
    named = before and after and before != after
    how = f"from {before} to {after}" if named else "to the same axes"
    return [f"{name_of(here.path)}: turned {how}, as {name_of(there.path)} lies."]


def _cut(logits: Input, where: tuple[int | None, ...], cuts: list[tuple[int, int] | None]) -> None:
    """Cut the logits along the axes where there is something to cut."""
    first, last = [0] * len(logits.source.shape), list(logits.source.shape)
    for d, cut in zip(where, cuts, strict=True):
        if d is not None and cut is not None:
            first[d], last[d] = cut
    if any(cuts):
        logits.show(Cut(tuple(first), tuple(last)))


Edges = tuple[tuple[float, float], ...]


def _lies_outside(edges: Edges, outer: tuple[int, ...], inner: tuple[int, ...]) -> str | None:
    """Why the inner grid, whose edges are given in pixels of the outer, is no part of it."""
    beyond = apart = False
    for (first, last), n, k in zip(edges, outer, inner, strict=True):
        most = half_pixel(first, last, k)
        beyond |= first < -most or last > n + most
        apart |= last < most or first > n - most
    if apart:
        return "lies elsewhere than"
    return _BEYOND if beyond else None


def _leaves_cells(edges: Edges, outer: tuple[int, ...], inner: tuple[int, ...]) -> str | None:
    """Why the inner grid leaves a cell of the outer out."""
    for (first, last), n, k in zip(edges, outer, inner, strict=True):
        fine = half_pixel(first, last, k)
        coarse = last - first < k - fine  # cells of several pixels
        most = max(fine, 1 - _ROUNDED) if coarse else fine
        if first > most or n - last > most:
            return _PART
    return None


def _parts(
    edges: Edges, outer: tuple[int, ...], inner: tuple[int, ...]
) -> tuple[list[tuple[int, int] | None], Region]:
    """What to cut from the outer grid, to what size to bring that, and which part of it is wanted.

    Grids of one resolution, and a finer outer one, are cut at whole pixels. Under a finer inner
    one all is interpolated to its resolution, and a part of that taken, so that pixels at the
    edge have their neighbours.
    """
    cuts: list[tuple[int, int] | None] = []
    whole, window = [], []
    for (first, last), n, k in zip(edges, outer, inner, strict=True):
        fine = half_pixel(first, last, k)
        cut, size, start = None, k, 0
        if abs(first) > fine or abs(last - n) > fine:
            pixel = (last - first) / k
            if abs(last - first - k) <= fine and k <= n:
                at = min(max(round(first), 0), n - k)
                cut = at, at + k
            elif pixel > 1:
                at = min(max(round(first), 0), n - 1)
                cut = at, max(at + 1, min(round(last), n))
            else:
                size = max(k, round(n / pixel))
                start = min(max(round(first / pixel), 0), size - k)
        cuts.append(cut)
        whole.append(size)
        window.append(slice(start, start + k))
    return cuts, Region(tuple(whole), tuple(window))


def _refuse(here: Placed, why: str | None, there: Placed, hint: str | None = None) -> None:
    """Refuse a file for its place, unless there is nothing against it."""
    if why is None:
        return
    if hint is None:
        hint = f"{_CROP} {_WAY}" if why == _PART else _WAY
    other = name_of(there.path)
    places = f"{describe_place(here.space)}; {other}: {describe_place(there.space)}"
    raise Refused(here.path, f"{why} {other}: {places}. {hint}")
