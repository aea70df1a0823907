"""The way on: what a refusal adds where a type, a shape or a value says what may have been meant.

Each returns a text that begins with a blank, or nothing. Shapes and NumPy's arrays are enough, so
that arrays, tensors, dask arrays and files are answered in the same words.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FILES = {
    "segment": "segment_file",
    "softmax2d": "softmax2d_file",
    "evaluate": "evaluate_files",
    "evaluate_labels": "evaluate_label_files",
}
INTEGERS = " Class indices are integers: pass target.astype('uint8'), or target.long() of a tensor."
_COLOURS = 3, 4  # channels of a picture
_SHOWN = 5  # values or names that a message lists


def of_type(where: str, name: str, value: Any) -> str:
    """What to pass in the place of something that is no array."""
    if isinstance(value, str | os.PathLike):
        text = f" Read the file first, for example with numpy.load({os.fspath(value)!r})"
        whole = _FILES.get(where)
        return f"{text}, or use softmax2d.stream.{whole}." if whole else f"{text}."
    if isinstance(value, Mapping) and value:
        keys = [repr(key) for key in value]
        more = ", …" if len(keys) > _SHOWN else ""
        return f" It holds {', '.join(keys[:_SHOWN])}{more}: pass one, as {name}[{keys[0]}]."
    return ""


def of_result(value: Any) -> str:
    """What to do with a result of this library that was given for numbers, one a class."""
    kind = type(value).__name__
    ways = {
        "Calibration": " Give it as temperature=.",
        "ClassCounts": " softmax2d.balance.class_weights makes weights of counts.",
    }
    return ways.get(kind, "")


def is_picture(value: Any) -> bool:
    """Whether ``value`` is an image of Pillow, which is not imported for that."""
    return type(value).__module__.partition(".")[0] == "PIL" and hasattr(value, "getbands")


def _index(d: int, ndim: int) -> str:
    """The index that takes axis ``d`` of length one out."""
    return "[..., 0]" if d == ndim - 1 > 0 else f"[{':, ' * d}0]"


def of_shape(
    given: tuple[int, ...], wanted: tuple[int, ...], logits: tuple[int, ...], axis: int, batch: int
) -> str:
    """What to pass in the place of a target of the shape ``given``.

    ``wanted`` is the shape of the pixels, ``batch`` the number of axes before the spatial ones.
    """
    if given == wanted:
        return ""
    classes, ndim = logits[axis], len(given)
    single = [d for d, n in enumerate(given) if n == 1 and given[:d] + given[d + 1 :] == wanted]
    if single:
        return f" Pass target{_index(axis if axis in single else single[0], ndim)}."
    if (1, *given) == wanted:
        return " Pass target[None]."
    for place in (axis, len(wanted)):
        if given == (*wanted[:place], classes, *wanted[place:]):
            at = axis if place == axis else -1
            return f" If it is one-hot, pass target.argmax({at})."
    if given[:-1] == wanted and given[-1] in _COLOURS:
        return " Colours are no class indices: give each colour the index of its class first."
    for k in range(len(logits)):
        if k != axis and logits[:k] + logits[k + 1 :] == given:
            at = k - len(logits)
            text = f" If the classes of the logits are on axis {k}, pass axis={at} (tensors: dim)."
            return text + of_size(given, wanted, batch, "Else pass")
    if given == (*wanted[:-2], *wanted[:-3:-1]):
        text = " If rows and columns are exchanged, pass target.swapaxes(-1, -2)."
        return text + of_size(given, wanted, batch, "Else pass")
    return of_size(given, wanted, batch) or _of_larger(given, wanted, classes, axis, batch)


def _of_larger(
    given: tuple[int, ...], wanted: tuple[int, ...], classes: int, axis: int, batch: int
) -> str:
    """What to pass in the place of a target of another size with other axes or images, too."""
    if len(given) == len(wanted) and batch == 1:
        return f" The logits are of {wanted[0]} images, the target of {given[0]}."
    if len(given) != len(wanted) + 1 or given[:batch] != wanted[:batch]:
        return ""
    for place in (axis, len(wanted)):
        if place >= batch and given[place] == 1:
            return f" Pass target{_index(place, len(given))}."
        if place >= batch and given[place] == classes:
            return (
                f" If it is one-hot, pass target.argmax({-1 if place == len(wanted) else place})."
            )
    return ""


def of_size(given: tuple[int, ...], wanted: tuple[int, ...], batch: int, word: str = "Pass") -> str:
    """What to pass where a target differs from the pixels in its size alone."""
    if given == wanted or len(given) != len(wanted) or given[:batch] != wanted[:batch]:
        return ""
    return f" {word} size={given[batch:]} to compare at the target's pixels."


def of_kind(given: Any, wanted: tuple[int, ...]) -> str:
    """What to pass in the place of a target of another type: floats or bools for the indices."""
    if given.dtype.kind not in "fb" or given.shape != wanted:
        return ""
    return INTEGERS


def of_indices(given: Any, name: str) -> str:
    """What to pass in the place of labels, without logits beside them, that are no integers."""
    if given.dtype.kind == "b":
        return f" Class indices are integers: pass {name}.astype('uint8')."
    if given.dtype.kind != "f":
        return ""
    return f" Whole numbers stored as floats: pass {name}.astype('int64')."


def of_label_maps(labels: tuple[int, ...], target: tuple[int, ...]) -> str:
    """What to pass in the place of two label maps of different shapes."""
    for name, given, wanted in (("target", target, labels), ("labels", labels, target)):
        for d, n in enumerate(given):
            if n == 1 and given[:d] + given[d + 1 :] == wanted:
                return f" Pass {name}{_index(d, len(given))}."
    if len(labels) == len(target) and sorted(labels) == sorted(target):
        return " If axes are exchanged, transpose one of them."
    if len(labels) == len(target):
        return " Labels of the target's size come from the scores: softmax2d.segment(…, size=)."
    return ""


def _set_to(ignore: int) -> str:
    return f"set it to {ignore}, the ignore_index, in the target"


def of_values(
    target: NDArray[Any], value: int, classes: int, ignore: int | None, option: bool
) -> str:
    """What to do about labels that are no class, of which ``value`` is the first.

    ``option`` asks for the name on the command line as well.
    """
    bad = (target < 0) | (target >= classes)
    if ignore is not None:
        bad &= target != ignore
    if not (others := target[bad]).size:
        return ""
    if not (others == value).all():
        values = np.unique(others[: 1 << 20])
        listed = ", ".join(str(int(v)) for v in values[:_SHOWN])
        more = ", …" if len(values) > _SHOWN else ""
        return (
            f" So are others ({listed}{more}): if they mark pixels without a class, give all of "
            "them one value and pass that as ignore_index."
        )
    named = f" (--ignore-index {value})" if option else ""
    pass_it = f"pass ignore_index={value}{named}"
    if ignore is not None and (target == ignore).any():
        pass_it = _set_to(ignore)
    text = f" If {value} marks pixels without a class, {pass_it}"
    if classes == 2 and value == 255 and not (target == 1).any():
        return f"{text}; in a mask of 0 and 255 it is class 1: store {value} as 1."
    if value == classes and classes > 1 and not (target == 0).any():
        return f"{text}; if the labels begin at 1, subtract 1 from all."
    if classes == 1:
        two = "binary=True (--binary)" if option else "binary=True, or zeros before them,"
        return f"{text}; if the logits are those of a sigmoid, {two} makes two classes of them."
    return f"{text}."
