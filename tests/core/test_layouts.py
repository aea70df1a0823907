"""What may come in: every layout, rank, byte order and kind of array-like."""

from __future__ import annotations

import array as stdlib_array
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import reference
from tests import cases

OUTPUTS = ("labels", "confidence", "margin", "entropy")


def check(logits: Any, axis: int = -3) -> None:
    """All operations against float64 NumPy, loosely: tests/core/test_accuracy.py has the bounds."""
    want = reference.softmax2d(logits, axis=axis)
    probs = s2d.softmax2d(logits, axis=axis)
    tolerance = {2: 8e-3, 4: 1e-5, 8: 1e-12}[probs.dtype.itemsize]
    assert np.allclose(probs.astype(np.float64), want, rtol=tolerance, atol=1e-7)
    logs = s2d.log_softmax2d(logits, axis=axis).astype(np.float64)
    assert np.allclose(logs, reference.log_softmax2d(logits, axis=axis), rtol=tolerance, atol=1e-5)
    result = s2d.segment(logits, axis=axis, outputs=OUTPUTS)
    assert np.array_equal(result.labels, np.asarray(logits).argmax(axis))
    assert result.labels.shape == result.confidence.shape == want.max(axis).shape
    for quantity in ("confidence", "margin", "entropy"):
        value = getattr(reference, quantity)(logits, axis=axis)
        assert np.allclose(getattr(result, quantity), value, rtol=1e-4, atol=1e-6), quantity


def random(shape: tuple[int, ...], name: str = "float32") -> Any:
    rng = np.random.default_rng([cases.SEED, *shape])
    return rng.normal(0, 3, shape).astype(cases.dtype_of(name))


@pytest.mark.parametrize(
    "shape", [(5, 4, 3), (2, 5, 4, 3), (2, 3, 5, 4, 3), (5, 1, 1), (1, 5, 1, 7)]
)
def test_every_axis_of_every_rank(isa: str, shape: tuple[int, ...]) -> None:
    logits = random(shape)
    for axis in range(-len(shape), len(shape)):
        check(logits, axis)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("layout", sorted(cases.LAYOUTS))
def test_layouts_against_the_reference(isa: str, name: str, layout: str) -> None:
    if layout in cases.layouts_of(name):
        check(*cases.LAYOUTS[layout](random((5, 6, 7), name)))


def test_one_and_no_axes(isa: str) -> None:
    check(random((7,)), 0)
    check(random((7,)), -1)
    with pytest.raises(ValueError, match="It has no axes"):
        s2d.softmax2d(np.float32(3))


def test_many_axes(isa: str) -> None:
    shape = [1] * 31
    shape[3], shape[17], shape[30] = 3, 2, 5
    logits = random((3, 2, 5)).reshape(shape)
    want = s2d.softmax2d(logits.reshape(3, 2, 5))
    assert np.array_equal(s2d.softmax2d(logits, axis=3).reshape(3, 2, 5), want)
    twos = random((2**14,)).reshape((2,) * 14)
    transposed = twos.transpose(np.random.default_rng(cases.SEED).permutation(14))
    check(transposed, 5)
    flat = random((2, 3))
    most = flat.reshape(2, *(1,) * (62 if np.__version__ >= "2" else 30), 3)
    assert np.array_equal(s2d.softmax2d(most, axis=0).reshape(2, 3), s2d.softmax2d(flat, axis=0))
    assert np.array_equal(s2d.segment(most, axis=0).labels.ravel(), flat.argmax(0))


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_transposed(isa: str, axes: tuple[int, ...], name: str) -> None:
    for axis in range(3):
        check(random((5, 9, 20), name).transpose(axes), axis)


@pytest.mark.parametrize("steps", [(1, 1, 1), (1, -1, 1), (2, 1, -3), (-1, -1, -1), (1, 3, 2)])
def test_steps(isa: str, steps: tuple[int, ...]) -> None:
    array = random((11, 13, 17))[tuple(slice(None, None, s) for s in steps)]
    for axis in range(3):
        check(array, axis)


def test_broadcast(isa: str) -> None:
    check(np.broadcast_to(random((5, 1, 1)), (5, 6, 7)))
    check(np.broadcast_to(random((1, 6, 7)), (5, 6, 7)))
    check(np.broadcast_to(random((6, 1)), (4, 5, 6, 7)))
    check(np.broadcast_to(np.float32(2), (5, 6, 7)))


def test_crop_leaves_the_rest_untouched(isa: str) -> None:
    for axis in (0, 2):
        big = np.full((9, 20, 30), 7, np.float32)
        view = big[2:7, 3:18, 4:27]
        view[...] = random(view.shape)
        want = s2d.softmax2d(view.copy(), axis=axis)
        s2d.softmax2d(view, axis=axis, out=view)
        assert np.array_equal(view, want)
        view[...] = 7
        assert (big == 7).all()


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_byte_order(isa: str, name: str) -> None:
    native = random((5, 6, 7), name)
    swapped = native.astype(native.dtype.newbyteorder())
    result = s2d.softmax2d(swapped)
    assert result.dtype.isnative and np.array_equal(result, s2d.softmax2d(native))
    a, b = s2d.segment(swapped, outputs=OUTPUTS), s2d.segment(native, outputs=OUTPUTS)
    assert all(np.array_equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))
    grad = random((5, 6, 7), name)[::-1]
    want = s2d.softmax2d_vjp(result, grad)
    mixed = s2d.softmax2d_vjp(result.astype(swapped.dtype), grad)
    assert np.array_equal(want, mixed) and mixed.dtype.isnative
    assert np.array_equal(want, s2d.softmax2d_vjp(result, grad.astype(swapped.dtype)))


def test_unaligned(isa: str) -> None:
    for name in cases.DTYPES:
        check(*cases.LAYOUTS["unaligned"](random((5, 6, 7), name)))
    record = np.zeros((5, 6, 7), np.dtype([("pad", "u1"), ("z", "f4")]))
    record["z"] = random((5, 6, 7))
    check(record["z"])


def test_fields_whose_stride_is_no_multiple_of_their_size(isa: str) -> None:
    """Aligned, but 12 bytes apart where an element has 8."""
    buffer = np.zeros(12 * 64 + 8, np.uint8)
    view = np.ndarray((4, 4, 4), np.float32, buffer, 0, (12 * 16, 12 * 4, 12))
    view[...] = random((4, 4, 4))
    check(view)
    odd = np.dtype({"names": ["z"], "formats": ["f8"], "offsets": [0], "itemsize": 12})
    wide = np.zeros((3, 4, 4), odd)
    wide["z"] = random((3, 4, 4), "float64")
    check(wide["z"])


@pytest.mark.parametrize("shape", cases.empty_shapes())
@pytest.mark.parametrize("name", cases.DTYPES)
def test_no_pixels(isa: str, shape: tuple[int, ...], name: str) -> None:
    logits = np.zeros(shape, cases.dtype_of(name))
    for axis in range(len(shape)):
        assert s2d.softmax2d(logits, axis=axis).shape == shape
        assert s2d.log_softmax2d(logits, axis=axis).shape == shape
        assert s2d.softmax2d_vjp(logits, logits, axis=axis).shape == shape
        jacobian = (*shape[:axis], shape[axis], *shape[axis:])
        assert s2d.softmax2d_jacobian(logits, axis=axis).shape == jacobian
        if shape[axis]:
            result = s2d.segment(logits, axis=axis, outputs=OUTPUTS, top_k=1)
            left = shape[:axis] + shape[axis + 1 :]
            assert all(r.shape == left for r in result[:4])
            assert result.top_labels.shape == (*shape[:axis], 1, *shape[axis + 1 :])


def test_no_classes(isa: str) -> None:
    logits = np.zeros((0, 4, 5), np.float32)
    assert s2d.softmax2d(logits).shape == (0, 4, 5)
    assert s2d.softmax2d_jacobian(logits).shape == (0, 0, 4, 5)
    with pytest.raises(ValueError, match="at least one class"):
        s2d.segment(logits)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u4", "i8", "u8"])
def test_integers_are_float64(isa: str, kind: str) -> None:
    logits = np.random.default_rng(cases.SEED).integers(0, 9, (5, 4, 3)).astype(kind)
    result = s2d.softmax2d(logits)
    assert result.dtype == np.float64
    assert np.array_equal(result, s2d.softmax2d(logits.astype(np.float64)))
    assert s2d.segment(logits).confidence.dtype == np.float64


class Speaks:
    """An object with ``__array__`` and nothing else."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.value if dtype is None else self.value.astype(dtype)


class Subclass(np.ndarray):
    """A subclass that would break if its own operators were used."""

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a subclass's operators were used")


def test_array_likes(isa: str) -> None:
    logits = random((3, 4, 5))
    want = s2d.softmax2d(logits)
    for other in (Speaks(logits), memoryview(logits), logits.view(Subclass)):
        result = s2d.softmax2d(other)
        assert type(result) is np.ndarray and np.array_equal(result, want)
        assert np.array_equal(s2d.segment(other).labels, logits.argmax(0))
    nested = s2d.softmax2d(logits.tolist())
    assert nested.dtype == np.float64 and np.allclose(nested, want)
    flat = s2d.softmax2d(stdlib_array.array("f", [0.0, 1.0, 2.0]), axis=0)
    assert flat.dtype == np.float32 and np.array_equal(
        flat, s2d.softmax2d(np.arange(3, dtype="f4"), axis=0)
    )
    assert np.array_equal(s2d.softmax2d([1, 2], axis=0), s2d.softmax2d((1.0, 2.0), axis=0))


@pytest.mark.parametrize("name", cases.DTYPES)
def test_torch_tensors(isa: str, name: str) -> None:
    import torch

    logits = random((5, 6, 7), name)
    tensor = torch.from_numpy(logits.astype(np.float64)).to(getattr(torch, name))
    want, got = s2d.softmax2d(logits), s2d.softmax2d(tensor)
    assert got.dtype == logits.dtype and np.array_equal(cases.bits(want), cases.bits(got))
    turned = tensor.permute(1, 2, 0)[::2]
    check_turned = np.moveaxis(logits, 0, -1)[::2]
    result = s2d.softmax2d(turned, axis=-1)
    assert np.array_equal(cases.bits(result), cases.bits(s2d.softmax2d(check_turned, axis=-1)))
    assert np.array_equal(s2d.segment(tensor).labels, logits.argmax(0))


def test_torch_tensors_that_need_care() -> None:
    import torch

    tensor = torch.zeros(3, 2, 2, requires_grad=True)
    with pytest.raises((TypeError, RuntimeError), match=r"detach|grad"):
        s2d.softmax2d(tensor)
    assert s2d.softmax2d(tensor.detach()).shape == (3, 2, 2)
    assert s2d.softmax2d(torch.zeros(3, 2, 2, dtype=torch.int64)).dtype == np.float64
    with pytest.raises(TypeError, match="bool"):
        s2d.softmax2d(torch.zeros(3, 2, 2, dtype=torch.bool))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_views_of_pytorch_with_signs_to_flip(dtype: str) -> None:
    """DLPack does not say that a view's signs are to be flipped."""
    torch = pytest.importorskip("torch")
    values = torch.randn(5, 7, 9, generator=torch.manual_seed(0))
    flipped = torch.complex(torch.zeros(5, 7, 9), -values).conj().imag.to(getattr(torch, dtype))
    view = torch._neg_view(-flipped)
    assert view.is_neg()
    found, expected = s2d.segment(view), s2d.segment(flipped.resolve_neg())
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.labels, values.to(flipped.dtype).argmax(0))
    np.testing.assert_array_equal(found.confidence, expected.confidence)


class OnAnotherDevice:
    """An array in a GPU's memory, as DLPack describes it."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, **options: Any) -> Any:
        raise AssertionError("must not be asked for")


def test_arrays_on_another_device() -> None:
    with pytest.raises(TypeError, match=r"softmax2d: logits must be in the CPU's memory"):
        s2d.softmax2d(OnAnotherDevice())


def test_read_only_input(isa: str) -> None:
    logits = random((3, 4, 5))
    logits.flags.writeable = False
    check(logits)
    check(np.frombuffer(logits.tobytes(), np.float32).reshape(3, 4, 5))


def test_input_is_not_changed(isa: str) -> None:
    for name in cases.DTYPES:
        logits = random((5, 6, 7), name)
        before = logits.copy()
        s2d.softmax2d(logits, temperature=2, bias=np.ones(5))
        s2d.log_softmax2d(logits)
        s2d.segment(logits, outputs=OUTPUTS, top_k=2)
        assert np.array_equal(cases.bits(before), cases.bits(logits))


@pytest.mark.parametrize("layout", ["first", "last", "fortran", "middle"])
def test_a_new_result_has_the_layout_of_the_logits(layout: str) -> None:
    array, axis = cases.LAYOUTS[layout](random((5, 6, 7)))
    assert s2d.softmax2d(array, axis=axis).strides == array.strides


@pytest.mark.parametrize(
    ("classes", "dtype"), [(1, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4")]
)
def test_labels_take_the_smallest_type(isa: str, classes: int, dtype: str) -> None:
    logits = np.zeros((classes, 1, 3), np.float32)
    logits[-1] = 1
    result = s2d.segment(logits, top_k=1)
    assert result.labels.dtype == result.top_labels.dtype == np.dtype(dtype)
    assert (result.labels == classes - 1).all() and (result.top_labels == classes - 1).all()


def test_volumes_channels_last(isa: str) -> None:
    volume = random((2, 3, 4, 5, 6))
    result = s2d.segment(volume, axis=-1, spatial_dims=3, size=(3, 4, 5))
    assert np.array_equal(result.labels, volume.argmax(-1))
    assert np.array_equal(s2d.segment(volume, axis=-4, size=(4, 5, 6)).labels, volume.argmax(1))
