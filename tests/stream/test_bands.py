"""What of an image a network sees: bands, numbers, pixels that are no data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from softmax2d.cli import app
from softmax2d.stream import Refused, Unusable, predict
from softmax2d.stream.sliding.metadata import read_metadata
from tests.stream.networks import OFFSET, WEIGHT, conv, describe, scores_of, write

rng = np.random.default_rng(3)
RGB = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
WANTED = scores_of(np.moveaxis(RGB, -1, 0) / 255)


def network(batch):
    """The scores of a batch of three channels."""
    return np.einsum("kc,nchw->nkhw", WEIGHT, batch) + OFFSET[None, :, None, None]


@pytest.fixture
def net(tmp_path):
    return write(tmp_path / "net.onnx", [conv()], ["scores"])


def run(model, image, size=(40, 50), **options):
    labels = np.full(size, 99, np.uint8)
    summary = predict(model, image, labels, **{"window": 16, **options})
    return labels, summary


def check(model, image, wanted=WANTED, **options):
    labels, summary = run(model, image, **options)
    np.testing.assert_array_equal(labels, wanted.argmax(0))
    return summary


def command(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        app.main([str(a) for a in ("predict", *args)])
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


def geotiff(path, bands, colours=None, **profile):
    rasterio = pytest.importorskip("rasterio")
    count, height, width = bands.shape
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)}
    given = {"driver": "GTiff", "height": height, "width": width, "count": count}
    with rasterio.open(path, "w", dtype=bands.dtype.name, **given, **place, **profile) as file:
        file.write(bands)
        if colours is not None:
            file.write_colormap(1, {i: (*map(int, c), 255) for i, c in enumerate(colours)})
    return path


def test_bands_in_the_order_of_the_network(tmp_path, net, capsys):
    stack = rng.integers(0, 256, (7, 40, 50), dtype=np.uint8)
    stack[[5, 0, 3]] = np.moveaxis(RGB, -1, 0)
    path = geotiff(tmp_path / "in.tif", stack)
    check(net, path, bands=(6, 1, 4))
    check(network, path, bands=[6, 1, 4])
    check(network, stack, bands=np.array([6, 1, 4]), axis=0)
    text = r"net.onnx takes 3 channels, the image has 7\. Name 3 of them, counted from 1, as in "
    with pytest.raises(Refused, match=text + r"--bands 1,2,3 \(bands=\)"):
        run(net, path)
    out = tmp_path / "o.png"
    how = (net, path, "-o", out, "--outputs", "labels", "--window", 16, "--overwrite")
    assert command(capsys, *how, "--bands", "6,1,4")[::2] == (0, "")
    np.testing.assert_array_equal(np.asarray(Image.open(out)), WANTED.argmax(0))
    code, _, err = command(capsys, *how, "--bands", "a,b")
    assert (code, "expected whole numbers with commas" in err) == (2, True)


@pytest.mark.parametrize(
    ("bands", "text"),
    [
        ((0, 1, 2), "has 3 bands, counted from 1; .* names 0, 1, 2"),
        ((1, 2, 4), "names 1, 2, 4"),
        ((1, 2), r"net.onnx takes 3 channels; bands= \(--bands\) names 2 bands"),
        (1, "names 1 band"),
        ("123", "bands must be whole numbers, 1 for the first band"),
        ((), "bands must be whole numbers"),
        ((1.0, 2, 3), "bands must be whole numbers"),
        ((True, 2, 3), "bands must be whole numbers"),
    ],
)
def test_bands_that_are_none(net, bands, text):
    with pytest.raises(Unusable, match=text):
        run(net, RGB, axis=-1, bands=bands)


def test_grey_is_shown_to_each_channel_on_request(tmp_path, net):
    path = tmp_path / "grey.png"
    Image.fromarray(RGB[..., 0]).save(path)
    text = r"net.onnx takes 3 channels, the image has 1\. Show its one band to each with --bands "
    with pytest.raises(Refused, match=text + "1,1,1"):
        run(net, path)
    grey = np.repeat(RGB[None, ..., 0] / 255, 3, 0)
    for model in (net, network):
        check(model, path, scores_of(grey), bands=(1, 1, 1))
    Image.fromarray(RGB[..., :2], "LA").save(tmp_path / "la.png")
    text = r"the image has 2 \(its last is alpha\)\. Show its one band"
    with pytest.raises(Refused, match=text):
        run(net, tmp_path / "la.png")


def opaque(suffix, tmp_path, alpha):
    """An image of four bands whose last one the file says is alpha."""
    held, path = np.dstack([RGB, alpha]), tmp_path / f"in{suffix}"
    if suffix == ".geo.tif":
        return geotiff(path, np.moveaxis(held, -1, 0), photometric="RGB", alpha="YES")
    if suffix == ".tif":
        tifffile = pytest.importorskip("tifffile")
        tifffile.imwrite(path, held, photometric="rgb", extrasamples=["unassalpha"])
    elif suffix == ".lzw.tif":
        Image.fromarray(held).save(path, compression="tiff_lzw")
    else:
        Image.fromarray(held).save(path, lossless=True, exact=True)
    return path


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".lzw.tif", ".geo.tif"])
def test_alpha_is_left_out(tmp_path, net, suffix):
    alpha = np.full((40, 50), 255, np.uint8)
    alpha[5:20, 30:] = 0
    alpha[30] = 1
    path = opaque(suffix, tmp_path, alpha)
    for model in (net, network):
        labels, summary = run(model, path)
        gone = alpha == 0
        assert summary.counts.ignored == gone.sum()
        assert (labels[gone] == 255).all()
        np.testing.assert_array_equal(labels[~gone], WANTED.argmax(0)[~gone])

    def four(batch):
        assert batch.shape[1] == 4
        return network(batch[:, :3])

    check(four, path)  # a network of four channels sees it
    twice = scores_of(np.moveaxis(RGB[..., [0, 1, 1]], -1, 0) / 255)
    labels = run(net, path, bands=(1, 2, 2))[0]
    np.testing.assert_array_equal(labels[~gone], twice.argmax(0)[~gone])
    check(net, opaque(suffix, tmp_path, np.full((40, 50), 255, np.uint8)))


def test_four_bands_without_alpha_are_refused(tmp_path, net):
    stack = np.concatenate([np.moveaxis(RGB, -1, 0)] * 2)[:4]
    path = geotiff(tmp_path / "in.tif", stack, photometric="MINISBLACK")
    with pytest.raises(Refused, match=r"takes 3 channels, the image has 4\. Name 3 of them"):
        run(net, path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".lzw.tif", ".geo.tif"])
def test_palettes_are_seen_as_colours(tmp_path, net, suffix):
    picture = Image.fromarray(RGB).quantize(60)
    path = tmp_path / f"in{suffix}"
    if suffix == ".geo.tif":
        colours = np.array(picture.getpalette("RGB")).reshape(-1, 3)
        geotiff(path, np.asarray(picture)[None], colours)
    else:
        how = {"compression": "tiff_lzw"} if suffix == ".lzw.tif" else {}
        picture.save(path, **how)
    seen = scores_of(np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0) / 255)
    for model in (net, network):
        assert not check(model, path, seen).counts.ignored
    text = r"takes 1 channel, the image has 3 \(the colours of its palette\)"
    one = write(tmp_path / "one.onnx", [conv()], ["scores"], shape=("N", 1, "H", "W"))
    with pytest.raises(Refused, match=text):
        run(one, path)


def test_transparent_colours_are_no_data(tmp_path, net):
    picture = Image.fromarray(RGB).quantize(60)
    picture.save(tmp_path / "in.png", transparency=5)
    labels, summary = run(net, tmp_path / "in.png")
    gone = np.asarray(picture) == 5
    assert summary.counts.ignored == gone.sum() > 0
    assert (labels[gone] == 255).all()


@pytest.mark.parametrize("dtype", ["u2", "i2", "i4"])
def test_integers_that_no_file_explains(tmp_path, net, dtype, capsys):
    image = np.moveaxis(RGB, -1, 0).astype(dtype) * 40
    path = geotiff(tmp_path / "in.tif", image)
    labels, summary = run(net, path)
    np.testing.assert_array_equal(labels, scores_of(image.astype(float)).argmax(0))
    said = rf"the image's {image.dtype} numbers, up to {image.max()} where it was looked at, went "
    assert summary.notes[0].startswith(said + "to the network as they are")
    assert "Scale them with --scale (scale=), as in --scale 1/10000." in summary.notes[0]
    for scale in (1 / 10200, "1/10200", ["1/10200"] * 3):
        assert not check(net, path, scale=scale).notes
    args = (net, path, "-o", tmp_path / "o.png", "--outputs", "labels", "--window", 16)
    assert command(capsys, *args, "--scale", "1/10200")[::2] == (0, "")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "o.png")), WANTED.argmax(0))
    code, _, err = command(capsys, *args, "--overwrite", "--quiet")
    assert code == 0
    assert err.startswith("softmax2d: the image's ")


def test_bytes_that_are_stored_as_floats(net):
    image = np.moveaxis(RGB, -1, 0).astype(np.float32)
    summary = run(net, image)[1]
    assert "float32 numbers are whole, up to 255, and went to the network as" in summary.notes[0]
    assert not check(net, image, scale=1 / 255).notes
    assert not check(net, image / 255).notes


def test_a_full_range_of_16_bits(net):
    image = np.moveaxis(RGB, -1, 0).astype(np.uint16) * 257
    summary = check(net, image)
    assert "uint16 numbers reach 65535: they were divided by 65535" in summary.notes[0]


def test_factors_of_the_file(tmp_path, net):
    rasterio = pytest.importorskip("rasterio")
    image = np.moveaxis(RGB, -1, 0).astype(np.int16) * 40
    path = geotiff(tmp_path / "in.tif", image)
    with rasterio.open(path, "r+") as file:
        file.scales = (1 / 10200,) * 3
    assert not check(net, path).notes
    twelve = np.moveaxis(RGB, -1, 0).astype(np.uint16) * 16
    path = geotiff(tmp_path / "n.tif", twelve, nbits=12)
    summary = check(net, path, scores_of(twelve / 4095))
    assert "has 12 bits: its numbers were divided by 4095" in summary.notes[0]


def test_mean_and_deviation(net, tmp_path, capsys):
    mean, std = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.3, 0.1])
    unit = np.moveaxis(RGB, -1, 0) / 255
    wanted = scores_of((unit - mean[:, None, None]) / std[:, None, None])
    for model in (net, network):
        check(model, RGB, wanted, axis=-1, mean=mean, std=std.tolist())
    check(net, RGB, scores_of((unit - 0.5) / 0.25), axis=-1, mean=0.5, std=0.25)
    moved = (unit * 510 - 255 * mean[:, None, None]) / 2
    check(net, RGB, scores_of(moved), axis=-1, scale=2, mean=255 * mean, std=2)
    Image.fromarray(RGB).save(tmp_path / "in.png")
    args = (net, tmp_path / "in.png", "-o", tmp_path / "o.png", "--outputs", "labels")
    given = ("--mean", "0.4,0.5,0.6", "--std", "0.2,0.3,0.1")
    assert command(capsys, *args, *given)[::2] == (0, "")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "o.png")), wanted.argmax(0))


def test_a_mean_of_other_numbers(net):
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    text = r"go up to 123.675, and the image's numbers are brought to 0…1, by a factor of 1/255; "
    with pytest.raises(Unusable, match=text + r"say --scale 1 \(scale=1\)"):
        run(net, RGB, axis=-1, mean=mean, std=std)
    plain = np.moveaxis(RGB, -1, 0).astype(float)
    wanted = scores_of((plain - mean[:, None, None]) / std[:, None, None])
    check(net, RGB, wanted, axis=-1, mean=mean, std=std, scale=1)
    wide = np.moveaxis(RGB, -1, 0).astype(np.int16)
    assert not check(net, wide, wanted, mean=mean, std=std).notes  # which say what they are


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mean": (1, 2)}, "mean must be one finite number, or one for each of 3 channels"),
        ({"std": 0}, "std must be positive; got 0"),
        ({"std": -1.0}, "std must be positive"),
        ({"mean": "x"}, "mean must be a number, or one a channel; got 'x'"),
        ({"mean": np.nan}, "mean must be one finite number"),
        ({"scale": "1/0"}, "scale must be a number"),
        ({"scale": "big"}, "scale must be a number"),
        ({"scale": 0}, "scale must be other than 0"),
        ({"scale": [1, 2]}, "scale must be one finite number, or one for each of 3"),
    ],
)
def test_refused_numbers(options, text):
    with pytest.raises(Unusable, match=text):
        run(network, RGB, axis=-1, **options)


def test_what_deepness_writes(net, tmp_path, capsys):
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.1]
    names = {0: "field", 1: "road", 2: "water", 3: "roof"}
    texts = {"class_names": json.dumps(names), "tile_size": "24", "model_type": '"Segmentor"'}
    texts |= {"standardization_mean": json.dumps(mean), "standardization_std": json.dumps(std)}
    describe(net, **texts)
    unit = np.moveaxis(RGB, -1, 0) / 255
    wanted = scores_of((unit - np.array(mean)[:, None, None]) / np.array(std)[:, None, None])
    summary = check(net, RGB, wanted, axis=-1, window=None)
    said = f"mean 0.4,0.5,0.6 and std 0.2,0.3,0.1 are those that {net} states."
    assert summary.notes == [said]
    check(net, RGB, axis=-1, mean=0, std=1)  # what is asked comes first
    Image.fromarray(RGB).save(tmp_path / "in.png")
    code, out, _ = command(capsys, net, tmp_path / "in.png", "-o", tmp_path / "o.tif")
    assert code == 0
    assert "water" in out
    code, out, _ = command(capsys, net, tmp_path / "in.png", "-o", tmp_path / "p.tif",
                           "--classes", "a,b,c,d")  # fmt: skip
    assert "water" not in out
    describe(net, model_type='"Detector"')
    with pytest.raises(Unusable, match="its metadata name the task 'Detector'.*--output"):
        run(net, RGB, axis=-1)


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        ({"names": "{0: 'a', 1: 'b'}"}, ("a", "b")),
        ({"class_names": '{"1": "b", "0": "a"}'}, ("a", "b")),
        ({"class_names": '[{"0": "a", "1": "b"}]'}, ("a", "b")),
        ({"class_names": '["a", "b"]', "names": "{0: 'x'}"}, ("a", "b")),
        ({"class_names": '{"0": "a", "2": "b"}'}, None),
        ({"class_names": "a, b"}, None),
        ({"class_names": "{"}, None),
        ({"class_names": "[1, 2]"}, None),
        ({"class_names": '["a\\nb", "c"]'}, None),
        ({}, None),
    ],
)
def test_names_in_metadata(texts, names):
    assert read_metadata(texts).names == names


def test_metadata_that_say_nothing():
    texts = {"standardization_mean": "[1e999]", "standardization_std": "[0, 1]", "imgsz": "[-1]",
             "tile_size": "9" * 400, "task": "semantic", "names": "(" * 9999}  # fmt: skip
    assert read_metadata(texts) == read_metadata({})
    assert read_metadata({"imgsz": "[640, 320]"}).window == (640, 320)
    assert read_metadata({"tile_size": "512"}).window == (512, 512)


def test_metadata_of_other_counts_are_left_out(net, tmp_path, capsys):
    describe(net, names="{0: 'a', 1: 'b'}")
    Image.fromarray(RGB).save(tmp_path / "in.png")
    assert command(capsys, net, tmp_path / "in.png", "-o", tmp_path / "o.png")[::2] == (0, "")


def test_nodata_of_the_bands_that_are_seen(net):
    stack = np.concatenate([np.moveaxis(RGB, -1, 0), np.zeros((1, 40, 50), np.uint8)])
    stack[:3] = np.maximum(stack[:3], 1)
    stack[:3, 4:9, 6:20] = 0
    stack[3, 4:9] = 7
    labels, summary = run(net, stack, bands=(1, 2, 3), nodata=0)
    assert summary.counts.ignored == 5 * 14
    assert (labels[4:9, 6:20] == 255).all()
