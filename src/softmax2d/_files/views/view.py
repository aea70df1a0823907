"""Another source seen differently: scaled, turned, cut, or as other numbers."""

from __future__ import annotations

from typing import Any

from softmax2d._files.source.source import Array, Box, Mask, Source

_STATEMENTS = (
    "path", "shape", "dtype", "chunks", "bare", "axes", "class_axis", "names", "palette",
    "transparent", "clear", "alpha", "masked", "colours", "bits", "nodata", "missing",
    "nan_is_nodata", "lossy", "space", "meaning", "step", "result_dtype",
    "converted", "whole_bytes", "packed_bytes",
)  # fmt: skip


class View(Source):
    """Another source with its statements; a view changes what differs, and overrides methods.

    The identity is that of the source and ``identity_of_view``: a resumed run compares both.
    """

    def __init__(self, stored: Source) -> None:
        for name in _STATEMENTS:
            setattr(self, name, getattr(stored, name))
        self._stored = stored

    @property
    def stored(self) -> Source:
        """The source that is seen so."""
        return self._stored

    def prepare(self) -> None:
        """As the source."""
        self._stored.prepare()

    def read(self, box: Box) -> Array:
        """As the source."""
        return self._stored.read(box)

    def hidden(self, box: Box) -> Mask:
        """As the source, of which views with the same pixels are asked."""
        return self._stored.hidden(box)

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        """As the source."""
        return self._stored.lacks(values, box, nodata)

    def close(self) -> None:
        """As the source."""
        self._stored.close()

    def identity(self) -> dict[str, Any]:
        """Return what the source says, and how it is seen."""
        return {**self._stored.identity(), **self.identity_of_view()}

    def identity_of_view(self) -> dict[str, Any]:
        """Return JSON values that say how the source is seen."""
        return {}
