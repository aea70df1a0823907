"""Numbers that are stored with a factor and an offset, which say what they mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._files._source import Array, Box, Source

_TOLD = (
    "path", "shape", "chunks", "bare", "axes", "class_axis", "names", "palette", "space",
    "whole_bytes", "packed_bytes",
)  # fmt: skip


class ScaledSource(Source):
    """Another source times ``factor`` plus ``offset``, computed in float64 and rounded once.

    What is stored for no data becomes NaN: one number for bands of different factors.

    Parameters
    ----------
    stored : Source
        What lies in the file.
    factor, offset : float, or one per band: array, shape (C, 1, 1)
        As CF's ``scale_factor`` and ``add_offset``, GDAL's scales and offsets, NIfTI's
        ``scl_slope`` and ``scl_inter``.
    """

    def __init__(self, stored: Source, factor: Any, offset: Any) -> None:
        for name in _TOLD:
            setattr(self, name, getattr(stored, name))
        self._stored = stored
        self._factor, self._offset = np.float64(factor), np.float64(offset)
        self.dtype = np.result_type(stored.dtype, np.float32).newbyteorder("=")
        self.converted = np.dtype(np.float64).itemsize + stored.dtype.itemsize
        self.nodata = None if stored.nodata is None else np.nan

    def prepare(self) -> None:
        """As the source."""
        self._stored.prepare()

    def read(self, box: Box) -> Array:
        """The values in ``box``."""
        held = self._stored.read_again(box)
        found = held.astype(np.float64)
        found *= self._of(self._factor, box)
        found += self._of(self._offset, box)
        if self._stored.nodata is not None:
            found[held == self._stored.nodata] = np.nan
        return found.astype(self.dtype)

    def _of(self, values: Any, box: Box) -> Any:
        return values[box[0]] if np.ndim(values) else values

    def close(self) -> None:
        """As the source."""
        self._stored.close()


def scaled(stored: Source, factor: Any = 1.0, offset: Any = 0.0) -> Source:
    """``stored`` where nothing changes it, else times ``factor`` plus ``offset``."""
    if np.all(np.equal(factor, 1)) and np.all(np.equal(offset, 0)):
        return stored
    return ScaledSource(stored, factor, offset)
