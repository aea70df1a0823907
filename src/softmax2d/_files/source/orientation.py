"""Which way up pixels are stored: EXIF's and TIFF's tag 274, Orientation.

Viewers turn a picture as the tag says, and so it is read here: upright. An unknown value means what
the tag's absence means, that pixels are stored as they are seen [1]_.

References
----------
.. [1] TIFF 6.0, section 8, Orientation; CIPA DC-008 (Exif 2.32), section 4.6.4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from softmax2d._files.source.presentation import Space
from softmax2d._files.source.source import Array, Box, Mask, Source, equal
from softmax2d._files.source.view import View

TAG = 274
# Of stored pixels, by the tag's value: whether rows and columns change places, and then whether
# rows and whether columns run backwards.
_STEPS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def known_orientation(value: Any) -> int:
    """Return the tag's value, 1 to 8; 1 of anything else."""
    value = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return int(value) if whole and int(value) in _STEPS else 1


def is_sideways(orientation: int) -> bool:
    """Return whether height and width change places."""
    return _STEPS[orientation][0]


def turn(pixels: Array, orientation: int, rows: int = 0) -> Array:
    """Return a view of stored pixels as they are seen; columns follow the axis ``rows``."""
    swapped, up, left = _STEPS[orientation]
    found = pixels.swapaxes(rows, rows + 1) if swapped else pixels
    steps = [slice(None)] * found.ndim
    steps[rows] = slice(None, None, -1 if up else 1)
    steps[rows + 1] = slice(None, None, -1 if left else 1)
    return found[tuple(steps)]


def turn_sizes(sizes: tuple[Any, ...], orientation: int, rows: int = 0) -> tuple[Any, ...]:
    """Return what belongs to each axis of stored pixels as it belongs to those seen."""
    found = list(sizes)
    if is_sideways(orientation):
        found[rows], found[rows + 1] = found[rows + 1], found[rows]
    return tuple(found)


class UprightSource(View):
    """Another source whose pixels are stored turned, read as they are seen.

    ``rows`` is the axis that counts rows; columns follow it.
    """

    def __init__(self, stored: Source, orientation: int, rows: int) -> None:
        super().__init__(stored)
        self._orientation, self._rows = orientation, rows
        self.shape = turn_sizes(stored.shape, orientation, rows)
        if stored.chunks is not None:
            self.chunks = turn_sizes(stored.chunks, orientation, rows)
        if stored.space is not None:
            self.space = turn_space(stored.space, orientation)

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        swapped, up, left = _STEPS[self._orientation]
        inner = list(box)
        for d, backwards in ((self._rows, up), (self._rows + 1, left)):
            if backwards:
                n = self.shape[d]
                inner[d] = slice(n - box[d].stop, n - box[d].start)
        if swapped:
            inner[self._rows], inner[self._rows + 1] = inner[self._rows + 1], inner[self._rows]
        held = self._stored.read_again(tuple(inner))
        return np.ascontiguousarray(turn(held, self._orientation, self._rows))

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:  # noqa: ARG002
        """Return where ``values`` are ``nodata``."""
        return equal(values, nodata)


def turn_space(space: Space, orientation: int) -> Space:
    """Return the place of turned pixels, as OME-TIFF says it: the last axes are y and x."""
    rows = len(space.size) - 2
    fields = dict(space.fields)
    for name in ("spacing", "units"):
        if len(fields.get(name, ())) == len(space.size):
            fields[name] = list(turn_sizes(tuple(fields[name]), orientation, rows))
    if "resolution" in fields:  # along rows and columns, and the unit
        down, across, unit = fields["resolution"]
        fields["resolution"] = [*turn_sizes((down, across), orientation, 0), unit]
    return replace(space, size=turn_sizes(space.size, orientation, rows), fields=fields)


def upright(stored: Source, orientation: int, rows: int) -> Source:
    """Return ``stored`` as it is seen; itself where it is stored so."""
    return stored if orientation == 1 else UprightSource(stored, orientation, rows)
