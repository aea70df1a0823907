"""``softmax2d evaluate`` against the library: every format of the truth, every report, refusals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tracemalloc
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.cli import app
from softmax2d.extras import install_command
from tests.stream.tiles import cut

Image = pytest.importorskip("PIL.Image")
tifffile = pytest.importorskip("tifffile")


@pytest.fixture
def cli(capsys):
    """Run ``softmax2d evaluate`` in this process; returns exit code, output, error output."""

    def run(*args):
        with pytest.raises(SystemExit) as stop:
            app.main(["evaluate", *map(str, args)])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture(params=[1 << 26, 2000, 300], ids=["one band", "many bands", "small bands"])
def banded(request, monkeypatch):
    cut(monkeypatch, request.param)


def saved(path, array):
    (np.savez if path.suffix == ".npz" else np.save)(path, array)
    return path


def scene(shape, axis=-3, size=None, dtype=np.float32):
    """Logits of a shape, and labels of their size or another."""
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 3, shape).astype(dtype)
    pixels = np.moveaxis(logits, axis, 0).shape[1:]
    if size is not None:
        pixels = pixels[: len(pixels) - len(size)] + size
    return logits, rng.integers(0, shape[axis], pixels).astype(np.uint8)


def counted(cli, tmp_path, *args):
    """The statistics that the command counts."""
    code, out, err = cli(*args, "--report", tmp_path / "found.json", "--overwrite")
    assert (code, err) == (0, "")
    found = json.loads((tmp_path / "found.json").read_text())
    return s2d.Statistics.from_dict(found["statistics"]), out


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("suffix", ["npy", "npz", "png", "tif"])
@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", np.int16])
def test_counts_are_those_of_the_library(cli, tmp_path, suffix, dtype):
    logits, truth = scene((5, 17, 23), dtype=dtype)
    source, labels = saved(tmp_path / "in.npy", logits), tmp_path / f"truth.{suffix}"
    if suffix == "png":
        Image.fromarray(truth).save(labels)
    elif suffix == "tif":
        tifffile.imwrite(labels, truth)
    else:
        saved(labels, truth)
    found, out = counted(cli, tmp_path, source, labels)
    assert found == s2d.evaluate(logits, truth)
    assert f"{source}: 5 classes, 17 × 23 pixels, {logits.dtype}\n" in out
    assert f"{labels}: 391 pixels in 1 image, 5 classes\n" in out


def truth_free(shape, axis):
    """The shape of the pixels of logits."""
    return np.delete(shape, axis)


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize(
    ("shape", "axis", "size"),
    [
        ((3, 4, 9, 8), -3, None),
        ((3, 4, 9, 8), -3, (13, 20)),
        ((3, 9, 8, 4), -1, None),
        ((3, 9, 8, 4), -1, (20, 5)),
        ((4, 3, 9, 8), 0, (5, 13, 20)),
        ((2, 3, 4, 9, 8), 2, (13, 20)),
        ((2, 4, 3, 9, 8), 1, (5, 6, 7)),
        ((2, 3, 9, 8, 4), -1, None),
    ],
)
def test_batches_volumes_channels_last_and_other_sizes(cli, tmp_path, shape, axis, size):
    logits, truth = scene(shape, axis, size)
    source, labels = saved(tmp_path / "in.npy", logits), saved(tmp_path / "truth.npy", truth)
    given = ["--axis", axis]
    if size is not None and min(np.subtract(size, truth_free(shape, axis)[-len(size) :])) < 0:
        code, _, err = cli(source, labels, *given)
        assert code == 2
        assert f"Give size={size} (--size {'x'.join(map(str, size))}) to interpolate" in err
        given += ["--size", "x".join(map(str, size))]
    found, out = counted(cli, tmp_path, source, labels, *given)
    want = s2d.evaluate(logits, truth, axis=axis, size=size)
    assert found == want
    assert found.images == want.images
    assert (" from " in out) == (size is not None)
    if size is not None:
        assert f" to the truth's {' × '.join(map(str, size))} (linear)" in out


def test_a_channels_last_volume_of_another_size(cli, tmp_path):
    logits, truth = scene((3, 9, 8, 4), -1, (5, 13, 20))
    source, labels = saved(tmp_path / "in.npy", logits), saved(tmp_path / "truth.npy", truth)
    found, _ = counted(cli, tmp_path, source, labels, "--axis", "-1")
    assert found == s2d.evaluate(logits, truth, axis=-1, size=(5, 13, 20), spatial_dims=3)


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize(
    ("args", "options"),
    [
        (["--ignore-index", "3"], {"ignore_index": 3}),
        (["--temperature", "1.7"], {"temperature": 1.7}),
        (["--bins", "4"], {"bins": 4}),
        (["--align-corners"], {"align_corners": True}),
        (["--interpolation", "nearest"], {"interpolation": "nearest"}),
        (["--interpolation", "nearest,linear"], {"interpolation": ("nearest", "linear")}),
    ],
)
def test_options_are_those_of_the_library(cli, tmp_path, args, options):
    logits, truth = scene((5, 7, 9), size=(31, 20))
    source, labels = saved(tmp_path / "in.npy", logits), saved(tmp_path / "truth.npy", truth)
    found, _ = counted(cli, tmp_path, source, labels, *args)
    assert found == s2d.evaluate(logits, truth, size=(31, 20), **options)


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize(
    ("logits_shape", "truth_shape", "size"),
    [
        ((1, 4, 9, 8), (9, 8), None),
        ((4, 9, 8), (1, 9, 8), None),
        ((1, 4, 9, 8), (20, 30), (20, 30)),
        ((4, 9, 8), (1, 20, 30), (20, 30)),
    ],
)
def test_a_batch_of_one_may_be_missing(cli, tmp_path, logits_shape, truth_shape, size):
    logits, _ = scene(logits_shape)
    truth = np.random.default_rng(1).integers(0, 4, truth_shape)
    source, labels = saved(tmp_path / "in.npy", logits), saved(tmp_path / "truth.npy", truth)
    found, _ = counted(cli, tmp_path, source, labels)
    image = logits.reshape(logits_shape[-3:])
    assert found == s2d.evaluate(image, truth.reshape(truth_shape[-2:]), size=size)


def test_labels_in_pictures_of_every_kind(cli, tmp_path):
    logits, truth = scene((2, 6, 7))
    source, want = saved(tmp_path / "in.npy", logits), s2d.evaluate(logits, truth)
    Image.fromarray(truth.astype(bool)).save(tmp_path / "bits.png")
    palette = Image.fromarray(truth)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(truth.astype(np.uint16)).save(tmp_path / "deep.png")
    tifffile.imwrite(tmp_path / "packed.tif", truth, compression="zlib")
    tifffile.imwrite(tmp_path / "big.tif", truth.astype(">i4"), byteorder=">")
    for name in ("bits.png", "palette.png", "deep.png", "packed.tif", "big.tif"):
        found, _ = counted(cli, tmp_path, source, tmp_path / name)
        assert found == want, name


def test_pages_of_a_tiff_are_images(cli, tmp_path):
    logits, truth = scene((3, 4, 9, 8))
    tifffile.imwrite(tmp_path / "truth.tif", truth, photometric="minisblack")
    found, out = counted(cli, tmp_path, saved(tmp_path / "in.npy", logits), tmp_path / "truth.tif")
    assert found == s2d.evaluate(logits, truth)
    assert "216 pixels in 3 images, 4 classes" in out


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_and_their_keys(cli, tmp_path, save):
    logits, truth = scene((4, 9, 8))
    save(tmp_path / "all.npz", scores=logits, labels=truth)
    args = [tmp_path / "all.npz"] * 2
    found, _ = counted(cli, tmp_path, *args, "--key", "scores", "--truth-key", "labels")
    assert found == s2d.evaluate(logits, truth)


def test_the_printed_report(cli, tmp_path):
    logits, truth = scene((3, 9, 8))
    source, labels = saved(tmp_path / "in.npy", logits), saved(tmp_path / "truth.npy", truth)
    code, out, err = cli(source, labels, "--classes", "road, wide sky ,tree")
    found = s2d.evaluate(logits, truth)
    assert (code, err) == (0, "")
    assert f"mean IoU                        {found.mean_iou:.4f}\n" in out
    rows = {line[:8].strip(): line.split() for line in out.splitlines()}
    assert rows["wide sky"][2:4] == [f"{found.iou[1]:.4f}", f"{found.dice[1]:.4f}"]
    assert rows["tree"][-2] == str(found.class_pixels[2])
    assert re.search(r"^\d+\.\d\d s$", out.splitlines()[-1])
    assert cli(source, labels, "--quiet") == (0, "", "")


def test_of_many_classes_the_worst_are_printed(cli, tmp_path):
    logits, truth = scene((50, 9, 80))
    logits[7] += 100
    logits[9] -= 100
    truth[truth == 9] = 0
    source, labels = saved(tmp_path / "in.npy", logits), saved(tmp_path / "truth.npy", truth)
    _, out, _ = cli(source, labels)
    assert "and 20 classes of higher IoU, or without pixels" in out
    assert "\n0  " in out
    assert "\n7  " not in out
    assert "\n9  " not in out


NAMES = ["road", '<b>sky</b> & "co"', "naïve 道路 $x$"]


@pytest.mark.parametrize("suffix", ["txt", "html", "json", "png", "HTML"])
def test_reports(cli, tmp_path, suffix):
    if suffix == "png":
        pytest.importorskip("matplotlib")
    logits, truth = scene((3, 9, 8))
    truth[truth == 2] = 255
    source, labels = saved(tmp_path / "in.npy", logits), saved(tmp_path / "truth.npy", truth)
    (tmp_path / "names.txt").write_text("\n".join(NAMES), encoding="utf-8")
    out = tmp_path / f"out.{suffix}"
    args = [source, labels, "--ignore-index", 255, "--classes", tmp_path / "names.txt"]
    code, text, err = cli(*args, "--report", out)
    assert (code, err) == (0, "")
    assert f"\n{out}\n" in text
    found = s2d.evaluate(logits, truth, ignore_index=255)
    found.save_report(tmp_path / f"same.{suffix}", NAMES, "in.npy and truth.npy")
    if suffix != "png":
        assert out.read_bytes() == (tmp_path / f"same.{suffix}").read_bytes()
        return
    with Image.open(out) as picture:
        assert picture.width > 1000
        assert len(picture.getcolors(1 << 24)) > 20


def test_the_page_is_one_file_of_well_formed_markup(tmp_path):
    logits, truth = scene((3, 9, 8))
    for classes in (3, 20, 70, 150):
        logits, truth = scene((classes, 9, 80))
        names = [f"{NAMES[c % 3]} {c}" for c in range(classes)]
        path = tmp_path / f"{classes}.html"
        s2d.evaluate(logits, truth).save_report(path, names, title="A <title> & more")
        page = path.read_text(encoding="utf-8")
        assert "<b>" not in page and "<script" not in page
        assert "A &lt;title&gt; &amp; more" in page
        assert not re.search(r"(?:src|href|url)\s*[=(]", page), "refers to another file"
        drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
        assert len(drawings) == 2
        for drawing in drawings:
            ET.fromstring(drawing)
        ET.fromstring(page.removeprefix("<!doctype html>"))
        assert len(page) < 400_000


def test_reports_of_nothing_and_of_one(tmp_path):
    for found in (s2d.Statistics.empty(4), s2d.Statistics.empty(1, 1)):
        for suffix in ("txt", "html", "json"):
            found.save_report(tmp_path / f"out.{suffix}")
        assert "nan" not in (tmp_path / "out.html").read_text().lower()
    one = s2d.evaluate(np.zeros((1, 1, 1)), np.zeros((1, 1), int), bins=1)
    one.save_report(tmp_path / "out.html")
    assert "1 pixel in 1 image, 1 class\n" in one.report() + "\n"


def test_reports_of_nothing_as_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    s2d.Statistics.empty(4).save_report(tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 1000


def test_refused_reports(tmp_path):
    found = s2d.Statistics.empty(3)
    with pytest.raises(ValueError, match=r"path must end in one of .txt, .html, .png, .json; got"):
        found.save_report(tmp_path / "out.pdf")
    with pytest.raises(ValueError, match="names must be one for each of 3 classes; got 2"):
        found.report(["a", "b"])
    with pytest.raises(ValueError, match="one for each of 3 classes; got a string"):
        found.report("abc")
    assert "a b" in found.report(["a\nb", "c", "d"]), "a name stays in its line"


def test_without_matplotlib_the_install_line_is_named(cli, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'-m pip install "matplotlib>=3.8"`'):
        s2d.Statistics.empty(3).save_report(tmp_path / "out.png")
    code, _, err = cli("in.npy", "truth.npy", "--report", tmp_path / "out.png")
    assert code == 2
    assert err == (
        "softmax2d: this needs matplotlib: install it with "
        f"`{install_command('demo', 'matplotlib')}`.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["npy", "tif"])
@pytest.mark.parametrize("size", [None, (900, 1100)])
def test_memory_stays_bounded(cli, tmp_path, monkeypatch, suffix, size):
    cut(monkeypatch, 1 << 18)
    logits, truth = scene((32, 500, 500), size=size)
    source, labels = saved(tmp_path / "in.npy", logits), tmp_path / f"truth.{suffix}"
    (np.save if suffix == "npy" else tifffile.imwrite)(labels, truth)
    del logits, truth
    assert cli(source, labels)[0] == 0
    tracemalloc.start()
    try:
        assert cli(source, labels)[0] == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20, "the logits take 32 MB"


def test_the_place_of_a_bad_truth_is_that_of_the_file(cli, tmp_path, monkeypatch):
    logits, truth = scene((3, 4, 9, 8))
    truth[1, 7, 6], truth[2, 0, 0] = 255, 4
    source, labels = saved(tmp_path / "in.npy", logits), saved(tmp_path / "truth.npy", truth)
    for budget in (1 << 26, 2000, 300):
        cut(monkeypatch, budget)
        code, out, err = cli(source, labels, "--report", tmp_path / "out.txt")
        assert (code, out) == (2, "")
        whole = budget == 1 << 26  # a piece knows of its own labels alone
        way = "If 255 marks pixels without a class, pass ignore_index=255 (--ignore-index 255)."
        way = "So are others (4, 255): if they mark" if whole else f"{way}\n"
        start = f"softmax2d: {labels}: must be in [0, 4); got 255 at (1, 7, 6). {way}"
        assert err.startswith(start)
        assert err.count("\n") == 1
        code, _, err = cli(source, labels, "--ignore-index", 255)
        assert code == 2
        assert "must be in [0, 4) or ignore_index, 255; got 4 at (2, 0, 0). If 4 marks" in err
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["in.npy", "none.npy"], "none.npy: no such file."),
        (["none.npy", "truth.npy"], "none.npy: no such file."),
        (["in.npy", "."], "in.npy: is a file; LOGITS and TRUTH are two folders."),
        (["in.npy", "fifo.png"], "fifo.png: is a FIFO; a regular file is needed."),
        (["in.npy", "photo.jpg"], "photo.jpg: is a colour picture; labels are one number each."),
        (["in.npy", "halves.npy"], "halves.npy: holds "),
        (["in.npy", "colour.png"], "colour.png: is a colour picture; labels are one number each."),
        (["in.npy", "colour.tif"], "colour.tif: is a colour picture; labels are one number each."),
        (
            ["in.npy", "text.png"],
            "text.png: is not a usable picture: it is neither PNG",
        ),
        (["in.npy", "text.tif"], "text.tif: is not a usable TIFF file: not a TIFF file"),
        (["in.npy", "cut.png"], "cut.png: is damaged: "),
        (["in.npy", "cut.tif"], "cut.tif: is truncated: page 0, strip 0 is cut short."),
        (["in.npy", "volume.npy"], "volume.npy: has shape (2, 4, 5); logits of shape (3, 4, 5),"),
        (["in.npy", "row.npy"], "row.npy: has shape (5,); logits of shape (3, 4, 5), class axis 0"),
        (["in.npy", "truth.npy", "--truth-key", "a"], "truth.npy: is a single array; key (--key)"),
        (["in.npy", "truth.npy", "--key", "a"], "in.npy: is a single array; key (--key) is"),
        (["in.npy", "truth.npy", "--bins", "0"], "bins must be between 1 and 10000; got 0."),
        (["in.npy", "truth.npy", "--axis", "7"], "in.npy: axis must be between -3 and 2"),
        (["in.npy", "truth.npy", "--temperature", "0"], "in.npy: temperature must be positive"),
        (["in.npy", "truth.npy", "--interpolation", "a"], "in.npy: interpolation must be linear,"),
        (["in.npy", "truth.npy", "--classes", "a,b"], "--classes a,b: 2 names for 3 classes."),
        (["in.npy", "truth.npy", "--report", "o.pdf"], "o.pdf: has the unknown suffix '.pdf';"),
        (["in.npy", "truth.npy", "--report", "old.txt"], "old.txt: exists; add --overwrite"),
        (["in.npy", "truth.npy", "--report", "no/o.txt"], "no/o.txt: there is no folder no."),
        (["flat.npy", "truth.npy"], "flat.npy: logits needs a class axis, shape (..., C, H, W);"),
        (["in.npy", "truth.npy", "--ignore-index", "x"], "Invalid value for '--ignore-index'"),
    ],
)
def test_refusals(cli, tmp_path, monkeypatch, args, text):
    monkeypatch.chdir(tmp_path)
    logits, truth = scene((3, 4, 5))
    for name, array in {
        "in": logits, "flat": logits[0], "truth": truth, "halves": truth + 0.5,
        "volume": np.stack([truth] * 2), "row": truth[0],
    }.items():  # fmt: skip
        saved(tmp_path / f"{name}.npy", array)
    colour = np.zeros((4, 5, 3), np.uint8)
    Image.fromarray(colour).save("colour.png")
    Image.fromarray(colour).save("photo.jpg")
    tifffile.imwrite("colour.tif", colour, photometric="rgb")
    Image.fromarray(np.random.default_rng(1).integers(0, 3, (90, 90), np.uint8)).save("whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:800])
    tifffile.imwrite("whole.tif", truth, compression="zlib")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "whole.tif").read_bytes()[:-8])
    for name in ("text.png", "text.tif", "old.txt"):
        (tmp_path / name).write_text("only words")
    os.mkfifo(tmp_path / "fifo.png")
    before = sorted(tmp_path.iterdir())
    code, out, err = cli(*args)
    assert (code, out) == (2, "")
    assert err.startswith(f"softmax2d: {text}")
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_tiff_is_one_line_of_the_real_process(tmp_path):
    logits, truth = scene((3, 40, 50))
    tifffile.imwrite(tmp_path / "truth.tif", truth, compression="zlib", tile=(16, 16))
    data = bytearray((tmp_path / "truth.tif").read_bytes())
    at = data.index(b"\x45\x01")  # tag 325, where the lengths of the tiles are
    data[at + 8 : at + 12] = b"\xff\xff\xff\x7f"
    (tmp_path / "truth.tif").write_bytes(data)
    source = saved(tmp_path / "in.npy", logits)
    command = [sys.executable, "-m", "softmax2d", "evaluate", source, tmp_path / "truth.tif"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"softmax2d: {tmp_path}/truth.tif: is not a usable TIFF file: ")
    assert done.stderr.count("\n") == 1


def test_resuming_on_the_command_line(cli, tmp_path, monkeypatch):
    cut(monkeypatch, 300)
    logits, truth = scene((5, 17, 23))
    source, labels = saved(tmp_path / "in.npy", logits), saved(tmp_path / "truth.npy", truth)
    code, out, err = cli(source, labels, "--resume")
    assert (code, out) == (2, "")
    assert "--resume needs --report or --summary" in err
    report, account = tmp_path / "r.json", tmp_path / "a.json"
    assert cli(source, labels, "--report", report, "--summary", report)[0] == 2
    assert cli(source, labels, "--summary", account, "--resume", "--quiet") == (0, "", "")
    place = tmp_path / ".r.json.softmax2d"
    place.mkdir()
    (place / "checkpoint").write_bytes(b"torn")
    code, out, err = cli(source, labels, "--report", report, "--resume", "--quiet")
    said = f"softmax2d: {report}: what was kept is damaged; all tiles are counted again.\n"
    assert (code, out, err) == (0, "", said)
    assert not place.exists()
    before = report.read_bytes()
    asked = source, labels, "--report", report, "--quiet"
    assert cli(*asked)[0] == 2  # exists
    assert cli(*asked, "--resume") == (0, "", "")  # the same bytes
    code, _, err = cli(*asked, "--resume", "--bins", "4")
    assert (code, report.read_bytes()) == (2, before)
    assert "exists and is not what this run makes; add --overwrite to replace it" in err
    assert cli(*asked, "--resume", "--bins", "4", "--overwrite")[0] == 0
    assert report.read_bytes() != before
    names = {"in.npy", "truth.npy", "r.json", "a.json", ".r.json.softmax2d"}
    assert {p.name for p in tmp_path.iterdir()} <= names
