"""``softmax2d demo``: runs offline, gets the photograph right, and compares honestly."""

from __future__ import annotations

import json
import socket
import sys

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.cli import app
from softmax2d.extras import install_command

pytest.importorskip("skimage")
pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

from softmax2d import demo  # noqa: E402
from softmax2d.demo import _article, _figure, _retina, _strokes, _timing  # noqa: E402

WORKS = {"probabilities", "labels and confidence", "labels and confidence, upsampled 4×"}


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def cli(capsys):
    """Run ``softmax2d demo`` in this process; returns exit code, output, error output."""

    def call(*args):
        with pytest.raises(SystemExit) as stop:
            app.main(["demo", *map(str, args)])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


@pytest.fixture(scope="module")
def classifier():
    """Coarse logits of the photograph by the classifier trained on the strokes, and its losses."""
    image = _retina.photograph()
    samples = _retina.thin(_retina.features(image))
    target = _strokes.draw(_strokes.STROKES, image.shape[:2])
    weights, losses = _retina.train(samples, target)
    return np.tensordot(weights, samples, 1), losses, image.shape[:2]


@pytest.mark.usefixtures("offline")
def test_demo_without_timing(cli, tmp_path):
    code, out, err = cli("-o", tmp_path / "new" / "folder", "--no-timing")
    assert (code, err) == (0, "")
    picture, report = (tmp_path / "new" / "folder" / n for n in ("retina.png", "report.html"))
    assert f"wrote {picture}\nwrote {report}\n" in out
    assert out.rstrip().endswith(" s")
    assert "sums over the classes, all 16 places: one" in out
    assert "353 × 353 logits against strokes on the 1411 × 1411 picture" in out
    assert "segment(logits, size=(1411, 1411))" in out
    assert "expected calibration error" in out
    assert sorted(picture.parent.iterdir()) == [report, picture]
    page = report.read_text("utf-8")
    assert "strokes not seen in training" in page
    assert all(name in page for name in _strokes.CLASSES)
    image = Image.open(picture)
    assert image.width > 1500
    assert image.height > 600
    # The picture holds the colours of the labels.
    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in ((0xE6, 0x9F, 0x00), (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73)):
        assert (pixels == colour).all(1).sum() > 200, colour


def test_the_classifier_finds_what_can_be_seen(classifier):
    logits, losses, size = classifier
    assert logits.shape == (5, 353, 353)
    assert losses[0] == pytest.approx(np.log(5), rel=1e-6)
    assert losses[-1] < 0.05
    labels = s2d.segment(logits, size=size, outputs="labels").labels
    shares = np.bincount(labels.ravel(), minlength=5) / labels.size
    for share, (low, high) in zip(
        shares,
        ((0.23, 0.27), (0.6, 0.72), (0.03, 0.09), (0.008, 0.025), (0.002, 0.008)),
        strict=True,
    ):
        assert low < share < high, shares
    # Places that no stroke touches.
    for x, y, name in (
        (700, 705, "fovea"), (265, 660, "optic disc"), (1000, 430, "vessel"), (890, 1230, "vessel"),
        (1000, 900, "retina"), (5, 1000, "outside"), (1400, 1400, "outside"),
    ):  # fmt: skip
        window = labels[y - 10 : y + 11, max(0, x - 10) : x + 11]
        assert (window == _strokes.CLASSES.index(name)).sum() >= 60, (name, x, y)


def test_strokes_kept_back_are_found(classifier):
    logits, _, size = classifier
    truth = _strokes.draw(_strokes.CHECKS, size)
    statistics = s2d.evaluate(logits, truth, size=size, ignore_index=_strokes.UNMARKED)
    assert statistics.pixels == np.count_nonzero(truth != _strokes.UNMARKED)
    assert (statistics.class_pixels > 100).all()
    assert (statistics.iou > (0.95, 0.85, 0.9, 0.5, 0.9)).all()
    assert statistics.ece < 0.05


def test_the_training_follows_the_gradient():
    """By finite differences in float64, through an interpolation written out here."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(3, 2, 4)).astype(np.float32)
    weights = rng.normal(size=(5, 3))
    target = rng.integers(0, 5, (4, 8)).astype(np.uint8)
    target[0, 3] = _strokes.UNMARKED
    marked = target != _strokes.UNMARKED
    share = 1 / np.bincount(target[marked], minlength=5)

    def between(n):  # (2 n, n): half-pixel centres, twice as many
        place = np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, n - 1)
        return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(n)))

    def loss(w):
        z = np.einsum("cf,fhw,ih,jw->cij", w, samples.astype(np.float64), between(2), between(4))
        log_probs = (z - np.log(np.exp(z).sum(0)))[:, marked]
        truth = target[marked]
        return -(share[truth] * log_probs[truth, np.arange(truth.size)]).sum() / 5

    found, grad = _retina.loss_and_grad(weights, samples, target)
    assert found == pytest.approx(loss(weights), rel=1e-6)
    for c, f in ((0, 0), (2, 1), (4, 2)):
        step = np.zeros((5, 3))
        step[c, f] = 1e-4
        slope = (loss(weights + step) - loss(weights - step)) / 2e-4
        assert grad[c, f] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_missing_photograph_is_said_in_one_line(cli, tmp_path, monkeypatch):
    def fetch():
        raise ModuleNotFoundError("pooch is needed\nto download")

    monkeypatch.setattr(_retina.require("skimage.data", "demo"), "retina", fetch)
    code, _, err = cli("-o", tmp_path, "--no-timing")
    assert code == 2
    assert err == (
        "softmax2d: scikit-image's photograph of the retina is missing: "
        "pooch is needed to download\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("strokes", [_strokes.STROKES, _strokes.CHECKS], ids=["train", "check"])
def test_strokes_lie_in_the_photograph_and_cover_every_class(strokes):
    points = np.array([p for lines in strokes for line in lines for p in line])
    assert points.min() >= 0
    assert points.max() < 1411
    target = _strokes.draw(strokes, (1411, 1411))
    marked = target[target != _strokes.UNMARKED]
    assert (np.bincount(marked) > 100).all()
    assert len(strokes) == len(_strokes.CLASSES) == len(_strokes.COLOURS)


def test_no_pixel_is_both_trained_on_and_evaluated():
    seen, kept = (_strokes.draw(s, (1411, 1411)) for s in (_strokes.STROKES, _strokes.CHECKS))
    both = (seen != _strokes.UNMARKED) & (kept != _strokes.UNMARKED)
    assert not both.any()


def test_the_articles_example_notices_a_broken_softmax(monkeypatch):
    lines = []
    _article.show(lines.append)
    assert len(lines) == 4
    real = s2d.softmax2d
    monkeypatch.setattr(s2d, "softmax2d", lambda z: real(z) * np.float32(1.001))
    with pytest.raises(RuntimeError, match="sum to one only within"):
        _article.show(lines.append)


def test_timing_runs_each_library_in_its_own_process():
    lines = []
    measured = _timing.measure(1, (3, 16, 16), lines.append)
    assert {m.work for m in measured} == WORKS
    installed = {name for name, module in _timing.LIBRARIES.items() if _timing.find_spec(module)}
    assert {m.library for m in measured} == installed
    assert all(m.milliseconds > 0 and m.ratio > 0 for m in measured)
    assert len(lines) == len(_timing.LIBRARIES) - len(installed)


@pytest.mark.parametrize("library", ["softmax2d", "PyTorch", "SciPy"])
def test_the_timed_works_agree(library):
    pytest.importorskip(_timing.LIBRARIES[library])
    logits = np.random.default_rng(0).normal(size=(5, 8, 8)).astype(np.float32)
    works = _timing._WORKS[library](logits, 1)
    s2d.set_num_threads(None)
    probs, *labelled = works.values()
    np.testing.assert_allclose(np.asarray(probs()), s2d.softmax2d(logits), rtol=1e-5)
    resampled = s2d.softmax2d(logits[:, :2, :2], size=(8, 8))
    for work, expected in zip(labelled, (s2d.softmax2d(logits), resampled), strict=True):
        values = {np.asarray(v).dtype.kind: np.asarray(v) for v in work() if v is not None}
        np.testing.assert_array_equal(values.get("u", values.get("i")), expected.argmax(0))
        np.testing.assert_allclose(values["f"], expected.max(0), rtol=1e-5)


def test_what_is_not_installed_or_fails_is_said(monkeypatch):
    monkeypatch.setattr(_timing, "LIBRARIES", {"NoSuch": "no_such_module", "Broken": "json"})
    lines = []
    assert _timing.measure(1, (3, 4, 4), lines.append) == []
    command = install_command("", "no_such_module")
    assert lines[0] == f"   NoSuch is not installed: not timed (`{command}`)"
    assert lines[1] == "   Broken could not be timed: KeyError: 'Broken'"


def test_both_pictures_with_timing(tmp_path, monkeypatch):
    measured = [_timing.Measured("softmax2d", "probabilities", 1.0, 1.5)]
    monkeypatch.setattr(_timing, "measure", lambda threads, say: measured)
    drawn = _figure.timing(measured * 2, (3, 4, 4), 1)
    shown = {"retina.png": _figure.png(drawn), "report.html": bytes(6000)}
    monkeypatch.setattr(demo, "_show_photograph", lambda say: shown)
    lines = []
    paths = demo.run(tmp_path, say=lines.append)
    assert [p.name for p in paths] == ["retina.png", "report.html", "timing.png"]
    assert all(p.stat().st_size > 5000 for p in paths)
    assert any("probabilities" in line and "1.5 × a copy" in line for line in lines)


def test_a_child_prints_what_its_parent_reads(capsys):
    seconds = _timing._child("softmax2d", (2, 8, 8), 1)
    assert set(seconds) == {"copy", *WORKS}
    assert json.loads(json.dumps(seconds)) == seconds


@pytest.mark.parametrize("module", ["skimage", "matplotlib"])
def test_a_missing_package_names_its_install_line(cli, tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = cli("-o", tmp_path / "folder")
    assert code == 2
    assert err.count("\n") == 1
    assert f"install it with `{install_command('demo', module)}`." in err
    assert not (tmp_path / "folder").exists()


def test_bad_folders(cli, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, err = cli("-o", tmp_path / "file")
    assert (code, err) == (2, f"softmax2d: {tmp_path}/file: is not a folder.\n")
    code, _, err = cli("-o", tmp_path / "file" / "below")
    assert (code, err) == (3, f"softmax2d: {tmp_path}/file/below: Not a directory.\n")
