"""Pictures are read upright, as viewers show them: EXIF's Orientation and TIFF's tag 274."""

import struct
import warnings
import zlib

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image, ImageOps

import softmax2d as s2d
from softmax2d import balance
from softmax2d.stream import Refused, evaluate_files, predict, segment_file
from softmax2d.stream.plan.inputs import open_any

rng = np.random.default_rng(3)
SEEN = rng.integers(0, 4, (18, 31)).astype(np.uint8)
COLOURS = np.kron(rng.integers(0, 255, (3, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
# How a program stores what is seen: the inverse of what the tag's value asks of a viewer.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}
EACH = pytest.mark.parametrize("value", sorted(STORED))


def exif_of(value):
    exif = Image.Exif()
    exif[274] = value
    return exif


def save_picture(path, seen, value):
    stored = Image.fromarray(np.ascontiguousarray(STORED[value](seen)))
    stored.save(path, exif=exif_of(value), **({"lossless": True} if path.suffix == ".webp" else {}))
    with Image.open(path) as file:
        shown = np.asarray(ImageOps.exif_transpose(file))
    assert shown.shape[:2] == seen.shape[:2]  # the test's own turning is that of a viewer
    return shown


def save_tiff(path, seen, value, **how):
    stored = np.ascontiguousarray(STORED[value](seen))
    tifffile.imwrite(path, stored, extratags=[(274, "H", 1, value, True)], **how)


def size_like(path):
    """The size of labels that are made like a file."""
    z, out = np.zeros((2, 3, 4), np.float32), path.with_name("out.npy")
    segment_file(z, out, axis=-3, like=path, overwrite=True)
    return np.load(out).shape


@EACH
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_pictures_are_upright(tmp_path, name, value):
    path = tmp_path / name
    shown = save_picture(path, COLOURS, value)
    with open_any(path) as source:
        assert (source[:] == shown).all()
        assert (source[5:20, 7:40] == shown[5:20, 7:40]).all()
    assert np.abs(shown.astype(int) - COLOURS).mean() < (8 if name == "a.jpg" else 1e-9)
    assert size_like(path) == COLOURS.shape[:2]


@EACH
@pytest.mark.parametrize(
    "how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 5}]
)
def test_labels_in_tiff_are_upright(tmp_path, value, how):
    path = tmp_path / "t.tif"
    save_tiff(path, SEEN, value, photometric="minisblack", **how)
    z = rng.normal(size=(4, *SEEN.shape)).astype(np.float32)
    assert evaluate_files(z, path) == s2d.evaluate(z, SEEN)
    assert balance.class_counts(path).pixels.tolist() == np.bincount(SEEN.ravel()).tolist()
    assert size_like(path) == SEEN.shape


@EACH
@pytest.mark.parametrize("name", ["t.png", "t.webp"])
def test_labels_in_pictures(tmp_path, value, name):
    z = rng.normal(size=(4, *SEEN.shape)).astype(np.float32)
    save_picture(tmp_path / name, SEEN, value)
    if name == "t.webp":  # which stores three colours
        with pytest.raises(Refused, match="is a colour picture"):
            evaluate_files(z, tmp_path / name)
    else:
        assert evaluate_files(z, tmp_path / name) == s2d.evaluate(z, SEEN)


@EACH
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_stacks_of_scores_are_upright(tmp_path, value, compression):
    z = rng.normal(size=(5, 18, 31)).astype(np.float32)
    stored = np.ascontiguousarray(np.stack([STORED[value](page) for page in z]))
    tifffile.imwrite(
        tmp_path / "z.tif", stored, photometric="minisblack", compression=compression,
        extratags=[(274, "H", 1, value, True)], metadata={"axes": "CYX"},
    )  # fmt: skip
    found = segment_file(tmp_path / "z.tif", tmp_path / "l.tif", axis=0, memory="20MB")
    assert found.shape == (18, 31)
    assert (tifffile.imread(tmp_path / "l.tif") == z.argmax(0)).all()
    with tifffile.TiffFile(tmp_path / "l.tif") as file:
        assert file.pages[0].tags.get(274) is None


def darkest(batch):
    return np.concatenate([batch[:, :1], 0.5 - batch[:, :1]], axis=1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_predictions_lie_as_the_picture_is_seen(tmp_path, name):
    made = {}
    for value in STORED:
        save = save_picture if name == "a.png" else save_tiff
        save(tmp_path / name, COLOURS, value)
        found = np.empty(COLOURS.shape[:2], np.uint8)
        predict(darkest, tmp_path / name, found, window=16)
        made[value] = found
    assert all((found == made[1]).all() for found in made.values())


@pytest.mark.parametrize("value", [0, 9, 700])
def test_unknown_values_turn_nothing(tmp_path, value):
    tifffile.imwrite(tmp_path / "t.tif", SEEN, extratags=[(274, "H", 1, value, True)])
    Image.fromarray(SEEN).save(tmp_path / "t.png", exif=exif_of(value))
    for name in ("t.tif", "t.png"):
        with open_any(tmp_path / name) as source:
            assert (source[:] == SEEN).all()


@pytest.mark.parametrize(
    "data", [b"", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"no exif at all"]
)
def test_damaged_exif_turns_nothing(tmp_path, data):
    Image.fromarray(COLOURS).save(tmp_path / "t.jpg", exif=data)
    with open_any(tmp_path / "t.jpg") as source:
        assert source.shape == COLOURS.shape


def test_exif_behind_the_pixels_of_a_png(tmp_path):
    path = tmp_path / "t.png"
    Image.fromarray(np.ascontiguousarray(STORED[6](SEEN))).save(path)
    data, exif = path.read_bytes(), exif_of(6).tobytes()[6:]
    chunk = b"eXIf" + exif
    chunk = struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data[:-12] + chunk + data[-12:])
    with open_any(path) as source:
        assert (source[:] == SEEN).all()
    assert size_like(path) == SEEN.shape


def test_a_raster_with_a_place_is_as_gdal_shows_it(tmp_path):
    path, where = (
        tmp_path / "t.tif",
        {"driver": "GTiff", "transform": rasterio.Affine.scale(10, -10)},
    )
    with rasterio.open(path, "w", dtype="uint8", height=18, width=31, count=1, **where) as file:
        file.write(SEEN, 1)
    with tifffile.TiffFile(path) as file:
        assert 274 not in file.pages[0].tags
        keys = [
            (t.code, t.dtype, t.count, t.value, True) for t in file.pages[0].tags if t.code > 33000
        ]
    tifffile.imwrite(path, SEEN, extratags=[*keys, (274, "H", 1, 6, True)], metadata=None)
    with rasterio.open(path) as file:
        assert (file.read(1) == SEEN).all()
    z = rng.normal(size=(4, *SEEN.shape)).astype(np.float32)
    assert evaluate_files(z, path) == s2d.evaluate(z, SEEN)
    assert size_like(path) == SEEN.shape


def test_nodata_of_a_turned_tiff_without_a_place(tmp_path):
    path, extra = tmp_path / "t.tif", [(274, "H", 1, 8, True), (42113, "s", 0, "3", True)]
    tifffile.imwrite(path, np.ascontiguousarray(STORED[8](SEEN)), extratags=extra, metadata=None)
    z = rng.normal(size=(4, *SEEN.shape)).astype(np.float32)
    assert evaluate_files(z, path) == s2d.evaluate(z, SEEN, ignore_index=3)


def test_an_animation_is_refused(tmp_path):
    frames = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=40)
    with pytest.raises(Refused, match="is an animation of 2 pictures; save one of them"):
        predict(darkest, tmp_path / "a.webp", tmp_path / "l.npy", window=16)


def test_no_picture_is_made_as_webp(tmp_path):
    with pytest.raises(Refused, match=r"labels must not be blurred: use \.png"):
        segment_file(np.zeros((2, 3, 4)), tmp_path / "l.webp")


@pytest.mark.parametrize("photometric", ["YCBCR", "RGB"])
@pytest.mark.parametrize("tiled", [True, False])
def test_jpeg_tables_that_stand_once(tmp_path, photometric, tiled):
    """TIFFs of libtiff, as slides are: what all tiles share stands in the tag JPEGTables."""
    path = tmp_path / "slide.tif"
    how = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
    how |= {"compress": "jpeg", "photometric": photometric, "interleave": "pixel"}
    how |= {"height": COLOURS.shape[0], "width": COLOURS.shape[1], "count": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a picture has no place
        with rasterio.open(path, "w", driver="GTiff", dtype="uint8", **how) as file:
            file.write(np.moveaxis(COLOURS, 2, 0))
    with tifffile.TiffFile(path) as file:
        assert 347 in file.pages[0].tags
    with open_any(path) as source:
        assert source.axes == ("y", "x", "sample")
        assert np.abs(source[:].astype(int) - COLOURS).mean() < 20


def test_a_codec_that_is_missing_names_its_package(tmp_path, monkeypatch):
    Image.fromarray(COLOURS).save(tmp_path / "a.tif", compression="jpeg")
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    monkeypatch.setattr(type(tifffile.TIFF.DECOMPRESSORS), "__getitem__", lambda self, key: {}[key])
    with pytest.raises(Refused, match=r"is compressed by JPEG; this needs imagecodecs.*install"):
        open_any(tmp_path / "a.tif")
