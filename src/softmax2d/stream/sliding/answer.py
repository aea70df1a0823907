"""What a network returns, as class scores: which axis counts classes, and what the numbers are.

One empty window shows the shape: (N, C, ...) or channels last, cells of whole pixels. One window of
the image shows the numbers. What could mean two things is refused with the option that decides it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from softmax2d._errors import Refused, StreamError, Unusable
from softmax2d._files.source.source import Array
from softmax2d.stream.plan.looks import looks_like
from softmax2d.stream.plan.meaning import SAY_PROBABILITIES
from softmax2d.stream.sliding.network import Network
from softmax2d.stream.sliding.onnx_file import plain_words
from softmax2d.stream.sliding.outputs import choose_returned

FIRST, LAST = "channels-first", "channels-last"
_ROUNDING = 4e-3  # how far from 1 probabilities in float16 or bfloat16 add up
_LEAST = np.finfo(np.float32).smallest_subnormal
_MULTIPLES = (32, 16, 64)  # of windows that deep networks take


@dataclass(frozen=True)
class Scorer:
    """From a batch (N, channels, *window), float32, to scores (N, C, *cells), float32."""

    network: Network
    window: tuple[int, ...]
    takes_last: bool = False  # whether the network takes its channels last ...
    gives_last: bool = False  # ... and its classes
    input: str | None = None  # what its numbers are; None is logits that were not asked for
    binary: bool = False  # whether it gives the second of two classes alone

    def __call__(self, batch: Array) -> Array:
        """Scores of a batch."""
        return self.convert(self.answer(batch))

    def answer(self, batch: Array) -> Array:
        """What the network says, (N, C, *cells) in its own numbers as float32."""
        found = self.raw(batch)
        if found.ndim == batch.ndim - 1 and self.binary:
            found = found[:, None]
        if self.gives_last and found.ndim == batch.ndim:
            found = np.moveaxis(found, -1, 1)
        return found.astype(np.float32, copy=False)

    def raw(self, batch: Array) -> Array:
        """The chosen output as the network returned it."""
        given = np.ascontiguousarray(np.moveaxis(batch, 1, -1)) if self.takes_last else batch
        given = self._numbers(given)
        return choose_returned(self.network.run(given), batch.ndim, self.network.output)

    def _numbers(self, batch: Array) -> Array:
        """A batch in the network's dtype; integers only where all numbers fit."""
        takes = self.network.takes
        if takes.kind not in "iu":
            return batch.astype(takes, copy=False)
        found, known = np.rint(batch), np.iinfo(takes)
        if not np.isfinite(found).all() or found.min() < known.min or found.max() > known.max:
            cause = f"takes {takes}; the image's numbers go from {batch.min():g} to "
            way = f"{batch.max():g}. Scale them into its range with scale= (--scale)."
            raise Unusable(f"{self.network.where}: {cause}{way}")
        return found.astype(takes)

    def convert(self, found: Array) -> Array:
        """Scores of C classes: of one channel the two classes, of probabilities their logarithms.

        One channel z is the classes 0 and z; as a probability p it is log(1 - p) and log p.
        """
        if self.binary and self.input in (None, "logits"):
            return np.concatenate([np.zeros_like(found), found], axis=1)
        if self.binary:
            found = np.exp(found) if self.input == "log-probabilities" else found
            return _logarithms(np.concatenate([1 - found, found], axis=1))
        return _logarithms(found) if self.input == "probabilities" else found

    def look(self, window: Array) -> tuple[Scorer, tuple[str, ...]]:
        """The scorer that knows what the network's numbers are, and what should be said of it.

        ``window`` is one of the image. Rows of it that lie in [0, 1] and add up to 1 are
        probabilities. A failure is left to the run, which meets it again and knows what to keep.
        """
        try:
            found = self.answer(window[None])
        except Unusable:
            raise
        except Exception:  # noqa: BLE001 - of any network
            return self, ()
        self._check(found)
        if self.input is not None or self.binary:
            return self, ()
        where = self.network.where
        if looks_like(found, 1) == "probabilities":
            if bool(((found == 0) | (found == 1)).all()):
                note = (f"{where} returns 1 for one class of a pixel and 0 for the others, labels "
                        "rather than scores: their confidence is 1 everywhere. Export it without "
                        "its argmax.")  # fmt: skip
                return replace(self, input="probabilities"), (note,)
            note = (f"{where} returns rows in [0, 1] that add up to 1, as after a softmax: they "
                    "were taken as probabilities. If they are scores, say --input logits "
                    "(input=).")  # fmt: skip
            return replace(self, input="probabilities"), (note,)
        if _is_inside(found):
            note = (f"{where} returns numbers in [0, 1] that do not add up to 1, as after a "
                    "sigmoid for each class: they were taken as scores, whose confidence says "
                    "little.")  # fmt: skip
            return self, (note,)
        top = _sum_of_shares(found)
        if top is not None:
            note = (f"{where} returns rows that add up to {top:g}, as shares of {top:g} do: they "
                    "were taken as scores, whose confidence says little. Divide them by it, or "
                    "export it with its logits.")  # fmt: skip
            return self, (note,)
        return self, ()

    def _check(self, found: Array) -> None:
        """Refuse numbers, as :meth:`answer` gives them, that are not what was said."""
        where, plain = self.network.where, found[np.isfinite(found)]
        if not plain.size:
            return
        low, high, inside = plain.min(), plain.max(), _is_inside(found)
        text = None
        if self.input == "probabilities" and not inside:
            text = f"returns numbers from {low:g} to {high:g}, which are no probabilities"
        elif self.input == "probabilities" and not self.binary:
            sums = found.sum(1)
            sums = np.where(sums == 0, 1, sums)  # nothing but 0 says nothing
            if looks_like(found, 1) is None and (abs(sums - 1) > _ROUNDING).any():
                worst = sums.flat[np.nanargmax(abs(sums - 1))]
                text = f"returns no probabilities: the classes of a pixel sum to {worst:g}"
        elif self.input == "log-probabilities" and high > _ROUNDING:
            text = f"returns numbers up to {high:g}, which are no logarithms of probabilities"
        if text is not None:
            raise Unusable(f"{where}: {text}; leave out --input (input=).")
        if self.input is not None or not self.binary or not high > 0:
            return
        if low >= 0 and high > 1 and bool((plain == np.rint(plain)).all()):
            raise Unusable(f"{where}: returns whole numbers, {low:g} to {high:g}: labels, no "
                           "scores; export it without its argmax, or give input='logits' "
                           "(--input logits) if they are scores.")  # fmt: skip
        if inside:
            raise Unusable(f"{where}: returns one channel of numbers in [0, 1], as after a "
                           f"sigmoid; {SAY_PROBABILITIES}")  # fmt: skip


def _is_inside(found: Array) -> bool:
    """Whether all finite numbers, of which there are some, lie in [0, 1]."""
    plain = found[np.isfinite(found)]
    return bool(plain.size and plain.min() >= 0 and plain.max() <= 1 + _ROUNDING)


def _sum_of_shares(found: Array) -> float | None:
    """100 or 255 if all rows (N, C, ...) are positive and add up to it: percent, bytes."""
    for top in (100.0, 255.0):
        plain = found[np.isfinite(found)] / top
        inside = plain.size and plain.min() >= 0 and plain.max() <= 1 + _ROUNDING
        if inside and looks_like(found / np.float32(top), 1) == "probabilities":
            return top
    return None


def _logarithms(found: Array) -> Array:
    """Logarithms of probabilities (N, C, ...), that of 0 as of the smallest positive number.

    -inf of one window would rule out a class, and two windows that contradict each other all of
    them. A pixel of nothing but 0 has no logarithms.
    """
    some = found.max(1, keepdims=True) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(np.where(some & (found == 0), _LEAST, found)))


def first_answer(
    scorer: Scorer, channels: int, layout: str | None
) -> tuple[Scorer, tuple[int, ...]]:
    """The scorer that knows where the classes lie, and the classes and the pixels a cell.

    Raises
    ------
    Unusable
        The network fails on an empty window, or returns what are no scores.
    """
    shape = (1, channels, *scorer.window)
    found = ask(scorer, shape)
    where, rank = scorer.network.where, len(shape)
    several = found.ndim == rank and 1 not in (found.shape[1], found.shape[-1])
    if found.dtype.kind in "biu" and not (several and scorer.network.shape is None):
        hint = "export it with its floating-point scores" if several else "export it without its "
        hint += "" if several else "argmax"
        raise Unusable(f"{where}: returns {found.dtype} of shape {found.shape}: labels, not class "
                       f"scores; {hint}.")  # fmt: skip
    if found.ndim == len(shape) - 1 and found.shape[0] == 1 and scorer.binary:
        found = found[:, None]
    if found.ndim != len(shape) or found.shape[0] != 1 or 0 in found.shape:
        text = f"the model must return scores of (N, C, ...) for {shape}; got shape "
        hint = ""
        if found.shape == (1, *scorer.window):
            hint = " If that is one score a pixel, say --binary (binary=True); if labels, export "
            hint += "it without its argmax."
        elif found.ndim == len(shape) - 1 and found.shape[1:] == scorer.window:
            hint = " Export it with its axis of windows, the first of four."
            hint = hint.replace("four", "five") if len(shape) > 4 else hint
        raise Unusable(f"{_of(where)}{text}{found.shape}.{hint}")
    scorer = replace(scorer, gives_last=_gives_last(scorer, channels, found, layout))
    if scorer.gives_last:
        found = np.moveaxis(found, -1, 1)
    classes, cells = found.shape[1], found.shape[2:]
    _check_classes(scorer, classes)
    _check_cells(scorer, channels, cells)
    if any(w % c for w, c in zip(scorer.window, cells, strict=True)):
        text = f"the model makes {cells} cells of a window of {scorer.window} pixels; "
        raise Unusable(f"{_of(where)}{text}{_windows_that_fit(scorer, channels, cells)}")
    strides = (w // c for w, c in zip(scorer.window, cells, strict=True))
    return scorer, (2 if scorer.binary else classes, *strides)


def _of(where: str) -> str:
    return "" if where == "the model" else f"{where}: "


def ask(scorer: Scorer, shape: tuple[int, ...]) -> Array:
    """What the network returns for an empty window; a failure names a window that works."""
    try:
        return scorer.raw(np.zeros(shape, np.float32))
    except Unusable:
        raise
    except Exception as error:
        cause: Any = error.__cause__ if isinstance(error, StreamError) else error
        cause = error if cause is None else cause
        network = scorer.network
        text = f"the model failed on a window of shape {shape}: "
        text += f"{type(cause).__name__}: {plain_words(cause)}."
        if (works := _one_that_runs(scorer, shape)) is not None:
            other = "x".join(map(str, works))
            text += f" Windows of {other} pixels work: window={works} (--window {other})."
        elif network.shape is None or None in (network.shape[1], network.shape[-1]):
            count, order = shape[1], "last" if scorer.takes_last else "first"
            text += f" It was shown {count} channel{'s' if count > 1 else ''}, {order}; others are "
            text += "named with --bands (bands=), their order with --layout (layout=)."
        raise Unusable(f"{_of(network.where)}{text}") from error


def _shape_from(scorer: Scorer, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that an empty window gives; None where the network fails on it."""
    try:
        return scorer.raw(np.zeros(shape, np.float32)).shape
    except Exception:  # noqa: BLE001 - of any network
        return None


def _cells_of(scorer: Scorer, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The cells of an empty window; None where there are none."""
    found = _shape_from(scorer, shape)
    if found is None or len(found) != len(shape):
        return None
    return found[1:-1] if scorer.gives_last else found[2:]


def _one_that_runs(scorer: Scorer, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """A window near the asked one, of a round size, on which the network runs."""
    for sizes in _rounder(shape[2:]):
        if _cells_of(scorer, (*shape[:2], *sizes)) is not None:
            return sizes
    return None


def _rounder(window: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    """Windows near one, of multiples that deep networks take; those of other sizes alone."""
    tried = {window}
    for step, up in product(_MULTIPLES, (1, 0)):
        sizes = tuple(step * max(1, (n + up * (step - 1)) // step) for n in window)
        if sizes not in tried and prod(sizes) <= 4 * max(prod(window), 1 << 12):
            tried.add(sizes)
            yield sizes


def _windows_that_fit(scorer: Scorer, channels: int, cells: tuple[int, ...]) -> str:
    """Words on a window that gives cells of whole pixels."""
    each = list(zip(scorer.window, cells, strict=True))
    guesses = tuple(-(-w // c) * c for w, c in each), tuple(max(1, w // c) * c for w, c in each)
    for sizes in (*guesses, *_rounder(scorer.window)):
        found = _cells_of(scorer, (1, channels, *sizes)) if sizes != scorer.window else None
        if found and not any(w % c for w, c in zip(sizes, found, strict=True)):
            text = "x".join(map(str, sizes))
            return f"a window of {text} gives whole ones: window={sizes} (--window {text})."
    return "choose a window that is a multiple of them, or a network that pads its borders."


def _check_classes(scorer: Scorer, classes: int) -> None:
    where = scorer.network.where
    if classes == 1 and not scorer.binary:
        raise Unusable(f"{where}: returns one channel. If it is the score of the foreground, say "
                       "--binary (binary=True), with --input probabilities (input=) if a sigmoid "
                       "is inside; if it holds labels, export it without its argmax.")  # fmt: skip
    if classes > 1 and scorer.binary:
        raise Unusable(f"{where}: returns {classes} channels; --binary (binary=True) is for one.")


def _check_cells(scorer: Scorer, channels: int, cells: tuple[int, ...]) -> None:
    """Refuse one cell for a window of any size, as a classifier of images has it."""
    window = scorer.window
    if max(cells) > 1 or max(window) == 1:
        return
    longer = _cells_of(scorer, (1, channels, *(2 * n for n in window)))
    if longer is None or max(longer) == 1:
        shown = " × ".join(map(str, window))
        raise Unusable(f"{scorer.network.where}: returns one score a class for a window of {shown} "
                       "pixels, as a classifier of images does; a network with scores of its "
                       "pixels is needed.")  # fmt: skip


def _gives_last(scorer: Scorer, channels: int, found: Array, layout: str | None) -> bool:
    """Whether the classes lie last: as the caller says, or the one way that gives even cells."""
    first, last = (_strides(scorer.window, s) for s in (found.shape[2:], found.shape[1:-1]))
    even_first, even_last = (s is not None and len(set(s)) == 1 for s in (first, last))
    if layout is not None:
        return layout == LAST and last is not None and (even_last or not even_first)
    if last is None or (even_first and not scorer.takes_last):
        return False
    if even_last and (first is None or scorer.takes_last):
        return True
    if first is None or even_first or not even_last:
        return first is None and scorer.takes_last
    longer = _gives_last_at_another(scorer, channels)
    if longer is not None:
        return longer
    where, shape = scorer.network.where, found.shape
    raise Unusable(f"{where}: returns shape {shape} for a window of {scorer.window}: {shape[1]} "
                   f"classes first, or {shape[-1]} last? Say which with layout= "
                   f"(--layout {FIRST} or {LAST}).")  # fmt: skip


def _gives_last_at_another(scorer: Scorer, channels: int) -> bool | None:
    """The same, seen from a longer window; None where the network does not take it."""
    *others, end = scorer.window
    for length in (2 * end, end + 32):
        window = (*others, length)
        shape = _shape_from(scorer, (1, channels, *window))
        if shape is None or len(shape) != len(window) + 2:
            continue
        ways = [_strides(window, s) for s in (shape[2:], shape[1:-1])]
        even = [s is not None and len(set(s)) == 1 for s in ways]
        if even[0] != even[1]:
            return even[1]
    return None


def _strides(window: tuple[int, ...], cells: tuple[int, ...]) -> tuple[int, ...] | None:
    each = list(zip(window, cells, strict=True))
    return None if any(w % c for w, c in each) else tuple(w // c for w, c in each)


def declared_layout(network: Network, layout: str | None, depths: set[int]) -> bool:
    """Whether a network takes its channels last: as its fixed sizes say, else as the caller does.

    ``depths`` are the numbers of channels that the image may give.
    """
    asked = layout == LAST
    if network.shape is None:
        return asked
    first, last = network.shape[1], network.shape[-1]
    if first is None or last is None:
        return asked if first is last else first is None
    if (first in depths) != (last in depths):
        return last in depths
    if layout is None and max(first, last) < 4 * min(first, last):
        cause = f"takes batches of {network.shape}: {first} channels first, or {last} last? "
        raise Refused(network.where, f"{cause}Say layout= (--layout {FIRST} or {LAST}).")
    return asked if layout is not None else last < first
