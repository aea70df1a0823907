"""``softmax2d segment --size`` and ``--like`` against the library, in bands and at once."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d._files.source.source import ArraySource
from softmax2d._gate.options import Resampling
from softmax2d.cli import app
from softmax2d.stream.plan import tiles
from softmax2d.stream.plan.geometry import lay_out, resize
from tests.stream.tiles import cut

Image = pytest.importorskip("PIL.Image")
tifffile = pytest.importorskip("tifffile")


@pytest.fixture
def cli(capsys):
    """Run ``softmax2d segment`` in this process; returns exit code, output, error output."""

    def run(*args):
        with pytest.raises(SystemExit) as stop:
            app.main(["segment", *map(str, args)])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture(params=[1 << 26, 2000], ids=["one band", "many bands"])
def banded(request, monkeypatch):
    cut(monkeypatch, request.param)


def saved(path, shape, dtype=np.float32):
    np.save(path, np.random.default_rng(5).normal(0, 30, shape).astype(dtype))
    return path


def same(path, scores, **options):
    """Labels and confidence in files against those of the library."""
    want = s2d.segment(scores, **options)
    np.testing.assert_array_equal(np.load(path), want.labels, strict=True)
    beside = path.with_name(f"{path.stem}.confidence.npy")
    np.testing.assert_array_equal(np.load(beside), want.confidence, strict=True)


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", np.int16])
@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((), {}),
        (("--align-corners",), {"align_corners": True}),
        (("--interpolation", "nearest"), {"interpolation": "nearest"}),
        (("--interpolation", "nearest-exact"), {"interpolation": "nearest-exact"}),
        (("--interpolation", "nearest, linear"), {"interpolation": ("nearest", "linear")}),
    ],
)
def test_bands_have_the_bits_of_the_library(cli, tmp_path, dtype, args, options):
    source, out = saved(tmp_path / "in.npy", (5, 7, 9), dtype), tmp_path / "out.npy"
    code, text, err = cli(source, "-o", out, "--size", "31x20", *args)
    assert (code, err) == (0, "")
    assert "5 classes, 31 × 20 pixels from 7 × 9 (" in text
    same(out, np.load(source), size=(31, 20), **options)


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize(
    ("shape", "args", "options"),
    [
        ((3, 4, 9, 8), ["--size", "20x5"], {"size": (20, 5)}),
        ((3, 9, 8, 4), ["--axis", "-1", "--size", "20x5"], {"axis": -1, "size": (20, 5)}),
        ((4, 3, 9, 8), ["--axis", "0", "--size", "7x20x5"], {"axis": 0, "size": (7, 20, 5)}),
        (
            (2, 3, 9, 8, 4),
            ["--axis", "-1", "--size", "7 X 20 × 5"],
            {"axis": -1, "size": (7, 20, 5), "spatial_dims": 3},
        ),
        ((2, 3, 4, 9, 8), ["--axis", "2", "--size", "3x4"], {"size": (3, 4)}),
        ((4, 9, 8), ["--size", "9x8"], {}),
    ],
)
def test_batches_volumes_channels_last_and_smaller_sizes(cli, tmp_path, shape, args, options):
    source, out = saved(tmp_path / "in.npy", shape), tmp_path / "out.npy"
    assert cli(source, "-o", out, *args)[::2] == (0, "")
    same(out, np.load(source), **options)


def test_unaligned_logits_of_an_archive(cli, tmp_path, monkeypatch):
    cut(monkeypatch, 2000)
    scores = np.random.default_rng(5).normal(0, 30, (2, 5, 7, 9))
    for extra in range(4):
        np.savez(tmp_path / "in.npz", **{"a" * (1 + extra): scores})
        assert cli(tmp_path / "in.npz", "-o", tmp_path / f"{extra}.npy", "--size", "21x22")[0] == 0
        same(tmp_path / f"{extra}.npy", scores, size=(21, 22))


def pictures(folder):
    """Files of 31 × 20 pixels, and a volume."""
    grey, colour = np.zeros((31, 20), np.uint8), np.zeros((31, 20, 3), np.uint8)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(colour).save(folder / "colour.png")
    Image.fromarray(colour).save(folder / "photo.JPG")
    tifffile.imwrite(folder / "grey.tif", grey)
    tifffile.imwrite(folder / "colour.tiff", colour, photometric="rgb")
    tifffile.imwrite(folder / "volume.tif", np.zeros((6, 31, 20), np.uint8))
    np.save(folder / "grey.npy", grey)
    np.save(folder / "colour.npy", colour)
    np.save(folder / "volume.npy", np.zeros((6, 31, 20), np.float32))


@pytest.mark.parametrize(
    "like",
    ["grey.png", "colour.png", "photo.JPG", "grey.tif", "colour.tiff", "grey.npy", "colour.npy"],
)
def test_the_size_of_a_picture(cli, tmp_path, like):
    pictures(tmp_path)
    source = saved(tmp_path / "in.npy", (5, 7, 9))
    assert cli(source, "-o", tmp_path / "out.npy", "--like", tmp_path / like)[::2] == (0, "")
    same(tmp_path / "out.npy", np.load(source), size=(31, 20))


@pytest.mark.parametrize("like", ["volume.tif", "volume.npy"])
def test_the_size_of_a_volume(cli, tmp_path, like):
    pictures(tmp_path)
    source = saved(tmp_path / "in.npy", (5, 3, 7, 9))
    args = ["--axis", "0", "--like", tmp_path / like]
    assert cli(source, "-o", tmp_path / "out.npy", *args)[::2] == (0, "")
    same(tmp_path / "out.npy", np.load(source), axis=0, size=(6, 31, 20))


def test_a_large_picture_is_only_looked_at(cli, tmp_path, recwarn):
    Image.fromarray(np.zeros((10_000, 9_999), np.uint8)).save(tmp_path / "large.png")
    source = saved(tmp_path / "in.npy", (2, 2, 2))
    args = ["--like", tmp_path / "large.png", "--outputs", "labels", "--quiet"]
    assert cli(source, "-o", tmp_path / "out.npy", *args) == (0, "", "")
    assert np.load(tmp_path / "out.npy", mmap_mode="r").shape == (10_000, 9_999)
    assert not recwarn.list


def test_results_beside_each_other_and_a_preview(cli, tmp_path):
    source = saved(tmp_path / "in.npy", (5, 7, 9))
    args = ["--size", "31x20", "--preview", tmp_path / "see.png", "--palette", "voc"]
    assert cli(source, "-o", tmp_path / "out.png", *args)[::2] == (0, "")
    want = s2d.segment(np.load(source), size=(31, 20))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), want.labels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.confidence.tif"), want.confidence)
    with Image.open(tmp_path / "see.png") as preview:
        assert preview.size == (20, 31)


def test_memory_stays_bounded(cli, tmp_path, monkeypatch):
    cut(monkeypatch, 1 << 18)
    source = saved(tmp_path / "in.npy", (32, 40, 40))
    args = ["--size", "2000x1500", "--outputs", "labels"]
    assert cli(source, "-o", tmp_path / "warm.npy", *args)[0] == 0
    tracemalloc.start()
    try:
        assert cli(source, "-o", tmp_path / "out.npy", *args)[0] == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 << 19, "the interpolated logits take 384 MB, the labels 3 MB"


def test_a_tile_reads_no_more_of_large_logits_than_it_may(monkeypatch):
    """Labels smaller than the logits: tiles of as many logits as without resampling."""
    cut(monkeypatch, 1000)
    source = ArraySource(np.zeros((8, 100, 100), np.float32))
    geometry = resize(lay_out(source, None), source, Resampling((10, 10)))
    costs = tiles.Costs(geometry, source, 5)
    tiling, _ = tiles.plan_tiles(costs, [], False, 100_000, 2)
    boxes = [tiling.box(i) for i in range(len(tiling))]
    assert sum(np.prod([s.stop - s.start for s in box]) for box in boxes) == 100
    reads = [geometry.reads(box)[0] for box in boxes]
    assert max(np.prod([s.stop - s.start for s in read]) * 4 for read in reads) <= 50_000


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--size", "12"], "--size 12: expected HxW or DxHxW, as in 1024x2048."),
        (["--size", "12x"], "--size 12x: expected HxW or DxHxW"),
        (["--size", "-1x5"], "--size -1x5: expected HxW or DxHxW"),
        (["--size", "1e3x5"], "--size 1e3x5: expected HxW"),
        (["--size", "2x3x4x5"], "--size 2x3x4x5: expected HxW"),
        (["--size", "9999999999x1"], "--size 9999999999x1: expected HxW"),
        (["--size", "0x5"], "in.npy: size must be one positive number per spatial axis, as in"),
        (["--size", "2x3x4"], "in.npy: size must be one positive number per spatial axis, as in"),
        (["--size", "4x4", "--like", "a.png"], "give size or like (--size or --like), not both."),
        (["--size", "4x4", "--interpolation", "cubic"], "in.npy: interpolation must be linear"),
        (["--size", "4x4", "--interpolation", "linear,"], "in.npy: interpolation must be linear"),
        (["--like", "none.png"], "none.png: no such file."),
        (
            ["--like", "text.png"],
            "text.png: is not a usable picture: it is neither PNG",
        ),
        (["--like", "text.tif"], "text.tif: is not a usable TIFF file: not a TIFF file"),
        (["--like", "text.npy"], "text.npy: is not a .npy file"),
        (["--like", "text.gif"], "text.gif: has the unknown suffix '.gif'; known are"),
        (["--like", "bomb.png"], "bomb.png: has too many pixels for this format; use .tif or"),
        (["--like", "."], ".: is a directory; a regular file is needed."),
        (["--like", "fifo.png"], "fifo.png: is a FIFO; a regular file is needed."),
        (["--like", "volume.tif"], "volume.tif: has size 6 × 31 × 20; the logits have 2 spatial"),
        (["--like", "volume.npy"], "volume.npy: has size 6 × 31 × 20; the logits have 2 spatial"),
        (
            ["--like", "grey.npy", "-o", "grey.npy", "--overwrite"],
            "grey.npy: is the input grey.npy",
        ),
    ],
)
def test_refusals(cli, tmp_path, monkeypatch, args, text):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path)
    saved(tmp_path / "in.npy", (3, 4, 5))
    for suffix in ("png", "tif", "npy", "gif"):
        (tmp_path / f"text.{suffix}").write_text("not a picture at all, only words")
    grey = (tmp_path / "grey.png").read_bytes()
    # A header that claims 2^30 pixels, with its checksum.
    head = b"IHDR" + struct.pack(">II", 1 << 15, 1 << 15) + grey[24:29]
    (tmp_path / "bomb.png").write_bytes(
        grey[:12] + head + struct.pack(">I", zlib.crc32(head)) + grey[33:]
    )
    os.mkfifo(tmp_path / "fifo.png")
    before = sorted(tmp_path.iterdir())
    code, out, err = cli("in.npy", *([] if "-o" in args else ["-o", "out.npy"]), *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"softmax2d: {text}")
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
