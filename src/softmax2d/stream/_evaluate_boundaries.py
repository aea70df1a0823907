"""``evaluate_boundary_files``: boundaries of label maps beside the truth's, part by part."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from math import prod
from typing import Any, NamedTuple, Unpack

from softmax2d._boundaries.counting import Scale
from softmax2d._boundaries.evaluate import dims_of, spacing_of, tolerance_of
from softmax2d._boundaries.gathering import Gathering
from softmax2d._boundaries.measures import PIXELS, Boundaries
from softmax2d._errors import Refused, Unusable, name_of, require
from softmax2d._files.places.spacing import LENGTHS, Steps, steps_of
from softmax2d._files.places.systems import MERCATOR
from softmax2d._files.source.source import Source
from softmax2d._gate.signatures import spell_out
from softmax2d._statistics.labelled import Allowed
from softmax2d.stream._evaluate_labels import (
    names_in,
    pairs_of,
    shown_names,
    spatial_dims_of,
    start_summary,
    title_of_all,
    with_nodata,
)
from softmax2d.stream.counting.boundary_maps import BoundaryMaps, OpenBoundaries, plan_parts
from softmax2d.stream.counting.label_maps import Tally, matching
from softmax2d.stream.plan.alignment import show_alike
from softmax2d.stream.plan.inputs import Input, input_files
from softmax2d.stream.plan.memory import parse_memory, workers_of
from softmax2d.stream.plan.options import BOUNDARIES, EvaluatedBoundaries, check_kinds
from softmax2d.stream.plan.results import Style
from softmax2d.stream.recovery.whole_files import Results, save_report
from softmax2d.stream.workers import threads
from softmax2d.stream.workers.summary import account_for, do_tiles

_WHERE = "evaluate_boundary_files"
_SAME = 1e-3  # by which spacings of two files may differ
_PIXEL_WORDS = ("px", "pixel", "pixels", "voxel", "voxels")
_WARP = (
    "Bring both to a projected system that keeps lengths, such as UTM (gdalwarp -t_srs), give the "
    "distances on the ground as spacing= (--spacing), or a tolerance in pixels."
)
_WAY = "Give the distances between pixels as spacing= (--spacing), or a tolerance in pixels."


def _checked(check: Callable[..., Any], *given: Any) -> Any:
    """What a check of the NumPy function makes of options, whose refusals are ours."""
    try:
        return check(_WHERE, *given)
    except ValueError as error:
        raise Unusable(str(error).removeprefix(f"{_WHERE}: ")) from None


class Tolerance(NamedTuple):
    """A distance and its unit."""

    size: float
    unit: str  # "pixels", one of LENGTHS, or empty: that of the spacing

    @classmethod
    def of(cls, given: Any, spacing: Any) -> Tolerance:
        """A number, or a number with a unit as text: ``2``, ``"2px"``, ``"1.5mm"``."""
        if not isinstance(given, str):
            size = _checked(tolerance_of, given)
            return cls(size, PIXELS if spacing is None else "")
        found = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([^\W\d_]*)\s*", given, re.I)
        unit = "" if found is None else found[2].replace("μ", "µ").replace("um", "µm")
        try:
            size = tolerance_of(_WHERE, float(found[1] if found else "x"))
            known = unit in ("", *_PIXEL_WORDS, *LENGTHS)
        except ValueError:
            size, known = 0.0, False
        if not known:
            units = ", ".join(n for n in LENGTHS if n != "um")
            raise Unusable(
                f"tolerance={given[:40]!r}: expected a distance as 2, 2px or 1.5mm; the units are "
                f"px, {units}."
            )
        if unit in _PIXEL_WORDS:
            if spacing is not None:
                raise Unusable("a tolerance in pixels takes no spacing: leave one of them out.")
            return cls(size, PIXELS)
        return cls(size, unit or (PIXELS if spacing is None else ""))


@spell_out(EvaluatedBoundaries, BOUNDARIES)
def evaluate_boundary_files(
    labels: Any, target: Any, *, tolerance: float | str, **options: Unpack[EvaluatedBoundaries]
) -> Boundaries:
    """Compare boundaries of label maps with the truth's, neither of which need fit in memory.

    :func:`softmax2d.evaluate_boundaries` on files: the same counts, whatever the parts, which are
    read with the margin that the tolerance needs. Needs SciPy.

    Parameters
    ----------
    labels, target : path, array, or list of either
        As in :func:`evaluate_label_files`. Class scores become labels by :func:`segment_file`.
    tolerance : float or str
        The largest distance at which two boundaries meet: a number of pixels; or with a unit, as
        ``"2mm"`` or ``"1.5m"``, measured in the world, by the voxel sizes of a NIfTI, the pixel
        sizes of a GeoTIFF in a projected system, or those of an OME file; the two files must agree.
        A NIfTI that says no unit is in mm.
    spacing : float or sequence of float, optional
        The distance between neighbouring pixels along each spatial axis, the slowest first:
        (y, x), or (z, y, x), the other way round than NIfTI headers list them. One number is for
        all. In the unit of ``tolerance``; that of the files if None.
    classes, ignore_index, spatial_dims, nodata, ignore_place, key, target_key
        As in :func:`evaluate_label_files`.
    memory, workers, missing_as_fill, progress, account, names, overwrite
        As in :func:`evaluate_label_files`.
    report : path, optional
        Write everything there: .html, .txt, .png or .json, as ``Boundaries.save_report``.

    Returns
    -------
    Boundaries
        Of all images together and of each, in the order of the files.

    Raises
    ------
    Refused
        A file that cannot be used, maps of other sizes or places, what is no class, or a tolerance
        in the world for a file whose pixels have no size there, or one in degrees or in Mercator's
        projection; a ``spacing`` that is a file's own backwards.
    Unusable
        Arguments that cannot be used, a tolerance too large for the memory, or no SciPy.
    Failed
        Reading failed.

    Examples
    --------
    >>> import numpy as np, softmax2d.stream
    >>> truth = np.zeros((32, 32), np.uint8)
    >>> truth[8:24, 8:24] = 1
    >>> labels = np.roll(truth, 1, axis=1)
    >>> found = softmax2d.stream.evaluate_boundary_files(labels, truth, tolerance="1px")
    >>> found.surface_dice.tolist(), found.unit
    ([1.0, 1.0], 'pixels')
    """
    check_kinds(_WHERE, options)
    require("scipy", "boundaries")
    pairs, spacing = pairs_of(labels, target), options["spacing"]
    asked = Tolerance.of(tolerance, spacing)
    classes, names = options["classes"], names_in(options["names"])
    if names is not None and classes is None:
        classes = len(names)
    allowed = Allowed.of(_WHERE, classes, options["ignore_index"])
    read = [*(p for pair in pairs for p in input_files(*pair)), *Style(options["names"]).files]
    report = options["report"]
    results = Results([], read, options["overwrite"], report=report)
    gathered: Gathering | None = None
    tally, held = Tally(), names
    with results:
        for number, each in enumerate(pairs):
            job = _Job(number, each, asked, allowed, tally)
            gathered, own = job.run(gathered, options)
            held = own if held is None and own is not None else held
        known = len(held) if held is not None and allowed.classes is None else 0
        least = tally.statistics(max(allowed.classes or 1, known)).classes
        assert gathered is not None  # noqa: S101 - there is a pair
        found = gathered.result(least)
        shown = shown_names(names, held, found.classes)
        title = f"Boundaries of {title_of_all(labels)} and {title_of_all(target)}"
        save_report(results, report, found, shown, title)
    return found


class _Job(NamedTuple):
    """One pair of maps."""

    number: int
    pair: tuple[Any, Any]
    asked: Tolerance
    allowed: Allowed
    tally: Tally

    def run(
        self, gathered: Gathering | None, options: EvaluatedBoundaries
    ) -> tuple[Gathering, list[str] | None]:
        """Count it; also the class names that the label map has."""
        fill, room = options["missing_as_fill"], parse_memory(options["memory"])
        with ExitStack() as stack:
            labels = stack.enter_context(Input(self.pair[0], options["key"], fill))
            truth = stack.enter_context(Input(self.pair[1], options["target_key"], fill))
            dims = _checked(dims_of, spatial_dims_of(labels.source, options["spatial_dims"]))
            notes = [] if options["ignore_place"] else show_alike(labels, truth)
            steps = _spacing(self.asked, options["spacing"], labels.source, truth.source, dims)
            own = with_nodata(labels.source, options["nodata"])
            one, two = matching(own, truth.source)
            if len(one.shape) < dims:
                shape = " × ".join(map(str, one.shape))
                cause = f"holds {shape} labels, not {dims} spatial axes (spatial_dims)."
                raise Refused(one.path, cause)
            if gathered is None:
                gathered = Gathering(self.asked.size, self.asked.unit, dims)
            if gathered.dims != dims:
                raise Refused(one.path, f"has {dims} spatial axes; the first has {gathered.dims}.")
            sums, scale = OpenBoundaries(gathered), Scale(self.asked.size, steps)
            batch = len(one.shape) - dims
            given = one, two, self.allowed, self.tally, batch
            task = BoundaryMaps(*given, number=self.number, scale=scale, sums=sums)
            workers = plan_parts(task, room, workers_of(options["workers"]))
            if not prod(one.shape):
                for index in range(prod(one.shape[:batch])):
                    gathered.add_empty((self.number, index))
            summary = start_summary(task, truth.source, notes)
            with account_for(summary, None, None, options["account"]):
                execute = partial(threads.run, workers=workers)
                do_tiles(execute, task, range(summary.tiles), summary, options["progress"])
            return gathered, None if own.names is None else list(own.names)


def _spacing(
    asked: Tolerance, given: Any, labels: Source, truth: Source, dims: int
) -> tuple[float, ...]:
    """The distances between pixels along the spatial axes, in the unit of the tolerance."""
    if given is not None:
        sides: tuple[float, ...] = _checked(spacing_of, given, dims)
        _refuse_backwards(asked, sides, truth, labels)
        return sides
    if asked.unit == PIXELS:
        return (1.0,) * dims
    known = [(s, steps_of(s.space)) for s in (truth, labels)]
    found = [(source, _along(source, steps, dims, asked)) for source, steps in known if steps]
    if not found:
        cause = f"does not say how large its pixels are; the tolerance is in {asked.unit}. {_WAY}"
        raise Refused(truth.path, cause)
    (source, own_sides), *others = found
    for other, own in others:
        if not _alike(own_sides, own):
            sizes = [" × ".join(f"{side:.6g}" for side in each) for each in (own, own_sides)]
            cause = f"has pixels of {sizes[0]} {asked.unit}, and {name_of(source.path)} of "
            raise Refused(other.path, f"{cause}{sizes[1]}. {_WAY}")
    return own_sides


def _refuse_backwards(
    asked: Tolerance, given: tuple[float, ...], truth: Source, labels: Source
) -> None:
    """Refuse distances that are those of a file from the last axis to the first."""
    for source in (truth, labels):
        steps = steps_of(source.space)
        if steps is None:
            continue
        sides = steps.within(asked.unit) if asked.unit in LENGTHS else steps.sides
        own = _of_long_axes(source, sides or steps.sides, len(given))[-len(given) :]
        if len(own) == len(given) and _alike(own[::-1], given) and not _alike(own, given):
            order = ("y, x", "z, y, x")[len(own) - 2]
            listed = ",".join(f"{side:.6g}" for side in own)
            raise Refused(
                source.path,
                f"spacing= (--spacing) has the sizes of its pixels backwards: the slowest axis is "
                f"first ({order}). Give {listed}, or a tolerance with its unit alone.",
            )


def _alike(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) <= _SAME * a for a, b in zip(one, other, strict=True))


def _along(source: Source, steps: Steps, dims: int, asked: Tolerance) -> tuple[float, ...]:
    """The distances along the last spatial axes of a source."""
    sides = steps.within(asked.unit)
    if sides is None:
        unit = steps.unit or "a unit that it does not say"
        way = _WARP if steps.unit in ("degrees", MERCATOR) else _WAY
        cause = f"measures its pixels in {unit}; the tolerance is in {asked.unit}. {way}"
        raise Refused(source.path, cause)
    sides = _of_long_axes(source, sides, dims)
    if len(sides) < dims:
        cause = f"says the sizes of its pixels along {len(sides)} axes; {dims} are spatial. {_WAY}"
        raise Refused(source.path, cause)
    return sides[len(sides) - dims :]


def _of_long_axes(source: Source, sides: Sequence[float], dims: int) -> tuple[float, ...]:
    """The sides without those of axes of one pixel, where the others are as many as are spatial."""
    space = source.space
    long = [] if space is None else [k for k, n in enumerate(space.size) if n > 1]
    if len(long) == dims:
        return tuple(sides[k] for k in long)
    return tuple(sides)
