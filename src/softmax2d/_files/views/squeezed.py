"""A source without its axes of one entry."""

from __future__ import annotations

from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d._files.views.view import View


class SqueezedSource(View):
    """A source whose axes of one entry are left out."""

    def __init__(self, stored: Source) -> None:
        super().__init__(stored)
        self._kept = tuple(d for d, n in enumerate(stored.shape) if n != 1)
        self.shape = tuple(stored.shape[d] for d in self._kept)
        self.class_axis = None
        if stored.axes is not None:
            self.axes = tuple(stored.axes[d] for d in self._kept)
        if stored.chunks is not None:
            self.chunks = tuple(stored.chunks[d] for d in self._kept)

    def _whole(self, box: Box) -> Box:
        found = [slice(0, 1)] * len(self._stored.shape)
        for d, part in zip(self._kept, box, strict=True):
            found[d] = part
        return tuple(found)

    def read(self, box: Box) -> Array:
        shape = tuple(s.stop - s.start for s in box)
        return self._stored.read(self._whole(box)).reshape(shape)

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        whole = self._whole(box)
        given = values.reshape(tuple(s.stop - s.start for s in whole))
        return self._stored.lacks(given, whole, nodata).reshape(values.shape)
