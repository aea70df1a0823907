"""Operations tile by tile: the bits of the whole, and an account of every pixel."""

from __future__ import annotations

import json
import re
import types
from math import prod

import numpy as np
import pytest
import xarray
import zarr

import softmax2d as s2d
from softmax2d._files.source.source import ArraySource
from softmax2d.stream import (
    Failed,
    Refused,
    StreamError,
    Unusable,
    evaluate_files,
    predict,
    segment_file,
    softmax2d_file,
)
from softmax2d.stream.plan import pixel_counts, tiles
from softmax2d.stream.plan.geometry import lay_out
from softmax2d.stream.plan.inputs import open_any
from softmax2d.stream.plan.memory import parse_memory
from tests.stream.tiles import cut

rng = np.random.default_rng(5)
ALL = ("labels", "confidence", "margin", "entropy")


def logits(shape=(7, 120, 91), dtype=np.float32):
    found = rng.normal(0, 4, shape).astype(np.float32).astype(dtype)
    flat = found.reshape(-1)
    if found.dtype.kind == "f":
        flat[:: flat.size // 37 + 1] = np.nan
        flat[3 :: flat.size // 53 + 1] = -np.inf
    return found


class Chunked:
    """An array that says how it is stored, and counts what is read."""

    def __init__(self, held, chunks):
        self.held, self.chunks, self.boxes = held, chunks, []
        self.shape, self.dtype = held.shape, held.dtype

    def __getitem__(self, box):
        self.boxes.append(box)
        return self.held[box]


def taken(source, outputs=ALL, whole=None, **options):
    """All outputs of ``segment_file`` into arrays, and the summary."""
    results = {n: np.zeros_like(getattr(whole, n)) for n in outputs}
    summary = segment_file(source, results, outputs=outputs, **options)
    return results, summary


MIXED = ("nearest", "linear", "nearest-exact")
LAYOUTS = {
    "one image": ((7, 120, 91), None, {}),
    "batch": ((3, 5, 40, 31), None, {}),
    "channels last": ((60, 50, 6), -1, {}),
    "volume": ((4, 9, 30, 31), -4, {}),
    "a row": ((5, 1000), -2, {}),
    "one pixel": ((3, 1, 1), None, {}),
    "finer": ((7, 33, 21), None, {"size": (130, 91)}),
    "coarser": ((7, 130, 91), None, {"size": (33, 21)}),
    "batch, finer": ((3, 5, 20, 15), None, {"size": (39, 44), "align_corners": True}),
    "volume, mixed": (
        (4, 9, 10, 11),
        0,
        {"size": (18, 21, 5), "interpolation": ("nearest", "linear", "nearest-exact")},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ">f4", np.float64, np.int16])
@pytest.mark.parametrize("chunk", [None, 16])
def test_bits_of_the_whole(name, dtype, chunk):
    shape, axis, options = LAYOUTS[name]
    z = logits(shape, dtype)
    front = {} if axis is None else {"axis": axis}
    whole = s2d.segment(z, outputs=ALL, temperature=1.5, **front, **options)
    chunks = None if chunk is None else tuple(min(chunk, n) for n in shape)
    source = z if chunks is None else Chunked(z, chunks)
    found, summary = taken(
        source, whole=whole, axis=axis, memory="1MB", workers=3, temperature=1.5, **options
    )
    for output in ALL:
        np.testing.assert_array_equal(found[output], getattr(whole, output))
    told = summary.to_json()
    assert told["status"] == "done"
    assert told["pixels"]["total"] == told["pixels"]["done"] == whole.labels.size
    assert told["tiles"]["done"] == told["tiles"]["total"]
    without = np.isnan(whole.confidence)
    assert told["pixels"]["nan"] + told["pixels"]["minus_inf"] == np.count_nonzero(without)
    areas = np.bincount(whole.labels.ravel())
    assert told["areas"] == {str(c): int(n) for c, n in enumerate(areas) if n}


@pytest.mark.parametrize("size", [None, (61, 40), (11, 9)])
@pytest.mark.parametrize("bias", [None, [0, -np.inf, 0]])
def test_why_a_pixel_has_no_probabilities(size, bias):
    z = np.zeros((3, 23, 17), np.float32)
    z[:, 4:7, 3:9] = -np.inf
    z[1, 5, 5] = 2.0 if bias is None else np.nan
    z[2, 20, 3] = np.nan
    z[0, 12, 12] = np.inf
    whole = s2d.log_softmax2d(z, size=size, bias=bias) if size else s2d.log_softmax2d(z, bias=bias)
    nan = np.isnan(whole).all(0)
    labels = np.empty(nan.shape, np.uint8)
    counts = segment_file(z, labels, size=size, bias=bias, memory="1MB").counts
    # Pixels with only -inf, told from the others by the logits themselves, resampled in float64.
    mapped = z if size is None else None
    if mapped is None:
        finite = np.where(np.isinf(z) & (z < 0), 0, 1.0)
        low = 1 - s2d_resampled(finite, size)
        bad = s2d_resampled(np.where(np.isnan(z) | (z == np.inf), 1.0, 0), size) > 0
        only = ((low > 0) | ruled(bias)).all(0) & ~bad.any(0)
    else:
        only = ((z == -np.inf) | (ruled(bias) & np.isfinite(z))).all(0)
    assert counts.minus_inf == np.count_nonzero(only)
    assert counts.nan == np.count_nonzero(nan) - counts.minus_inf
    assert only.any() and counts.nan


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f4", np.float64])
@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"size": (83, 45)},
        {"temperature": 1e-3},
        {"temperature": 2.0, "bias": (0, 1, -np.inf, 0, 2, 0, 0)},
    ],
    ids=str,
)
def test_labels_alone_count_what_confidence_counts(isa, dtype, axis, how, monkeypatch):
    cut(monkeypatch, 3000)
    z = logits((7, 41, 30))
    large = np.finfo(dtype).max
    random = np.random.default_rng(5)
    for value in (np.nan, np.inf, -np.inf, large, -large):
        z = np.where(random.random(z.shape) < 0.02, value, z)
    z[:, 3:9, 4:20] = -np.inf
    z[:, 20, :5] = large
    z = np.moveaxis(z.astype(dtype), 0, axis)
    size = how.get("size", (41, 30))
    alone, both = np.empty(size, np.uint8), np.empty(size, np.uint8)
    sure = np.empty(size, np.float64 if z.dtype.itemsize == 8 else np.float32)
    found = segment_file(z, alone, axis=axis, **how)
    results = {"labels": both, "confidence": sure}
    expected = segment_file(z, results, axis=axis, outputs=("labels", "confidence"), **how)
    without = np.count_nonzero(np.isnan(sure))
    assert found.counts.nan + found.counts.minus_inf == without
    assert found.counts == expected.counts
    assert found.counts.nan and found.counts.minus_inf
    np.testing.assert_array_equal(alone, both)


def ruled(bias):
    return np.zeros((3, 1, 1), bool) if bias is None else np.isinf(bias).reshape(3, 1, 1)


def s2d_resampled(values, size):
    """Linear interpolation by PyTorch's definition, in float64."""
    found = values
    for axis, wanted in ((1, size[0]), (2, size[1])):
        extent = found.shape[axis]
        at = np.clip((np.arange(wanted) + 0.5) * extent / wanted - 0.5, 0, extent - 1)
        lower = np.floor(at).astype(int)
        weight = np.expand_dims(at - lower, 1 if axis == 1 else 0)
        upper = np.minimum(lower + 1, extent - 1)
        found = np.take(found, lower, axis) * (1 - weight) + np.take(found, upper, axis) * weight
    return found


def test_every_chunk_is_read_once():
    z = logits((5, 64, 96))
    source = Chunked(z, (5, 16, 32))
    how = {"memory": "1MB", "workers": 2, "input": "logits"}  # nobody looks at a piece first
    segment_file(source, np.empty((64, 96), np.uint8), **how)
    starts = [tuple((s.start, s.stop) for s in box) for box in source.boxes]
    seen = np.zeros((64, 96), int)
    for _, rows, columns in starts:
        assert rows[0] % 16 == 0 and columns[0] % 32 == 0
        seen[rows[0] : rows[1], columns[0] : columns[1]] += 1
    assert (seen == 1).all()


def test_resampled_chunks_are_read_once():
    z = logits((5, 64, 96))
    source = Chunked(z, (5, 16, 32))
    how = {"memory": "20MB", "input": "logits"}
    segment_file(source, np.empty((640, 960), np.uint8), size=(640, 960), **how)
    assert len(source.boxes) == 12
    assert len({str(box) for box in source.boxes}) == 12


def test_tiles_are_whole_chunks_of_the_result():
    class Result(Chunked):
        def __setitem__(self, box, values):
            for s, c, n in zip(box, self.chunks, self.shape, strict=True):
                assert s.start % c == 0 and (s.stop % c == 0 or s.stop == n)
            self.held[box] = values

    z = logits((4, 70, 90))
    result = Result(np.empty((70, 90), np.uint8), (20, 30))
    segment_file(Chunked(z, (4, 10, 45)), result, memory="1MB", workers=3)
    np.testing.assert_array_equal(result.held, s2d.segment(z).labels)


def test_chunks_beyond_the_memory_name_what_is_needed():
    z = np.broadcast_to(np.float32(0), (19, 4096, 4096))
    source = Chunked(z, (19, 2048, 2048))
    with pytest.raises(
        Unusable, match=r"memory of 100 MB is too small.*2048 × 2048.*give memory='"
    ):
        segment_file(source, np.empty((4096, 4096), np.uint8), memory="100MB")


def test_what_is_needed_counts_the_chunks_that_tiles_share():
    z = np.broadcast_to(np.float32(0), (19, 1024, 1024))
    source, labels = Chunked(z, (19, 512, 512)), np.empty((1500, 1500), np.uint8)
    with pytest.raises(
        Unusable, match=r"memory of 50 MB is too small.*several tiles share"
    ) as told:
        segment_file(source, labels, size=labels.shape, memory="50MB")
    (asked,) = re.findall(r"give memory='(.*)'", str(told.value))
    segment_file(source, labels, size=labels.shape, memory=asked)


def test_more_workers_than_the_memory_allows():
    z = logits((19, 256, 256))
    source = Chunked(z, (19, 128, 128))
    result = np.empty((256, 256), np.uint8)
    segment_file(source, result, memory="4MB", workers=16)
    np.testing.assert_array_equal(result, s2d.segment(z).labels)


@pytest.mark.parametrize("encoding", ["float", "float32", "float16", "uint8"])
@pytest.mark.parametrize("size", [None, (50, 33)])
def test_probabilities(encoding, size):
    z = logits((6, 40, 30))
    whole = s2d.softmax2d(z, size=size)
    dtype = {"float": np.float32}.get(encoding) or np.dtype(encoding)
    result = np.empty(whole.shape, dtype)
    softmax2d_file(z, result, size=size, encoding=encoding, memory="1MB")
    if encoding == "uint8":
        expected = np.rint(np.nan_to_num(whole) * 255).astype(np.uint8)
    else:
        expected = whole.astype(dtype)
    np.testing.assert_array_equal(result, expected)


def test_most_probable_classes():
    z = logits((2, 6, 40, 30))
    whole = s2d.segment(z, top_k=3)
    top = {"top_labels": np.empty((2, 3, 40, 30), np.uint8)}
    top["top_probs"] = np.empty((2, 3, 40, 30), np.float16)
    softmax2d_file(z, top, top_k=3, encoding="float16", memory="1MB")
    np.testing.assert_array_equal(top["top_labels"], whole.top_labels)
    np.testing.assert_array_equal(top["top_probs"], whole.top_probs.astype(np.float16))


@pytest.mark.parametrize("nodata", [-9999.0, np.nan])
@pytest.mark.parametrize("size", [None, (50, 33)])
def test_no_data_is_ignored(nodata, size):
    z = rng.normal(0, 1, (6, 40, 30)).astype(np.float32)
    hole = np.zeros((40, 30), bool)
    hole[3:9, 4:11] = True
    z[2, hole] = nodata
    shape = size or (40, 30)
    results = {"labels": np.empty(shape, np.uint8), "confidence": np.empty(shape, np.float32)}
    summary = segment_file(
        z, results, outputs=tuple(results), size=size, nodata=nodata, memory="1MB"
    )
    near = hole if size is None else s2d_resampled(hole[None].astype(float), size)[0] > 0
    assert summary.counts.ignored == np.count_nonzero(near)
    assert summary.counts.nan == summary.counts.minus_inf == 0
    assert (results["labels"][near] == 255).all()
    assert np.isnan(results["confidence"][near]).all()
    whole = s2d.segment(z, size=size)
    np.testing.assert_array_equal(results["labels"][~near], whole.labels[~near])
    assert sum(summary.counts.areas.values()) == np.count_nonzero(~near)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [(np.float16, -99999), (np.float32, -1e300), (np.int16, -99999), (np.int16, np.inf)],
)
def test_no_logit_is_a_nodata_beyond_its_dtype(dtype, nodata):
    z = np.zeros((3, 4, 5), dtype)
    z[1, 2, 3] = -np.inf if z.dtype.kind == "f" else np.array(-99999).astype(dtype)
    labels = np.empty((4, 5), np.uint8)
    known = {"nodata": nodata, "input": "logits"}
    assert segment_file(z, labels, **known).counts.ignored == 0
    assert (labels == s2d.segment(z).labels).all()
    found = evaluate_files(z, labels, **known)
    assert found.confusion.sum() == labels.size
    seen = np.empty((4, 5), np.uint8)
    assert predict(lambda batch: batch, z, seen, window=8, nodata=nodata).counts.ignored == 0


@pytest.mark.parametrize(
    ("classes", "label", "text"),
    [
        (256, 255, "must not be a class, 0 to 255; got 255"),
        (256, 65536, "uint16 labels hold 0 to 65535; 65536 is not among them"),
        (5, 4, "must not be a class, 0 to 4; got 4"),
        (5, 256, "uint8 labels hold 0 to 255; 256 is not among them"),
        (300, 299, "must not be a class, 0 to 299; got 299"),
    ],
)
def test_labels_for_no_data_that_are_classes(classes, label, text):
    z = np.zeros((classes, 2, 2), np.float32)
    with pytest.raises(Unusable, match=text):
        segment_file(z, np.empty((2, 2), np.uint16), nodata=-1, nodata_label=label)


@pytest.mark.parametrize(
    ("classes", "label", "dtype", "empty"),
    [
        (255, None, np.uint8, 255),
        (256, None, np.uint16, 65535),
        (256, 256, np.uint16, 256),
        (257, None, np.uint16, 65535),
        (65536, None, np.uint32, 2**32 - 1),
    ],
)
def test_classes_that_fill_a_type_leave_room_for_no_data(tmp_path, classes, label, dtype, empty):
    z = rng.normal(size=(classes, 6, 5)).astype(np.float32)
    z[classes - 1, 2] = 9
    want = z.argmax(0).astype(np.int64)
    z[3, :2, :3] = -9999
    want[:2, :3] = empty
    path, how = tmp_path / "l.npy", {"nodata": -9999, "nodata_label": label}
    found = segment_file(z, path, **how)
    assert np.load(path).dtype == dtype
    assert (np.load(path) == want).all()
    assert found.counts.ignored == 6
    assert found.counts.areas == dict(
        zip(*np.unique(want[want != empty], return_counts=True), strict=True)
    )
    small = np.empty((6, 5), np.min_scalar_type(classes - 1))
    if small.dtype != dtype:
        with pytest.raises(Unusable, match=f"does not hold the {np.dtype(dtype)} of {classes}"):
            segment_file(z, small, **how)
    predict(lambda batch: z[None], z[3], path, overwrite=True, window=(6, 5), **how)
    assert (np.load(path)[:2, :3] == empty).all()
    assert np.load(path).dtype == dtype


def test_no_data_beside_256_classes_in_formats(tmp_path):
    z = rng.normal(size=(256, 6, 5)).astype(np.float32)
    z[0, 0] = -1
    for name in ("a.png", "a.tif", "a.zarr", "a.nii", "a.h5", "a.safetensors", "a.npz"):
        segment_file(z, tmp_path / name, nodata=-1)
        with open_any(tmp_path / name) as source:
            assert source.dtype == np.uint16
            assert (source[:].reshape(6, 5)[0] == 65535).all()
    with pytest.raises(
        Unusable, match="a PNG with a palette holds 256 labels; got 256 classes and"
    ):
        segment_file(z, tmp_path / "b.png", nodata=-1, palette="distinct")


def test_another_label_for_no_data_is_another_run(tmp_path):
    z = rng.normal(size=(3, 6, 5)).astype(np.float32)
    np.save(tmp_path / "z.npy", z)
    files, how = (tmp_path / "z.npy", tmp_path / "l.npy"), {"nodata": -1}

    def stop(done, total, seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_file(*files, **how, nodata_label=254, progress=stop)
    with pytest.raises(Refused, match="nodata_label"):
        segment_file(*files, **how, nodata_label=253, resume=True)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (np.empty((4, 4), np.uint8), "dtype uint8, which does not hold the uint16 of 300 classes"),
        (np.empty((4, 5), np.uint16), r"must have shape \(4, 4\); got \(4, 5\)"),
        (np.empty((4, 4), np.float32), "dtype float32, which does not hold"),
        (3, "must be a path or have __setitem__; got int"),
        ({}, "result names nothing; outputs are labels"),
        ({"labels": 1, "margin": 2}, "result names labels, margin; outputs are labels"),
    ],
)
def test_results_that_cannot_hold_the_labels(result, text):
    with pytest.raises(Unusable, match=text):
        segment_file(np.zeros((300, 4, 4), np.float32), result)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"memory": "12 apples"}, "expected a size as 512MB"),
        ({"memory": 10}, "at least 1 MB"),
        ({"workers": 0}, "workers must be a positive number; got 0"),
        ({"outputs": "probs"}, "outputs must be among"),
        (
            {"encoding": "int4"},
            "encoding must be one of float, float32, float16, uint8; got 'int4'",
        ),
        ({"top_k": 9, "outputs": ()}, "top_k must be between 1 and"),
        ({"size": (3, 3), "like": np.zeros((4, 4))}, "give size or like"),
        ({"temperature": -1}, "temperature must be positive"),
        ({"axis": 5}, "axis"),
        ({"resume": True}, "resume=True needs results that are files"),
        ({"key": "a"}, "key names an array of a file"),
    ],
)
def test_refused_arguments(options, text):
    result = {"top_labels": np.empty(1), "top_probs": np.empty(1)} if "top_k" in options else None
    with pytest.raises(StreamError, match=text):
        segment_file(
            np.zeros((3, 4, 4)), np.empty((4, 4), np.uint8) if result is None else result, **options
        )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ([1, 2], "list has no shape"),
        (np.zeros((2, 3, 4, 5, 6)), "has 5 axes.*say which counts classes with axis="),
        (np.zeros((3, 4, 4), complex), "must be float16, bfloat16, float32, float64 or integer"),
        (np.zeros((0, 4, 4)), "at least one class"),
        (np.zeros((4, 4)), "axis"),
        (
            types.SimpleNamespace(shape=(3, np.nan, 4), dtype=np.float32, __getitem__=0),
            r"must have a known shape and a dtype of NumPy's; got shape \(3, nan, 4\)",
        ),
    ],
)
def test_refused_sources(source, text):
    with pytest.raises(Unusable, match=text):
        segment_file(source, np.empty((4, 4), np.uint8))


@pytest.mark.parametrize("kind", ["xarray", "zarr"])
def test_the_class_axis_of_arrays_that_name_their_axes(kind):
    z = np.ascontiguousarray(np.moveaxis(logits((6, 40, 30)), 0, 1))
    if kind == "xarray":
        named, plain = xarray.DataArray(z, dims=("y", "class", "x")), xarray.DataArray(z)
    else:
        named, plain = (
            zarr.create_array({}, shape=z.shape, dtype="f4", chunks=(9, 6, 9), dimension_names=d)
            for d in (("y", "class", "x"), None)
        )
        named[:], plain[:] = z, z
    found = np.empty((40, 30), np.uint8)
    segment_file(named, found)
    np.testing.assert_array_equal(found, s2d.segment(z, axis=1).labels)
    segment_file(plain, found, axis=1)
    np.testing.assert_array_equal(found, s2d.segment(z, axis=1).labels)
    if kind == "xarray":
        with pytest.raises(Refused, match="none of its axes, a, b, e, counts classes"):
            segment_file(xarray.DataArray(z, dims=("a", "b", "e")), found)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int16"])
def test_tensors(dtype):
    torch = pytest.importorskip("torch")
    z = torch.from_numpy(rng.normal(0, 9, (4, 20, 30)).astype(np.float32)).to(getattr(torch, dtype))
    z = z[:, ::2].transpose(1, 2)
    labels = torch.zeros(z.shape[1:], dtype=torch.uint8)
    found = {"labels": labels, "confidence": torch.zeros(labels.shape, dtype=torch.float64)}
    segment_file(z, found, outputs=tuple(found))
    whole = s2d.segment(z)
    np.testing.assert_array_equal(labels.numpy(), whole.labels)
    np.testing.assert_array_equal(found["confidence"].numpy(), whole.confidence)
    assert evaluate_files(z, labels.long()).accuracy == 1
    if dtype == "float32":
        with pytest.raises(Unusable, match="is the source itself"):
            softmax2d_file(z, z[:])
    for source, result in ((z.to("meta"), labels), (z, labels.to("meta"))):
        with pytest.raises(Unusable, match=r"must be in the CPU's memory; got a Tensor on another"):
            segment_file(source, result)


@pytest.mark.parametrize("shape", [(0,), (1,), (25, 40), (1 << 19,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("empty", [None, 255])
def test_areas(shape, dtype, empty):
    labels = rng.integers(0, 200, shape).astype(dtype)
    if empty is not None:
        labels[labels > 180] = empty
    labels = labels.T
    counts = np.bincount(labels.ravel(), minlength=200)[:200]
    expected = {c: n for c, n in enumerate(counts.tolist()) if n}
    assert pixel_counts.areas(labels, 200, empty) == expected


def test_nothing_at_all():
    labels = np.empty((0, 5), np.uint8)
    summary = segment_file(np.zeros((3, 0, 5), np.float32), labels)
    assert summary.to_json()["tiles"]["total"] == 0
    assert summary.status == "done"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("512MB", 512 * 10**6),
        ("1.5 gb", 1.5e9),
        ("2GiB", 2 << 30),
        ("4000000", 4e6),
        (5 << 20, 5 << 20),
    ],
)
def test_memory_in_words(text, count):
    assert parse_memory(text) == count


def test_bands_cover_a_box_in_order():
    box = (slice(2, 5), slice(0, 7), slice(3, 14))
    for pixels in (1, 5, 11, 25, 77, 100, 10**6):
        seen = []
        for band in tiles.bands(box, pixels):
            each = np.mgrid[band].reshape(3, -1).T
            assert len(each) <= pixels
            seen.extend(map(tuple, each))
        assert seen == list(map(tuple, np.mgrid[box].reshape(3, -1).T))


@pytest.mark.parametrize("inner", [(2, 3, 5), (1, 7, 20), (4, 1, 1)])
def test_parts_of_a_tile_lie_in_one_chunk(inner):
    tiling = tiles.Tiling((9, 20, 33), (4, 12, 20), 8, inner)
    seen = np.zeros(tiling.shape, int)
    for tile in range(len(tiling)):
        start = [s.start for s in tiling.box(tile)]
        for part in tiling.parts(tile):
            seen[part] += 1
            for s, first, n in zip(part, start, inner, strict=True):
                assert (s.start - first) // n == (s.stop - 1 - first) // n
    assert (seen == 1).all()


@pytest.mark.parametrize("stored", [1, 5, 76])
@pytest.mark.parametrize("memory", [3 * 10**7, 512 * 10**6])
@pytest.mark.parametrize(
    ("chunks", "bare"), [(None, True), ((19, 512, 512), True), ((19, 256, 256), False)]
)
def test_bands_and_held_results_fit_the_budget(chunks, bare, memory, stored):
    source = ArraySource(np.broadcast_to(np.float32(0), (19, 4096, 8192)))
    source.chunks, source.bare = chunks, bare
    costs = tiles.Costs(lay_out(source, None), source, 8 + stored, stored)
    tiling, workers = tiles.plan_tiles(costs, [], False, memory, 2)
    band = max(prod(s.stop - s.start for s in part) for part in tiling.parts(0))
    results = prod(tiling.extents) * stored if tiling.held else 0
    assert workers * (band * costs.of((1, 1)) + results) <= memory
    if chunks and stored < 76 and memory > 10**8:
        assert tiling.held, "in rows across chunks, each of one piece of the file"
        assert tiling.extents[1] >= 2048


@pytest.mark.parametrize("workers", [1, 2, 16])
@pytest.mark.parametrize(
    ("chunks", "expected"),
    [((19, 64, 64), (256, 256)), ((19, 1, 4096), (32, 4096)), ((19, 512, 512), (512, 512))],
)
def test_chunks_of_a_result_are_no_small_files(chunks, expected, workers):
    source = ArraySource(np.broadcast_to(np.float32(0), (19, 2048, 4096)))
    source.chunks = chunks
    geometry = lay_out(source, None)
    costs = tiles.Costs(geometry, source, 9, 1)
    tiling, _ = tiles.plan_tiles(costs, [], True, 512 * 10**6, workers)
    assert tiling.chunk == expected
    assert all(e % c == 0 for e, c in zip(tiling.extents, expected, strict=True))


class Broken(Chunked):
    def __getitem__(self, box):
        if box[1].start >= 48:
            raise OSError(5, "Input/output error")
        return super().__getitem__(box)


def test_a_failed_tile_is_reported_and_accounted_for(tmp_path):
    source = Broken(logits((5, 96, 20_000)), (5, 16, 20_000))
    account = tmp_path / "account.json"
    with pytest.raises(Failed, match=r"source: Input/output error\."):
        segment_file(source, np.empty((96, 20_000), np.uint8), summary=account, workers=2)
    told = json.loads(account.read_text())
    tiles = told["tiles"]
    assert told["status"] == "failed"
    assert tiles["failed"]
    assert tiles["done"] + len(tiles["failed"]) + tiles["not_started"] == tiles["total"]


def test_an_array_that_does_not_take_its_values():
    class Full:
        def __setitem__(self, box, values):
            raise RuntimeError("no room")

    with pytest.raises(Failed, match="cannot be written at .*RuntimeError: no room"):
        segment_file(logits((3, 8, 8)), Full())


def test_progress_counts_every_pixel():
    calls = []
    segment_file(
        logits((3, 90, 90)),
        np.empty((90, 90), np.uint8),
        progress=lambda done, total, seconds: calls.append((done, total, seconds)),
    )
    assert calls[-1][:2] == (8100, 8100)
    assert all(total == 8100 and seconds >= 0 for _, total, seconds in calls)


@pytest.mark.parametrize("chunk", [None, 16])
@pytest.mark.parametrize("size", [None, (61, 77)])
def test_evaluation_equals_that_of_the_whole(chunk, size):
    z = rng.normal(0, 3, (3, 5, 40, 30)).astype(np.float32)
    truth = rng.integers(0, 5, (3, *(size or (40, 30))))
    truth[:, :7] = 255
    source = z if chunk is None else Chunked(z, (1, 5, chunk, chunk))
    found = evaluate_files(source, truth, ignore_index=255, memory="1MB", workers=3, temperature=2)
    assert found == s2d.evaluate(z, truth, ignore_index=255, size=size, temperature=2)


@pytest.mark.parametrize("size", [None, (61, 40)])
def test_evaluation_accounts_for_every_pixel(size, tmp_path):
    z = logits((3, 23, 17))
    z[:, 4:7, 3:9] = -np.inf
    z[1, 5, 5] = np.nan
    z[0, 12, 12] = np.inf
    z[:, :3] = z[:, -3:] = 0  # where the truth is ignored
    shape = size or (23, 17)
    truth = rng.integers(0, 3, shape)
    truth[:2] = 255
    truth[-1] = 255
    path = tmp_path / "account.json"
    found = evaluate_files(z, truth, ignore_index=255, memory="1MB", summary=path)
    told = json.loads(path.read_text())
    labels = np.empty(shape, np.uint8)
    whole = s2d.segment(z, size=size, outputs="confidence").confidence
    counts = segment_file(z, labels, size=size).counts
    assert told["status"] == "done"
    assert told["tiles"]["done"] == told["tiles"]["total"]
    pixels = told["pixels"]
    assert pixels["done"] == pixels["total"] == truth.size
    assert pixels["ignored"] == 3 * shape[1] == truth.size - found.pixels
    assert pixels["nan"] + pixels["minus_inf"] == found.undefined
    assert found.undefined == np.count_nonzero(np.isnan(whole) & (truth != 255))
    assert (pixels["nan"], pixels["minus_inf"]) == (counts.nan, counts.minus_inf)


def test_an_evaluation_that_fails_accounts_for_its_tiles(tmp_path, monkeypatch):
    cut(monkeypatch, 4000)
    path, truth = tmp_path / "account.json", np.zeros((64, 64), np.uint8)
    with pytest.raises(Failed):
        evaluate_files(Broken(logits((4, 64, 64)), (4, 16, 16)), truth, summary=path, workers=1)
    told = json.loads(path.read_text())
    tiles = told["tiles"]
    assert told["status"] == "failed"
    assert len(tiles["failed"]) == 1
    assert tiles["done"] + tiles["not_started"] + 1 == tiles["total"]


def test_evaluation_leaves_out_what_is_no_data():
    z = rng.normal(0, 3, (5, 40, 30)).astype(np.float32)
    truth = rng.integers(0, 5, (40, 30)).astype(np.uint8)
    z[1, 4:9] = -9999
    found = evaluate_files(z, truth, nodata=-9999)
    hidden = truth.astype(int)
    hidden[4:9] = -1
    assert found == s2d.evaluate(z, hidden, ignore_index=-1)


@pytest.mark.parametrize(
    ("truth", "text"),
    [
        (
            np.full((4, 4), 0.5, np.float32),
            r"holds 0.5 at \(0, 0\); labels are class indices, whole",
        ),
        (np.zeros((2, 4, 4), int), r"has shape \(2, 4, 4\); logits of shape \(3, 4, 4\)"),
        (np.full((4, 4), 3), r"must be in \[0, 3\); got 3 at \(0, 0\)\."),
        (np.full((4, 4), 255), "got 255 at .*pass ignore_index=255"),
    ],
)
def test_refused_truth(truth, text):
    with pytest.raises(Refused, match=text):
        evaluate_files(np.zeros((3, 4, 4)), truth)


def test_the_counts_of_many_classes_are_part_of_the_budget():
    scores, truth = np.zeros((1500, 9, 9), np.float32), np.zeros((9, 9), np.uint16)
    text = "the counts of all pairs of classes take [0-9]+ MB; give memory='([0-9]+MB)'"
    with pytest.raises(Unusable, match=text) as error:
        evaluate_files(scores, truth, memory="32MB")
    enough = re.search(text, str(error.value))[1]
    assert evaluate_files(scores, truth, memory=enough).confusion[0, 0] == 81


def test_scores_of_one_pixel_without_axes():
    assert evaluate_files(np.zeros(3, "f4"), np.zeros((), "u1"), axis=0).pixels == 1


def test_truth_with_axes_of_one():
    z = rng.normal(0, 3, (5, 40, 30)).astype(np.float32)
    truth = rng.integers(0, 5, (1, 40, 30))
    assert evaluate_files(z, truth) == s2d.evaluate(z, truth[0])
