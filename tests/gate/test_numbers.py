"""Options that are one number: the same in every form, and in the same words on both faces."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

import softmax2d as s2d
import softmax2d.torch as s2t

RNG = np.random.default_rng(5)
Z = RNG.normal(size=(3, 4, 5))
T = RNG.integers(0, 3, (4, 5))
LOSSES = sorted(name for name in s2t.__all__ if "loss2d" in name and "linear" not in name)
LOSSES += ["cross_entropy2d", "cross_entropy2d_with_grad"]


def tensor(value: Any) -> Any:
    """Arrays as tensors."""
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def both(name: str, *arrays: Any, **options: Any) -> list[Any]:
    """What a function gives for arrays and for tensors, as lists of numbers; or its refusals."""
    found = []
    for module, form in ((s2d, lambda a: a), (s2t, tensor)):
        try:
            result = getattr(module, name)(*map(form, arrays), **options)
        except Exception as error:  # noqa: BLE001  # its type is compared
            found.append((type(error), str(error)))
            continue
        parts = result if isinstance(result, tuple) else (result,)
        found.append([np.asarray(part).tolist() for part in parts if part is not None])
    return found


def refused(name: str, kind: type[Exception], text: str, **options: Any) -> None:
    """Both faces raise ``kind`` with ``text`` after the function's name."""
    arrays = (Z,) if name in ("softmax2d", "log_softmax2d", "segment") else (Z, T)
    for found in both(name, *arrays, **options):
        assert found == (kind, f"{name}: {text}"), options


FORMS = {
    "numpy scalar": lambda value: np.asarray(value)[()],
    "array without axes": np.asarray,
    "tensor without axes": torch.tensor,
    "swapped": lambda value: np.asarray(value).astype(np.asarray(value).dtype.newbyteorder()),
}


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", 1.0),
        ("top_k", 0.5),
        ("top_k", 1),
        ("top_k", 7),
        ("threshold", 0.5),
        ("label_smoothing", 0.25),
        ("focal_gamma", 2),
        ("ignore_index", 1),
        ("temperature", 2.0),
        ("size", 9),
    ],
)
def test_a_number_in_another_form_is_the_number(form: str, name: str, value: Any) -> None:
    target = np.zeros((9, 9), np.int64) if name == "size" else T
    want, _ = both("cross_entropy2d", Z, target, **{name: value})
    assert isinstance(want, list)
    given = FORMS[form](value)
    for found in both("cross_entropy2d", Z, target, **{name: given}):
        assert np.allclose(found, want, 1e-6), found


@pytest.mark.parametrize("form", sorted(FORMS))
def test_integers_of_segment_in_other_forms(form: str) -> None:
    make = FORMS[form]
    options: dict[str, Any] = {"size": 7, "top_k": 2, "spatial_dims": 2}
    want, same = both("segment", Z, **options)
    assert isinstance(want, list) and want == same
    options = {name: make(value) for name, value in options.items()}
    assert both("segment", Z, **options) == [want, want]
    window = slice(make(1), make(3)), slice(None, make(4), make(2))
    want, same = both("segment", Z, window=(slice(1, 3), slice(None, 4, 2)))
    assert isinstance(want, list) and want == same
    assert both("segment", Z, window=window) == [want, want]
    for module, logits in ((s2d, Z), (s2t, torch.from_numpy(Z))):
        name = "axis" if module is s2d else "dim"
        assert module.softmax2d(logits, **{name: make(-2)}).shape == (3, 4, 5)


def test_other_numbers_of_python() -> None:
    want, _ = both("cross_entropy2d", Z, T, top_k=0.5, label_smoothing=0.25)
    how = {"top_k": Fraction(1, 2), "label_smoothing": Fraction(1, 4)}
    assert both("cross_entropy2d", Z, T, **how) == [want, want]
    want, _ = both("softmax2d", Z, align_corners=True, size=7)
    assert both("softmax2d", Z, align_corners=np.True_, size=7) == [want, want]


NO_INTEGERS: list[tuple[Any, str]] = [
    (True, "bool"),
    (np.True_, "bool"),
    (np.array(True), "ndarray of dtype bool"),
    (torch.tensor(True), "Tensor of dtype torch.bool"),
    (1.0, "float"),
    (np.float32(1), "float32"),
    (np.array(1.0), "ndarray of dtype float64"),
    (torch.tensor(1.0), "Tensor of dtype torch.float32"),
    (np.array([1]), "ndarray of shape (1,)"),
    (np.ma.array(1), "MaskedArray of dtype int64"),
    (torch.tensor(1, device="meta"), "Tensor of dtype torch.int64"),
    ("255", "str"),
    ([1], "list"),
    (1j, "complex"),
]


@pytest.mark.parametrize(("value", "kind"), NO_INTEGERS)
def test_what_is_no_integer(value: Any, kind: str) -> None:
    for name in LOSSES:
        text = f"ignore_index must be an integer or None; got {kind}."
        refused(name, TypeError, text, ignore_index=value)
    refused("segment", TypeError, f"top_k must be an integer or None; got {kind}.", top_k=value)
    text = f"spatial_dims must be an integer; got {kind}."
    refused("softmax2d", TypeError, text, spatial_dims=value)
    for module, form, name in ((s2d, np.asarray, "axis"), (s2t, torch.from_numpy, "dim")):
        with pytest.raises(TypeError) as caught:
            module.softmax2d(form(Z), **{name: value})  # type: ignore[operator]
        assert str(caught.value) == f"softmax2d: {name} must be an integer; got {kind}."


@pytest.mark.parametrize(("value", "kind"), NO_INTEGERS)
def test_numbers_of_check_target(value: Any, kind: str) -> None:
    target = torch.tensor([[0, 2]])
    with pytest.raises(
        TypeError, match=f"^check_target: classes must be an integer; got {re.escape(kind)}"
    ):
        s2t.check_target(target, value)
    text = f"check_target: ignore_index must be an integer or None; got {kind}."
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        s2t.check_target(target, 3, ignore_index=value)
    for dtype in (torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8):
        s2t.check_target(target.to(dtype), np.array(3)[()])
        s2t.check_target(target.to(dtype), 2, ignore_index=np.int64(2))  # type: ignore[arg-type]
        s2t.check_target(target.to(dtype), 10**30)
        with pytest.raises(ValueError, match=r"^check_target: target must be in \[0, 2\)"):
            s2t.check_target(target.to(dtype), 2, ignore_index=None)


@pytest.mark.parametrize("value", [True, np.True_, 1.0, "7", np.array(7.0), (7, True), 1j, [None]])
def test_what_is_no_size(value: Any) -> None:
    for found in both("softmax2d", Z, size=value):
        assert found[0] is TypeError
        assert str(found[1]).startswith("softmax2d: size must be an integer or one per spatial ")


NO_NUMBERS: list[tuple[Any, str]] = [
    (True, "bool"),
    (np.True_, "bool"),
    (np.array(False), "ndarray of dtype bool"),
    (torch.tensor(False), "Tensor of dtype torch.bool"),
    ("0.5", "str"),
    (np.array("0.5"), "ndarray of dtype <U3"),
    (np.complex64(0.5), "complex64"),
    (np.array([0.5]), "ndarray of shape (1,)"),
    (torch.tensor([0.5]), "Tensor of shape (1,)"),
    (np.ma.array(0.5), "MaskedArray of dtype float64"),
    (np.ma.masked, "MaskedConstant of dtype float64"),
    (np.timedelta64(1, "s"), "timedelta64"),
    ([0.5], "list"),
]


@pytest.mark.parametrize(("value", "kind"), NO_NUMBERS)
def test_what_is_no_number(value: Any, kind: str) -> None:
    words = {
        "label_smoothing": "a number",
        "focal_gamma": "a number",
        "threshold": "a probability or None",
        "top_k": "a number of pixels, a fraction of them, or None",
    }
    for name, expected in words.items():
        text = f"{name} must be {expected}; got {kind}."
        refused("cross_entropy2d", TypeError, text, **{name: value})
    for name in ("smooth", "alpha", "beta"):
        refused(
            "tversky_loss2d", TypeError, f"{name} must be a number; got {kind}.", **{name: value}
        )


def test_numbers_out_of_every_range() -> None:
    long = 10**400
    shown = f"{str(long)[:57]}…"
    for found, text in zip(
        both("cross_entropy2d", Z, T, focal_gamma=long), (shown, "inf"), strict=True
    ):
        words = f"cross_entropy2d: focal_gamma must be finite and at least 0; got {text}."
        assert found == (ValueError, words)
    for value, text in ((np.inf, "inf"), (np.nan, "nan"), (-0.5, "-0.5")):
        limits = {"label_smoothing": "between 0 and 1", "focal_gamma": "at least 0"}
        for name, limit in limits.items():
            words = f"{name} must be finite and {limit}; got {text}."
            refused("cross_entropy2d", ValueError, words, **{name: value})
        words = f"smooth must be finite and at least 0; got {text}."
        refused("dice_loss2d", ValueError, words, smooth=value)
        words = f"threshold must be a probability between 0 and 1; got {text}."
        refused("cross_entropy2d", ValueError, words, threshold=value)
    for value, text in ((10**30, str(10**30)), (2**63, str(2**63)), (-(2**63), str(-(2**63)))):
        words = f"top_k must be between 1 and the number of classes, 3; got {text}."
        refused("segment", ValueError, words, top_k=value)
    for found in both("cross_entropy2d", Z, T, top_k=10**30):
        assert found == both("cross_entropy2d", Z, T)[0]
    words = f"size must be at most 2**31 - 1 along every axis; got {10**30}."
    refused("softmax2d", ValueError, words, size=10**30)
    words = f"size must be at most 2**31 - 1 along every axis; got (4, {2**31})."
    refused("segment", ValueError, words, size=(4, 2**31))
    words = f"size must be one positive number per spatial axis, as in (4, 5); got {-(10**30)}."
    refused("segment", ValueError, words, size=-(10**30))


@pytest.mark.parametrize("name", LOSSES)
def test_classes_to_ignore_that_no_target_holds(name: str) -> None:
    want, _ = both(name, Z, T, ignore_index=None)
    for value in (10**30, -(2**63) - 1, 2**64):
        assert both(name, Z, T, ignore_index=value) == [want, want]
    one, two = both(name, Z, T.astype(np.uint64), ignore_index=2**64 - 1)
    text = f"ignore_index must be below 2**63 for tensors; got {2**64 - 1}. Set it to another "
    assert one == want
    assert two == (ValueError, f"{name}: {text}number in the target, and pass that.")


@pytest.mark.parametrize("value", [10**30, [1.0, 10**30, 2.0]])
def test_integers_as_maps_may_be_large(value: Any) -> None:
    as_float = np.asarray(value, np.float64) if isinstance(value, list) else float(value)
    want, _ = both("softmax2d", Z, temperature=as_float)
    assert both("softmax2d", Z, temperature=value) == [want, want]
    refused("softmax2d", ValueError, "temperature must be positive and finite; got inf.",
            temperature=10**400)  # fmt: skip


@pytest.mark.parametrize("name", ["cross_entropy2d", "cross_entropy2d_with_grad"])
def test_a_class_to_ignore_beside_probabilities(name: str) -> None:
    probs = np.full(Z.shape, 1 / 3)
    for value in (0, 255, np.int8(1)):
        text = "ignore_index is for class indices, but target holds class probabilities; got "
        text += f"{int(value)}. Leave it out, and make probabilities 0 in all classes where "
        text += "pixels are to add nothing to the loss."
        for found in both(name, Z, probs, ignore_index=value):
            assert found == (ValueError, f"{name}: {text}")
    for negative in (None, -1, -100):
        one, two = both(name, Z, probs, ignore_index=negative)
        assert isinstance(one, list) and one == two
    criterion = s2t.CrossEntropy2d(ignore_index=255)
    with pytest.raises(ValueError, match="^cross_entropy2d: ignore_index is for class indices"):
        criterion(torch.from_numpy(Z)[None], torch.from_numpy(probs)[None])


def test_names() -> None:
    for value in (None, 3, ("mean",), b"mean", np.array(["mean"])):
        shown = re.escape(repr(value))
        for found in both("cross_entropy2d", Z, T, reduction=value):
            assert found[0] is ValueError
            assert re.match(f"cross_entropy2d: reduction must be .*; got {shown}.$", found[1])
        for found in both("lovasz_softmax_loss2d", Z, T, classes=value):
            assert found[0] is ValueError
            assert re.match(f"lovasz_softmax_loss2d: classes must be .*; got {shown}.$", found[1])
    for value in (3, None):
        text = "interpolation must be a string or a sequence of strings; got "
        refused("softmax2d", TypeError, text + f"{type(value).__name__}.", interpolation=value)
    text = "interpolation must be linear, nearest, nearest-exact, or one of them per spatial axis; "
    refused("softmax2d", ValueError, text + "got 1.", interpolation=(1, 2))
    text = "outputs must be among labels, confidence, margin, entropy; got "
    refused("segment", ValueError, text + "3.", outputs=("labels", 3))
    refused("segment", ValueError, text + "['labels'].", outputs=[["labels"]])


def test_one_name_for_one_axis() -> None:
    line = RNG.normal(size=(3, 8))
    for module, form, name in ((s2d, np.asarray, "axis"), (s2t, torch.from_numpy, "dim")):
        how = {name: 0, "size": (5,)}
        one = module.softmax2d(form(line), interpolation=("nearest",), **how)
        assert (np.asarray(one) == np.asarray(module.softmax2d(
            form(line), interpolation="nearest", **how))).all()  # fmt: skip
        text = (
            "softmax2d: interpolation must be one name, or one for each of 1 spatial axes; got 2."
        )
        with pytest.raises(ValueError, match=re.escape(text)):
            module.softmax2d(form(line), interpolation=("nearest",) * 2, **how)
    text = "interpolation must be one name, or one for each of 2 spatial axes; got 1."
    refused("softmax2d", ValueError, text, interpolation=("nearest",))


@pytest.mark.parametrize("name", ["label_smoothing", "focal_gamma", "top_k", "threshold"])
def test_numbers_that_require_a_gradient(name: str) -> None:
    value = torch.tensor(0.5, requires_grad=True)
    text = f"{name} has no gradient, but the one given requires it. Pass {name}.detach()."
    refused("cross_entropy2d", TypeError, text, **{name: value})
    with torch.no_grad():
        found = s2t.cross_entropy2d(torch.from_numpy(Z), torch.from_numpy(T), **{name: value})
    assert found.item() == s2d.cross_entropy2d(Z, T, **{name: 0.5})
