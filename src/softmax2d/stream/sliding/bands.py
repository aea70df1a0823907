"""Which bands of an image a network sees, and by what their numbers are multiplied.

The network's channels are known from an ONNX file; of other networks the likeliest way is tried
first. What does not fit is refused in words that name both numbers and ``bands=``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from softmax2d._errors import Refused, Unusable
from softmax2d._files.source.source import Array, Source
from softmax2d.stream.sliding.channels import Channels

_BYTE = 255
_FULL = 1 << 15  # a 16-bit image that reaches it fills its type


def choose_bands(
    image: Source, axis: int | None, bands: Any, takes: int | None, where: str
) -> list[Channels]:
    """The ways to show an image to a network of ``takes`` channels, the likeliest first.

    ``takes`` is None where the network does not say it; then there may be several ways.

    Raises
    ------
    Refused
        No way; the message names both numbers, and ``bands=``.
    """
    plain = Channels(axis)
    whole = image.dtype.kind in "iu"
    if image.palette is not None and whole and (axis is None or image.shape[axis] == 1):
        plain = Channels(axis, colours=image.palette, transparent=image.transparent)
    depth = plain.depth(image)
    alpha = image.alpha if axis is not None and image.alpha is not None else None
    if bands is not None:
        picked = _indices_of(bands, depth, image)
        if takes is not None and len(picked) != takes:
            named = f"{len(picked)} band{'s' if len(picked) > 1 else ''}"
            raise Refused(image.path, f"{where} takes {_count(takes)}; bands= (--bands) names "
                                      f"{named}.")  # fmt: skip
        alpha = None if alpha in picked else alpha
        return [Channels(axis, picked, alpha, plain.colours, plain.transparent)]
    opaque = None
    if alpha is not None:
        rest = tuple(i for i in range(depth) if i != alpha)
        opaque = Channels(axis, rest, alpha)
    if takes is None:
        return [plain] if opaque is None else [plain, opaque]
    if depth == takes:
        return [plain]
    if opaque is not None and depth - 1 == takes:
        return [opaque]
    if takes == 1 and plain.colours is not None and _is_grey(plain.colours):
        return [Channels(axis, (0,), None, plain.colours, plain.transparent)]
    raise Refused(image.path, _mismatch(depth, takes, alpha, plain.colours is not None, where))


def _is_grey(colours: Array) -> bool:
    return bool((colours == colours[:, :1]).all())


def _count(channels: int) -> str:
    return f"{channels} channel{'s' if channels > 1 else ''}"


def _mismatch(depth: int, takes: int, alpha: int | None, palette: bool, where: str) -> str:
    text = f"{where} takes {_count(takes)}, the image has {depth}"
    if palette:
        text += " (the colours of its palette)"
    elif alpha is not None:
        text += " (its last is alpha)" if alpha == depth - 1 else f" (band {alpha + 1} is alpha)"
    seen = depth - (alpha is not None)
    if seen == 1 and takes > 1:
        again = ",".join(["1"] * takes)
        return f"{text}. Show its one band to each with --bands {again} (bands=)."
    some = ",".join(str(i + 1) for i in range(min(takes, seen)))
    if takes > seen:
        return f"{text}. A band may stand for two: name {takes} with --bands (bands=)."
    return f"{text}. Name {takes} of them, counted from 1, as in --bands {some} (bands=)."


def _indices_of(bands: Any, depth: int, image: Source) -> tuple[int, ...]:
    """Band numbers from 1 as indices."""
    listed = [bands] if isinstance(bands, int | np.integer) else bands
    known = isinstance(listed, Sequence | np.ndarray) and not isinstance(listed, str)
    whole = known and all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) for n in listed
    )
    if not whole or not len(listed):
        raise Unusable(f"bands must be whole numbers, 1 for the first band; got {bands!r}.")
    if not all(1 <= n <= depth for n in listed):
        named = ", ".join(map(str, listed))
        text = f"has {depth} band{'s' if depth > 1 else ''}, counted from 1; bands= (--bands) names"
        raise Refused(image.path, f"{text} {named}.")
    return tuple(int(n) - 1 for n in listed)


def numbers_of(name: str, value: Any, depth: int) -> tuple[float, ...]:
    """One number, or one for each channel; texts may be fractions, as in 1/10000."""
    listed = [value] if isinstance(value, str) or np.ndim(value) == 0 else list(value)
    try:
        found = tuple(_number(n) for n in listed)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        raise Unusable(f"{name} must be a number, or one a channel; got {value!r}.") from None
    if not all(np.isfinite(n) for n in found) or len(found) not in (1, depth):
        got = f"{name} must be one finite number, or one for each of {depth} channels; got "
        raise Unusable(f"{got}{value!r}.")
    if name in ("std", "scale") and not all(n != 0 if name == "scale" else n > 0 for n in found):
        must = "positive" if name == "std" else "other than 0"
        raise Unusable(f"{name} must be {must}; got {value!r}.")
    return found


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError(value)
    if isinstance(value, str):
        parts = re.fullmatch(r"\s*([^/]+?)\s*(?:/\s*([^/]+?)\s*)?", value)
        if parts is None:
            raise ValueError(value)
        return float(parts[1]) / float(parts[2] or 1)
    return float(value)


def auto_scale(image: Source, seen: Channels, takes: np.dtype[Any]) -> tuple[float, str | None]:
    """The factor of the numbers where none was given, and what should be said of it."""
    dtype = np.dtype(np.uint8) if seen.colours is not None else image.dtype
    if takes.kind in "iu":
        return _as_it_is(image, dtype, takes)
    few = None if seen.colours is not None else image.bits
    if dtype.name == "uint8" and (few is None or few >= 8):
        return 1 / 255, None
    if dtype.kind == "b" or few == 1:
        return 1.0, None
    low, high, whole = seen.extremes(image)
    if dtype.kind not in "iu":
        if not whole or low < 0 or not 1 < high <= _BYTE:
            return 1.0, None
        text = f"the image's {dtype} numbers are whole, up to {high:g}, and went to the network as "
        return 1.0, f"{text}they are; if it was trained on 0…1, say --scale 1/255 (scale=)."
    if few is not None and few < 8 * dtype.itemsize and few != 8:
        top = (1 << few) - 1
        return 1 / top, f"the image has {few} bits: its numbers were divided by {top}."
    if dtype.name == "uint16" and high >= _FULL:
        return 1 / 65535, (f"the image's uint16 numbers reach {high:.0f}: they were divided by "
                           "65535; another factor is given with --scale (scale=).")  # fmt: skip
    span = f"up to {high:.0f}" if low >= 0 else f"from {low:.0f} to {high:.0f}"
    return 1.0, (f"the image's {dtype} numbers, {span} where it was looked at, went to the network "
                 "as they are: nothing says what they mean. Scale them with --scale (scale=), "
                 "as in --scale 1/10000.")  # fmt: skip


def _as_it_is(
    image: Source, dtype: np.dtype[Any], takes: np.dtype[Any]
) -> tuple[float, str | None]:
    """No factor for a network of integers, which takes such images alone."""
    if dtype.kind not in "biu":
        raise Refused(image.path, f"holds {dtype}, and the network takes {takes}; say how its "
                                  "numbers become those with --scale (scale=), as in --scale 255 "
                                  "for 0…1.")  # fmt: skip
    return 1.0, None
