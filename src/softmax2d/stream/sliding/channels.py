"""What of an image a network sees: which bands, in which numbers, and which pixels are no data.

A number v becomes (v × scale - mean) / std, in float32. 8 bits are scaled to 0…1. Of wider integers
a file that gives no factor does not say what they mean: they are multiplied by 1/65535 where they
fill 16 bits, and given as they are otherwise; both are noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from softmax2d._errors import Refused
from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d.stream.plan.places import COLOURS

_LOOKS = 3  # places along each axis where an image is looked at
_LOOK = {2: 256, 3: 48}  # pixels of a place along each axis, by the number of axes


@dataclass(frozen=True)
class Channels:
    """The bands of an image as a network sees them."""

    axis: int | None  # the image's channel axis
    picked: tuple[int, ...] | None = None  # bands in the network's order; None: all
    alpha: int | None = None  # the band whose zeros are no data, where the network does not see it
    colours: Array | None = None  # of the numbers of an image with a palette: shape (n, 3)
    transparent: tuple[int, ...] = ()  # numbers of a palette that are no data
    clear: tuple[int, ...] | None = None  # no data where all bands have these numbers
    nodata: float | None = None  # no data where all picked bands have it
    masked: bool = False  # whether the file says of each pixel whether it is data
    # Of each channel, or one for all.
    scale: tuple[float, ...] = (1.0,)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def masks(self) -> bool:
        """Whether pixels may be no data."""
        known = self.nodata is not None or self.alpha is not None or self.clear is not None
        return known or self.masked or bool(self.transparent)

    def depth(self, image: Source) -> int:
        """Number of channels that the network sees."""
        if self.colours is not None and self.picked is None:
            return int(self.colours.shape[1])
        if self.picked is not None:
            return len(self.picked)
        return 1 if self.axis is None else image.shape[self.axis]

    def read(self, image: Source, box: Box) -> tuple[Array, Mask | None]:
        """The pixels in a spatial box as the network sees them, and which of them are no data.

        Shapes (channels, *box) in float32, and box; the network sees 0 where there are no data.
        """
        where, read = self._read(image, box)
        gone = self._mask_of(image, where, read)
        found = self._pick(read).astype(np.float32, copy=False)
        rank = found.ndim - 1
        each = [np.asarray(v, np.float32).reshape((-1,) + (1,) * rank)
                for v in (self.scale, self.mean, self.std)]  # fmt: skip
        found = found * each[0]
        if any(self.mean) or set(self.std) != {1.0}:
            found -= each[1]
            found /= each[2]
        if gone is not None:
            found = np.where(gone, np.float32(0), found)
        return found, gone

    def mask_of(self, image: Source, box: Box) -> Mask | None:
        """A mask of the pixels in a spatial box that are no data; None if none can be."""
        if not self.masks:
            return None
        where, read = self._read(image, box)
        return self._mask_of(image, where, read)

    def extremes(self, image: Source) -> tuple[float, float, bool]:
        """The least and the largest number of a first look at a few places; whether all are whole.

        0 is among them; NaN and pixels without data are left out.
        """
        sizes = [n for d, n in enumerate(image.shape) if d != self.axis]
        side, steps = _LOOK[len(sizes)], range(_LOOKS)
        starts = [sorted({i * max(0, n - side) // (_LOOKS - 1) for i in steps}) for n in sizes]
        low, high, whole = 0.0, 0.0, True
        for place in product(*starts):
            pairs = zip(place, sizes, strict=True)
            where, read = self._read(image, tuple(slice(s, min(n, s + side)) for s, n in pairs))
            kept, gone = self._pick(read), self._mask_of(image, where, read)
            kept = kept if gone is None else kept[:, ~gone]
            kept = kept.astype(np.float64)
            kept = kept[np.isfinite(kept)]
            if kept.size:
                low, high = min(low, float(kept.min())), max(high, float(kept.max()))
                whole = whole and bool((kept == np.rint(kept)).all())
        return low, high, whole

    def _read(self, image: Source, box: Box) -> tuple[Box, Array]:
        """The box of the image, and its numbers: the bands between the first and the last."""
        where = list(box)
        if self.axis is not None:
            where.insert(self.axis, self._span(image))
        return tuple(where), image.read(tuple(where))

    def _span(self, image: Source) -> slice:
        if self.axis is None:
            raise ValueError("an image without bands has no span of them")
        if self.picked is None or self.colours is not None or self.clear is not None:
            return slice(0, image.shape[self.axis])
        wanted = self.picked if self.alpha is None else (*self.picked, self.alpha)
        return slice(min(wanted), max(wanted) + 1)

    def _first(self) -> Array:
        """The picked bands, counted from the first one that is read."""
        wanted = self.picked or ()
        if self.clear is not None:
            return np.asarray(wanted)
        low = min(wanted if self.alpha is None else (*wanted, self.alpha))
        return np.asarray(wanted) - low

    def _pick(self, read: Array) -> Array:
        """The channels that the network sees, channels first, in the image's numbers."""
        if self.colours is not None:
            table = self.colours if self.picked is None else self.colours[:, list(self.picked)]
            plain = read if self.axis is None else read.take(0, self.axis)
            return np.moveaxis(table[np.minimum(plain, len(table) - 1)], -1, 0)
        found = read[None] if self.axis is None else np.moveaxis(read, self.axis, 0)
        if self.picked is None:
            return found
        return found[[0] * len(self.picked)] if self.axis is None else found[self._first()]

    def _mask_of(self, image: Source, where: Box, read: Array) -> Mask | None:
        gone: Mask | None = None
        if self.nodata is not None:
            same = image.lacks(read, where, self.nodata)
            if self.axis is not None:
                same = np.moveaxis(same, self.axis, 0)
                same = same if self.picked is None else same[self._first()]
                same = np.asarray(same.all(0))
            gone = same
        if self.clear is not None:
            bands = read[None] if self.axis is None else np.moveaxis(read, self.axis, 0)
            colour = np.asarray(self.clear).reshape((-1,) + (1,) * (bands.ndim - 1))
            clear = np.asarray((bands == colour).all(0))
            gone = clear if gone is None else gone | clear
        if self.alpha is not None and self.axis is not None:
            first = where[self.axis].start
            clear = np.take(read, self.alpha - first, self.axis) == 0
            gone = clear if gone is None else gone | clear
        if self.masked:
            clear = image.hidden(where)
            gone = clear if gone is None else gone | clear
        if self.transparent:
            plain = read if self.axis is None else read.take(0, self.axis)
            clear = np.isin(plain, self.transparent)
            gone = clear if gone is None else gone | clear
        return gone


def spatial_sizes(
    image: Source, axis: int | None, takes: int | None = None, spatial: int | None = None
) -> tuple[int | None, tuple[int, ...]]:
    """The channel axis and the sizes of the others.

    ``takes`` channels and ``spatial`` axes are those of the network, where that is known.
    """
    rank = len(image.shape)
    if axis is not None:
        if not -rank <= axis < rank:
            raise Refused(image.path, f"has no axis {axis}; its shape is {image.shape}.")
        channels: int | None = axis % rank
    elif image.class_axis is not None:
        channels = image.class_axis
    elif image.axes is not None:
        counting = [d for d, name in enumerate(image.axes) if name == "sample"]
        channels = counting[0] if counting else None
    elif rank < 3 or rank == spatial:
        channels = None
    else:
        channels = _guessed_axis(image, takes)
    sizes = tuple(n for d, n in enumerate(image.shape) if d != channels)
    if len(sizes) not in (2, 3) or 0 in sizes:
        text = f"is no image of two or three spatial axes: shape {image.shape}, channel axis "
        raise Refused(image.path, f"{text}{channels}; say which it is with axis= (--axis).")
    return channels, sizes


def _guessed_axis(image: Source, takes: int | None) -> int:
    """The axis of channels where no axis has a name: the one that the network takes, or the first.

    Raises
    ------
    Refused
        The last axis may count colours.
    """
    first, last = image.shape[0], image.shape[-1]
    if takes is not None and (first == takes) != (last == takes):
        return 0 if first == takes else len(image.shape) - 1
    if last in COLOURS and (first not in COLOURS or first == last > 1):
        text = f"may have its channels first or last: shape {image.shape}; "
        raise Refused(image.path, f"{text}say which with axis= (--axis), -1 for last.")
    return 0
