"""Arrays of every form: subclasses, masks, other libraries; and NumPy's settings of a process."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import softmax2d as s2d
import softmax2d.torch as s2t

RNG = np.random.default_rng(23)
Z = RNG.normal(size=(3, 4, 5))
T = RNG.integers(0, 3, (4, 5))
W = np.array([0.5, 1.0, 2.0])
P = s2d.softmax2d(Z)


class Plain(np.ndarray):
    """A subclass that adds nothing."""


class Own(np.ndarray):
    """A subclass with functions of its own, none of which must be asked."""

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a ufunc was asked")

    def __array_function__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a function was asked")


@pytest.mark.parametrize("kind", [Plain, Own, np.recarray, np.memmap])
def test_subclasses_are_read_as_arrays(kind: Any, tmp_path: Path) -> None:
    def of(array: Any) -> Any:
        if kind is not np.memmap:
            return array.view(kind)
        held = np.memmap(tmp_path / f"{array.size}{array.dtype}", array.dtype, "w+", 0, array.shape)
        held[...] = array
        return held

    found = s2d.softmax2d(of(Z))
    assert type(found) is np.ndarray and np.array_equal(found, P)
    assert s2d.cross_entropy2d(of(Z), of(T)) == s2d.cross_entropy2d(Z, T)
    assert s2d.evaluate(of(Z), of(T)).nll == s2d.evaluate(Z, T).nll
    for name in ("weight", "bias", "temperature"):
        want = s2d.cross_entropy2d(Z, T, **{name: W})
        assert s2d.cross_entropy2d(Z, T, **{name: of(W)}) == want
        tensors = torch.from_numpy(Z), torch.from_numpy(T)
        assert float(s2t.cross_entropy2d(*tensors, **{name: of(W)})) == want
    out = of(np.zeros_like(Z))
    assert s2d.softmax2d(Z, out=out) is out
    assert np.array_equal(out.view(np.ndarray), P)


def test_a_matrix_is_an_array() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(Z[:, 0])
    assert type(s2d.softmax2d(matrix, axis=0)) is np.ndarray
    assert np.array_equal(s2d.softmax2d(matrix, axis=0), s2d.softmax2d(Z[:, 0], axis=0))


class Foreign:
    """An object of another library that becomes an array, or fails to."""

    def __init__(self, made: Callable[[], Any]) -> None:
        self.made = made

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.made()


def failing() -> Any:
    raise KeyError("boom")


MASKED = np.ma.masked_array(Z, Z > 0)
MASKS: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: s2d.cross_entropy2d(Z, T, weight=np.ma.array(W, mask=W > 1)), "weight", "1"),
    (lambda: s2d.cross_entropy2d(Z, T, bias=np.ma.array(W, mask=W > 1)), "bias", "0"),
    (lambda: s2d.softmax2d(Z, temperature=np.ma.array(2.0)), "temperature", "1"),
    (lambda: s2d.softmax2d_vjp(P, MASKED), "grad_probs", "0"),
    (lambda: s2d.softmax2d_jacobian(MASKED), "probs", "0"),
    (lambda: s2d.evaluate_labels(np.ma.array(T), T), "labels", "255"),
    (lambda: s2d.softmax2d(Foreign(lambda: MASKED)), "logits", "-np.inf"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "name", "filler"), MASKS)
def test_masked_arrays_are_refused(call: Callable[[], Any], name: str, filler: str) -> None:
    text = f": {name} must not be a masked array, whose mask would be ignored. "
    text += f"Fill it first, for example with {name}.filled({filler})."
    with pytest.raises(TypeError, match=f"{re.escape(text)}$"):
        call()


def test_masks_of_tensors_functions_lists_and_results() -> None:
    masked, tensors = np.ma.array(W, mask=W > 1), (torch.from_numpy(Z), torch.from_numpy(T))
    for name in ("weight", "bias", "temperature"):
        with pytest.raises(TypeError, match=f"^cross_entropy2d: {name} must not be a masked array"):
            s2t.cross_entropy2d(*tensors, **{name: masked})
    for listed in ([*MASKED], [[*rows] for rows in MASKED]):
        text = "softmax2d: logits must not be a list of masked arrays, whose masks would be "
        text += "ignored. Fill each of them first, for example with .filled(-np.inf)."
        with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
            s2d.softmax2d(listed)
    with pytest.raises(TypeError, match="^cross_entropy2d: weight must not be a list of masked"):
        s2d.cross_entropy2d(Z, T, weight=[np.ma.masked, 1.0, 1.0])
    with pytest.raises(TypeError, match=r"^softmax2d: out must not be a masked array\. Pass out\."):
        s2d.softmax2d(Z, out=np.ma.array(np.zeros_like(Z)))


def test_objects_of_other_libraries() -> None:
    assert np.array_equal(s2d.softmax2d(Foreign(lambda: Z)), P)  # type: ignore[arg-type]
    text = "^softmax2d: logits of type Foreign cannot be read as an array: 'boom'$"
    with pytest.raises(TypeError, match=text):
        s2d.softmax2d(Foreign(failing))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^softmax2d: logits of type Foreign cannot be read as an"):
        s2d.softmax2d(Foreign(lambda: 3))  # type: ignore[arg-type]
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(Z[:, 0])
    assert np.array_equal(s2d.softmax2d(frame, axis=0), s2d.softmax2d(Z[:, 0], axis=0))
    want = s2d.cross_entropy2d(Z, T, weight=W)
    assert s2d.cross_entropy2d(Z, T, weight=pandas.Series(W)) == want
    holes = pandas.Series([1.0, None, 2.0], dtype="Float64")
    with pytest.raises(ValueError, match="weight must be finite and at least 0; got nan for class"):
        s2d.cross_entropy2d(Z, T, weight=holes)


def test_options_that_require_a_gradient() -> None:
    for name in ("weight", "bias", "temperature"):
        value = torch.ones(3, requires_grad=True)
        text = f"cross_entropy2d: {name} requires a gradient, which functions of arrays do not give"
        with pytest.raises(TypeError, match=f"^{text}"):
            s2d.cross_entropy2d(Z, T, **{name: value})  # type: ignore[arg-type]


HARD: list[Any] = [Z * 0, Z * 1e300, -np.abs(Z) * 1e-310, np.where(Z > 0, -np.inf, Z)]
HARD += [np.where(Z > 1, np.nan, Z), np.where(Z > 1, np.inf, Z), Z[:, :0], Z[:, :1, :1] * 400]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_no_warning_and_no_floating_point_error(dtype: str) -> None:
    with np.errstate(all="ignore"):
        cases = [z.astype(dtype) for z in HARD]
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for z in cases:
            target = T[: z.shape[1], : z.shape[2]]
            how: dict[str, Any] = {"temperature": 3.0, "bias": [0, -np.inf, 1e-300]}
            for options in ({}, how, *([{"size": 7}] if z.size else [])):
                probs = s2d.softmax2d(z, **options)
                s2d.log_softmax2d(z, **options)
                s2d.softmax2d_jacobian(probs)
                s2d.softmax2d_vjp(probs, np.full_like(probs, 6e4))
                for decode in ("argmax", "dice", "iou"):
                    outputs = ("labels", "confidence", "margin", "entropy")
                    s2d.segment(z, outputs=outputs, top_k=2, decode=decode, **options)  # type: ignore[arg-type]
            for name in (
                "cross_entropy2d",
                "dice_loss2d",
                "tversky_loss2d",
                "lovasz_softmax_loss2d",
            ):
                for options in ({}, how):
                    getattr(s2d, f"{name}_with_grad")(z, target, **options)
            terms: Any = {"focal_gamma": 2.5, "label_smoothing": 0.1, "top_k": 0.5}
            s2d.cross_entropy2d_with_grad(z, target, weight=[0, 1e-300, 1e300], **terms)
            found = s2d.evaluate(z, target)
            assert [found.accuracy, found.mean_iou, found.ece, found.nll, found.brier]
