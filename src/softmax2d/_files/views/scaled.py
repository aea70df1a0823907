"""Stored numbers with a factor and an offset."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._files.source.attributes import Statements
from softmax2d._files.source.source import Array, Box, Mask, Source, convert_nodata
from softmax2d._files.views.view import View

_FAR = 2.0**64  # a factor as large or as small may lead out of float32


class ScaledSource(View):
    """Another source times ``factor`` plus ``offset``, computed in float64 and rounded once.

    Parameters
    ----------
    stored : Source
        What lies in the file.
    factor, offset : float, or one per band: array, shape (C, 1, 1)
        As CF's ``scale_factor`` and ``add_offset``, GDAL's scales and offsets, NIfTI's
        ``scl_slope`` and ``scl_inter``.

    Notes
    -----
    What stands for no data is scaled as any other number, so that a network which sees it in some
    bands sees what the file means. ``nodata`` stays the number that is stored, whoever names it;
    :meth:`lacks` scales it, in the same arithmetic, and compares. That is as good as comparing
    what is stored as long as no other number becomes the same, hence two rules: integers are read
    in float64 where float32 would take two of them for one, and a finite number that leaves the
    range becomes the largest, not infinite. Floats that differ from nodata by one rounding may be
    taken for it.
    """

    def __init__(self, stored: Source, factor: Any, offset: Any) -> None:
        super().__init__(stored)
        self._factor, self._offset = np.float64(factor), np.float64(offset)
        self.dtype = distinct_dtype(stored.dtype, self._factor, self._offset)
        self.step = float(np.max(np.abs(self._factor))) if stored.dtype.kind in "iu" else 0.0
        self.converted = np.dtype(np.float64).itemsize + stored.dtype.itemsize

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        return self._scale(self._stored.read_again(box), box)

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        """Return where ``values``, read from ``box``, were stored as ``nodata``."""
        found = self._equal(values, box, nodata)
        for other in self.others(nodata):
            found |= self._equal(values, box, other)
        return found

    def _equal(self, values: Array, box: Box, nodata: float) -> Mask:
        value = convert_nodata(nodata, self._stored.dtype)
        if value is None:
            return np.zeros(values.shape, bool)
        if np.isnan(nodata):
            return np.asarray(np.isnan(values))
        each = np.broadcast_to(
            value, np.shape(self._values_at(self._factor, box))
        )  # one value a band
        return np.asarray(values == self._scale(each, box))

    def _scale(self, held: Array, box: Box) -> Array:
        """Return stored numbers of ``box``, or one for each band, scaled."""
        factor, offset = self._values_at(self._factor, box), self._values_at(self._offset, box)
        return scale_values(held, factor, offset, self.dtype)

    def _values_at(self, values: Any, box: Box) -> Any:
        return values[box[0]] if np.ndim(values) else values


class OtherSign(View):
    """Integers whose bits are those of the other sign."""

    def __init__(self, stored: Source, dtype: np.dtype[Any]) -> None:
        super().__init__(stored)
        self.dtype = dtype

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        return np.ascontiguousarray(self._stored.read(box)).view(self.dtype)

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        """Return where ``values`` are ``nodata``, a number of this sign."""
        return Source.lacks(self, values, box, nodata)


def scale_values(held: Array, factor: Any, offset: Any, dtype: np.dtype[Any]) -> Array:
    """Return stored numbers scaled, rounded once to ``dtype``."""
    found = held.astype(np.float64)
    most = np.finfo(dtype).max
    with np.errstate(over="ignore", invalid="ignore"):
        found *= factor
        found += offset
        np.clip(found, -most, most, out=found, where=np.isfinite(held))
    return found.astype(dtype)


def distinct_dtype(stored: np.dtype[Any], factor: Any, offset: Any) -> np.dtype[Any]:
    """Return float32 or float64: the dtype that keeps stored integers distinct."""
    found = np.result_type(stored, np.float32).newbyteorder("=")
    least, most = np.min(np.abs(factor)), max(np.max(np.abs(factor)), np.max(np.abs(offset)))
    if most > _FAR or 0 < least < 1 / _FAR:  # float32 would take all numbers for one
        return np.dtype(np.float64)
    if stored.kind in "iu":
        known = np.iinfo(stored)
        with np.errstate(over="ignore", invalid="ignore"):
            largest = np.maximum(abs(factor * known.min + offset), abs(factor * known.max + offset))
            if np.any(abs(factor) <= np.spacing(largest.astype(found))):
                return np.dtype(np.float64)
    return found


def scale_source(stored: Source, factor: Any = 1.0, offset: Any = 0.0) -> Source:
    """Return ``stored`` times ``factor`` plus ``offset``; itself where that changes nothing."""
    if np.all(np.equal(factor, 1)) and np.all(np.equal(offset, 0)):
        return stored
    return ScaledSource(stored, factor, offset)


def interpret(source: Source, said: Statements) -> Source:
    """Set what attributes say of a source, and return it with its numbers scaled."""
    source.nodata, source.missing, source.nan_is_nodata = (
        said.nodata, said.missing, said.nan_is_nodata,
    )  # fmt: skip
    source.names, source.step = said.names, said.step
    if said.bits_of is not None:
        source = OtherSign(source, said.bits_of)
    return scale_source(source, said.factor, said.offset)
