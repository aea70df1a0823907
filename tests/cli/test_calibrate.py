"""``softmax2d calibrate`` and ``--calibration``: the library's numbers, whole files, refusals."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import calibrate
from softmax2d.calibrate import Calibration
from softmax2d.cli import app

pytest.importorskip("PIL.Image")


@pytest.fixture
def cli(capsys):
    """Run ``softmax2d`` in this process; returns exit code, output, error output."""

    def run(*args):
        with pytest.raises(SystemExit) as stop:
            app.main(list(map(str, args)))
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def scene(tmp_path) -> Any:
    """Overconfident logits with their truth, 255 where there is none; as arrays and files."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4, 3, 20, 30))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(1).astype(np.uint8)
    truth[:, :2] = 255
    logits = (3 * logits).astype(np.float32)
    np.save(tmp_path / "z.npy", logits)
    np.save(tmp_path / "t.npy", truth)
    return logits, truth, tmp_path / "z.npy", tmp_path / "t.npy"


@pytest.mark.parametrize("method", ["temperature", "vector", "bias", "temperature+bias"])
def test_the_file_is_the_librarys(cli, scene, tmp_path, method):
    logits, truth, z, t = scene
    out = tmp_path / "c.json"
    args = ["--ignore-index", 255, "--method", method, "--classes", "a,b,c"]
    code, text, err = cli("calibrate", z, t, "-o", out, *args, "--data-date", "2026-05")
    want = calibrate.fit(
        logits, truth, method=method, ignore_index=255, class_names=["a", "b", "c"],
        data_date="2026-05",
    )  # fmt: skip
    assert (code, err) == (0, "".join(f"beware: {w}\n" for w in want.warnings))
    assert Calibration.load(out) == want
    left_out = f"on images left out of the fit: {want.nll_validated:.4f} (4 folds of 4 images; "
    assert left_out + f"{want.nll_after:.4f} on those fitted to" in text
    assert "6480 pixels" not in text and f"{(truth != 255).sum()} pixels in 4 images" in text
    row = next(line for line in text.splitlines() if line.startswith("negative log-likelihood"))
    assert row.split()[-3:-1] == [f"{want.nll_before:.4f}", f"{want.nll_after:.4f}"]
    names = ("expected", "average", "adaptive", "maximum", "class-wise")
    assert all(f"{name} calibration error" in text for name in names)
    assert re.search(r"^\d+\.\d\d s$", text.splitlines()[-1])


def test_the_best_method_is_that_of_the_ranking(cli, scene, tmp_path):
    logits, truth, z, t = scene
    out, report = tmp_path / "c.json", tmp_path / "r.json"
    args = ["--ignore-index", 255, "--method", "best", "--folds", 2, "--report", report]
    code, text, err = cli("calibrate", z, t, "-o", out, *args)
    want = calibrate.compare_methods(logits, truth, ignore_index=255, folds=2)
    assert code == 0 and Calibration.load(out) == want.best
    assert text.startswith(want.table().text(None)) and "ranked on 4 images: fewer than 10" in err
    told = json.loads(report.read_text())
    assert told["ranking"]["best"] == want.best.method == told["calibration"]["method"]
    assert list(told["ranking"]["methods"]) == list(want.calibrations)
    code, _, err = cli("calibrate", z, t, "-o", out, *args[:-2], "--overwrite", "--folds", 0)
    assert code == 2 and "a ranking needs two images, or more, and folds; got folds=0" in err


def test_without_folds_nothing_is_estimated(cli, scene, tmp_path):
    _, _, z, t = scene
    args = ["-o", tmp_path / "c.json", "--ignore-index", 255]
    code, text, _ = cli("calibrate", z, t, *args, "--folds", 0)
    assert code == 0 and "the likelihood on images left out of the fit was not estimated" in text
    assert Calibration.load(tmp_path / "c.json").nll_validated is None


def test_the_table_is_that_of_evaluations(cli, scene, tmp_path):
    logits, truth, z, t = scene
    report = tmp_path / "r.json"
    code, *_ = cli(
        "calibrate", z, t, "-o", tmp_path / "c.json", "--ignore-index", 255, "--report", report
    )
    told = json.loads(report.read_text())
    found = Calibration.from_dict(told["calibration"])
    before = s2d.evaluate(logits, truth, ignore_index=255)
    after = s2d.evaluate(logits, truth, ignore_index=255, temperature=found)
    assert code == 0
    assert s2d.Statistics.from_dict(told["before"]) == before
    assert s2d.Statistics.from_dict(told["after"]) == after
    assert told["measures"]["expected calibration error"] == {
        "before": before.ece,
        "after": after.ece,
    }


def test_folders_pair_by_stem(cli, scene, tmp_path):
    _, _, z, t = scene
    logits, truth = np.load(z), np.load(t)
    for name in ("scores", "labels"):
        (tmp_path / name).mkdir()
    for i, (one, label) in enumerate(zip(logits, truth, strict=True)):
        np.save(tmp_path / "scores" / f"im{i}.npy", one)
        np.savez(tmp_path / "labels" / f"im{i}.npz", label)
    (tmp_path / "scores" / ".hidden").write_text("")
    pair = tmp_path / "scores", tmp_path / "labels"
    args = ["--ignore-index", 255, "--quiet", "--overwrite", "-o", tmp_path / "c.json"]
    assert cli("calibrate", *pair, *args) == (0, "", "")
    assert Calibration.load(tmp_path / "c.json") == calibrate.fit(logits, truth, ignore_index=255)
    (tmp_path / "labels" / "im1.npz").unlink()
    code, _, err = cli("calibrate", *pair, *args)
    assert code == 2 and "im1.npy: has no file of that stem in" in err
    code, _, err = cli("calibrate", tmp_path / "scores", t, *args)
    assert code == 2 and "two folders" in err
    np.save(tmp_path / "scores" / "im0.npz.npy", logits[0])
    np.savez(tmp_path / "scores" / "im0.npz", logits[0])
    code, _, err = cli("calibrate", *pair, *args)
    assert code == 2 and "has two files for im0" in err
    (tmp_path / "none").mkdir()
    code, _, err = cli("calibrate", tmp_path / "none", tmp_path / "labels", *args)
    assert code == 2 and "has no files" in err


@pytest.mark.parametrize("suffix", [".html", ".png", ".txt", ".json"])
@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_reports(cli, scene, tmp_path, suffix, method):
    if suffix == ".png":
        pytest.importorskip("matplotlib")
    _, _, z, t = scene
    report = tmp_path / f"r{suffix}"
    args = ["--ignore-index", 255, "--method", method, "--report", report]
    code, out, err = cli(
        "calibrate", z, t, "-o", tmp_path / "c.json", *args, "--classes", "<a>,b,c"
    )
    data = report.read_bytes()
    few = "fitted to 4 images: fewer than 10 say little of how far the map holds for others"
    assert (code, err) == (0, f"beware: {few}\n") and str(report) in out
    if suffix == ".png":
        assert data.startswith(b"\x89PNG")
    elif suffix == ".html":
        ET.fromstring(data.decode().removeprefix("<!doctype html>").strip())
        assert data.count(b'class="reliability"') == 2 and b"&lt;a&gt;" in data
    else:
        assert b"expected calibration error" in data and b"<a>" in data


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["-o", "c.txt"], 2, "the result is a .json"),
        (["-o", "c.json", "--report", "r.pdf"], 2, "unknown suffix '.pdf'"),
        (["-o", "c.json", "--method", "platt"], 2, "'platt' is not one of"),
        (
            ["-o", "c.json", "--ignore-index", "255", "--folds", "5"],
            2,
            "folds must be 0 for none, or from 2 to the number of images, 4; got 5",
        ),
        (["-o", "c.json", "--weight", "1,x,2"], 2, "expected numbers with commas"),
        (["-o", "c.json", "--weight", "1,2"], 2, "weight must be one value per class"),
        (["-o", "c.json", "--bins", "0"], 2, "--bins must be between 1 and 100"),
        (["-o", "c.json", "--classes", "a,b"], 2, "3 classes"),
        (["-o", "c.json"], 2, "must be in [0, 3); got 255 at (0, 0, 0)"),
        (["-o", "t.npy", "--ignore-index", "255"], 2, "the result is a .json"),
        (["-o", "missing/c.json", "--ignore-index", "255"], 2, "missing"),
        ([], 2, "Missing option '-o'"),
    ],
)
def test_refusals_leave_nothing(cli, scene, tmp_path, monkeypatch, args, code, told):
    _, _, z, t = scene
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    found, out, err = cli("calibrate", z, t, *args)
    assert (found, out) == (code, "") and told in err and err.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == before


def test_existing_files_stay_unless_asked(cli, scene, tmp_path):
    _, _, z, t = scene
    out = tmp_path / "c.json"
    out.write_text("mine")
    args = "calibrate", z, t, "-o", out, "--ignore-index", 255, "--quiet"
    code, _, err = cli(*args)
    assert code == 2 and "c.json" in err and out.read_text() == "mine"
    assert cli(*args, "--overwrite") == (0, "", "")
    Calibration.load(out)


@pytest.mark.parametrize("calibration", [
    Calibration(2.5, None, "temperature", (1, 1, 1)),
    Calibration(np.array([1.0, 2, 3]), np.array([0.5, 0, -0.5]), "vector", (1, 1, 1)),
])  # fmt: skip
def test_commands_take_a_calibration(cli, scene, tmp_path, calibration):
    logits, truth, z, t = scene
    path = tmp_path / "c.json"
    calibration.save(path)
    given = ["--calibration", path]
    code, out, _ = cli("segment", z, "-o", tmp_path / "l.npy", *given)
    found = s2d.segment(logits, temperature=calibration)
    assert code == 0 and ", temperature" in out
    assert np.array_equal(np.load(tmp_path / "l.npy"), found.labels)
    assert np.array_equal(np.load(tmp_path / "l.confidence.npy"), found.confidence)
    assert cli("probs", z, "-o", tmp_path / "p.npy", *given)[0] == 0
    want = s2d.softmax2d(logits, temperature=calibration)
    assert np.array_equal(np.load(tmp_path / "p.npy"), want)
    report = ["--report", tmp_path / "r.json", "--ignore-index", 255]
    assert cli("evaluate", z, t, *given, *report)[0] == 0
    told = json.loads((tmp_path / "r.json").read_text())["statistics"]
    same = s2d.evaluate(logits, truth, ignore_index=255, temperature=calibration)
    assert s2d.Statistics.from_dict(told) == same


@pytest.mark.parametrize("command", ["segment", "probs", "evaluate", "predict"])
def test_refusals_of_a_calibration(cli, scene, tmp_path, command):
    _, _, z, t = scene
    ends = {"evaluate": [z, t], "predict": [tmp_path / "net.onnx", z, "-o", tmp_path / "o.npy"]}
    start = [command, *ends.get(command, [z, "-o", tmp_path / "o.npy"])]
    path = tmp_path / "c.json"
    Calibration(2.0, None, "temperature", (1,) * 5).save(path)
    code, _, err = cli(*start, "--calibration", path, "--temperature", 2)
    assert code == 2 and "give --temperature or --calibration, not both" in err
    code, _, err = cli(*start, "--calibration", tmp_path / "none.json")
    assert code == 2 and "none.json" in err
    (tmp_path / "bad.json").write_text("{}")
    code, _, err = cli(*start, "--calibration", tmp_path / "bad.json")
    assert code == 2 and "bad.json: Calibration: expected an object" in err
    if command != "predict":
        code, _, err = cli(*start, "--calibration", path)
        assert code == 2 and "a calibration of 5 classes; the logits have 3" in err
    assert not (tmp_path / "o.npy").exists()


def test_separable_data_are_said(cli, tmp_path):
    np.save(tmp_path / "z.npy", np.stack([np.full((4, 5), 1.5), np.full((4, 5), 0.5)]))
    np.save(tmp_path / "t.npy", np.zeros((4, 5), np.uint8))
    code, _, err = cli(
        "calibrate", tmp_path / "z.npy", tmp_path / "t.npy", "-o", tmp_path / "c.json"
    )
    assert code == 0 and "at its bound" in err
