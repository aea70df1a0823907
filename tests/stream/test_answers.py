"""Answers of networks that could be taken for something else, and inputs that they cannot take."""

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.stream import Refused, Unusable, predict
from tests.stream.networks import OFFSET, WEIGHT, conv, describe, scores_of, write

rng = np.random.default_rng(8)
IMAGE = rng.random((3, 20, 30), np.float32)


def network(batch):
    """The scores of a batch."""
    return np.einsum("kc,nchw->nkhw", WEIGHT, batch) + OFFSET[None, :, None, None]


def notes_of(model, image=IMAGE, **options):
    """The notes of a run whose labels are those of the scores."""
    labels = np.empty((20, 30), np.uint8)
    found = predict(model, image, labels, window=16, outputs="labels", **options)
    np.testing.assert_array_equal(labels, s2d.segment(scores_of(IMAGE)).labels)
    return found.notes


def refused(model, text, image=IMAGE, kind=Unusable, **options):
    with pytest.raises(kind, match=text):
        predict(model, image, np.empty((20, 30), np.uint8), window=16, **options)


@pytest.mark.parametrize("top", [100, 255])
def test_shares_of_another_whole(top):
    """Percent and bytes are noted: their softmax would be no confidence."""
    (note,) = notes_of(lambda b: top * s2d.softmax2d(network(b), axis=1))
    text = f"the model returns rows that add up to {top}, as shares of {top} do: they were taken as"
    assert note.startswith(text)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_one_class_a_pixel(dtype):
    """Labels as 0 and 1 of each class are noted as what they are."""

    def labels(batch):
        found = network(batch)
        return (found == found.max(1, keepdims=True)).astype(dtype)

    (note,) = notes_of(labels)
    assert note.startswith("the model returns 1 for one class of a pixel and 0 for the others")


def test_an_answer_without_its_windows():
    """The axis of windows is named where it is missing; a missing class axis is another case."""
    refused(lambda b: network(b)[0], r"got shape \(4, 16, 16\). Export it with its axis of windows")
    refused(lambda b: network(b)[:, 0], "say --binary")
    refused(lambda b: network(b).reshape(1, 4, -1), r"got shape \(1, 4, 256\)\.$")


def test_layers_in_training_mode():
    """A layer of chance, or of the batch, in training mode inside of a model in evaluation mode."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    for layer, cause in (
        (nn.BatchNorm2d(2), r"layer 1 \(BatchNorm2d\) is in training mode, .* other windows; call"),
        (nn.Dropout(0.5), r"layer 1 \(Dropout\) is in training mode, .* depend on chance; call"),
    ):
        model = nn.Sequential(nn.Conv2d(3, 2, 1), layer).eval()
        layer.train()
        refused(model, cause)
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Dropout(0.0)).eval()
    model[0].train()
    model[1].train()
    predict(model, IMAGE, np.empty((20, 30), np.uint8), window=16)  # depends on nothing


def test_a_factor_that_integers_lose(tmp_path):
    """A network of bytes and a factor that leaves 0 and 1 of them."""
    nodes = [("Cast", ["image"], ["f"], {"to": 1}), conv(given="f")]
    path = write(tmp_path / "a.onnx", nodes, ["scores"], takes="u1")
    image = rng.integers(0, 256, (3, 20, 30), np.uint8)
    refused(path, r"takes uint8; with --scale \(scale=\) .* go up to 1, and would", image,
            scale="1/255")  # fmt: skip


def test_channels_at_both_ends():
    """Three rows or three columns: neither is likelier."""
    image = rng.random((3, 20, 3), np.float32)
    refused(network, "may have its channels first or last: shape", image, kind=Refused)


def test_a_classifier_of_images(tmp_path):
    """One cell for a window of any size; cells as large as the window are another case."""
    text = "returns one score a class for a window of 16 × 16 pixels, as a classifier of images"
    refused(lambda b: network(b).mean((2, 3), keepdims=True), text)
    nodes = [conv("found"), ("GlobalAveragePool", ["found"], ["scores"], {})]
    fixed = write(tmp_path / "a.onnx", nodes, ["scores"], shape=(1, 3, 16, 16))
    refused(fixed, text)
    image, labels = rng.random((3, 32, 48), np.float32), np.empty((32, 48), np.uint8)
    coarse = lambda b: network(b)[:, :, 8::16, 8::16]  # noqa: E731
    predict(coarse, image, labels, window=16)


def test_a_mean_for_other_channels(tmp_path):
    """The file's mean does not fit what the network sees: that is said of the file."""
    path = write(tmp_path / "a.onnx", [conv()], ["scores"])
    describe(path, standardization_mean="[0.5, 0.4]", standardization_std="[0.2, 0.2]")
    refused(path, r"a.onnx: states 0.5,0.4 as its mean and 0.2,0.2 as its deviation, and sees 3 ")
    notes_of(path, mean=0, std=1)


def test_images_of_other_axes(tmp_path):
    """The way on for a volume before a network of images, and for an axis of length 1."""
    path = write(tmp_path / "a.onnx", [conv()], ["scores"], shape=(1, 3, 16, 16))
    volume = rng.random((3, 4, 20, 30), np.float32)
    text = "takes 4 axes, .* 5, .*D, H, W.* Give its planes one by one, or a network of volumes"
    refused(path, text, volume, kind=Refused)
    text = r"Its shape is \(3, 1, 20, 30\): save it without its axis of length 1\."
    refused(path, text, volume[:, :1], kind=Refused)
