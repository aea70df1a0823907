"""softmax2d.dask beside the NumPy functions: the same bits, chunks kept, nothing computed early."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

import softmax2d as s2d
import softmax2d.dask as s2k
from softmax2d._ops import segment
from softmax2d.extras import install_command
from tests import cases

ALL = ("labels", "confidence", "margin", "entropy")
CHUNKS = (1, 2, 7, 11)  # of (2, 5, 20, 30)
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "map": {"temperature": 1.5, "bias": [0.5, -1.0, 0.0, 2.0, -np.inf]},
    "window": {"window": (slice(3, 19, 2), slice(-5, None))},
    "size": {"size": (45, 13)},
    "twice": {"size": (40, 60)},
    "corners": {"size": (45, 61), "align_corners": True, "temperature": [1, 2, 3, 4, 5.0]},
    "one axis": {"size": (20, 61)},
    "nearest": {"size": (3, 100), "interpolation": "nearest"},
    "nearest-exact": {"size": (33, 7), "interpolation": ("nearest-exact", "linear")},
    "one pixel": {"size": (1, 1)},
    "part": {"size": (40, 60), "window": (slice(5, 33, 2), slice(50, 60))},
    "nothing": {"size": (7, 9), "window": (slice(3, 3), slice(2, 5))},
}


def logits_of(shape: tuple[int, ...] = (2, 5, 20, 30), name: str = "float32") -> Any:
    rng = np.random.default_rng([cases.SEED, *shape])
    z = rng.normal(0, 3, shape)
    z[rng.random(shape) < 0.02] = -np.inf
    return z.astype(cases.dtype_of(name))


def sealed(shape: tuple[int, ...], chunks: Any, dtype: Any = np.float32) -> da.Array:
    """An array whose blocks cannot be computed."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("a block was computed")

    return da.zeros(shape, chunks=chunks, dtype=dtype).map_blocks(
        refuse, dtype=dtype, meta=np.empty((0,) * len(shape), dtype)
    )


def same(found: Any, want: Any) -> None:
    """A lazy array that says of itself what it computes, which is ``want`` to the bit."""
    assert isinstance(found, da.Array)
    assert found.shape == want.shape and found.dtype == want.dtype
    assert type(found._meta) is np.ndarray
    assert found._meta.dtype == want.dtype and found._meta.ndim == want.ndim
    value = found.compute(scheduler="synchronous")
    assert value.dtype == want.dtype and value.shape == want.shape
    kind = f"u{want.dtype.itemsize}"
    bits = [np.ascontiguousarray(a).view(kind) for a in (value, want)]
    assert np.array_equal(*bits)
    for place in np.ndindex(found.numblocks if found.ndim else (0,)):
        block = found.blocks[place]
        assert block.compute(scheduler="synchronous").shape == block.shape


@pytest.mark.slow
@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_bits_of_the_whole(form: str, name: str) -> None:
    given, z = FORMS[form], logits_of(name=name)
    lazy = da.from_array(z, chunks=CHUNKS)
    want = s2d.segment(z, outputs=ALL, top_k=2, **given)
    found = s2k.segment(lazy, outputs=ALL, top_k=2, **given)
    together = dask.compute(*found, scheduler="synchronous")
    for one, of_many, truth in zip(found, together, want, strict=True):
        assert one.dtype == truth.dtype and one.shape == truth.shape == of_many.shape
        assert np.array_equal(of_many, truth, equal_nan=True)
    same(found.labels, want.labels)
    same(found.top_probs, want.top_probs)
    same(s2k.softmax2d(lazy, **given), s2d.softmax2d(z, **given))
    same(s2k.log_softmax2d(lazy, **given), s2d.log_softmax2d(z, **given))


@pytest.mark.parametrize(
    "shape, chunks, options",
    [
        ((5, 4, 7), (5, 3, 2), {"axis": 0}),
        ((4, 7, 5), (3, 2, 2), {"axis": -1}),
        ((4, 7, 5), (3, 2, 2), {"axis": -1, "size": (9, 5)}),
        ((2, 3, 4, 5), (1, 2, 3, 2), {"axis": 3, "size": (3, 6, 5), "spatial_dims": 3}),
        ((3, 4, 5, 6), (3, 2, 3, 4), {"axis": 0, "size": (6, 3, 8)}),
        ((2, 3, 4, 5, 6), (1, 3, 2, 3, 4), {"axis": 1, "size": 5, "window": (slice(1, 4),) * 3}),
        ((5,), (2,), {"axis": 0}),
        ((3, 8), (3, 3), {"axis": 0, "size": 11}),
        ((2, 3, 0, 4), (1, 3, 1, 2), {}),
        ((0, 3, 2, 4), (1, 3, 1, 2), {"size": (4, 4)}),
    ],
)
def test_axes_and_shapes(shape: tuple[int, ...], chunks: Any, options: dict[str, Any]) -> None:
    z = logits_of(shape)
    lazy = da.from_array(z, chunks=chunks)
    want, found = (
        m.segment(a, outputs=ALL, top_k=2, **options) for m, a in ((s2d, z), (s2k, lazy))
    )
    for one, truth in zip(found, want, strict=True):
        same(one, truth)
    same(s2k.softmax2d(lazy, **options), s2d.softmax2d(z, **options))


@pytest.mark.parametrize("dtype", ["int16", "uint8", ">f4", ">f8"])
def test_integers_and_swapped_bytes(dtype: str) -> None:
    z = np.random.default_rng(0).integers(0, 9, (3, 6, 8)).astype(dtype)
    lazy = da.from_array(z, chunks=(3, 4, 5))
    same(s2k.segment(lazy).confidence, s2d.segment(z).confidence)
    same(s2k.softmax2d(lazy), s2d.softmax2d(z))


def test_no_classes_have_no_probabilities() -> None:
    assert s2k.softmax2d(da.zeros((0, 2, 2), chunks=1)).compute().shape == (0, 2, 2)


def test_random_shapes_chunks_and_sizes() -> None:
    rng = np.random.default_rng(cases.SEED)
    for _ in range(40):
        own, size = rng.integers(1, 12, 2), rng.integers(1, 30, 2)
        chunks = tuple(tuple(random_chunks(rng, int(n))) for n in own)
        names = tuple(rng.choice(["linear", "nearest", "nearest-exact"], 2).tolist())
        start = (rng.random(2) * size).astype(int)
        window = tuple(slice(int(s), None, int(rng.integers(1, 4))) for s in start)
        options = {
            "size": tuple(size.tolist()),
            "interpolation": names,
            "align_corners": bool(rng.integers(2)),
            "window": window,
        }
        z = logits_of((3, *map(int, own)))
        lazy = da.from_array(z, chunks=((1, 2), *chunks))
        found = s2k.segment(lazy, **options)
        want = s2d.segment(z, **options)
        same(found.confidence, want.confidence)
        assert 0 not in found.labels.chunks[0] + found.labels.chunks[1]


def random_chunks(rng: np.random.Generator, extent: int) -> list[int]:
    """Some that add up to ``extent``, empty ones among them."""
    bounds = sorted(rng.integers(0, extent + 1, rng.integers(0, 5)).tolist())
    return np.diff([0, *bounds, extent]).tolist()


def test_chunks_of_pixels_stay_as_they_are() -> None:
    lazy = sealed((4, 6, 50, 70), ((3, 1), 2, (20, 7, 23), 30))
    found = s2k.segment(lazy, top_k=3)
    pixels = ((3, 1), (20, 7, 23), (30, 30, 10))
    assert found.labels.chunks == found.confidence.chunks == pixels
    assert found.margin is None and found.entropy is None
    assert found.top_labels.chunks == found.top_probs.chunks == (pixels[0], (3,), *pixels[1:])
    assert s2k.softmax2d(lazy).chunks == (pixels[0], (6,), *pixels[1:])
    twice = s2k.segment(lazy, size=(100, 140))
    assert twice.labels.chunks == ((3, 1), (40, 14, 46), (60, 60, 20))
    corners = s2k.segment(lazy, size=(99, 139), align_corners=True)
    assert corners.labels.chunks == ((3, 1), (39, 14, 46), (59, 60, 20))
    # Chunks of logits that no pixel comes nearest to are joined to the one before.
    small = s2k.segment(lazy, size=(2, 3), interpolation="nearest")
    assert small.labels.chunks == ((3, 1), (1, 1), (2, 1))


def test_one_computation_serves_all_results(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = segment.segment_logits
    monkeypatch.setattr(segment, "segment_logits", lambda *a: calls.append(1) or real(*a))
    found = s2k.segment(da.zeros((3, 20, 30), chunks=(1, 10, 10)), outputs=ALL, top_k=2)
    dask.compute(*found, scheduler="synchronous")
    assert len(calls) == 6
    dask.compute(found.labels, found.confidence, scheduler="threads")
    assert len(calls) == 12
    found.labels[:3, :3].compute(scheduler="synchronous")
    assert len(calls) == 13  # of the six, the one that is asked for


def test_nothing_is_computed_early() -> None:
    for options in FORMS.values():
        s2k.segment(sealed((2, 5, 20, 30), CHUNKS), outputs=ALL, top_k=2, **options)
        s2k.log_softmax2d(sealed((2, 5, 20, 30), CHUNKS), **options)
    lazy = s2k.softmax2d(sealed((2, 5, 20, 30), CHUNKS))
    with pytest.raises(AssertionError, match="a block was computed"):
        lazy.compute(scheduler="synchronous")


def test_large_arrays_are_planned_without_memory() -> None:
    lazy = sealed((19, 1 << 20, 1 << 20), (19, 1 << 18, 1 << 18))
    assert s2k.segment(lazy).labels.shape == (1 << 20, 1 << 20)
    assert s2k.segment(lazy, size=(1 << 20, 1 << 21)).labels.numblocks == (4, 4)


def test_names_of_tasks_tell_the_call() -> None:
    lazy = da.zeros((3, 4, 4), chunks=2)
    assert s2k.segment(lazy).labels.name == s2k.segment(lazy).labels.name
    assert s2k.segment(lazy).labels.name != s2k.segment(lazy, temperature=2).labels.name
    assert s2k.segment(lazy).confidence.name.startswith("segment-confidence-")
    assert s2k.segment(lazy, top_k=1).top_labels.name.startswith("segment-top-labels-")
    assert s2k.log_softmax2d(lazy).name.startswith("log_softmax2d-")


BAD: list[tuple[Any, dict[str, Any]]] = [
    ((3, 4, 4), {"axis": 3}),
    ((3, 4, 4), {"axis": 0.5}),
    ((3, 4, 4), {"axis": "band"}),
    ((4, 4), {}),
    ((), {}),
    ((3, 4, 4), {"temperature": 0}),
    ((3, 4, 4), {"temperature": [1, 2]}),
    ((3, 4, 4), {"bias": [0, 0, np.nan]}),
    ((3, 4, 4), {"size": 0}),
    ((3, 4, 4), {"size": (4, 4, 4)}),
    ((3, 4, 4), {"size": "x"}),
    ((3, 4, 4), {"interpolation": "cubic"}),
    ((3, 4, 4), {"align_corners": 1}),
    ((3, 4, 4), {"window": (slice(0, 2),)}),
    ((3, 4, 4), {"window": (slice(0, 4, -1), slice(None))}),
    ((3, 4, 4), {"spatial_dims": 1}),
    ((3, 0, 4), {"size": 8}),
    ((3, 2, 2, 2, 2), {"axis": 0, "size": 4}),
]
BAD_SEGMENTS: list[tuple[Any, dict[str, Any]]] = [
    ((0, 4, 4), {}),
    ((3, 4, 4), {"outputs": "probs"}),
    ((3, 4, 4), {"outputs": ()}),
    ((3, 4, 4), {"outputs": 3}),
    ((3, 4, 4), {"top_k": 4}),
]


def refusal(function: Any, *arguments: Any, **options: Any) -> tuple[type, str]:
    with pytest.raises((TypeError, ValueError)) as caught:
        function(*arguments, **options)
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize("name", ["segment", "softmax2d", "log_softmax2d"])
def test_refusals_come_at_once_in_the_same_words(name: str) -> None:
    ours, theirs = getattr(s2k, name), getattr(s2d, name)
    for shape, options in BAD + BAD_SEGMENTS * (name == "segment"):
        want = refusal(theirs, np.zeros(shape, np.float32), **options)
        assert refusal(ours, sealed(shape, 2), **options) == want
    for dtype in ("bool", "complex64", "object", "U3", "datetime64[s]"):
        want = refusal(theirs, np.zeros((3, 4, 4), dtype))
        assert refusal(ours, sealed((3, 4, 4), 2, np.dtype(dtype))) == want


def test_what_only_lazy_arrays_can_get_wrong() -> None:
    z = da.from_array(logits_of((3, 4, 4)), chunks=(3, 2, 2))
    with pytest.raises(TypeError) as caught:
        s2k.segment(z.compute())
    assert str(caught.value) == (
        "segment: logits must be a dask array or a DataArray; got ndarray. "
        "Use softmax2d.segment for arrays in memory."
    )
    assert refusal(s2k.softmax2d, z[:, z[0, :, 0] > 0]) == (
        ValueError,
        "softmax2d: logits must have chunks of known sizes; those along axis 1 are not known. "
        "Call logits.compute_chunk_sizes() first.",
    )
    with pytest.raises(TypeError, match=r"^segment: logits must not be a masked array, whose"):
        s2k.segment(da.ma.masked_less(z, 0))
    for name in ("temperature", "bias"):
        with pytest.raises(TypeError) as lazy:
            s2k.segment(z, **{name: da.ones(3)})
        assert str(lazy.value) == (
            f"segment: {name} must be in memory, because it is checked at once; got a lazy Array. "
            f"Use {name}.compute()."
        )


@pytest.mark.parametrize("shape", [(3, 2), (2, 4, 4), (4,), (1, 3, 4, 4)])
def test_chunks_that_are_not_what_they_are_said_to_be(shape: tuple[int, ...]) -> None:
    lying = da.zeros((3, 4, 4), chunks=4).map_blocks(
        lambda _: np.zeros(shape), dtype=float, meta=np.empty((0, 0, 0))
    )
    for found in (s2k.segment(lying, axis=0).labels, s2k.softmax2d(lying, axis=0)):
        kind, text = refusal(found.compute, scheduler="synchronous")
        assert kind is ValueError and text.split(": ", 1)[1] == (
            "a chunk of logits is not what its dask array says: 3 axes, 3 classes along axis 0 "
            f"were expected; got shape {shape} and dtype float64."
        )


def test_chunks_with_too_few_pixels_are_not_read_past() -> None:
    lying = da.zeros((3, 4, 4), chunks=4).map_blocks(
        lambda _: np.zeros((3, 4, 3)), dtype=float, meta=np.empty((0, 0, 0))
    )
    with pytest.raises(ValueError, match=r"got shape \(3, 4, 3\) and dtype float64.$"):
        s2k.softmax2d(lying, size=8).compute(scheduler="synchronous")


def test_signatures_are_those_of_numpy() -> None:
    for name in s2k.__all__:
        ours, theirs = (inspect.signature(getattr(m, name)).parameters for m in (s2k, s2d))
        expected = [(n, p.default, p.kind) for n, p in theirs.items() if n != "out"]
        assert [(n, p.default, p.kind) for n, p in ours.items()] == expected
    assert s2k.__all__ == ["evaluate", "log_softmax2d", "segment", "softmax2d"]


def test_docstrings_name_every_parameter() -> None:
    for name in s2k.__all__:
        function = getattr(s2k, name)
        text = inspect.getdoc(function) or ""
        assert ">>>" in text
        for parameter in inspect.signature(function).parameters:
            assert parameter in text or "are those of" in text


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_without_dask_the_import_says_what_to_install() -> None:
    done = run("import sys; sys.modules['dask'] = None; import softmax2d.dask")
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last == (
        "ModuleNotFoundError: softmax2d.dask needs Dask. "
        f"Install it with `{install_command('dask', 'dask')}`."
    )


def test_another_missing_module_is_not_taken_for_dask() -> None:
    done = run("import sys; sys.modules['toolz'] = None; import softmax2d.dask")
    assert done.returncode == 1 and "toolz" in done.stderr.strip().splitlines()[-1]


def test_only_dask_is_imported() -> None:
    code = "import softmax2d, sys; print('dask' in sys.modules); import softmax2d.dask; "
    done = run(code + "print([m for m in ('distributed', 'torch', 'zarr') if m in sys.modules])")
    assert done.stdout == "False\n[]\n"
