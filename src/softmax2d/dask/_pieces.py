"""Logits cut lazily: a piece with all classes for each chunk of the result.

Where the result has the logits' own grid, pieces are their chunks. Where it is resampled, a chunk
of the result is made from the chunk of the logits that its pixels lie nearest to, and from one row
and column of its neighbours on either side; tables are those of the whole, counted from the piece's
first logit, so that the bits are those of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from softmax2d._gate import arrays, grids, maps
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.maps import Map
from softmax2d._ops import probs, segment
from softmax2d._ops.segment import Segmentation
from softmax2d.dask._meant import blank, blank_probs
from softmax2d.dask._plan import Lazy, Plan, da

_CLASSES = -1  # the name of the class axis among the indices of dask.array.blockwise


class Block(NamedTuple):
    """The arguments that all pieces of a call share."""

    where: str
    ndim: int
    axis: int
    classes: int
    affine: Map | None
    empties: tuple[Any, ...] = ()  # what the logits have where there is no data
    empty: int | None = None  # the label of such pixels

    def read(self, piece: Any, tables: tuple[Array, ...]) -> Logits:
        """A piece of logits, a block or a list of one, as the core takes it.

        A chunk may have another shape than its dask array says; the core trusts its arguments and
        must not meet one.
        """
        where, axis = self.where, self.axis
        given = piece[0] if isinstance(piece, list) else piece
        exact = maps.is_shared(self.affine) and not self.empties and np.ndim(given) == self.ndim
        array = arrays.as_floats(where, "logits", given, axis if exact else None)
        pairs = tuple(zip(tables[::2], tables[1::2], strict=True))
        pixels = array.shape[:axis] + array.shape[axis + 1 :]
        batch = len(pixels) - len(pairs)
        known = array.ndim == self.ndim and array.shape[axis] == self.classes
        own = zip(pixels[batch:], pairs, strict=True) if known else ()
        if not known or not all(n > lower.max(initial=-1) for n, (lower, _) in own):
            raise ValueError(
                f"{where}: a chunk of logits is not what its dask array says: {self.ndim} axes, "
                f"{self.classes} classes along axis {axis} were expected; "
                f"got {arrays.describe(array)}."
            )
        shape = pixels[:batch] + tuple(len(lower) for lower, _ in pairs)
        return Logits(array, axis, self.affine, pairs or None, shape, batch)


# The tasks: one call of the NumPy layer for one piece of logits. Pickled by name.


def find(
    piece: Any, *tables: Array, block: Block, names: tuple[str, ...], best: int
) -> Segmentation:
    """All results of a piece, from one pass over its logits."""
    source = block.read(piece, tables)
    found = segment.segment_logits(source, names, best)
    return blank(found, source, block.empties, block.empty)


def field(found: Segmentation, name_of_field: str) -> Any:
    """One result of several."""
    return getattr(found, name_of_field)


def probabilities(piece: Any, *tables: Array, block: Block, logs: bool) -> Array:
    """Probabilities of a piece, or their logarithms."""
    source = block.read(piece, tables)
    return blank_probs(probs.fill_probs(block.where, source, logs), source, block.empties)


class Pieces(NamedTuple):
    """Pieces of logits, a block each, and the chunks of the result that they give."""

    plan: Plan
    logits: Lazy  # one chunk of classes; where resampled, with rows and columns of neighbours
    chunks: tuple[tuple[int, ...], ...]  # of the result, for each axis of its pixels
    # Lower neighbour and upper weight for each spatial axis in turn, chunked as the result; empty
    # where nothing is resampled.
    tables: tuple[Lazy, ...]

    def each(
        self,
        function: Callable[..., Any],
        others: Iterable[tuple[Lazy, tuple[int, ...]]] = (),
        *,
        prefix: str,
        dtype: Any,
        with_classes: bool = False,
        **options: Any,
    ) -> Lazy:
        """One call of ``function`` a piece: with its logits, its tables, and ``others``' blocks.

        Each of ``others`` comes with the axes of the result along which it lies. Where the result
        has no class axis the logits come as a list of one block: to join blocks, Dask copies them.
        """
        plan, pixels = self.plan, tuple(range(len(self.chunks)))
        classes = (*pixels[: plan.axis], _CLASSES, *pixels[plan.axis :])
        arguments: list[Any] = [self.logits, classes]
        for i, table in enumerate(self.tables):
            arguments += [table, (plan.layout.batch + i // 2,)]
        for other, axes in others:
            arguments += [other, axes]
        out = classes if with_classes else pixels
        block = Block(
            plan.where, self.logits.ndim, plan.axis, plan.classes, plan.affine,
            plan.empties, plan.empty,
        )  # fmt: skip
        return da.blockwise(
            function,
            out,
            *arguments,
            token=prefix,
            dtype=dtype,
            meta=np.empty((0,) * len(out), dtype),
            align_arrays=False,
            adjust_chunks=dict(enumerate(self.chunks)),
            block=block,
            **options,
        )


class _Cut(NamedTuple):
    """A resampled axis in pieces."""

    part: slice  # of the logits, what is read
    chunks: tuple[int, ...]  # of that part, without what neighbours lend
    lent: int | tuple[int, int]  # logits from the piece before and from the piece after
    results: tuple[int, ...]  # chunks of the result
    lower: Array  # counted from the first logit of each chunk's piece
    weight: Array


def _steps(bounds: list[int]) -> tuple[int, ...]:
    """The differences between bounds."""
    return tuple(b - a for a, b in pairwise(bounds))


def _cut(lower: Array, weight: Array, own: tuple[int, ...], linear: bool) -> _Cut:
    """Cut an axis of the result where its pixels come nearest to another chunk of the logits.

    ``own`` are the chunks of the logits. One without pixels of its own is joined to the one before.
    """
    extent = sum(own)
    first = int(lower[0]) if len(lower) else 0
    # A piece holds the upper neighbour wherever there is one, even of weight zero, so that the
    # core takes the same steps as in the whole.
    stop = min((int(lower[-1]) if len(lower) else 0) + 2, extent)
    nearest = lower + (weight >= 0.5)
    starts, bounds = [first], [0]
    for start in accumulate(own[:-1]):
        bound = int(np.searchsorted(nearest, start))
        if bounds[-1] < bound < len(lower) and start < stop:
            starts.append(start)
            bounds.append(bound)
    before = int(linear)
    origins = [max(start - before, first) for start in starts]
    results = _steps([*bounds, len(lower)])
    moved = lower - np.repeat(origins, results)
    lent = 1 if linear else (0, 1)
    return _Cut(slice(first, stop), _steps([*starts, stop]), lent, results, moved, weight)


def _cuts(plan: Plan) -> list[_Cut]:
    """All resampled axes in pieces."""
    layout = plan.layout
    names = layout.interpolation
    whole = grids.tables(layout.own, layout.size, names, layout.align_corners)
    each = zip(whole, layout.window, layout.axes, names, strict=True)
    return [
        _cut(lower[part], weight[part], plan.array.chunks[d], name == "linear")
        for (lower, weight), part, d, name in each
    ]


def _pixels(plan: Plan, array: Lazy) -> tuple[tuple[int, ...], ...]:
    """The chunks of all axes but that of the classes."""
    chunks: tuple[tuple[int, ...], ...] = array.chunks
    return chunks[: plan.axis] + chunks[plan.axis + 1 :]


def pieces(plan: Plan) -> Pieces:
    """The pieces of the logits of a lazy call."""
    axes, batch = plan.layout.axes, plan.layout.batch
    if not plan.layout.resampled:
        own = plan.layout.part(plan.array).rechunk({plan.axis: -1})
        return Pieces(plan, own, _pixels(plan, own), ())
    cuts = _cuts(plan)
    index = [slice(None)] * plan.array.ndim
    for d, cut in zip(axes, cuts, strict=True):
        index[d] = cut.part
    part = plan.array[tuple(index)]
    chunks = {d: cut.chunks for d, cut in zip(axes, cuts, strict=True)}
    part = part.rechunk({plan.axis: -1, **chunks})
    depth: dict[int, Any] = dict.fromkeys(range(part.ndim), 0)
    depth |= {d: cut.lent for d, cut in zip(axes, cuts, strict=True)}
    lent = da.overlap.overlap(part, depth, boundary="none", allow_rechunk=False)
    tables = [
        da.from_array(table, chunks=(cut.results,))
        for cut in cuts
        for table in (cut.lower, cut.weight)
    ]
    results = tuple(cut.results for cut in cuts)
    return Pieces(plan, lent, _pixels(plan, part)[:batch] + results, tuple(tables))
