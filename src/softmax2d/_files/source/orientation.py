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
from softmax2d._files.source.source import Array

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


def turn_of(orientation: int, rank: int, rows: int = 0) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return the stored axis that is seen as each axis, and whether each runs backwards.

    Columns follow the axis ``rows``.
    """
    swapped, up, left = _STEPS[orientation]
    axes, flips = list(range(rank)), [False] * rank
    if swapped:
        axes[rows], axes[rows + 1] = rows + 1, rows
    flips[rows], flips[rows + 1] = up, left
    return tuple(axes), tuple(flips)


def turn(pixels: Array, orientation: int, rows: int = 0) -> Array:
    """Return a view of stored pixels as they are seen; columns follow the axis ``rows``."""
    axes, flips = turn_of(orientation, pixels.ndim, rows)
    return pixels.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]


def turn_sizes(sizes: tuple[Any, ...], orientation: int, rows: int = 0) -> tuple[Any, ...]:
    """Return what belongs to each axis of stored pixels as it belongs to those seen."""
    found = list(sizes)
    if is_sideways(orientation):
        found[rows], found[rows + 1] = found[rows + 1], found[rows]
    return tuple(found)


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
