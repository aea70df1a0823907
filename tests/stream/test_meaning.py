"""What stored numbers are: known, asked or refused; probabilities give their own labels."""

from __future__ import annotations

import inspect
import json

import h5py
import nibabel
import numpy as np
import pytest
import rasterio
import safetensors.numpy
import zarr
from PIL import Image

import softmax2d as s2d
from softmax2d import balance, calibrate, stream
from softmax2d.stream import Refused, Unusable, evaluate_files, segment_file, softmax2d_file
from softmax2d.stream.plan.looks import looks_like
from tests.stream.tiles import Stop, cut, stop_after

rng = np.random.default_rng(7)
Z = rng.normal(0, 4, (5, 40, 50)).astype(np.float32)
LABELS = Z.argmax(0).astype(np.uint8)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def probabilities(logits, axis=0):
    e = np.exp(logits.astype(np.float64) - logits.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


P = probabilities(Z)


def npy(path, held):
    np.save(path, held)


def npz(path, held):
    np.savez_compressed(path, held)


def store(path, held):
    found = zarr.create_array(path, shape=held.shape, dtype=held.dtype, chunks=(2, 16, 16))
    found[:] = held


def geotiff(path, held, **options):
    count, height, width = held.shape
    how = {"driver": "GTiff", "count": count, "height": height, "width": width} | options
    with rasterio.open(path, "w", dtype=held.dtype.name, **how) as file:
        file.write(held)


def nifti(path, held):
    nibabel.Nifti1Image(held[:, None].T, np.eye(4)).to_filename(path)


def hdf5(path, held):
    with h5py.File(path, "w") as file:
        file["scores"] = held


def tensors(path, held):
    safetensors.numpy.save_file({"scores": held}, path)


FORMATS = {
    ".npy": npy, ".npz": npz, ".zarr": store, ".tif": geotiff, ".nii": nifti, ".nii.gz": nifti,
    ".h5": hdf5, ".safetensors": tensors,
}  # fmt: skip
SAY = r"give input='probabilities' \(--input probabilities\), or input='logits' \(--input logits\)"
RUNS = {
    "segment": segment_file,
    "probs": softmax2d_file,
    "evaluate": lambda path, out, **how: evaluate_files(path, LABELS, **how),
    "fit": lambda path, out, **how: calibrate.fit(path, LABELS, **how),
    "tune": lambda path, out, **how: balance.tune_bias(path, LABELS, sweeps=1, **how),
    "prior": lambda path, out, **how: balance.estimate_prior(
        path, source_prior=[0.2] * 5, max_passes=1, **how
    ),
}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("run", RUNS)
def test_probabilities_are_asked_for_in_every_format(tmp_path, suffix, run):
    path, out = tmp_path / f"in{suffix}", tmp_path / "out.npy"
    FORMATS[suffix](path, P.astype(np.float32))
    if suffix.startswith(".nii") and run not in ("segment", "probs"):
        truth = LABELS[None]
        known = {"evaluate": evaluate_files, "fit": calibrate.fit}
        if run not in known:
            return
        call = lambda **how: known[run](path, truth, **how)  # noqa: E731
    else:
        call = lambda **how: RUNS[run](path, out, **how)  # noqa: E731
    with pytest.raises(Refused, match=rf"in{suffix}: its numbers look like probabilities.*{SAY}"):
        call()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    found = call(input="probabilities")
    if run == "segment":
        assert (np.load(out).reshape(LABELS.shape) == LABELS).all()
        assert (found.input, found.to_json()["input"]) == ("probabilities",) * 2
        assert found.dtype in ("float32", "<f4")
    if run == "evaluate":
        want = s2d.evaluate(Z, LABELS)
        assert found.accuracy == 1 and found.nll == pytest.approx(want.nll, rel=1e-5)


DTYPES = ["f2", "f4", "f8", ">f4", "u1", "u2"]


def quantised(dtype):
    top = {"u1": 255, "u2": 65535}.get(dtype)
    return P.astype(dtype) if top is None else np.rint(P * top).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", ["512MB", "1MB"])
def test_labels_and_confidence_are_those_of_the_probabilities(dtype, memory):
    p = quantised(dtype)
    p[:, 3, 4] = 0
    p[:, 3, 5] = np.eye(5)[2].astype(p.dtype)  # exactly one class
    if p.dtype.kind == "f":
        p[2, 5, 5] = np.nan
    else:
        p[:, 3, 5] *= np.iinfo(p.dtype).max
    exact = p.astype(np.float64)
    exact /= np.where(exact.sum(0) == 0, np.nan, exact.sum(0))
    own = np.float64 if dtype == "f8" else np.float32
    labels, sure = np.empty(LABELS.shape, np.uint8), np.empty(LABELS.shape, own)
    results = {"labels": labels, "confidence": sure}
    how = {"input": "probabilities", "memory": memory}
    counts = segment_file(p, results, outputs=("labels", "confidence"), **how).counts
    np.testing.assert_array_equal(labels, p.argmax(0))
    np.testing.assert_allclose(sure, exact.max(0), rtol=4 * np.finfo(own).eps)
    assert (counts.minus_inf, counts.nan) == (1, int(p.dtype.kind == "f"))
    kept = p.dtype.newbyteorder("=") if p.dtype.kind == "f" else np.float32
    probs = np.empty(p.shape, kept)
    softmax2d_file(p, probs, **how)
    assert (probs[:, 3, 5] == np.eye(5)[2]).all()
    close = np.isfinite(exact).all(0)
    few = (64 if dtype == "f8" else 8) * float(np.finfo(kept).eps)  # a logarithm is rounded
    tiny = float(np.finfo(kept).smallest_subnormal)
    np.testing.assert_allclose(probs[:, close], exact[:, close], rtol=few, atol=tiny)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_neighbouring_probabilities_keep_their_order(dtype):
    low = np.linspace(0.05, 0.5, 500).astype(dtype)
    high = np.nextafter(low, dtype(1))  # by one unit in the last place
    rest = (1 - low.astype(np.float64) - high).clip(0).astype(dtype) / dtype(4)
    p = np.stack([low, high, rest, rest, rest, rest])[:, None]
    labels = np.empty((1, 500), np.uint8)
    segment_file(p, labels, input="probabilities")
    np.testing.assert_array_equal(labels, p.argmax(0))


@pytest.mark.parametrize("size", [(80, 100), (33, 21)])
def test_interpolated_probabilities_are_interpolated_logarithms(size):
    p = P.astype(np.float32)
    p[0, :20] = 0
    p /= p.sum(0)
    p[:, 30, 30] = 0
    least = np.finfo(np.float32).smallest_subnormal
    logs = np.log(np.maximum(p.astype(np.float64), least))
    logs[:, 30, 30] = -np.inf
    want = s2d.segment(logs, size=size)
    labels, sure = np.empty(size, np.uint8), np.empty(size, np.float32)
    results = {"labels": labels, "confidence": sure}
    how = {"input": "probabilities", "size": size, "memory": "1MB"}
    segment_file(p, results, outputs=("labels", "confidence"), **how)
    np.testing.assert_array_equal(labels, want.labels)
    np.testing.assert_allclose(sure, want.confidence, rtol=1e-6)
    kept = ~np.isnan(want.confidence)
    assert 0 < np.count_nonzero(~kept) < 40


def test_a_map_acts_on_the_logarithms():
    bias = [0, 1, -1, 0.5, 0]
    want = s2d.segment(np.log(P), temperature=2.0, bias=bias)
    labels, sure = np.empty(LABELS.shape, np.uint8), np.empty(LABELS.shape)
    results = {"labels": labels, "confidence": sure}
    how = {"input": "probabilities", "temperature": 2.0, "bias": bias}
    segment_file(P, results, outputs=("labels", "confidence"), **how)
    np.testing.assert_array_equal(labels, want.labels)
    np.testing.assert_allclose(sure, want.confidence, rtol=1e-12)


@pytest.mark.parametrize("size", [None, (80, 100)])
def test_nodata_stays_nodata(tmp_path, size):
    p = P.astype(np.float32)
    p[:, :4, :5] = -9999
    p[2, 20, 20] = -9999
    geotiff(tmp_path / "in.tif", p, nodata=-9999.0)
    how = {"input": "probabilities", "size": size}
    counts = segment_file(tmp_path / "in.tif", tmp_path / "out.npy", **how).counts
    found = np.load(tmp_path / "out.npy")
    z = Z.copy()
    z[p == -9999] = -9999
    np.save(tmp_path / "z.npy", z)
    want = segment_file(tmp_path / "z.npy", tmp_path / "w.npy", nodata=-9999, size=size).counts
    assert counts == want or size is not None
    assert counts.ignored == want.ignored > 0
    assert (found[0, 0], found[-1, -1]) == (255, LABELS[-1, -1])
    with pytest.raises(Refused, match="look like probabilities"):
        segment_file(tmp_path / "in.tif", tmp_path / "out.npy", overwrite=True)
    left = evaluate_files(tmp_path / "in.tif", LABELS, input="probabilities")
    assert left.pixels == LABELS.size - 21 and left.accuracy == 1


@pytest.mark.parametrize(
    ("value", "place", "text"),
    [
        (-0.25, (1, 30, 7), r"at pixel \(30, 7\) a number is -0.25; they lie between 0 and 1"),
        (1.5, (1, 39, 49), r"at pixel \(39, 49\) a number is 1.5"),
        (np.inf, (0, 2, 3), r"at pixel \(2, 3\) a number is inf"),
    ],
)
def test_what_is_no_probability_is_refused_with_its_place(tmp_path, value, place, text):
    p = P.copy()
    p[place] = value
    np.save(tmp_path / "in.npy", p)
    ways = r".* give input='logits' \(--input logits\) if they are logits"
    with pytest.raises(Refused, match=r"in\.npy: holds no probabilities: " + text + ways):
        segment_file(tmp_path / "in.npy", tmp_path / "o.npy", input="probabilities")
    with pytest.raises(Refused, match=text):
        evaluate_files(p, LABELS, input="probabilities")
    with pytest.raises(Refused, match=text):
        calibrate.fit(p, LABELS, input="probabilities")


def test_classes_that_do_not_sum_to_one_are_refused():
    sigmoids = 1 / (1 + np.exp(-Z))
    with pytest.raises(Refused, match=r"at pixel \(0, 0\) the classes sum to [0-9.]+; .* sum to 1"):
        segment_file(sigmoids, np.empty(LABELS.shape, np.uint8), input="probabilities")
    rounded = P.astype(np.float16).astype(np.float32)  # by a network in half precision
    labels = np.empty(LABELS.shape, np.uint8)
    assert segment_file(rounded, labels, input="probabilities").counts.nan == 0


def test_what_the_file_says_and_what_the_caller_says(tmp_path):
    found = zarr.create_array(tmp_path / "in.zarr", shape=P.shape, dtype="f4", chunks=(5, 16, 16))
    found[:] = P
    found.attrs["meaning"] = "probabilities"
    summary = segment_file(tmp_path / "in.zarr", tmp_path / "out.npy")
    assert summary.input == "probabilities"
    assert (np.load(tmp_path / "out.npy") == LABELS).all()
    labels, sure = np.empty(LABELS.shape, np.uint8), np.empty(LABELS.shape, np.float32)
    results = {"labels": labels, "confidence": sure}
    outputs = ("labels", "confidence")
    summary = segment_file(tmp_path / "in.zarr", results, outputs=outputs, input="logits")
    assert summary.input == "logits"
    assert sure.max() < np.e / (np.e + 4) + 1e-6


def test_logarithms_are_logits_and_mixed_up_ones_are_refused():
    labels = np.empty(LABELS.shape, np.uint8)
    for how in ({}, {"input": "log-probabilities"}):
        segment_file(np.log(P), labels, **how)
        np.testing.assert_array_equal(labels, LABELS)
    with pytest.raises(Refused, match=r"look like probabilities .*, not like their logarithms"):
        segment_file(P, labels, input="log-probabilities")
    with pytest.raises(Unusable, match=r"input must be one of logits, prob.*; got 'softmax'"):
        segment_file(P, labels, input="softmax")
    with pytest.raises(Unusable, match="binary must be True or False; got 'yes'"):
        segment_file(P, labels, binary="yes")


@pytest.mark.parametrize("flag", ["overwrite", "resume", "missing_as_fill", "cog", "ignore_place"])
def test_flags_are_no_text(tmp_path, flag):
    """Text, as "False", would count as True, and files be replaced."""
    np.save(tmp_path / "logits.npy", Z)
    np.save(tmp_path / "labels.npy", LABELS)
    source, result = tmp_path / "logits.npy", tmp_path / "labels.npy"
    calls = {
        "segment_file": lambda how: segment_file(source, result, **how),
        "softmax2d_file": lambda how: stream.softmax2d_file(source, result, **how),
        "predict": lambda how: stream.predict(lambda x: x, source, result, **how),
        "evaluate_files": lambda how: stream.evaluate_files(source, result, **how),
        "evaluate_label_files": lambda how: stream.evaluate_label_files(result, result, **how),
    }
    taken = 0
    for name, call in calls.items():
        if flag not in inspect.signature(getattr(stream, name)).parameters:
            continue
        with pytest.raises(TypeError, match=f"^{name}: {flag} must be True or False; got 'False'"):
            call({flag: "False"})
        taken += 1
    assert taken
    np.testing.assert_array_equal(np.load(result), LABELS)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"nodata": np.array([1.0, 2.0])}, "nodata must be a number or None; got ndarray"),
        ({"nodata": True}, "nodata must be a number or None; got bool"),
        ({"nodata_label": True}, "nodata_label must be an integer or None; got bool"),
        ({"encoding": np.array(["float", "uint8"])}, "encoding must be a string; got array"),
    ],
)
def test_options_that_are_no_number_or_text(options, text):
    labels = np.empty(LABELS.shape, np.uint8)
    with pytest.raises(TypeError, match=f"^segment_file: {text}"):
        segment_file(Z, labels, **options)
    with pytest.raises(TypeError, match=f"^predict: {text}"):
        stream.predict(lambda batch: batch, Z[0], labels, window=4, **options)
    segment_file(Z, labels, nodata=np.float32(7), nodata_label=np.int64(255))


def test_one_channel_is_two_classes_exactly(tmp_path):
    z = Z[:1].copy()
    z[0, 3, 3] = np.nan
    two = np.concatenate([np.zeros_like(z), z])
    np.save(tmp_path / "one.npy", z)
    np.save(tmp_path / "two.npy", two)
    for size in (None, (80, 100)):
        for name in ("one", "two"):
            how = {"binary": name == "one", "size": size, "outputs": ("labels", "confidence")}
            segment_file(
                tmp_path / f"{name}.npy", tmp_path / f"{name}.o.npy", overwrite=True, **how
            )
        for suffix in ("o.npy", "o.confidence.npy"):
            one, other = (np.load(tmp_path / f"{name}.{suffix}") for name in ("one", "two"))
            np.testing.assert_array_equal(one, other)
    for held in (z[0], np.moveaxis(z, 0, -1), np.stack([z, z])):
        labels = np.empty((*held.shape[:-3], 40, 50) if held.ndim == 4 else (40, 50), np.uint8)
        segment_file(held, labels, binary=True, names="road,other")
        known = ~np.isnan(z[0])
        assert (labels[..., known] == (z[0] > 0)[known]).all()
    truth = (z[0] > 0).astype(np.uint8)
    assert evaluate_files(z, truth, binary=True) == evaluate_files(two, truth)
    assert calibrate.fit(z, truth, binary=True).nll_before == calibrate.fit(two, truth).nll_before


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1"])
def test_one_channel_of_probabilities(dtype):
    p = (1 / (1 + np.exp(-Z[:1].astype(np.float64)))) * (255 if dtype == "u1" else 1)
    p = (np.rint(p) if dtype == "u1" else p).astype(dtype)
    p[0, 0, :3] = np.array([0, 1, 0.5]) * (254 if dtype == "u1" else 1)
    exact = p[0].astype(np.float64) / (255 if dtype == "u1" else 1)
    own = np.float64 if dtype == "f8" else np.float32
    labels, sure = np.empty((40, 50), np.uint8), np.empty((40, 50), own)
    results = {"labels": labels, "confidence": sure}
    how = {"binary": True, "input": "probabilities", "outputs": ("labels", "confidence")}
    segment_file(p, results, **how)
    np.testing.assert_array_equal(labels, exact > 0.5)
    np.testing.assert_allclose(sure, np.maximum(exact, 1 - exact), rtol=4 * np.finfo(own).eps)
    more = np.empty((80, 100), np.uint8)
    segment_file(p, more, binary=True, input="probabilities", size=(80, 100))
    assert np.isin(more, (0, 1)).all()


def test_binary_nodata_and_places(tmp_path):
    z = Z[:1].copy()
    z[0, :3] = -5
    geotiff(tmp_path / "in.tif", z, nodata=-5.0)
    counts = segment_file(tmp_path / "in.tif", tmp_path / "o.tif", binary=True).counts
    assert counts.ignored == 150 and set(counts.areas) == {0, 1}
    nibabel.Nifti1Image(Z[:3].T, np.eye(4)).to_filename(tmp_path / "v.nii")
    with pytest.raises(Refused, match=r"none of its axes, z, y, x.*binary=True \(--binary\)"):
        segment_file(tmp_path / "v.nii", tmp_path / "o.nii")
    segment_file(tmp_path / "v.nii", tmp_path / "o.nii", binary=True)
    found = np.asarray(nibabel.load(tmp_path / "o.nii").dataobj).T
    np.testing.assert_array_equal(found, Z[:3] > 0)


REFUSED = {
    "a label map": (
        LABELS,
        {},
        r"is a label map, uint8 of shape \(40, 50\).*evaluate LABELS TRUTH",
    ),
    "one class": (LABELS[None].astype(int), {}, r"is a label map, int64 .*input='logits'"),
    "a mask": (LABELS > 1, {}, r"is a label map, bool .*softmax2d counts LABELS"),
    "slices": (
        np.repeat(LABELS[None], 6, 0).astype(np.int16),
        {},
        r"looks like label maps, int16 of shape \(6, 40, 50\).*input='logits' \(--input logits\)",
    ),
    "a picture": (
        rng.integers(0, 256, (40, 50, 3)).astype(np.uint8),
        {},
        r"is a picture, 40 × 50 × 3 uint8; .*softmax2d predict MODEL IMAGE; give input='logits'",
    ),
    "bands": (
        rng.integers(0, 256, (4, 40, 50)).astype(np.uint16),
        {},
        r"has 4 channels of uint16, as a picture has; .*predict MODEL IMAGE",
    ),
    "bytes of probabilities": (quantised("u1")[:, ::-1], {}, rf"look like probabilities.*{SAY}"),
    "one channel": (Z[:1], {}, r"has one channel, .*binary=True \(--binary\)\. Or name"),
    "one channel, said": (Z[:1], {"input": "logits"}, r"has one channel.*\(--binary\)"),
    "no class axis": (Z[0], {}, r"needs a class axis.*axis= \(--axis\).*binary=True \(--binary\)"),
    "several channels": (Z, {"binary": True}, r"has 5 channels along axis 0; binary=True \(--bin"),
    "a sigmoid": (P[:1], {"binary": True}, rf"lie in \[0, 1\], as the probability of.*{SAY}"),
    "bytes of one channel": (
        LABELS[None],
        {"binary": True},
        r"is a label map.*input='logits' \(--input logits\).*input='probabilities' .*255 is 1",
    ),
    "a mask for probabilities": (
        (LABELS > 1)[None].astype(np.uint8),
        {"binary": True, "input": "probabilities"},
        r"holds only 0 and 1, of which 255 would be 1: a label map",
    ),
    "channels last": (
        np.moveaxis(Z, 0, -1),
        {},
        r"5 classes of 40 × 50 pixels, or 40 classes of 50 × 5 pixels\? Give axis=-1 \(--axis -1\) "
        r"for \(H, W, C\), or axis=-3 \(--axis -3\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_looks_like_something_else_is_refused(tmp_path, name):
    held, how, text = REFUSED[name]
    np.save(tmp_path / "in.npy", held)
    for source in (tmp_path / "in.npy", held):
        with pytest.raises(Refused, match=text):
            segment_file(source, tmp_path / "out.npy", **how)
        with pytest.raises(Refused, match=text):
            softmax2d_file(source, tmp_path / "out.npy", **how)
        with pytest.raises(Refused, match=text):
            evaluate_files(source, LABELS, **how)
        with pytest.raises(Refused, match=text):
            calibrate.fit(source, LABELS, **how)
    assert [p.name for p in tmp_path.iterdir()] == ["in.npy"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_photographs_are_for_predict(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)).save(path)
    text = rf"photo\{suffix}: is a picture.*softmax2d predict MODEL IMAGE"
    for run in (segment_file, softmax2d_file):
        with pytest.raises(Refused, match=text):
            run(path, tmp_path / "out.npy")
    with pytest.raises(Refused, match=text):
        evaluate_files(path, LABELS)


CLEAR = [
    (150, 128, 96), (21, 65, 65), (19, 128, 256), (117, 64, 64), (5, 7, 3), (3, 4, 2), (40, 50, 40),
    (2, 8, 4), (12, 8, 7),
]  # fmt: skip
DOUBTFUL = [(40, 50, 4), (360, 480, 11), (256, 256, 117), (64, 48, 1), (3, 360, 480, 11)]


@pytest.mark.parametrize("shape", CLEAR)
def test_no_question_where_classes_clearly_come_first(shape):
    z = rng.normal(0, 1, shape).astype(np.float32)
    labels = np.empty(shape[1:], np.uint8)
    assert segment_file(z, labels).classes == shape[0]


@pytest.mark.parametrize("shape", DOUBTFUL)
def test_a_question_where_classes_may_come_last(shape):
    z = np.broadcast_to(np.float32(0), shape)
    with pytest.raises(Refused, match=r"Give axis=-1 \(--axis -1\) .* or axis=-3 \(--axis -3\)"):
        segment_file(z, "out.npy")
    labels = np.empty((*shape[:-3], *shape[-2:]), np.uint16)
    assert segment_file(z, labels, axis=-3, memory="1GB").classes == shape[-3]


def test_a_truth_or_a_size_answers_or_asks():
    last = rng.normal(0, 1, (30, 36, 24)).astype(np.float32)
    for run in (
        lambda: evaluate_files(last, np.zeros((30, 36), np.uint8)),
        lambda: evaluate_files(last, np.zeros((120, 144), np.uint8)),
        lambda: calibrate.fit(last, np.zeros((30, 36), np.uint8)),
        lambda: segment_file(last, np.empty((120, 144), np.uint8), size=(120, 144)),
        lambda: segment_file(last, np.empty((60, 72), np.uint8), like=np.empty((60, 72), np.uint8)),
    ):
        with pytest.raises(Refused, match=r"24 classes of 30 × 36 pixels, or 30 classes"):
            run()
    assert evaluate_files(last, np.zeros((36, 24), np.uint8)).pixels == 36 * 24
    strip = rng.normal(0, 1, (40, 50, 4)).astype(np.float32)  # in doubt, and answered
    assert evaluate_files(strip, np.zeros((50, 4), np.uint8)).pixels == 200
    assert evaluate_files(strip, np.zeros((40, 50), np.uint8), axis=-1).pixels == 2000


def test_rows_for_columns_are_refused(tmp_path):
    np.save(tmp_path / "t.npy", LABELS.T.copy())
    text = r"t\.npy: has 50 × 40 pixels, and .* 40 × 50: rows and columns are swapped"
    with pytest.raises(Refused, match=text):
        evaluate_files(Z, tmp_path / "t.npy")
    with pytest.raises(Refused, match=text):
        segment_file(Z, np.empty((50, 40), np.uint8), like=tmp_path / "t.npy")
    volume = rng.normal(0, 1, (3, 4, 6, 8)).astype(np.float32)
    with pytest.raises(Refused, match="rows and columns are swapped"):
        evaluate_files(volume, np.zeros((8, 6, 4), np.uint8), axis=0)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".tif", ".png"])
def test_volumes_and_batches_are_asked_for(tmp_path, suffix):
    z = rng.normal(0, 1, (3, 5, 8, 6)).astype(np.float32)
    np.save(tmp_path / "in.npy", z)
    text = r"axis=-4 \(--axis -4\) for one volume \(C, D, H, W\), or axis=-3 \(--axis -3\) for"
    with pytest.raises(Refused, match=text):
        segment_file(tmp_path / "in.npy", tmp_path / f"out{suffix}")
    if suffix != ".png":
        assert segment_file(tmp_path / "in.npy", tmp_path / f"o{suffix}", axis=-4).classes == 3
    np.save(tmp_path / "one.npy", z[:1])  # one image of three axes
    assert segment_file(tmp_path / "one.npy", tmp_path / "o.tif", overwrite=True).classes == 5
    assert segment_file(tmp_path / "in.npy", tmp_path / "o.npy").classes == 5


def test_a_truth_tells_a_volume_from_images():
    z = rng.normal(0, 1, (3, 5, 8, 6)).astype(np.float32)
    assert evaluate_files(z, z.argmax(0)).accuracy == 1
    assert evaluate_files(z, z.argmax(1)).accuracy == 1
    assert evaluate_files(z, np.zeros((3, 16, 12), np.uint8)).classes == 5
    with pytest.raises(Refused, match=r"axis=-4 \(--axis -4\).* or axis=-3 \(--axis -3\)"):
        evaluate_files(z, np.zeros((10, 16, 12), np.uint8))
    assert evaluate_files(z, np.zeros((10, 16, 12), np.uint8), axis=-4).classes == 3


def test_what_looks_like_probabilities():
    assert looks_like(P.astype(np.float16), 0) == "probabilities"
    assert looks_like(np.moveaxis(P, 0, -1), -1) == "probabilities"
    assert looks_like(quantised("u1"), 0) == looks_like(quantised("u2"), 0) == "probabilities"
    padded = P.copy()
    padded[:, :20] = 0
    padded[:, 30:, 3] = np.nan
    assert looks_like(padded, 0) == "probabilities"
    hard = np.eye(5)[LABELS].astype(np.uint8)
    assert looks_like(hard, -1) == "probabilities"
    hard[:10] = 0
    for no in (Z, np.zeros_like(Z), P[:1] * 0 + 1, P[:, :1, :3], np.log(P), 2 * P, hard.T):
        assert looks_like(no, 0) is None


def test_a_resumed_run_knows_what_the_numbers_are(tmp_path, monkeypatch):
    cut(monkeypatch, 4000)
    np.save(tmp_path / "in.npy", P)
    with pytest.raises(Stop):
        segment_file(tmp_path / "in.npy", tmp_path / "o.npy", workers=1, input="probabilities",
                     progress=stop_after(2)[1])  # fmt: skip
    with pytest.raises(Refused, match="input"):
        segment_file(
            tmp_path / "in.npy", tmp_path / "o.npy", input="logits", resume=True, workers=1
        )
    again = {"input": "probabilities", "resume": True, "workers": 1}
    found = segment_file(tmp_path / "in.npy", tmp_path / "o.npy", **again)
    assert found.tiles_resumed
    assert (np.load(tmp_path / "o.npy") == LABELS).all()


def test_the_account_says_it(tmp_path):
    account = tmp_path / "a.json"
    segment_file(P, np.empty(LABELS.shape, np.uint8), input="probabilities", summary=account)
    assert json.loads(account.read_text())["input"] == "probabilities"
    evaluate_files(P, LABELS, input="probabilities", summary=account)
    assert json.loads(account.read_text())["input"] == "probabilities"
    segment_file(Z, np.empty(LABELS.shape, np.uint8), summary=account)
    assert "input" not in json.loads(account.read_text())


@pytest.mark.parametrize("encoding", ["float", "float16", "uint8"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_results_are_known_or_asked_about(tmp_path, suffix, encoding):
    if encoding == "float16" and suffix.startswith(".nii"):
        return  # which hold none
    softmax2d_file(Z, tmp_path / f"p{suffix}", encoding=encoding)
    out = tmp_path / "o.npy"
    how = {"outputs": ("labels", "confidence")}
    plain = suffix == ".npy" or (encoding == "uint8" and suffix == ".npz")
    if plain:  # which cannot say what its numbers are
        with pytest.raises(Refused, match=SAY):
            segment_file(tmp_path / f"p{suffix}", out, **how)
        how["input"] = "probabilities"
    assert segment_file(tmp_path / f"p{suffix}", out, **how).input == "probabilities"
    sure = np.load(tmp_path / "o.confidence.npy").reshape(LABELS.shape)
    assert abs(sure - P.max(0)).max() < (0.015 if encoding == "uint8" else 1e-3)
    assert (np.load(out).reshape(LABELS.shape) == LABELS).mean() > 0.99


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_temperature_for_each_class_acts_on_log_probabilities(dtype):
    p = np.maximum(P, 1e-6).astype(dtype)
    how = {"temperature": [1, 2, 1, 3, 0.5], "bias": [0, 1, 0, -1, 0], "size": (61, 70)}
    found = {}
    with np.errstate(divide="ignore"):
        logs = np.log(p.astype(np.float64))
    for name, held, meaning in (("p", p, "probabilities"), ("log", logs, "log-probabilities")):
        found[name] = np.empty((61, 70))
        results = {"labels": np.empty((61, 70), np.uint8), "confidence": found[name]}
        segment_file(held, results, outputs=("labels", "confidence"), input=meaning, **how)
    np.testing.assert_allclose(found["p"], found["log"], atol=2e-6)


@pytest.mark.parametrize(
    ("whole", "dtype"), [(100, "u1"), (100, "f4"), (255, "f4"), (254, "i2"), (10000, "i2")]
)
def test_shares_of_another_whole_are_asked_about(whole, dtype):
    held = (P * whole if dtype == "f4" else (P * whole).round()).astype(dtype)
    for run in (RUNS["segment"], RUNS["evaluate"]):
        with pytest.raises(Refused, match=f"shares of {whole}.*divide.*--input logits"):
            run(held, np.empty(LABELS.shape, np.uint8))
    segment_file(held, out := np.empty(LABELS.shape, np.uint8), input="logits")
    np.testing.assert_array_equal(out, held.argmax(0))


ONE_HOT = np.moveaxis(np.eye(5, dtype=np.float32)[LABELS], -1, 0)


@pytest.mark.parametrize(
    "held",
    [
        10 * ONE_HOT,
        (100 * ONE_HOT).astype(np.int8),
        10 * (0.9 * ONE_HOT + 0.02),
        np.broadcast_to(np.float32([1, 5, 2])[:, None, None], (3, 20, 20)),
        np.full((2, 20, 20), 0.5, np.float32),
        np.zeros((3, 20, 20), np.float32),
        np.clip(Z, 0, 6),
        np.clip(4 * Z, -128, 127).round().astype(np.int8),
        rng.random((2, 30, 30), np.float32),
        (rng.random((4, 30, 30)) * 255).round() / 255,
    ],
)
def test_ordinary_logits_are_not_asked_about(held):
    segment_file(held, out := np.empty(held.shape[1:], np.uint8))
    np.testing.assert_array_equal(out, held.argmax(0))


@pytest.mark.parametrize("empty", [-9999, -1, np.nan])
def test_no_data_that_nobody_names_hides_no_probabilities(empty):
    held = P.astype(np.float32)
    held[:, 10:30, 5:45] = empty
    with pytest.raises(Refused, match=SAY):
        segment_file(held, np.empty(LABELS.shape, np.uint8))
    one = held[1:2].copy()
    with pytest.raises(Refused, match=SAY):
        segment_file(one, np.empty(LABELS.shape, np.uint8), binary=True)
    if empty == -9999:
        with pytest.raises(
            Refused, match=r"number is -9999; .* give nodata=-9999 \(--nodata -9999"
        ):
            segment_file(held, np.empty(LABELS.shape, np.uint8), input="probabilities")


@pytest.mark.parametrize("steps", [100, 255, 65535])
def test_probabilities_that_were_rounded_and_divided(steps):
    p = probabilities(rng.normal(0, 3, (19, 40, 50)))
    held = ((p * steps).round() / steps).astype(np.float32)
    out = np.empty((40, 50), np.uint8)
    with pytest.raises(Refused, match=SAY):
        segment_file(held, out)
    segment_file(held, out, input="probabilities")
    np.testing.assert_array_equal(out, held.argmax(0))
    held[0] *= 0.8
    with pytest.raises(Refused, match="the classes sum to"):
        segment_file(held, out, input="probabilities")


def test_log_probabilities_are_at_most_zero():
    with pytest.raises(Refused, match=r"reach .* at most 0; give input='logits'"):
        segment_file(-np.log(P), np.empty(LABELS.shape, np.uint8), input="log-probabilities")


@pytest.mark.parametrize("encoding", ["float32", "float16"])
@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".safetensors"])
def test_probabilities_without_data_stay_so(tmp_path, suffix, encoding):
    scores, out = Z.copy(), tmp_path / "o.npy"
    scores[:, :5] = -9999
    softmax2d_file(scores, tmp_path / f"p{suffix}", nodata=-9999, encoding=encoding)
    counts = segment_file(tmp_path / f"p{suffix}", out, outputs="labels").counts
    assert (counts.ignored, counts.nan) == (5 * 50, 0)
    assert (np.load(out)[:5] == 255).all()
    np.testing.assert_array_equal(np.load(out)[5:], LABELS[5:])
    assert evaluate_files(tmp_path / f"p{suffix}", LABELS).pixels == 35 * 50


def test_masks_of_true_and_false_are_no_scores():
    with pytest.raises(Refused, match=r"true and false.*numpy\.argmax.*softmax2d evaluate LABELS"):
        segment_file(ONE_HOT.astype(bool), np.empty(LABELS.shape, np.uint8))
