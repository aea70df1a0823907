"""Every refusal: its type and its words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.extras import install_command

Z = np.zeros((3, 4, 5), np.float32)
FORWARD = [s2d.softmax2d, s2d.log_softmax2d, s2d.segment]
WITH_OUT = [s2d.softmax2d, s2d.log_softmax2d]
PAIRED = [
    (s2d.softmax2d_vjp, "probs", "grad_probs"),
    (s2d.log_softmax2d_vjp, "log_probs", "grad_log_probs"),
    (s2d.softmax2d_jvp, "probs", "tangent"),
]
Call = Callable[..., Any]


def refused(kind: type[Exception], text: str, call: Call, *args: Any, **options: Any) -> None:
    """``call`` raises ``kind`` with exactly ``text``, after its own name."""
    with pytest.raises(kind) as caught:
        call(*args, **options)
    assert type(caught.value) is kind
    assert str(caught.value) == f"{call.__name__}: {text}"


@pytest.mark.parametrize("call", FORWARD)
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.zeros((3, 4, 5), bool), "bool"),
        (np.zeros((3, 4, 5), np.complex64), "complex64"),
        (np.zeros((3, 4, 5), object), "object"),
        (np.full((3, 4, 5), "a"), "<U1"),
        (np.full((3, 4, 5), b"a"), "|S1"),
        (np.zeros((3, 4, 5), "M8[s]"), "datetime64[s]"),
        (np.zeros((3, 4, 5), np.longdouble), str(np.dtype(np.longdouble))),
        (np.zeros((3, 4, 5), [("a", "f4")]), "[('a', '<f4')]"),
    ],
)
def test_dtypes(call: Call, value: Any, dtype: str) -> None:
    text = "logits must be float16, bfloat16, float32, float64 or integer; "
    refused(TypeError, f"{text}got shape (3, 4, 5) and dtype {dtype}.", call, value)


@pytest.mark.parametrize(("call", "first", "second"), PAIRED)
def test_dtypes_of_pairs(call: Call, first: str, second: str) -> None:
    text = "must be float16, bfloat16, float32, float64 or integer; "
    text += "got shape (3, 4, 5) and dtype bool."
    refused(TypeError, f"{first} {text}", call, Z.astype(bool), Z)
    refused(TypeError, f"{second} {text}", call, Z, Z.astype(bool))


def test_other_float8_types_of_ml_dtypes() -> None:
    import ml_dtypes

    with pytest.raises(TypeError, match=r"got shape \(3, 4, 5\) and dtype float8_e4m3fn"):
        s2d.softmax2d(Z.astype(ml_dtypes.float8_e4m3fn))


def test_strings_none_and_ragged_lists() -> None:
    for value in ("logits", None, {"a": 1}, object(), [None, 1.0], ["a"]):
        with pytest.raises(TypeError, match=r"^softmax2d: logits "):
            s2d.softmax2d(value)
    with pytest.raises(
        TypeError, match="softmax2d: logits of type list cannot be read as an array"
    ):
        s2d.softmax2d([[1.0, 2.0], [1.0]])


@pytest.mark.parametrize("call", FORWARD)
def test_masked_arrays(call: Call) -> None:
    text = (
        "logits must not be a masked array, whose mask would be ignored. "
        "Fill it first, for example with logits.filled(-np.inf)."
    )
    refused(TypeError, text, call, np.ma.masked_array(Z, Z == 0))


@pytest.mark.parametrize("call", FORWARD)
def test_no_class_axis(call: Call) -> None:
    text = "logits needs a class axis, shape (..., C, H, W); got "
    add = "Add one with logits[None], or name another with axis=."
    refused(
        ValueError,
        f"{text}shape (512, 512) and dtype float32. {add}",
        call,
        np.zeros((512, 512), "f4"),
    )
    refused(
        ValueError,
        f"{text}shape (7,) and dtype float64. Name another axis with axis=.",
        call,
        np.zeros(7),
    )
    refused(ValueError, f"{text}shape () and dtype float64. It has no axes.", call, np.zeros(()))


@pytest.mark.parametrize("call", FORWARD)
@pytest.mark.parametrize("axis", [3, -4, 99, -99, 2**70])
def test_axis_out_of_range(call: Call, axis: int) -> None:
    where = "logits of shape (3, 4, 5) and dtype float32"
    text = f"axis must be between -3 and 2 for {where}; got {axis}."
    refused(ValueError, text, call, Z, axis=axis)


@pytest.mark.parametrize("call", FORWARD)
@pytest.mark.parametrize(
    ("axis", "kind"), [(1.0, "float"), ("0", "str"), (None, "NoneType"), (True, "bool")]
)
def test_axis_of_another_type(call: Call, axis: Any, kind: str) -> None:
    refused(TypeError, f"axis must be an integer; got {kind}.", call, Z, axis=axis)


def test_axis_may_be_any_integer_type() -> None:
    assert np.array_equal(s2d.softmax2d(Z, axis=np.int64(1)), s2d.softmax2d(Z, axis=1))


@pytest.mark.parametrize("call", FORWARD)
@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, np.nan, np.inf, -np.inf, 1e-320])
def test_temperature_must_be_positive(call: Call, value: float) -> None:
    text = f"temperature must be positive and finite; got {np.float64(value)}."
    refused(ValueError, text, call, Z, temperature=value)
    refused(ValueError, text, call, Z, temperature=[1.0, value, 1.0])


@pytest.mark.parametrize("call", FORWARD)
def test_temperature_and_bias_of_the_wrong_length(call: Call) -> None:
    one = "must be a number or one value per class, shape (3,); got shape"
    refused(ValueError, f"temperature {one} (2,).", call, Z, temperature=[1, 2])
    refused(ValueError, f"temperature {one} (3, 1).", call, Z, temperature=np.ones((3, 1)))
    per_class = "bias must be one value per class, shape (3,); got shape"
    refused(ValueError, f"{per_class} (4,).", call, Z, bias=[1, 2, 3, 4])
    refused(ValueError, f"{per_class} ().", call, Z, bias=1.0)
    refused(ValueError, f"{per_class} (4, 5).", call, Z, bias=np.zeros((4, 5)))


@pytest.mark.parametrize("call", FORWARD)
def test_temperature_and_bias_of_another_type(call: Call) -> None:
    refused(TypeError, "temperature must be real numbers; got dtype <U1.", call, Z, temperature="2")
    refused(TypeError, "temperature must be real numbers; got NoneType.", call, Z, temperature=None)
    refused(
        TypeError, "temperature must be real numbers; got dtype bool.", call, Z, temperature=True
    )
    refused(TypeError, "bias must be real numbers; got dtype complex128.", call, Z, bias=[1j, 0, 0])


@pytest.mark.parametrize("call", FORWARD)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bias_must_be_finite_or_minus_infinity(call: Call, value: float) -> None:
    text = f"bias must be finite, or -inf to rule a class out; got {value}."
    refused(ValueError, text, call, Z, bias=[0, value, 0])
    call(Z, bias=[0, -np.inf, 0])


@pytest.mark.parametrize("call", WITH_OUT)
def test_out_of_another_kind(call: Call) -> None:
    refused(TypeError, "out must be a numpy.ndarray; got list.", call, Z, out=[])
    want = "out must have shape (3, 4, 5) and dtype float32; got"
    wide, short = Z.astype(np.float64), Z[:2].copy()
    refused(TypeError, f"{want} shape (3, 4, 5) and dtype float64.", call, Z, out=wide)
    refused(ValueError, f"{want} shape (2, 4, 5) and dtype float32.", call, Z, out=short)
    swapped = Z.astype(Z.dtype.newbyteorder())
    refused(TypeError, f"{want} shape (3, 4, 5) and dtype {swapped.dtype}.", call, Z, out=swapped)
    of_whole = (
        "out must have shape (3, 4, 5) and dtype float64; got shape (3, 4, 5) and dtype int64."
    )
    refused(TypeError, of_whole, call, Z.astype(np.int64), out=Z.astype(np.int64))


@pytest.mark.parametrize("call", WITH_OUT)
def test_out_read_only(call: Call) -> None:
    out = Z.copy()
    out.flags.writeable = False
    text = "out must be writable; got a read-only array, shape (3, 4, 5) and dtype float32."
    refused(ValueError, text, call, Z, out=out)
    refused(ValueError, text, call, out, out=out)


@pytest.mark.parametrize("call", WITH_OUT)
def test_out_unaligned(call: Call) -> None:
    out = np.zeros(Z.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(Z.shape)
    refused(ValueError, "out must be aligned in memory; got an unaligned array.", call, Z, out=out)


@pytest.mark.parametrize("call", WITH_OUT)
def test_out_overlaps_itself(call: Call) -> None:
    out = np.lib.stride_tricks.as_strided(np.zeros(100, np.float32), (3, 4, 5), (0, 20, 4))
    got = "got shape (3, 4, 5) and dtype float32 with strides (0, 20, 4)."
    text = f"out must not overlap itself; {got}"
    refused(ValueError, text, call, Z, out=out)
    window = np.lib.stride_tricks.as_strided(np.zeros(100, np.float32), (3, 4, 5), (16, 4, 4))
    with pytest.raises(ValueError, match="out must not overlap itself"):
        call(Z, out=window)


OVERLAPS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "shifted": lambda m: (m[:60].reshape(3, 4, 5), m[1:61].reshape(3, 4, 5)),
    "mirrored": lambda m: (m[:60].reshape(3, 4, 5), m[:60].reshape(3, 4, 5)[:, ::-1]),
    "half": lambda m: (m[:60].reshape(3, 4, 5), m[30:90].reshape(3, 4, 5)),
    "transposed": lambda m: (m[:75].reshape(3, 5, 5), m[:75].reshape(3, 5, 5).transpose(0, 2, 1)),
}


@pytest.mark.parametrize("call", WITH_OUT)
@pytest.mark.parametrize("how", sorted(OVERLAPS))
def test_out_overlaps_the_logits(call: Call, how: str) -> None:
    logits, out = OVERLAPS[how](np.zeros(100, np.float32))
    text = "out must be logits itself or share no memory with it; "
    text += "it shares a part. Use a copy of logits."
    refused(ValueError, text, call, logits, out=out)


def test_out_that_only_interleaves_is_taken() -> None:
    both = np.zeros((3, 4, 10), np.float32)
    s2d.softmax2d(both[:, :, ::2], out=both[:, :, 1::2])
    assert np.allclose(both[:, :, 1::2], 1 / 3) and (both[:, :, ::2] == 0).all()


def test_out_is_a_view_of_the_same_place() -> None:
    z = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    want = s2d.softmax2d(z)
    view = z[:]
    assert s2d.softmax2d(z, out=view) is view
    assert np.array_equal(z, want)


@pytest.mark.parametrize(("call", "first", "second"), PAIRED)
def test_out_of_pairs(call: Call, first: str, second: str) -> None:
    memory = np.zeros(200, np.float32)
    a, b, out = (
        memory[:60].reshape(3, 4, 5),
        memory[60:120].reshape(3, 4, 5),
        memory[70:130].reshape(3, 4, 5),
    )
    text = "itself or share no memory with it; it shares a part. Use a copy of"
    refused(ValueError, f"out must be {second} {text} {second}.", call, a, b, out=out)
    refused(ValueError, f"out must be {first} {text} {first}.", call, b, a, out=out)


@pytest.mark.parametrize(("call", "first", "second"), PAIRED)
def test_shapes_of_pairs(call: Call, first: str, second: str) -> None:
    text = f"{second} must have the shape of {first}, (3, 4, 5); "
    text += "got shape (3, 4, 1) and dtype float32."
    refused(ValueError, text, call, Z, Z[:, :, :1])
    with pytest.raises(ValueError, match=re.escape(f"{call.__name__}: {first} needs a class axis")):
        call(Z[0], Z[0])


def test_jacobian() -> None:
    with pytest.raises(ValueError, match=r"^softmax2d_jacobian: probs needs a class axis"):
        s2d.softmax2d_jacobian(Z[0])
    with pytest.raises(TypeError, match=r"^softmax2d_jacobian: probs must be float16"):
        s2d.softmax2d_jacobian(Z.astype(complex))


@pytest.mark.parametrize("top_k", [0, -1, 4, 2**70])
def test_top_k_out_of_range(top_k: int) -> None:
    text = f"top_k must be between 1 and the number of classes, 3; got {top_k}."
    refused(ValueError, text, s2d.segment, Z, top_k=top_k)


@pytest.mark.parametrize(("top_k", "kind"), [(1.0, "float"), ("1", "str"), (True, "bool")])
def test_top_k_of_another_type(top_k: Any, kind: str) -> None:
    refused(
        TypeError, f"top_k must be an integer or None; got {kind}.", s2d.segment, Z, top_k=top_k
    )


def test_outputs() -> None:
    names = "labels, confidence, margin, entropy"
    refused(
        ValueError,
        f"outputs must be among {names}; got 'probs'.",
        s2d.segment,
        Z,
        outputs=("probs",),
    )
    top = f"outputs must be among {names}; got 'top_labels'. Ask for the best classes with top_k=."
    refused(ValueError, top, s2d.segment, Z, outputs=["labels", "top_labels"])
    refused(
        ValueError,
        f"outputs must name at least one of {names}; got none.",
        s2d.segment,
        Z,
        outputs=(),
    )
    with pytest.raises((TypeError, ValueError), match=r"^segment: outputs"):
        s2d.segment(Z, outputs=3)
    with pytest.raises((TypeError, ValueError), match=r"^segment: outputs"):
        s2d.segment(Z, outputs=None)


def test_no_classes() -> None:
    text = (
        "logits must have at least one class; got shape (0, 4, 5) and dtype float32, class axis 0."
    )
    refused(ValueError, text, s2d.segment, Z[:0])


def test_size() -> None:
    text = "size must be one positive number per spatial axis, as in (4, 5); got"
    refused(ValueError, f"{text} (4,).", s2d.segment, Z, size=(4,))
    refused(ValueError, f"{text} (8, 0).", s2d.segment, Z, size=(8, 0))
    refused(ValueError, f"{text} -1.", s2d.segment, Z, size=-1)
    s2d.segment(Z, size=(4, 5))
    s2d.segment(np.zeros((4, 5, 3)), axis=-1, size=[4, 5])
    for bad in ("large", (4.5, 5), 4.0, (True, 5)):
        text = f"size must be an integer or one per spatial axis; got {bad!r}."
        refused(TypeError, text, s2d.segment, Z, size=bad)
    text = "logits must have pixels to resample them; got (0, 5)."
    refused(ValueError, text, s2d.segment, Z[:, :0], size=(4, 5))
    text = "logits can be resampled along one to three spatial axes; got 4, (2, 2, 2, 2) to "
    text += "(3, 3, 3, 3). Name the class axis with axis=."
    refused(ValueError, text, s2d.segment, np.zeros((3, 2, 2, 2, 2)), axis=0, size=3)


def test_interpolation() -> None:
    text = "interpolation must be linear, nearest, nearest-exact, or one of them per spatial axis; "
    text += "got 'cubic'."
    refused(ValueError, text, s2d.segment, Z, interpolation="cubic")
    refused(ValueError, text, s2d.segment, Z, interpolation=("linear", "cubic"))
    s2d.segment(Z, interpolation=("linear", "nearest"))
    text = "interpolation must be one name, or one for each of 2 spatial axes; got 3."
    refused(ValueError, text, s2d.segment, Z, interpolation=("linear",) * 3)
    with pytest.raises((TypeError, ValueError), match=r"^segment: interpolation"):
        s2d.segment(Z, interpolation=None)
    text = "align_corners must be True or False; got 1."
    refused(TypeError, text, s2d.segment, Z, align_corners=1)


def test_window() -> None:
    text = "window must be a tuple of slices, one per spatial axis; got 3."
    refused(TypeError, text, s2d.segment, Z, window=3)
    text = "window must have one slice for each of the spatial axes (8, 10); got 1."
    refused(ValueError, text, s2d.segment, Z, size=(8, 10), window=(slice(2),))
    text = "window must have positive steps; got slice(None, None, -1)."
    refused(ValueError, text, s2d.segment, Z, window=(slice(None, None, -1), slice(None)))
    text = "the bounds of window must be an integer; got float."
    refused(TypeError, text, s2d.segment, Z, window=(slice(0.5), slice(None)))


def test_spatial_dims() -> None:
    text = "spatial_dims must name the 2 that follow the class axis, 0, of logits of shape "
    text += "(3, 4, 5) and dtype float32; got 1."
    refused(ValueError, text, s2d.segment, Z, spatial_dims=1)
    text = "spatial_dims must name at most the 2 before the class axis, 2, of logits of shape "
    text += "(3, 4, 5) and dtype float32; got 3."
    refused(ValueError, text, s2d.segment, Z, axis=-1, spatial_dims=3)
    refused(
        TypeError, "spatial_dims must be an integer; got float.", s2d.segment, Z, spatial_dims=2.0
    )


def test_unknown_keywords_and_positional_options() -> None:
    with pytest.raises(TypeError, match="dim"):
        s2d.softmax2d(Z, dim=0)
    with pytest.raises(TypeError, match="positional"):
        s2d.softmax2d(Z, 0)


@pytest.mark.parametrize("n", [0, -1, 4097, 2**70])
def test_threads_out_of_range(n: int) -> None:
    refused(ValueError, f"n must be between 1 and 4096; got {n}.", s2d.set_num_threads, n)


@pytest.mark.parametrize(("n", "kind"), [(2.0, "float"), ("2", "str"), (True, "bool")])
def test_threads_of_another_type(n: Any, kind: str) -> None:
    refused(TypeError, f"n must be an integer or None; got {kind}.", s2d.set_num_threads, n)


def test_bfloat16_without_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import torch

    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(TypeError) as caught:
        s2d.softmax2d(torch.zeros(3, 2, 2, dtype=torch.bfloat16))
    assert str(caught.value) == (
        "softmax2d: logits is bfloat16, which NumPy knows only with ml_dtypes. "
        f"Install it with `{install_command('bfloat16', 'ml_dtypes')}`."
    )
