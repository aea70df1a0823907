"""The tasks: one call of the NumPy layer for one piece of logits. Pickled by name."""

from __future__ import annotations

from typing import Any, NamedTuple

from softmax2d._gate import arrays
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.maps import Map
from softmax2d._ops import probs, segment
from softmax2d._ops.segment import Segmentation


class Block(NamedTuple):
    """The arguments that all pieces of a call share."""

    where: str
    ndim: int
    axis: int
    classes: int
    affine: Map | None

    def read(self, piece: Any, tables: tuple[Array, ...]) -> Logits:
        """A piece of logits, a block or a list of one, as the core takes it.

        A chunk may have another shape than its dask array says; the core trusts its arguments and
        must not meet one.
        """
        where, axis = self.where, self.axis
        array = arrays.as_floats(where, "logits", piece[0] if isinstance(piece, list) else piece)
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


def find(
    piece: Any, *tables: Array, block: Block, names: tuple[str, ...], best: int
) -> Segmentation:
    """All results of a piece, from one pass over its logits."""
    return segment.segment_logits(block.read(piece, tables), names, best)


def field(found: Segmentation, name_of_field: str) -> Any:
    """One result of several."""
    return getattr(found, name_of_field)


def probabilities(piece: Any, *tables: Array, block: Block, logs: bool) -> Array:
    """Probabilities of a piece, or their logarithms."""
    return probs.fill_probs(block.where, block.read(piece, tables), logs)
