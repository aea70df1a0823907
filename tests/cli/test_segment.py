"""``softmax2d segment`` against the library: every format read back, every option."""

from __future__ import annotations

import tracemalloc
from math import log

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d._pictures import preview
from softmax2d._pictures.classes import PALETTES, palette
from softmax2d.cli import app
from softmax2d.stream.plan import tiles
from softmax2d.stream.recovery.stage import ArrayStage
from tests.stream.tiles import cut

Image = pytest.importorskip("PIL.Image")
tifffile = pytest.importorskip("tifffile")

ALL = ("labels", "confidence", "margin", "entropy")


@pytest.fixture
def cli(capsys):
    """Run ``softmax2d segment`` in this process; returns exit code, output, error output."""

    def run(*args):
        with pytest.raises(SystemExit) as stop:
            app.main(["segment", *map(str, args)])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture(params=[1 << 26, 500], ids=["one band", "many bands"])
def banded(request, monkeypatch):
    cut(monkeypatch, request.param)


def logits(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(0, 3, shape).astype(dtype)


def saved(path, array):
    (np.savez if path.suffix == ".npz" else np.save)(path, array)
    return path


def read(path):
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    return tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))


def same(path, expected):
    found = read(path)
    np.testing.assert_array_equal(found, expected, err_msg=str(path), strict=path.suffix != ".png")


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("suffix", ["npy", "tif", "png"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", np.int16])
def test_round_trip_equals_the_library(cli, tmp_path, suffix, dtype):
    scores = logits((5, 17, 23), dtype)
    source = saved(tmp_path / "in.npy", scores)
    out = tmp_path / f"out.{suffix}"
    code, text, err = cli(source, "-o", out, "--outputs", ",".join(ALL), "--temperature", "1.7")
    assert (code, err) == (0, "")
    expected = s2d.segment(scores, outputs=ALL, temperature=1.7)
    same(out, expected.labels)
    for name in ALL[1:]:
        beside = tmp_path / f"out.{name}.{'npy' if suffix == 'npy' else 'tif'}"
        same(beside, getattr(expected, name))
        assert f"{name:<10}  {beside}  ({expected.confidence.dtype})" in text
    assert len(list(tmp_path.iterdir())) == 5, "only the input and four results"


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("suffix", ["npy", "tif"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 4, 9, 8), -3), ((9, 8, 4), -1), ((2, 4, 3, 9, 8), 1), ((4, 9, 8), 0)]
)
def test_batches_volumes_and_channels_last(cli, tmp_path, suffix, shape, axis):
    scores = logits(shape)
    out = tmp_path / f"out.{suffix}"
    assert cli(saved(tmp_path / "in.npy", scores), "-o", out, "--axis", axis)[0] == 0
    expected = s2d.segment(scores, axis=axis)
    same(out, expected.labels)
    same(tmp_path / f"out.confidence.{suffix}", expected.confidence)


@pytest.mark.parametrize(
    "shape", [(4, 1, 1), (4, 3, 1), (4, 1, 3), (2, 5, 5), (4, 2, 3), (4, 2, 4)]
)
@pytest.mark.parametrize("suffix", ["npy", "tif", "png"])
def test_small_pictures(cli, tmp_path, shape, suffix):
    scores = logits(shape)
    out = tmp_path / f"out.{suffix}"
    assert cli(saved(tmp_path / "in.npy", scores), "-o", out)[0] == 0
    assert read(out).reshape(shape[1:]).tolist() == s2d.segment(scores).labels.tolist()


@pytest.mark.parametrize("shape", [(3, 0, 5), (0, 3, 4, 4), (3, 5, 0)])
def test_empty_pictures_fit_npy_only(cli, tmp_path, shape):
    source = saved(tmp_path / "in.npy", np.zeros(shape, np.float32))
    assert cli(source, "-o", tmp_path / "out.npy")[0] == 0
    assert read(tmp_path / "out.npy").shape == s2d.segment(np.zeros(shape, np.float32)).labels.shape
    for suffix in ("png", "tif"):
        code, _, err = cli(source, "-o", tmp_path / f"out.{suffix}")
        assert code == 2
        assert "Use .npy." in err


def test_one_row_of_pixels_without_height_fits_npy(cli, tmp_path):
    scores = logits((4, 50))
    source = saved(tmp_path / "in.npy", scores)
    assert cli(source, "-o", tmp_path / "out.npy", "--axis", "0")[0] == 0
    same(tmp_path / "out.npy", s2d.segment(scores, axis=0).labels)


def test_fortran_order_and_bfloat16(cli, tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for i, scores in enumerate(
        (np.asfortranarray(logits((4, 9, 8))), logits((4, 9, 8), ml_dtypes.bfloat16))
    ):
        out = tmp_path / f"out{i}.npy"
        assert cli(saved(tmp_path / f"in{i}.npy", scores), "-o", out)[0] == 0
        same(out, s2d.segment(scores).labels)
        same(tmp_path / f"out{i}.confidence.npy", s2d.segment(scores).confidence)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_with_one_array_or_a_key(cli, tmp_path, save):
    one, other = logits((4, 9, 8)), logits((3, 5, 6), seed=1)
    save(tmp_path / "one.npz", one)
    save(tmp_path / "two.npz", one=one, other=other)
    assert cli(tmp_path / "one.npz", "-o", tmp_path / "a.npy")[0] == 0
    assert cli(tmp_path / "two.npz", "-o", tmp_path / "b.npy", "--key", "other")[0] == 0
    same(tmp_path / "a.npy", s2d.segment(one).labels)
    same(tmp_path / "b.npy", s2d.segment(other).labels)


@pytest.mark.parametrize(("classes", "bits"), [(256, 8), (257, 16), (1000, 16)])
def test_labels_take_8_or_16_bits(cli, tmp_path, classes, bits):
    scores = logits((classes, 6, 7))
    expected = s2d.segment(scores).labels
    source = saved(tmp_path / "in.npy", scores)
    for suffix in ("png", "tif"):
        assert cli(source, "-o", tmp_path / f"out.{suffix}", "--outputs", "labels")[0] == 0
        found = read(tmp_path / f"out.{suffix}")
        np.testing.assert_array_equal(found, expected)
    # Byte 24 of a PNG is its depth; older Pillows read 16 bits into 32.
    assert (tmp_path / "out.png").read_bytes()[24] == bits
    assert read(tmp_path / "out.tif").dtype.itemsize * 8 == bits


@pytest.mark.parametrize("suffix", ["npy", "tif", "png"])
def test_eight_bits_of_confidence(cli, tmp_path, suffix):
    scores = logits((5, 17, 23))
    scores[2, 3, 4] = np.nan
    args = ["-o", tmp_path / f"out.{suffix}", "--outputs", ",".join(ALL), "--confidence-as", "8bit"]
    code, text, _ = cli(saved(tmp_path / "in.npy", scores), *args)
    assert code == 0
    assert "255 is log C" in text
    assert "1 pixel without probabilities" in text
    expected = s2d.segment(scores, outputs=ALL)
    for name in ALL[1:]:
        found = read(tmp_path / f"out.{name}.{suffix}")
        assert found.dtype == np.uint8
        assert found[3, 4] == 0, "NaN"
        top = log(5) if name == "entropy" else 1
        values = np.nan_to_num(getattr(expected, name), nan=0)
        assert np.abs(found * (top / 255) - values).max() <= top / 255 / 2 + 1e-6


@pytest.mark.parametrize("name", PALETTES)
def test_palette_of_png_and_tiff(cli, tmp_path, name):
    scores = logits((7, 17, 23))
    source = saved(tmp_path / "in.npy", scores)
    labels = s2d.segment(scores).labels
    colours = palette(name, 7)
    assert len(np.unique(colours, axis=0)) == 7
    assert cli(source, "-o", tmp_path / "out.png", "--palette", name)[0] == 0
    image = Image.open(tmp_path / "out.png")
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), labels)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colours[labels])
    assert cli(source, "-o", tmp_path / "out.tif", "--palette", name, "--outputs", "labels")[0] == 0
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        page = tiff.pages[0]
        np.testing.assert_array_equal(page.asarray(), labels)
        np.testing.assert_array_equal(page.colormap.T[labels] // 257, colours[labels])


def test_known_colours():
    assert palette("voc", 22)[[0, 1, 2, 15, 20]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128],
    ]  # fmt: skip
    assert palette("cityscapes", 19)[[0, 13]].tolist() == [[128, 64, 128], [0, 0, 142]]
    assert len(np.unique(palette("distinct", 200), axis=0)) == 200
    assert len(np.unique(palette("voc", 256), axis=0)) == 256


@pytest.mark.parametrize(
    "text",
    [
        "#ff0000\n#00ff00 grass\n0 0 255 sky\n",
        "255 0 0\n\n0,255,0\n  0   0 255\n9 9 9\n",
        "GIMP Palette\nName: mine\nColumns: 3\n# a comment\n255 0 0 red\n0 255 0\n0 0 255\n",
    ],
)
def test_palette_file(cli, tmp_path, text):
    (tmp_path / "colours.txt").write_text(text)
    source = saved(tmp_path / "in.npy", logits((3, 5, 6)))
    out = tmp_path / "out.png"
    assert cli(source, "-o", out, "--palette", tmp_path / "colours.txt")[0] == 0
    expected = 255 * np.eye(3, dtype=np.uint8)[read(out)]
    np.testing.assert_array_equal(np.asarray(Image.open(out).convert("RGB")), expected)


def test_preview_shows_the_labels_and_a_legend(cli, tmp_path):
    scores = logits((3, 40, 50))
    scores[2] -= 100  # never wins: not in the legend
    source = saved(tmp_path / "in.npy", scores)
    args = ["-o", tmp_path / "out.npy", "--preview", tmp_path / "see.png", "--palette", "voc"]
    assert cli(source, *args)[0] == 0
    expected = palette("voc", 3)[s2d.segment(scores).labels]
    same(tmp_path / "see.png", expected)
    assert cli(source, *args, "--overwrite", "--classes", "road,sky,tree")[0] == 0
    named = read(tmp_path / "see.png")
    np.testing.assert_array_equal(named[:40, :50], expected)
    assert named.shape[1] > 50
    legend = {tuple(c) for c in named[:, 50:].reshape(-1, 3).tolist()}
    assert {(128, 0, 0), (255, 255, 255)} <= legend
    assert (0, 128, 0) not in legend


def test_large_preview_is_thinned(monkeypatch):
    monkeypatch.setattr(preview, "LARGEST", 10)
    labels = np.arange(35 * 20, dtype=np.uint8).reshape(35, 20) % 3
    colours = palette(None, 3)
    stage = ArrayStage(labels, "labels", labels.shape, labels.dtype)
    picture = preview.draw(preview.thin(stage), colours, None, {})
    np.testing.assert_array_equal(picture, colours[labels[::4, ::4]])


@pytest.mark.parametrize("as_file", [True, False])
def test_names_and_areas_in_the_summary(cli, tmp_path, as_file):
    scores = np.full((3, 4, 5), -1.0)
    scores[1] = 0
    scores[0, 0, 0] = 1
    names = "road, wide sky ,tree"
    if as_file:
        (tmp_path / "names.txt").write_text("\ufeffroad\r\nwide sky\n\ntree\n", encoding="utf-8")
        names = tmp_path / "names.txt"
    code, text, _ = cli(
        saved(tmp_path / "in.npy", scores), "-o", tmp_path / "a.npy", "--classes", names
    )
    assert code == 0
    assert "3 classes, 4 × 5 pixels, float64" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["1", "wide", "sky", "19", "pixels", "95.00", "%"] in lines
    assert ["0", "road", "1", "pixel", "5.00", "%"] in lines
    assert "tree" not in text


def test_only_what_was_asked_for(cli, tmp_path):
    source = saved(tmp_path / "in.npy", logits((3, 4, 5)))
    assert cli(source, "-o", tmp_path / "out.png", "--outputs", "entropy")[0] == 0
    assert {p.name for p in tmp_path.iterdir()} == {"in.npy", "out.entropy.tif"}


def test_many_classes_are_summed_up(cli, tmp_path):
    code, text, _ = cli(saved(tmp_path / "in.npy", logits((60, 40, 40))), "-o", tmp_path / "a.npy")
    assert code == 0
    assert text.count("pixels  ") == 20
    assert "and 40 smaller classes" in text


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_memory_stays_bounded(cli, tmp_path, monkeypatch, dtype):
    cut(monkeypatch, 1 << 18)
    source = saved(tmp_path / "in.npy", np.zeros((32, 500, 500), dtype))
    assert cli(source, "-o", tmp_path / "warm.npy")[0] == 0
    tracemalloc.start()
    try:
        assert cli(source, "-o", tmp_path / "out.npy")[0] == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 << 20, "the logits take 32 MB or 16 MB, a band of float64 1 MB"


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (2, 3, 4), (0,), (2, 0, 3), (3, 1, 5)])
@pytest.mark.parametrize("pixels", [1, 2, 5, 12, 1000])
def test_bands_cover_everything_in_order(shape, pixels):
    whole = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    pieces = [whole[band] for band in tiles.bands(tuple(slice(0, n) for n in shape), pixels)]
    assert np.concatenate([p.ravel() for p in pieces]).tolist() == whole.ravel().tolist()
    assert all(p.size <= max(pixels, 1) for p in pieces)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            ["-o", "o.jpg"],
            "o.jpg: labels must not be blurred: use .png.",
        ),
        (
            ["-o", "o.npy", "--axis", "3"],
            "in.npy: axis must be between -3 and 2 for logits of shape (3, 4, 5)",
        ),
        (
            ["-o", "o.npy", "--temperature", "0"],
            "in.npy: temperature must be positive and finite; got 0.0",
        ),
        (
            ["-o", "o.npy", "--temperature", "nan"],
            "in.npy: temperature must be positive and finite; got nan",
        ),
        (
            ["-o", "o.npy", "--outputs", "labels,prob"],
            "--outputs: outputs must be among labels, confidence",
        ),
        (["-o", "o.npy", "--outputs", ","], "--outputs: outputs must name at least one"),
        (["-o", "o.npy", "--key", "a"], "in.npy: is a single array; key (--key) is for files"),
        (["-o", "o.npy", "--classes", "a,b"], "--classes a,b: 2 names for 3 classes."),
        (
            ["-o", "o.npy", "--classes", "a.txt"],
            "--classes a.txt: 1 name for 3 classes. There is no file of that name",
        ),
        (["-o", "o.npy", "--classes", "names"], "names: 1 name for 3 classes."),
        (["-o", "o.npy", "--classes", "in.npy"], "in.npy: is not UTF-8 text."),
        (["-o", "o.npy", "--classes", "."], ".: is a directory; a regular file is needed."),
        (
            ["-o", "o.png", "--palette", "red"],
            "red: is neither a file nor one of the palettes okabe-ito,",
        ),
        (
            ["-o", "o.png", "--palette", "names"],
            "names: line 1: expected `R G B` or `#rrggbb`; got 'one'.",
        ),
        (["-o", "o.png", "--palette", "two"], "two: has 2 colours for 3 classes."),
        (
            ["-o", "o.png", "--palette", "big"],
            "big: line 1: colours go from 0 to 255; got (1, 2, 256).",
        ),
        (
            ["-o", "o.npy", "--palette", "voc"],
            "o.npy: a .npy file has no palette; use .png or .tif",
        ),
        (
            ["-o", "o.npy", "--preview", "p.jpg"],
            "p.jpg: has the suffix '.jpg'; a preview is a .png.",
        ),
        (
            ["-o", "o.npy", "--preview", "p.png", "--outputs", "margin"],
            "p.png: a preview shows the labels;",
        ),
        (["-o", "o.png", "--preview", "o.png"], "o.png: would be written twice; give each result"),
        (["-o", "none/o.png"], "none/o.png: there is no folder none."),
        (["-o", "folder.png"], "folder.png: is a directory; name a file."),
        (
            ["-o", "in.npy", "--overwrite"],
            "in.npy: is the input in.npy itself; choose another name.",
        ),
        (["-o", "soft.npy", "--overwrite"], "soft.npy: is the input in.npy itself;"),
        (["-o", "hard.npy", "--overwrite"], "hard.npy: is the input in.npy itself;"),
        (["-o", "names.png"], "names.png: exists; add --overwrite to replace it."),
        (["-o", "dangling.png"], "dangling.png: exists; add --overwrite to replace it."),
        (["-o", "fifo.npy", "--overwrite"], "fifo.npy: is not a regular file."),
    ],
)
def test_refusals(cli, tmp_path, monkeypatch, args, text):
    import os

    monkeypatch.chdir(tmp_path)
    source = saved(tmp_path / "in.npy", logits((3, 4, 5)))
    for name, content in {
        "names": "one",
        "two": "1 2 3\n#040506",
        "big": "1 2 256",
        "names.png": "x",
    }.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "soft.npy").symlink_to("in.npy")
    (tmp_path / "hard.npy").hardlink_to("in.npy")
    (tmp_path / "dangling.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo.npy")
    before, data = sorted(tmp_path.iterdir()), source.read_bytes()
    code, out, err = cli("in.npy", *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"softmax2d: {text}")
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
    assert source.read_bytes() == data


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (
            np.zeros((4, 4), np.float32),
            "logits needs a class axis, shape (..., C, H, W); got shape (4, 4)",
        ),
        (np.zeros((3, 4, 4), complex), "and dtype complex128."),
        (np.zeros((3, 4, 4), "U3"), "and dtype <U3."),
        (np.zeros((0, 4, 4)), "logits must have at least one class; got shape (0, 4, 4)"),
        (np.float32(1), "logits needs a class axis"),
    ],
)
def test_the_librarys_own_refusals_with_the_files_name(cli, tmp_path, array, text):
    source = saved(tmp_path / "in.npy", array)
    code, _, err = cli(source, "-o", tmp_path / "out.npy")
    assert code == 2
    assert err.startswith(f"softmax2d: {source}: logits ")
    assert text in err
    assert "segment:" not in err


def test_too_many_classes_for_the_file_type(cli, tmp_path):
    source = saved(tmp_path / "in.npy", np.zeros((65537, 1, 1), np.float16))
    code, _, err = cli(source, "-o", tmp_path / "out.png")
    assert code == 2
    assert "a PNG holds 65536 labels; got 65537 classes. Use .tif or .npy." in err
    code, _, err = cli(source, "-o", tmp_path / "out.tif", "--palette", "distinct")
    assert code == 2
    assert "a file with a palette holds 256 classes; got 65537." in err
    assert cli(source, "-o", tmp_path / "out.tif")[0] == 0
    assert read(tmp_path / "out.tif").dtype == np.uint32


def test_a_batch_does_not_fit_a_png(cli, tmp_path):
    source = saved(tmp_path / "in.npy", logits((2, 3, 4, 5)))
    code, _, err = cli(source, "-o", tmp_path / "out.png", "--axis", -3)
    assert code == 2
    assert (
        "a PNG holds one image of rows × columns; got 2 × 4 × 5. Use multi-page .tif or .npy."
        in err
    )
    code, _, err = cli(source, "-o", tmp_path / "out.npy", "--preview", tmp_path / "p.png")
    assert code == 2
    assert "p.png: a PNG holds one image of rows × columns; got 2 × 4 × 5." in err


def test_overwrite_replaces_through_a_link(cli, tmp_path):
    scores = logits((3, 4, 5))
    source = saved(tmp_path / "in.npy", scores)
    (tmp_path / "real.npy").write_text("old")
    (tmp_path / "link.npy").symlink_to("real.npy")
    assert cli(source, "-o", tmp_path / "link.npy", "--overwrite", "--outputs", "labels")[0] == 0
    assert (tmp_path / "link.npy").is_symlink()
    same(tmp_path / "real.npy", s2d.segment(scores).labels)


def test_the_label_of_no_data(cli, tmp_path):
    z = np.zeros((3, 4, 5), np.float32)
    z[:, 0] = -9999
    np.save(tmp_path / "z.npy", z)
    how = ["--nodata", -9999, "--outputs", "labels"]
    code, *_ = cli(tmp_path / "z.npy", "-o", tmp_path / "l.npy", *how, "--nodata-label", 99)
    assert code == 0
    assert (np.load(tmp_path / "l.npy")[0] == 99).all()
    code, _, err = cli(tmp_path / "z.npy", "-o", tmp_path / "m.npy", *how, "--nodata-label", 2)
    assert code == 2
    assert "must not be a class, 0 to 2; got 2" in err
