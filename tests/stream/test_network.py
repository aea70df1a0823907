"""What a network returns: the output, the layout and the numbers, known, asked for or refused."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.cli import app
from softmax2d.stream import Failed, Refused, StreamError, Unusable, predict, segment_file
from tests.stream.networks import OFFSET, WEIGHT, conv, scores_of, write

rng = np.random.default_rng(5)
IMAGE = rng.random((3, 40, 50), np.float32)
WANTED = scores_of(IMAGE)
TRUE = s2d.segment(WANTED)


def network(batch):
    """The scores of a batch."""
    return np.einsum("kc,nchw->nkhw", WEIGHT, batch) + OFFSET[None, :, None, None]


def run(model, image=IMAGE, **options):
    """Labels, confidence and the summary of a run."""
    size = image.shape[1:] if options.get("axis") != -1 else image.shape[:-1]
    found = {"labels": np.empty(size, np.uint8), "confidence": np.empty(size, np.float32)}
    summary = predict(model, image, found, outputs=("labels", "confidence"),
                      **{"window": 16, **options})  # fmt: skip
    return found["labels"], found["confidence"], summary


def check(model, image=IMAGE, **options):
    """Check that a run gives the labels and the confidence of the scores."""
    labels, confidence, summary = run(model, image, **options)
    np.testing.assert_array_equal(labels, TRUE.labels)
    np.testing.assert_allclose(confidence, TRUE.confidence, rtol=3e-4)
    return summary


def refused(model, text, image=IMAGE, **options):
    with pytest.raises(Unusable, match=text):
        run(model, image, **options)


class Pair(NamedTuple):
    """Two outputs by name."""

    aux: Any
    logits: Any


@pytest.mark.parametrize(
    "model",
    [
        lambda b: {"out": network(b), "aux": -network(b)},
        lambda b: {"aux": -network(b), "Logits": network(b), "loss": None},
        lambda b: {"features": b.mean((2, 3)), "masks": network(b)},
        lambda b: SimpleNamespace(logits=network(b), hidden_states=[-network(b)]),
        lambda b: Pair(-network(b), network(b)),
        lambda b: [network(b)],
        lambda b: ([network(b)],),
        lambda b: (network(b), b.mean((1, 2, 3))[:, None]),
        lambda b: (b.mean((2, 3)), network(b)),
        lambda b: [network(b), network(b)[..., ::2, ::2], network(b)[..., ::4, ::4]],
        lambda b: ([network(b), network(b)[..., ::2, ::2]], b.mean((2, 3))),
        lambda b: {"out": [network(b), network(b)[..., ::2, ::2]]},
    ],
)
def test_several_outputs_of_which_one_is_meant(model):
    check(model)


@pytest.mark.parametrize(
    ("model", "output"),
    [
        (lambda b: (-network(b), network(b)), 1),
        (lambda b: (-network(b), network(b)), "1"),
        (lambda b: {"a": -network(b), "b": network(b)}, "b"),
        (lambda b: {"out": -network(b), "logits": network(b)}, "logits"),
        (lambda b: SimpleNamespace(head=network(b)), "head"),
        (lambda b: ([-network(b)], [network(b)]), 1),
    ],
)
def test_the_output_that_is_named(model, output):
    check(model, output=output)


@pytest.mark.parametrize(
    ("model", "text", "options"),
    [
        (lambda b: (-network(b), network(b)), r"returned 2 outputs, .*output= \(--output\)", {}),
        (lambda b: (network(b)[..., ::2, ::2], network(b)), "say which holds the class scores", {}),
        (lambda b: (network(b), b), r"\(1, 4, 16, 16\), \(1, 3, 16, 16\); say which", {}),
        (lambda b: {"a": network(b), "b": network(b)}, "returned a, b; say which", {}),
        (lambda b: {"out": network(b), "logits": b}, "returned out, logits; say which", {}),
        (lambda b: {}, "returned nothing", {}),
        (lambda b: {"masks": network(b), "queries": b[..., 0]}, "returned masks, queries; say", {}),
        (lambda b: (b[..., 0], network(b)), r"\(1, 3, 16\), \(1, 4, 16, 16\); say which", {}),
        (lambda b: {"a": network(b)}, "no output 'c'; it returned a", {"output": "c"}),
        (lambda b: (network(b),), "no output 3; it returned a sequence of 1", {"output": 3}),
        (network, "no output 'c'; it returned one ndarray: leave out output=", {"output": "c"}),
    ],
)
def test_outputs_that_may_each_be_meant(model, text, options):
    refused(model, text, **options)


def test_outputs_of_onnx_files(tmp_path):
    nodes = [conv("logits"), ("Neg", ["logits"], ["aux"], {})]
    both = [("aux", ["N", 4, "H", "W"]), ("logits", ["N", 4, "H", "W"])]
    path = write(tmp_path / "a.onnx", nodes, both)
    check(path)
    labels = run(path, output="aux")[0]
    np.testing.assert_array_equal(labels, (-WANTED).argmax(0))
    np.testing.assert_array_equal(run(path, output=0)[0], labels)
    refused(path, "has no output 'main'; it has aux, logits", output="main")
    nodes = [conv("first"), ("Neg", ["first"], ["second"], {})]
    path = write(tmp_path / "b.onnx", nodes, ["first", "second"])
    refused(path, r"b.onnx: has 2 outputs, first, second; say which .* output= \(--output\)")
    check(path, output="first")
    nodes = [conv("masks"), ("GlobalAveragePool", ["masks"], ["p"], {}),
             ("Flatten", ["p"], ["kinds"], {})]  # fmt: skip
    shapes = [("kinds", ["N", 4]), ("masks", ["N", 4, "H", "W"])]
    check(write(tmp_path / "c.onnx", nodes, shapes))


@pytest.mark.parametrize("keepdims", [0, 1])
def test_labels_in_place_of_scores(tmp_path, keepdims):
    nodes = [conv("u"), ("ArgMax", ["u"], ["scores"], {"axis": 1, "keepdims": keepdims})]
    path = write(tmp_path / "net.onnx", nodes, ["scores"], gives="i8")
    text = "net.onnx: returns int64 of shape .*: labels, not class scores; export it without its "
    refused(path, f"{text}argmax")
    refused(lambda b: network(b).argmax(1), "returns int64 .* labels, not class scores")
    refused(lambda b: network(b).argmax(1, keepdims=True).astype("f4"), "returns one channel")
    refused(lambda b: network(b).argmax(1).astype("f4"), r"say --binary .*; if labels, export")
    refused(lambda b: network(b)[:, :1] > 0, "returns bool .*: labels")


def test_whole_numbers_of_several_classes_are_scores():
    labels = run(lambda b: np.rint(100 * network(b)).astype(np.int32))[0]
    assert (labels == TRUE.labels).mean() > 0.97


def one_channel(batch):
    return network(batch)[:, :1]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("squeezed", [False, True])
@pytest.mark.parametrize("blend", ["logits", "probabilities"])
def test_one_channel_is_two_classes(squeezed, blend):
    z = WANTED[0]

    def seen(make):
        return lambda b: make(one_channel(b))[:, 0] if squeezed else make(one_channel(b))

    options = {"binary": True, "blend": blend}
    for said, make in [(None, lambda v: v), ("probabilities", sigmoid),
                        ("log-probabilities", lambda v: np.log(sigmoid(v)))]:  # fmt: skip
        labels, confidence, _ = run(seen(make), input=said, **options)
        np.testing.assert_array_equal(labels, z > 0)
        np.testing.assert_allclose(confidence, sigmoid(np.abs(z)), rtol=1e-5)


def test_one_channel_is_refused_without_a_word():
    text = r"returns one channel\. If it is the score of the foreground, say --binary \(binary=True"
    refused(one_channel, text)
    text = r"one channel of numbers in \[0, 1\].*sigmoid; give input='probabilities' \(--input prob"
    refused(lambda b: sigmoid(one_channel(b)), text, binary=True)
    text = "returns whole numbers, 0 to 3: labels, no scores; export it without its argmax"
    refused(lambda b: network(b).argmax(1).astype("f4"), text, binary=True)
    refused(network, "returns 4 channels; --binary .* is for one", binary=True)
    labels = run(lambda b: sigmoid(one_channel(b)), binary=True, input="logits")[0]
    assert (labels == 1).all()


def soft(batch):
    return s2d.softmax2d(network(batch), axis=1)


@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize("blend", ["logits", "probabilities"])
def test_probabilities_keep_their_confidence(dtype, blend):
    def model(batch):
        return soft(batch).astype(dtype)

    for said in (None, "probabilities"):
        labels, confidence, summary = run(model, input=said, blend=blend)
        tolerance = 1e-5 if dtype == "f4" else 2e-3
        np.testing.assert_allclose(confidence, TRUE.confidence, rtol=tolerance)
        assert (labels == TRUE.labels).mean() > 0.995
        noted = "add up to 1, as after a softmax: they were taken as" in str(summary.notes)
        assert noted == (said is None)
    check(lambda b: np.log(soft(b)), input="log-probabilities")
    check(lambda b: np.log(soft(b)))
    _, confidence, summary = run(model, input="logits")
    assert confidence.max() < 0.5
    assert not summary.notes


def test_a_sigmoid_for_each_class_is_noted():
    summary = run(lambda b: sigmoid(network(b)))[2]
    assert "do not add up to 1, as after a sigmoid for each class" in summary.notes[0]
    assert not run(lambda b: sigmoid(network(b)), input="logits")[2].notes


def test_probabilities_where_the_middle_is_no_data():
    image = IMAGE.copy()
    image[:, 8:32, 8:42] = -1
    found = run(soft, image, nodata=-1)
    assert "taken as probabilities" in found[2].notes[0]
    kept = ~np.isnan(found[1])
    np.testing.assert_allclose(found[1][kept], TRUE.confidence[kept], rtol=1e-5)


def test_probabilities_of_an_island():
    """The windows that are looked at have no data."""
    image = np.full((3, 200, 200), -1, np.float32)
    image[:, 22:30, 61:69] = IMAGE[:, :8, :8]
    confidence = np.empty((200, 200), np.float32)
    given = {"window": 8, "nodata": -1, "overlap": 0}
    summary = predict(soft, image, confidence, outputs="confidence", **given)
    assert "taken as probabilities" in summary.notes[0]
    np.testing.assert_allclose(confidence[22:30, 61:69], TRUE.confidence[:8, :8], rtol=1e-5)


def test_numbers_that_are_not_what_is_said():
    text = "which are no probabilities; leave out --input"
    refused(network, text, input="probabilities")
    text = "which are no logarithms of probabilities; leave out --input"
    refused(network, text, input="log-probabilities")
    refused(network, "input must be one of logits, probabilities, .* or None", input="softmax")

    text = r"the classes of a pixel sum to \d\.\d+; leave out --input"
    refused(lambda b: sigmoid(network(b)), text, input="probabilities")


@pytest.mark.parametrize("blend", ["logits", "probabilities"])
def test_windows_that_are_sure_of_other_classes(blend):
    """Each rules out what the other says."""
    turn = []

    def model(batch):
        turn.append(1)
        found = np.zeros((len(batch), 2, *batch.shape[2:]), np.float32)
        found[:, len(turn) % 2] = 1
        return found

    labels, confidence, summary = run(model, input="probabilities", blend=blend)
    assert not summary.counts.nan + summary.counts.minus_inf
    assert np.isfinite(confidence).all()
    assert set(labels.flat) == {0, 1}


def last(batch):
    return np.moveaxis(network(np.moveaxis(batch, -1, 1)), 1, -1)


def test_channels_last():
    check(last, layout="channels-last")

    def turned(batch):
        return np.moveaxis(network(batch), 1, -1)

    check(turned, window=(16, 24))  # 16 classes of 24 × 4 cells would be no even ones
    check(turned)  # a longer window decides

    def fixed(batch):
        assert batch.shape[2:] == (16, 16)
        return turned(batch)

    text = r"\(1, 16, 16, 4\) for a window of \(16, 16\): 16 classes first, or 4 last\? .*--layout"
    refused(fixed, text)


def test_cells_of_two_sizes_are_no_channels_last():
    def flat(batch):
        return network(batch.reshape(len(batch), 3, batch.shape[2], -1, 4).mean(4))

    labels = np.empty((40, 48), np.uint8)
    predict(flat, IMAGE[:, :, :48], labels, window=16)  # cells of 1 × 4 pixels
    wanted = network(IMAGE[None, :, :, :48].reshape(1, 3, 40, 12, 4).mean(4))[0]
    found = s2d.segment(wanted, size=(40, 48)).labels
    assert (labels == found).mean() > 0.98


@pytest.mark.parametrize("shape", [("N", "H", "W", 3), (1, 32, 32, 3), ("N", 32, 32, 3)])
def test_channels_last_in_onnx_files(tmp_path, shape):
    turn, back = {"perm": [0, 3, 1, 2]}, {"perm": [0, 2, 3, 1]}
    nodes = [("Transpose", ["image"], ["t"], turn), conv("u", "t"),
             ("Transpose", ["u"], ["scores"], back)]  # fmt: skip
    path = write(tmp_path / "net.onnx", nodes, ["scores"], shape=shape)
    for options in ({}, {"layout": "channels-last"}):
        check(path, window=None, **options)
    path = write(tmp_path / "mixed.onnx", nodes[:2], ["u"], shape=shape)
    check(path, window=32)
    path = write(tmp_path / "free.onnx", nodes, ["scores"], shape=("N", "a", "b", "c"))
    check(path, layout="channels-last")
    check(path, window=(16, 24))
    text = r"It was shown 3 channels, first; .* with --bands \(bands=\), their order with --layout"
    refused(path, text, layout="channels-first")


def test_a_layout_that_may_be_either(tmp_path):
    path = write(tmp_path / "a.onnx", [conv()], ["scores"], shape=("N", 4, "H", 3))
    image = rng.random((5, 40, 50), np.float32)
    refused(path, r"4 channels first, or 3 last\? Say layout= \(--layout", image)


@pytest.mark.parametrize("window", [17, 18, 64])
def test_cells_of_unequal_stride(window):
    def pooled(batch):
        """Cells of 5 pixels, the last one of fewer."""
        n = -(-batch.shape[2] // 5)
        padded = np.pad(network(batch), [(0, 0), (0, 0)] + [(0, 5 * n - batch.shape[2])] * 2)
        return padded.reshape(len(batch), 4, n, 5, n, 5).mean((3, 5))

    text = r"makes \(\d+, \d+\) cells of a window of \(\d+, \d+\) pixels; a window of (\d+)x\d+ "
    with pytest.raises(Unusable, match=text) as caught:
        run(pooled, window=window)
    works = int(re.search(text, str(caught.value))[1])
    assert works % 5 == 0
    run(pooled, window=works)
    text = "choose a window that is a multiple of them, or a network that pads its borders"
    refused(lambda b: network(b)[:, :, 1:-1, 1:-1], text)


def test_windows_that_the_network_does_not_take(tmp_path):
    def deep(batch):
        if any(n % 32 for n in batch.shape[2:]):
            raise RuntimeError("Sizes of tensors must match")
        return network(batch)

    text = r"RuntimeError: Sizes of tensors must match\. Windows of 64x64 pixels work: window="
    refused(deep, text, window=40)
    nodes = [("Reshape", ["image", "half"], ["r"], {}), ("Reshape", ["r", "whole"], ["u"], {}),
             conv("scores", "u")]  # fmt: skip
    half, whole = np.array([1, 3, 16, 64]), np.array([1, 3, 32, 32])
    path = write(tmp_path / "net.onnx", nodes, ["scores"], held={"half": half, "whole": whole})
    with pytest.raises(StreamError) as caught:
        run(path, window=48)
    assert "Windows of 32x32 pixels work: window=(32, 32) (--window 32x32)." in str(caught.value)
    assert "[ONNXRuntimeError]" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_window_of_the_file(tmp_path):
    path = write(tmp_path / "net.onnx", [conv()], ["scores"], shape=(1, 3, 32, 24))
    check(path, window=None)
    check(path, window=(32, 24))
    refused(path, r"takes windows of 32x24 only; give window=\(32, 24\)", window=32)
    path = write(tmp_path / "half.onnx", [conv()], ["scores"], shape=("N", 3, 32, "W"))
    check(path, window=None)
    refused(path, "takes windows of 32x16 only", window=16)


@pytest.mark.parametrize("takes", ["f2", "f8", "u1", "i4", "i8", "i2", "u2"])
def test_inputs_of_other_types(tmp_path, takes):
    nodes = [("Cast", ["image"], ["f"], {"to": 1}), ("Mul", ["f", "s"], ["g"], {}),
             conv("scores", "g")]  # fmt: skip
    whole = np.dtype(takes).kind in "iu"
    factor = np.float32(1 / 255 if whole else 1)
    path = write(tmp_path / "net.onnx", nodes, ["scores"], takes=takes, held={"s": factor})
    image = (IMAGE * 255).astype(np.uint8)
    wanted = scores_of(image / 255)
    labels, confidence, _ = run(path, image)
    tolerance = 2e-2 if takes == "f2" else 1e-4
    np.testing.assert_allclose(confidence, s2d.segment(wanted).confidence, rtol=tolerance)
    assert (labels == wanted.argmax(0)).mean() > 0.99
    if whole:
        text = rf"holds float32, and the network takes {np.dtype(takes)}; say .* --scale"
        refused(path, text, IMAGE)
        labels = run(path, IMAGE, scale=255)[0]
        assert (labels == wanted.argmax(0)).mean() > 0.97
        refused(path, r"an image as it is; leave out --mean and --std", image, mean=0.5)
    if takes == "u1":
        text = r"takes uint8; the image's numbers go from .* to 25\d\d"
        refused(path, text, image, scale=10)


def test_inputs_that_are_no_images(tmp_path):
    nodes = [("Unsqueeze", ["image", "x"], ["u"], {}), conv("scores", "u")]
    path = write(tmp_path / "a.onnx", nodes, ["scores"], shape=(3, "H", "W"), held={"x": [0]})
    with pytest.raises(Refused, match=r"takes 3 axes, \(3, \?, \?\); an image of 2 spatial"):
        run(path)
    path = write(tmp_path / "b.onnx", [conv()], ["scores"])
    volume = rng.random((3, 20, 20, 20), np.float32)
    text = r"takes 4 axes, \(\?, 3, \?, \?\); an image of 3 spatial axes needs 5, \(N, channels, D"
    with pytest.raises(Refused, match=text):
        predict(path, volume, np.empty((20, 20, 20), np.uint8), window=8)


def test_an_axis_that_the_network_decides(tmp_path):
    labels = np.empty((40, 50), np.uint8)
    for shape in (("N", 3, "H", "W"), (1, 3, 32, 32)):
        path = write(tmp_path / "a.onnx", [conv()], ["scores"], shape=shape)
        predict(path, np.moveaxis(IMAGE, 0, -1), labels)
        np.testing.assert_array_equal(labels, TRUE.labels)
    with pytest.raises(Refused, match="may have its channels first or last"):
        predict(path, np.moveaxis(IMAGE, 0, -1)[..., :1], labels)


def test_volumes_without_channels(tmp_path):
    held = {"w": WEIGHT[:, :1, None, None, None]}
    path = write(tmp_path / "a.onnx", [conv()], ["scores"], shape=("N", 1, "D", "H", "W"),
                 held=held)  # fmt: skip
    volume, labels = rng.random((12, 20, 17), np.float32), np.empty((12, 20, 17), np.uint8)
    predict(path, volume, labels, window=8)
    wanted = WEIGHT[:, 0, None, None, None] * volume + OFFSET[:, None, None, None]
    np.testing.assert_array_equal(labels, wanted.argmax(0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_without_scores_are_said(value):
    image = IMAGE.copy()
    image[0, 5:9, 7] = 5

    def model(batch):
        found = network(batch)
        found[np.broadcast_to(batch[:, :1] == 5, found.shape)] = value
        return found

    _, confidence, summary = run(model, image)
    assert np.isnan(confidence).sum() == summary.counts.nan + summary.counts.minus_inf == 4
    assert "gave 4 of 2000 pixels no probabilities (NaN, +inf or only -inf)" in summary.notes[0]


def test_the_command_line_says_nan(tmp_path, capsys):
    nodes = [conv("u"), ("Sqrt", ["u"], ["scores"], {})]
    path = write(tmp_path / "net.onnx", nodes, ["scores"])
    np.save(tmp_path / "in.npy", IMAGE)
    args = ["predict", path, tmp_path / "in.npy", "-o", tmp_path / "o.npy", "--window", "16"]
    with pytest.raises(SystemExit) as stop:
        app.main([str(a) for a in args])
    assert stop.value.code == 0
    said = capsys.readouterr()
    without = np.isnan(np.load(tmp_path / "o.confidence.npy")).sum()
    assert f"softmax2d: the network gave {without} of 2000 pixels no probabilities" in said.err
    assert f"{without} pixels without probabilities" in said.out


@pytest.mark.parametrize("name", ["logits", "probs"])
@pytest.mark.parametrize("stride", [1, 4])
def test_scores_as_results(tmp_path, name, stride):
    def coarse(batch):
        n, c, h, w = batch.shape
        cells = batch.reshape(n, c, h // stride, stride, w // stride, stride).mean((3, 5))
        return network(cells)

    image = IMAGE[:, :, :48]
    wanted = s2d.segment(network(image.reshape(1, 3, 40, 48))[0]) if stride == 1 else None
    outputs = ("labels", "confidence", name)
    summary = predict(coarse, image, tmp_path / "o.npy", outputs=outputs, window=16)
    held = np.load(tmp_path / f"o.{name}.npy")
    assert held.shape == (4, 40, 48)
    assert held.dtype == np.float32 == np.dtype(summary.dtypes[name])
    labels, confidence = np.load(tmp_path / "o.npy"), np.load(tmp_path / "o.confidence.npy")
    soft = s2d.softmax2d(held, axis=0) if name == "logits" else held
    np.testing.assert_allclose(soft.max(0), confidence, rtol=2e-6)
    sure = confidence > 0.3
    np.testing.assert_array_equal(soft.argmax(0)[sure], labels[sure])
    if wanted is not None:
        np.testing.assert_array_equal(labels, wanted.labels)
    predict(coarse, image, tmp_path / "half.npy", outputs=name, window=16, encoding="float16")
    np.testing.assert_allclose(np.load(tmp_path / "half.npy"), held, rtol=1e-3, atol=1e-3)


def test_scores_as_files(tmp_path, capsys):
    path = write(tmp_path / "net.onnx", [conv()], ["scores"])
    np.save(tmp_path / "in.npy", IMAGE)

    def command(*args):
        given = ["predict", path, tmp_path / "in.npy", "--window", "16", *args]
        with pytest.raises(SystemExit) as stop:
            app.main([str(a) for a in given])
        return stop.value.code, capsys.readouterr().err

    assert command("-o", tmp_path / "z.npy", "--outputs", "logits") == (0, "")
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), WANTED, rtol=1e-4, atol=1e-4)
    assert command("-o", tmp_path / "o.png", "--outputs", "labels,probs", "--as", "8bit")[0] == 0
    assert (tmp_path / "o.probs.tif").exists()
    code, err = command("-o", tmp_path / "y.npy", "--outputs", "logits", "--as", "8bit")
    assert code == 2
    assert "not in 8 bits" in err
    code, err = command("-o", tmp_path / "y.npy", "--output", "aux")
    assert (code, "has no output 'aux'; it has scores" in err) == (2, True)


@pytest.mark.parametrize("suffix", ["zarr", "h5", "npy", "safetensors"])
@pytest.mark.parametrize("name", ["logits", "probs"])
def test_scores_go_on_to_segment(tmp_path, name, suffix):
    made, labels = tmp_path / f"o.{suffix}", np.empty((40, 50), np.uint8)
    predict(network, IMAGE, made, outputs=name, window=16)
    said = {"input": "probabilities"} if name == "probs" and suffix == "npy" else {}
    segment_file(made, labels, **said)
    np.testing.assert_array_equal(labels, TRUE.labels)


def test_a_changed_reading_is_another_run(tmp_path):
    np.save(tmp_path / "in.npy", IMAGE)
    out = tmp_path / "o.npy"

    class Stop(Exception):  # noqa: N818 - no error
        pass

    def stop(*progress):
        raise Stop

    given = {"window": 16, "outputs": ("labels", "logits")}
    with pytest.raises(Stop):
        predict(network, tmp_path / "in.npy", out, progress=stop, **given)
    for changed, text in (
        ({"mean": 0.5}, "mean"), ({"std": 2}, "std"), ({"scale": 2}, "scale"),
        ({"bands": (3, 2, 1)}, "bands"), ({"input": "logits"}, "input"),
        ({"layout": "channels-first"}, "layout"), ({"window": 8}, "window"),
    ):  # fmt: skip
        with pytest.raises(Refused, match=f"parameter {text} was"):
            predict(network, tmp_path / "in.npy", out, resume=True, **given | changed)
    summary = predict(network, tmp_path / "in.npy", out, resume=True, **given)
    assert summary.tiles_resumed == 1
    np.testing.assert_allclose(np.load(tmp_path / "o.logits.npy"), WANTED, rtol=1e-4, atol=1e-4)


def test_words_of_a_failing_network_are_whole():
    seen = []

    def model(batch):
        seen.append(1)
        if len(seen) > 4:
            raise RuntimeError("long " * 60 + "END")
        return network(batch)

    with pytest.raises(Failed, match=r"END\."):
        run(model)
