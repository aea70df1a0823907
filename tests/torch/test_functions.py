"""softmax2d.torch beside the NumPy functions: the same bits, names, refusals and memory formats."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
import torch

import softmax2d as s2d
import softmax2d.torch as s2t
from tests import cases

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}


def bits(value: Any) -> Any:
    """The bits of a tensor or an array, in an integer type that both know."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        value = value.contiguous()
        value = value.view(torch.int16) if value.dtype == torch.bfloat16 else value
        value = value.numpy()
    value = np.ascontiguousarray(value)
    return value.view(f"u{value.dtype.itemsize}")


def logits_of(name: str, shape: tuple[int, ...] = (2, 5, 6, 7)) -> torch.Tensor:
    rng = np.random.default_rng([cases.SEED, *shape])
    return torch.from_numpy(rng.normal(0, 5, shape)).to(DTYPES[name])


def array_of(z: torch.Tensor) -> Any:
    import ml_dtypes

    if z.dtype == torch.bfloat16:
        return z.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return z.numpy()


def layouts(z: torch.Tensor) -> dict[str, torch.Tensor]:
    padded = torch.zeros(2, 5, 6, 14, dtype=z.dtype)[..., ::2]
    return {
        "plain": z,
        "channels_last": z.contiguous(memory_format=torch.channels_last),
        "strided": padded.copy_(z),
        "expanded": z[:1].expand(3, -1, -1, -1),
    }


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "map": {"temperature": 1.5, "bias": [0.5, -1.0, 0.0, 2.0, 0.25]},
    "size": {"size": (9, 11)},
    "smaller": {"size": 4, "interpolation": ("nearest", "linear")},
    "corners": {"size": (9, 11), "align_corners": True, "temperature": [1, 2, 3, 4, 5.0]},
    "window": {"size": (9, 11), "window": (slice(2, None, 2), slice(1, 8))},
}


@pytest.mark.parametrize("options", sorted(OPTIONS))
@pytest.mark.parametrize("name", sorted(DTYPES))
def test_the_same_bits_as_numpy(name: str, options: str) -> None:
    given = OPTIONS[options]
    tensors = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in given.items()}
    for form, z in layouts(logits_of(name)).items():
        array = array_of(z)
        for function in ("softmax2d", "log_softmax2d"):
            want = getattr(s2d, function)(array, **given)
            found = getattr(s2t, function)(z, **tensors)
            assert np.array_equal(bits(found), bits(want)), (form, function)
            assert found.dtype == z.dtype
            last = torch.channels_last
            assert form != "channels_last" or found.is_contiguous(memory_format=last)
        outputs = ("labels", "confidence", "margin", "entropy")
        want = s2d.segment(array, outputs=outputs, top_k=2, **given)
        found = s2t.segment(z, outputs=outputs, top_k=2, **tensors)
        assert type(found) is s2d.Segmentation
        for a, b in zip(found, want, strict=True):
            assert np.array_equal(bits(a), bits(b))
            assert a.is_contiguous()


@pytest.mark.parametrize("name", sorted(DTYPES))
def test_results_into_out(name: str) -> None:
    z = logits_of(name)
    out = torch.empty_like(z)
    assert s2t.softmax2d(z, out=out) is out
    assert torch.equal(out, s2t.softmax2d(z))
    again = s2t.softmax2d_vjp(out, z, out=torch.empty_like(z))
    assert torch.equal(again, s2t.softmax2d_vjp(out, z))
    with pytest.raises(ValueError, match="out does not go with automatic differentiation"):
        s2t.softmax2d(z.requires_grad_(), out=out)


@pytest.mark.parametrize("name", sorted(DTYPES))
def test_derivatives(name: str) -> None:
    z, g = logits_of(name), logits_of(name, (2, 5, 6, 7)).flip(0)
    p, q = s2t.softmax2d(z), s2t.log_softmax2d(z)
    a = [array_of(t) for t in (p, q, g)]
    assert np.array_equal(bits(s2t.softmax2d_vjp(p, g)), bits(s2d.softmax2d_vjp(a[0], a[2])))
    assert np.array_equal(
        bits(s2t.log_softmax2d_vjp(q, g)), bits(s2d.log_softmax2d_vjp(a[1], a[2]))
    )
    assert np.array_equal(bits(s2t.softmax2d_jvp(p, g)), bits(s2d.softmax2d_jvp(a[0], a[2])))
    assert np.array_equal(bits(s2t.softmax2d_jacobian(p)), bits(s2d.softmax2d_jacobian(a[0])))


@pytest.mark.parametrize(("dim", "shape"), [(0, (5, 7)), (-1, (3, 4, 5)), (1, (2, 5, 3, 4, 6))])
def test_any_class_dimension(dim: int, shape: tuple[int, ...]) -> None:
    z = logits_of("float32", shape)
    assert np.array_equal(bits(s2t.softmax2d(z, dim=dim)), bits(s2d.softmax2d(z.numpy(), axis=dim)))
    found = s2t.segment(z, dim=dim)
    assert np.array_equal(found.labels, s2d.segment(z.numpy(), axis=dim).labels)


# Decoding 65,536 classes takes seconds and nearly 2 GiB of histograms: those cases are slow ones.
MANY = [pytest.param(2**16 + more, "dice", marks=pytest.mark.slow) for more in (0, 1)]
FEW = [(classes, decode) for classes in (256, 257) for decode in ("argmax", "dice")]


@pytest.mark.parametrize(
    ("classes", "decode"), [*FEW, (2**16, "argmax"), (2**16 + 1, "argmax"), *MANY]
)
def test_labels_take_a_type_that_pytorch_computes_with(classes: int, decode: Any) -> None:
    z = torch.arange(classes, dtype=torch.float32).reshape(classes, 1, 1)
    labels = s2t.segment(z, outputs="labels", decode=decode).labels
    assert labels.dtype == (torch.uint8 if classes <= 256 else torch.int64)
    assert int(labels) == classes - 1
    target = torch.zeros(1, 1, dtype=torch.int64)
    assert not (labels == target).any() and int(labels.max()) == classes - 1


LABELS = [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64]


@pytest.mark.parametrize("dtype", LABELS)
@pytest.mark.parametrize("decode", ["argmax", "iou"])
def test_labels_of_a_type_that_is_asked_for(dtype: torch.dtype, decode: Any) -> None:
    z = torch.randn(2, 120, 4, 5, generator=torch.Generator().manual_seed(3))
    how: dict[str, Any] = {"top_k": 3, "decode": decode}
    found, want = s2t.segment(z, label_dtype=dtype, **how), s2t.segment(z, **how)
    for name in ("labels", "top_labels"):
        labels = getattr(found, name)
        assert labels.dtype == dtype and labels.shape == getattr(want, name).shape
        assert torch.equal(labels.long(), getattr(want, name).long())
    assert torch.equal(found.confidence, want.confidence)
    module = s2t.Segment(label_dtype=dtype, **how)
    assert module(z).labels.dtype == dtype and f"label_dtype={dtype}" in repr(module)


def test_labels_that_index_a_table() -> None:
    z, palette = torch.randn(300, 4, 5), torch.arange(900).reshape(300, 3)
    found = s2t.segment(z, outputs="labels").labels
    assert torch.equal(palette[found], palette[z.argmax(0)])
    few = s2t.segment(z[:7], outputs="labels", label_dtype=torch.int64).labels
    assert torch.equal(palette[few], palette[z[:7].argmax(0)])


def test_label_types_that_hold_too_little() -> None:
    z = torch.zeros(300, 2, 2)
    for decode in ("argmax", "dice"):
        for dtype in (torch.uint8, torch.int8):
            text = f"segment: label_dtype must hold the last of 300 classes; got {dtype}. "
            text += "Pass torch.int64, or leave it out."
            with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
                s2t.segment(z, label_dtype=dtype, decode=decode)
        for wrong in (torch.float32, torch.bool, np.uint8, "uint8", int, 3):
            text = "segment: label_dtype must be a PyTorch dtype of integers, or None; got "
            with pytest.raises(TypeError, match=f"^{re.escape(text)}"):
                s2t.segment(z, label_dtype=wrong, decode=decode)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 3, 0, 5), (3, 0, 0)])
def test_no_pixels(name: str, shape: tuple[int, ...]) -> None:
    z = torch.zeros(shape, dtype=DTYPES[name], requires_grad=True)
    probs = s2t.softmax2d(z)
    assert probs.shape == shape
    probs.sum().backward()
    assert z.grad.shape == shape
    labels = s2t.segment(z.detach()).labels
    loss = s2t.CrossEntropy2d()(z, labels)
    loss.backward()
    assert loss.item() == 0
    assert z.grad.shape == shape


@pytest.mark.parametrize("name", ["softmax2d", "log_softmax2d"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_results_may_be_changed_in_place(name: str, dtype: torch.dtype) -> None:
    logits = torch.randn(2, 3, 4, 5).to(dtype).requires_grad_()
    function = getattr(s2t, name)
    function(logits).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        function(logits).mul_(2).sum().backward()  # the backward pass needs the result
    changed = function(logits) * 1
    changed[:, 0] = 0
    changed.square().sum().backward()
    assert logits.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_may_be_changed_in_place(dtype: torch.dtype, layout: torch.memory_format) -> None:
    logits = torch.randn(2, 3, 4, 5).to(dtype, memory_format=layout).requires_grad_()
    target = torch.randint(3, (2, 4, 5))
    for loss in (s2t.cross_entropy2d, s2t.dice_loss2d, s2t.lovasz_softmax_loss2d):
        (grad,) = torch.autograd.grad(loss(logits, target), logits, create_graph=True)
        twice = grad.detach() * 2
        grad.mul_(2).square().sum().backward()
        assert torch.equal(grad, twice)


def test_a_negative_view_is_read_as_it_is() -> None:
    z = torch.complex(torch.zeros(3, 2, 2), torch.arange(12.0).reshape(3, 2, 2)).conj().imag
    assert z.is_neg()
    assert torch.equal(s2t.softmax2d(z), s2t.softmax2d(z.resolve_neg()))


def test_names_order_and_defaults_are_those_of_numpy() -> None:
    for name in s2t.__all__:
        if not hasattr(s2d, name):
            continue
        ours = inspect.signature(getattr(s2d, name)).parameters
        theirs = inspect.signature(getattr(s2t, name)).parameters
        listed = [(p.name.replace("dim", "axis") if p.name == "dim" else p.name, p.default, p.kind)
                  for p in theirs.values()]  # fmt: skip
        assert name == "segment" or len(listed) == len(ours)
        listed = [each for each in listed if each[0] != "label_dtype"]  # PyTorch's own
        assert listed == [(p.name, p.default, p.kind) for p in ours.values()], name
    missing = set(s2d.__all__) - set(s2t.__all__)
    assert missing == {
        "Boundaries", "Curves", "ImageScores", "Segmentation", "Statistics", "__version__",
        "evaluate_boundaries", "get_num_threads", "instruction_set", "instruction_sets",
        "set_num_threads",
    }  # fmt: skip


Z = torch.zeros(3, 4, 4)
T = torch.zeros(4, 4, dtype=torch.int64)
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "an array": (
        lambda: s2t.softmax2d(np.zeros((3, 4, 4))),
        TypeError,
        "softmax2d: logits must be a torch.Tensor; got ndarray. NumPy arrays go to "
        "softmax2d.softmax2d.",
    ),
    "integers": (
        lambda: s2t.segment(Z.long()),
        TypeError,
        "segment: logits must be float16, bfloat16, float32 or float64; got shape (3, 4, 4) and "
        "dtype torch.int64. Convert it, for example with logits.float().",
    ),
    "no class dimension": (
        lambda: s2t.softmax2d(torch.zeros(4, 4)),
        ValueError,
        "softmax2d: logits needs a class dimension, shape (..., C, H, W); got shape (4, 4) and "
        "dtype torch.float32. Add one with logits[None], or name another with dim=.",
    ),
    "dim": (
        lambda: s2t.softmax2d(Z, dim=3),
        ValueError,
        "softmax2d: dim must be between -3 and 2 for logits of shape (3, 4, 4) and dtype "
        "torch.float32; got 3.",
    ),
    "sparse": (
        lambda: s2t.softmax2d(Z.to_sparse()),
        TypeError,
        "softmax2d: logits must be a dense tensor; got layout torch.sparse_coo.",
    ),
    "mixed devices": (
        lambda: s2t.cross_entropy2d(Z, T.to("meta")),
        ValueError,
        "cross_entropy2d: target must be on the device of logits, cpu; got meta. Move it with "
        "target.to(logits.device).",
    ),
    "a variable weight": (
        lambda: s2t.cross_entropy2d(Z, T, weight=torch.ones(3, requires_grad=True)),
        ValueError,
        "cross_entropy2d: weight has no gradient, but the one given requires it. Pass "
        "weight.detach().",
    ),
    "a temperature of 0": (
        lambda: s2t.softmax2d(Z, temperature=0.0),
        ValueError,
        "softmax2d: temperature must be positive and finite; got 0.0.",
    ),
    "a wrong bias": (
        lambda: s2t.softmax2d(Z, bias=torch.zeros(2)),
        ValueError,
        "softmax2d: bias must be one value per class, shape (3,); got shape (2,).",
    ),
    "a target out of range": (
        lambda: s2t.cross_entropy2d(Z, T + 3),
        ValueError,
        "cross_entropy2d: target must be in [0, 3) or ignore_index, -100; got 3 at (0, 0). "
        "If 3 marks pixels without a class, pass ignore_index=3; if the labels begin at 1, "
        "subtract 1 from all.",
    ),
    "a target of another size": (
        lambda: s2t.cross_entropy2d(Z, T[1:]),
        ValueError,
        "cross_entropy2d: target must hold class indices of shape (4, 4), for logits of shape "
        "(3, 4, 4) and dtype float32, class axis 0; got shape (3, 4) and dtype int64. "
        "If the classes of the logits are on axis 1, pass axis=-2 (tensors: dim). "
        "Else pass size=(3, 4) to compare at the target's pixels.",
    ),
    "a smaller target": (
        lambda: s2t.CrossEntropy2d()(Z, T[1:]),
        ValueError,
        "CrossEntropy2d: target must not be smaller than the logits, of size (4, 4); got (3, 4). "
        "Pass size=(3, 4) to the function to make the logits smaller.",
    ),
    "a size of text": (
        lambda: s2t.segment(Z, size="8"),
        TypeError,
        "segment: size must be an integer or one per spatial axis; got '8'.",
    ),
    "smoothing of text": (
        lambda: s2t.cross_entropy2d(Z, T, label_smoothing="0.1"),
        TypeError,
        "cross_entropy2d: label_smoothing must be a number; got str.",
    ),
    "three sizes": (
        lambda: s2t.segment(Z, size=(8, 8, 8)),
        ValueError,
        "segment: size must be one positive number per spatial axis, as in (4, 4); got (8, 8, 8).",
    ),
    "checked targets": (
        lambda: s2t.check_target(T - 1, 3),
        ValueError,
        "check_target: target must be in [0, 3) or ignore_index, -100; got -1 at (0, 0). "
        "If -1 marks pixels without a class, pass ignore_index=-1.",
    ),
    "nothing evaluated": (
        lambda: s2t.Evaluate().compute(),
        ValueError,
        "Evaluate: compute needs at least one batch; got none since reset.",
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refusals(case: str) -> None:
    call, kind, text = REFUSED[case]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
