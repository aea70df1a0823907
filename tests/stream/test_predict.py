"""A network window by window: the blend in one array of the whole, with one band in memory."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

import softmax2d as s2d
from softmax2d.cli import app
from softmax2d.stream import Failed, Refused, StreamError, Unusable, predict
from softmax2d.stream.sliding import blend
from tests import peers

rng = np.random.default_rng(7)
OUTPUTS = ("labels", "confidence")


def pointwise(batch):
    """Three classes of each pixel's channels."""
    mean = batch.mean(1, keepdims=True)
    return np.concatenate([mean * 3, batch[:, :1] - 0.2, 0.7 - mean], axis=1)


def positional(batch):
    """Scores that depend on the place in the window: the blend shows."""
    found = pointwise(batch)
    ramps = np.indices(found.shape[2:]).sum(0) / 40
    return found * (1 + ramps) + np.sin(ramps * 9)


def coarse(stride):
    def model(batch):
        n, c, *size = batch.shape
        cells = [k for length in size for k in (length // stride, stride)]
        pooled = batch.reshape(n, c, *cells).mean(axis=tuple(range(3, 3 + 2 * len(size), 2)))
        return positional(pooled)

    return model


def starts_of(size, window, stride, overlap):
    return blend.lay_windows(size, window, stride, overlap)


def one_shot(model, image, window, overlap, weighting, stride=1, flips=False, pad="reflect"):
    """The whole buffer, in float64; scores at the cells, and their padded size."""
    spatial = image.ndim - 1
    axes = [starts_of(n, window, stride, overlap) for n in image.shape[1:]]
    widths = [(0, 0)] + [(0, a.padded - a.size) for a in axes]
    whole = np.pad(image, widths, mode=pad).astype(np.float32)
    own = [blend.profile(weighting, a.window) for a in axes]
    weight = own[0]
    for other in own[1:]:
        weight = np.multiply.outer(weight, other)
    total, sums = None, np.zeros([a.cells for a in axes])
    for place in itertools.product(*(a.starts for a in axes)):
        pixels = tuple(
            slice(s * stride, (s + a.window) * stride) for s, a in zip(place, axes, strict=True)
        )
        cells = tuple(slice(s, s + a.window) for s, a in zip(place, axes, strict=True))
        given = whole[(slice(None), *pixels)][None]
        ways = list(itertools.product((0, 1), repeat=spatial)) if flips else [(0,) * spatial]
        found = 0
        for way in ways:
            flipped = [2 + d for d in range(spatial) if way[d]]
            answer = model(np.ascontiguousarray(np.flip(given, flipped)))
            found = found + np.flip(answer, flipped)[0].astype(np.float64) / len(ways)
        if total is None:
            total = np.zeros((len(found), *sums.shape))
        total[(slice(None), *cells)] += found * weight
        sums[cells] += weight
    return (total / sums).astype(np.float32), tuple(a.padded for a in axes)


def close(found, scores, size, padded):
    """Labels equal where the scores differ by more than rounding; confidence nearly so."""
    kept = tuple(slice(0, n) for n in size)
    whole = s2d.segment(scores, axis=0, size=padded, outputs=("labels", "confidence", "margin"))
    sure = whole.margin[kept] > 1e-4
    assert sure.mean() > 0.5
    np.testing.assert_array_equal(found["labels"][sure], whole.labels[kept][sure])
    np.testing.assert_allclose(found["confidence"], whole.confidence[kept], rtol=2e-5, atol=2e-6)


def predicted(model, image, size, **options):
    found = {"labels": np.empty(size, np.uint8), "confidence": np.empty(size, np.float32)}
    summary = predict(model, image, found, outputs=OUTPUTS, **options)
    assert summary.status == "done"
    assert summary.counts.pixels == summary.pixels == np.prod(size)
    assert summary.tiles_done == summary.tiles
    return found


@pytest.mark.parametrize("weighting", ["gaussian", "hann", "flat"])
@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("size", [(37, 50), (16, 16), (9, 40), (40, 7)])
def test_the_blend_of_the_whole(weighting, overlap, size):
    image = rng.random((2, *size), np.float32)
    found = predicted(positional, image, size, window=16, overlap=overlap, weighting=weighting)
    scores, padded = one_shot(positional, image, 16, overlap, weighting)
    close(found, scores, size, padded)


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_even_steps_with_flat_weights_are_monais(overlap):
    torch = pytest.importorskip("torch")
    inferers = peers.real("monai.inferers")
    step = int(16 * (1 - overlap))
    size = 16 + 2 * step, 16 + 3 * step
    image = rng.random((2, *size), np.float32)
    found = predicted(positional, image, size, window=16, overlap=overlap, weighting="flat")
    scores = inferers.sliding_window_inference(
        torch.from_numpy(image)[None],
        16,
        4,
        lambda batch: torch.from_numpy(positional(batch.numpy())).float(),
        overlap=overlap,
        mode="constant",
    )
    close(found, scores[0].numpy(), size, size)


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("size", [(64, 80), (61, 83), (20, 33)])
@pytest.mark.parametrize("overlap", [0, 0.5, 0.7])
def test_coarse_cells_are_interpolated(stride, size, overlap):
    image = rng.random((2, *size), np.float32)
    found = predicted(coarse(stride), image, size, window=32, overlap=overlap)
    scores, padded = one_shot(coarse(stride), image, 32, overlap, "gaussian", stride)
    close(found, scores, size, padded)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("flips", [False, True])
def test_volumes(stride, flips):
    image = rng.random((1, 11, 18, 13), np.float32)
    options = {"window": 8, "overlap": 0.5, "test_time": "flips" if flips else "none"}
    found = predicted(coarse(stride), image, (11, 18, 13), **options)
    scores, padded = one_shot(coarse(stride), image, 8, 0.5, "gaussian", stride, flips)
    close(found, scores, (11, 18, 13), padded)


def test_flips():
    image = rng.random((2, 30, 41), np.float32)
    found = predicted(positional, image, (30, 41), window=16, test_time="flips")
    scores, padded = one_shot(positional, image, 16, 0.5, "gaussian", flips=True)
    close(found, scores, (30, 41), padded)


def blurred(batch):
    """A translation-equivariant network that sees one pixel around each."""
    wide = np.pad(batch, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="reflect")
    rows, columns = batch.shape[2:]
    shifts = [wide[..., i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return pointwise(np.mean(shifts, axis=0)) * 5


@pytest.mark.parametrize("weighting", ["gaussian", "hann"])
def test_no_seams(weighting):
    """Where no window's border shows, the blend is the network on the whole image."""
    image = rng.random((1, 90, 100), np.float32)
    found = predicted(blurred, image, (90, 100), window=32, overlap=0.5, weighting=weighting)
    whole = s2d.segment(blurred(image[None])[0])
    # A border pixel of a window counts little: 3e-4 and less of its neighbour in the middle.
    np.testing.assert_allclose(found["confidence"], whole.confidence, atol=6e-3)
    exact = predicted(pointwise, image, (90, 100), window=32, overlap=0.5, weighting=weighting)
    expected = s2d.segment(pointwise(image[None])[0])
    np.testing.assert_allclose(exact["confidence"], expected.confidence, rtol=1e-6)


def test_probabilities_are_blended_on_request():
    image = rng.random((2, 40, 41), np.float32)
    found = predicted(positional, image, (40, 41), window=16, blend="probabilities", temperature=2)

    def soft(batch):
        return s2d.softmax2d(positional(batch), axis=1, temperature=2)

    scores, padded = one_shot(soft, image, 16, 0.5, "gaussian")
    close(found, np.log(scores), (40, 41), padded)


def test_classes_that_a_window_rules_out():
    def model(batch):
        found = pointwise(batch)
        found[:, 2] = -np.inf
        return found

    found = predicted(model, rng.random((1, 40, 40), np.float32), (40, 40), window=16)
    assert found["labels"].max() < 2
    assert np.isfinite(found["confidence"]).all()


@pytest.mark.parametrize("batch", [2, 3, 100])
def test_batches_give_the_same_bits(batch):
    image = rng.random((2, 40, 61), np.float32)
    one = predicted(positional, image, (40, 61), window=16)
    many = predicted(positional, image, (40, 61), window=16, batch=batch)
    np.testing.assert_array_equal(one["confidence"], many["confidence"])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
@pytest.mark.parametrize("axis", [0, -1])
def test_images_of_every_kind(dtype, axis):
    top = 1 if dtype == np.float64 else np.iinfo(dtype).max
    image = (rng.random((3, 30, 33)) * top).astype(dtype)
    found = predicted(pointwise, np.moveaxis(image, 0, axis), (30, 33), window=16, axis=axis)
    expected = s2d.segment(pointwise((image / top).astype(np.float32)[None])[0])
    np.testing.assert_allclose(found["confidence"], expected.confidence, rtol=1e-5)


def test_rows_are_finished_before_later_windows_are_seen():
    events = []

    def model(batch):
        events.append("window")
        return pointwise(batch)

    class Result:
        def __setitem__(self, box, values):
            events.append(box[0].stop)

    predict(model, rng.random((1, 160, 16), np.float32), Result(), window=16, overlap=0.5)
    rows = [e for e in events if e != "window"]
    assert rows == sorted(rows)
    assert rows[-1] == 160
    assert events.index(rows[0]) <= 3
    assert len(rows) == 19


def test_memory_holds_a_band(tmp_path):
    classes = 40

    def model(batch):
        return np.repeat(batch[:, :1], classes, 1)

    image, labels = np.zeros((1, 2000, 400), np.uint8), np.empty((2000, 400), np.uint8)
    predict(model, image[:, :100], labels[:100], window=64)
    tracemalloc.start()
    predict(model, image, labels, window=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    band = classes * 64 * 400 * 4
    assert peak < 3.5 * band, f"{peak / band:.1f} bands; the whole would be {2000 / 64:.0f}"


class Stop(Exception):  # noqa: N818 - no error
    pass


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("suffix", ["npy", "tif", "zarr"])
@pytest.mark.parametrize("after", [1, 2, 5])
def test_resumed_to_the_same_bytes(tmp_path, stride, suffix, after):
    image = rng.random((2, 100, 61), np.float32)
    np.save(tmp_path / "image.npy", image)
    model, options = coarse(stride), {"outputs": OUTPUTS, "window": 32, "overlap": 0.7}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    predict(model, tmp_path / "image.npy", tmp_path / f"one/out.{suffix}", **options)
    done = []

    def stop(*progress):
        done.append(progress)
        if len(done) == after:
            raise Stop

    out = tmp_path / f"two/out.{suffix}"
    with pytest.raises(Stop):
        predict(model, tmp_path / "image.npy", out, progress=stop, **options)
    assert not out.exists()
    with pytest.raises(Refused, match="parameter overlap was"):
        changed = options | {"overlap": 0.69}
        predict(model, tmp_path / "image.npy", out, resume=True, **changed)
    summary = predict(model, tmp_path / "image.npy", out, resume=True, **options)
    assert summary.tiles_resumed == after
    files = [
        {str(p.relative_to(tmp_path / n)): p.read_bytes()
         for p in (tmp_path / n).rglob("*") if p.is_file()}
        for n in ("one", "two")
    ]  # fmt: skip
    assert files[0] == files[1]


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("nodata", [0.0, -9999.0, np.nan])
def test_pixels_without_data(stride, nodata):
    image = rng.random((2, 90, 120), np.float32) + 0.1
    gone = np.zeros((90, 120), bool)
    gone[:, 50:] = gone[20:31, 10:19] = gone[:33] = True
    image[:, gone] = nodata
    image[0, 60, 3] = 0.2 if np.isnan(nodata) else nodata  # in one channel only: data
    seen = []

    def model(batch):
        seen.append(len(batch))
        assert np.isfinite(batch).all()
        return coarse(stride)(batch)

    found = {"labels": np.empty((90, 120), np.uint8), "confidence": np.empty((90, 120), np.float32)}
    summary = predict(model, image, found, outputs=OUTPUTS, window=16, nodata=nodata)
    assert (summary.counts.ignored, summary.counts.pixels) == (gone.sum(), 90 * 120)
    assert sum(summary.counts.areas.values()) == (~gone).sum()
    assert (found["labels"][gone] == 255).all()
    assert np.isnan(found["confidence"][gone]).all()
    shown = sum(seen)
    seen.clear()
    whole = predicted(model, np.where(gone, np.float32(0), image), (90, 120), window=16)
    assert shown < 0.5 * sum(seen)
    for name in OUTPUTS:
        np.testing.assert_array_equal(found[name][~gone], whole[name][~gone])


@pytest.mark.parametrize(
    ("options", "classes", "text"),
    [
        ({"nodata_label": 2}, 3, "must not be a class, 0 to 2; got 2"),
        ({"nodata_label": 255}, 256, "must not be a class, 0 to 255; got 255"),
        ({"nodata_label": 300}, 3, "uint8 labels hold 0 to 255"),
    ],
)
def test_labels_for_no_data_that_are_classes(options, classes, text):
    def model(batch):
        return np.repeat(batch[:, :1], classes, 1)

    image = rng.random((1, 30, 30), np.float32)
    with pytest.raises(Unusable, match=text):
        predict(model, image, np.empty((30, 30), np.uint8), window=16, nodata=0, **options)


def test_the_nodata_of_the_file(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    image = (rng.random((3, 40, 50)) * 254).astype(np.uint8) + 1
    image[:, :25] = 0
    profile = {"driver": "GTiff", "height": 40, "width": 50, "count": 3, "dtype": "uint8"}
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(1, 0, 5, 0, -1, 9), "nodata": 0}
    with rasterio.open(tmp_path / "in.tif", "w", **profile, **place) as file:
        file.write(image)
    summary = predict(pointwise, tmp_path / "in.tif", tmp_path / "out.tif", window=16)
    assert summary.counts.ignored == 25 * 50
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.nodata == 255
        assert (file.read(1)[:25] == 255).all()


def test_other_weights_are_another_model(tmp_path):
    torch = pytest.importorskip("torch")
    np.save(tmp_path / "in.npy", rng.random((3, 64, 32), np.float32))
    net, out = torch.nn.Conv2d(3, 5, 1).eval(), tmp_path / "out.npy"

    def stop(*progress):
        raise Stop

    with pytest.raises(Stop):
        predict(net, tmp_path / "in.npy", out, window=16, progress=stop)
    with torch.no_grad():
        net.bias[2] += 1
    with pytest.raises(Refused, match="parameter model_weights was"):
        predict(net, tmp_path / "in.npy", out, window=16, resume=True)
    with torch.no_grad():
        net.bias[2] -= 1


def test_torch_modules():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Conv2d(3, 5, 1)
    image = rng.random((3, 40, 50), np.float32)
    with pytest.raises(Unusable, match=r"in training mode.*call model.eval\(\) first"):
        predict(net, image, np.empty((40, 50), np.uint8), window=16)
    found = predicted(net.eval(), image, (40, 50), window=16)
    with torch.inference_mode():
        expected = s2d.segment(net(torch.from_numpy(image)[None])[0].numpy())
    np.testing.assert_allclose(found["confidence"], expected.confidence, rtol=1e-4)

    class Wrapped(torch.nn.Module):
        def forward(self, batch):
            return {"out": net(batch)}

    again = predicted(Wrapped().eval(), image, (40, 50), window=16)
    np.testing.assert_array_equal(again["confidence"], found["confidence"])


def onnx_model(path, stride=2, fixed=None):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    weight = rng.normal(0, 1, (4, 3, stride, stride)).astype(np.float32)
    size = [None, None] if fixed is None else [fixed, fixed]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["scores"], strides=[stride, stride])],
        "net",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [None, 3, *size])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return weight


def test_onnx_files(tmp_path):
    weight = onnx_model(tmp_path / "net.onnx")
    image = rng.random((3, 60, 50), np.float32)

    def model(batch):
        n, c, h, w = batch.shape
        cut = batch.reshape(n, c, h // 2, 2, w // 2, 2)
        return np.einsum("ncyixj,kcij->nkyx", cut, weight)

    found = predicted(tmp_path / "net.onnx", image, (60, 50), window=16)
    scores, padded = one_shot(model, image, 16, 0.5, "gaussian", 2)
    close(found, scores, (60, 50), padded)


def test_the_command_line(tmp_path, capsys):
    onnx_model(tmp_path / "net.onnx")
    picture = (rng.random((45, 50, 3)) * 255).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "photo.png")
    account = tmp_path / "account.json"
    args = ["predict", tmp_path / "net.onnx", tmp_path / "photo.png", "-o", tmp_path / "out.png"]
    args += ["--window", "16x32", "--classes", "a,b,c,d", "--palette", "voc", "--summary", account]
    with pytest.raises(SystemExit) as stop:
        app.main([str(a) for a in args])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "45 × 50 pixels, 4 classes" in out
    assert json.loads(account.read_text())["pixels"]["done"] == 45 * 50
    labels = np.empty((45, 50), np.uint8)
    predict(tmp_path / "net.onnx", picture, labels, axis=-1, window=(16, 32))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), labels)
    for bad, text in ((["--window", "big"], "expected a number of pixels"), ([], "exists; add")):
        with pytest.raises(SystemExit) as stop:
            app.main([str(a) for a in [*args, *bad]])
        assert stop.value.code == 2
        assert text in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed(tmp_path, number):
    onnx_model(tmp_path / "net.onnx")
    np.save(tmp_path / "in.npy", rng.random((3, 300, 64), np.float32))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()

    def command(name):
        code = (
            "import time; from softmax2d._ops import segment as _ops; real = _ops.segment_logits\n"
            "_ops.segment_logits = lambda *a, **k: (time.sleep(0.03), real(*a, **k))[1]\n"
            "from softmax2d.__main__ import main; main()"
        )
        given = ["predict", tmp_path / "net.onnx", tmp_path / "in.npy", "--window", "16"]
        return [sys.executable, "-c", code, *given, "-o", tmp_path / name / "out.zarr", "--resume"]

    subprocess.run(command("one"), check=True, capture_output=True)
    journal = tmp_path / "two/.out.zarr.softmax2d/journal"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command("two"), **pipes) as process:
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.communicate() == (b"", b"")
    assert process.returncode == (-9 if number == signal.SIGKILL else 143)
    assert not (tmp_path / "two/out.zarr").exists()
    done = subprocess.run(command("two"), check=True, capture_output=True, text=True)
    assert done.stderr == ""
    one, two = (
        {
            p.relative_to(tmp_path / n): p.read_bytes()
            for p in (tmp_path / n).rglob("*")
            if p.is_file()
        }
        for n in ("one", "two")
    )
    assert one == two


def test_onnx_files_that_are_none(tmp_path):
    labels, image = np.empty((40, 40), np.uint8), rng.random((3, 40, 40), np.float32)
    bad = tmp_path / "bad.onnx"
    with pytest.raises(Refused, match="no such file"):
        predict(bad, image, labels)
    bad.write_bytes(b"no network")
    with pytest.raises(Refused, match="is not a usable ONNX model"):
        predict(bad, image, labels)
    with pytest.raises(Refused, match="is no model; give an .onnx file"):
        predict(tmp_path / "net.pt", image, labels)
    onnx_model(tmp_path / "net.onnx", fixed=32)
    with pytest.raises(Refused, match=r"does not take windows of shape \(1, 3, 16, 16\)"):
        predict(tmp_path / "net.onnx", image, labels, window=16)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"window": 0}, "window must be positive"),
        ({"window": 2.5}, r"window must be whole numbers of pixels; got \(2.5, 2.5\)"),
        ({"window": "16"}, "window must be whole numbers"),
        ({"window": (8, 8, 8)}, "one for each of 2 axes"),
        ({"overlap": 1.0}, "overlap must be at least 0 and below 1; got 1.0"),
        ({"weighting": "cosine"}, "weighting must be one of gaussian, hann, flat"),
        ({"test_time": "rotations"}, "test_time must be one of none, flips"),
        ({"blend": "votes"}, "blend must be one of logits, probabilities"),
        ({"pad": "wrap"}, "pad must be one of reflect, edge, constant"),
        ({"batch": 0}, "batch must be a positive number; got 0"),
        ({"axis": 7}, "has no axis 7"),
        ({"temperature": -1}, "temperature must be positive"),
        ({"resume": True}, "resume=True needs results that are files"),
        ({"outputs": "margins"}, "outputs must be among"),
    ],
)
def test_refused_arguments(options, text):
    image = rng.random((3, 30, 30), np.float32)
    with pytest.raises((Unusable, ValueError), match=text):
        predict(pointwise, image, np.empty((30, 30), np.uint8), **{"window": 16, **options})


@pytest.mark.parametrize("shape", [(30, 40, 3), (30, 40, 1), (9, 30, 40, 4)])
def test_channels_that_may_be_the_last(shape):
    image, labels = rng.random(shape, np.float32), np.empty(shape[:-1], np.uint8)
    with pytest.raises(Refused, match=r"may have its channels first or last: .* axis= \(--axis\)"):
        predict(pointwise, image, labels, window=16)
    how = {"window": 16, "axis": -1, "input": "logits", "binary": shape[-1] == 1}
    predict(lambda batch: batch, image, labels, **how)
    wanted = image[..., 0] > 0 if shape[-1] == 1 else image.argmax(-1)
    np.testing.assert_array_equal(labels, wanted)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (3, "model must be callable, or the path of an .onnx file; got int"),
        (lambda b: None, "the model must return scores|the model returned NoneType"),
        (lambda b: "words", "the model returned str"),
        (lambda b: b.astype(complex), "an array of class scores is needed"),
        (lambda b: {"a": b, "b": b}, r"returned a, b; say which .* output= \(--output\)"),
        (lambda b: b[0], r"must return scores of \(N, C, ...\)"),
        (lambda b: b[:, :, :5, :5], "makes .* cells of a window of .* pixels"),
        (lambda b: 1 / 0, "the model failed on a window of shape .*ZeroDivisionError"),
    ],
)
def test_refused_models(model, text):
    image = rng.random((3, 30, 30), np.float32)
    with pytest.raises(Unusable, match=text):
        predict(model, image, np.empty((30, 30), np.uint8), window=16)


def failed(batch):
    raise RuntimeError("out of\nmemory")


@pytest.mark.parametrize(
    ("later", "text"),
    [
        (lambda b: b[:, :2], r"returned shape \(1, 2, 16, 16\) instead of \(1, 3, 16, 16\)"),
        (lambda b: b[..., ::2, ::2], r"returned shape \(1, 3, 8, 8\) instead of"),
        (lambda b: b[..., :1, :1], r"returned shape \(1, 3, 1, 1\) instead of"),
        (failed, r"failed on a batch of shape \(1, 3, 16, 16\): RuntimeError: out of memory\."),
    ],
)
def test_models_that_change_their_mind(tmp_path, later, text):
    seen = []

    def model(batch):
        seen.append(1)
        return batch if len(seen) < 9 else later(batch)

    image, out = rng.random((3, 60, 30), np.float32), tmp_path / "out.npy"
    with pytest.raises(StreamError, match=text) as error:
        predict(model, image, out, window=16, overlap=0)
    if isinstance(error.value, Failed):
        assert "tiles are kept: the same command with --resume" in str(error.value)
    assert not out.exists()


@pytest.mark.parametrize("dtype", ["c8", "O", "M8[s]", "S3"])
def test_images_that_are_no_numbers(dtype):
    image = np.zeros((3, 30, 30), dtype)
    with pytest.raises(Refused, match=r"holds .*; an image holds real numbers"):
        predict(pointwise, image, np.empty((30, 30), np.uint8), window=16)


def test_onnx_files_of_fixed_sizes(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    onnx_model(path)
    image, whole = rng.random((3, 61, 50), np.float32), np.empty((61, 50), np.uint8)
    predict(path, image, whole, window=32)
    net = onnx.load(path)
    sizes = net.graph.input[0].type.tensor_type.shape.dim
    for number, size in ((0, 4), (2, 32), (3, 32)):
        sizes[number].dim_value = size
    onnx.save(net, path)
    for batch in (1, 3, 4, 9):
        found = np.empty((61, 50), np.uint8)
        predict(path, image, found, window=32, batch=batch)
        np.testing.assert_array_equal(found, whole)
    text = r"it takes windows of 32x32 only; give window=\(32, 32\) \(--window 32x32\)"
    with pytest.raises(Refused, match=text):
        predict(path, image, whole, window=16)


@pytest.mark.parametrize("shape", [(30,), (3, 0, 30), (2, 3, 4, 5, 6)])
def test_refused_images(shape):
    with pytest.raises(Refused, match="is no image of two or three spatial axes"):
        predict(pointwise, np.zeros(shape, np.float32), np.empty((30, 30), np.uint8))


def test_weights_of_a_cell_add_up_to_one():
    for size, window, stride, overlap in itertools.product((5, 40, 97), (8, 16), (1, 4), (0, 0.6)):
        axis = blend.lay_windows(size, window, stride, overlap)
        assert axis.padded >= max(size, window)
        assert axis.padded - size < max(stride, window - size + 1)
        for weighting in blend.WEIGHTINGS:
            total = np.zeros(axis.cells)
            for start, share in zip(axis.starts, axis.weights(weighting), strict=True):
                assert (share > 0).all()
                total[start : start + axis.window] += share
            np.testing.assert_allclose(total, 1, rtol=1e-6)
        steps = np.diff(axis.starts)
        assert steps.size == 0 or steps.max() <= max(1, axis.window * (1 - overlap))
