"""``softmax2d counts``, ``weights`` and ``tune`` against the library."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import balance
from softmax2d.balance import ClassCounts
from softmax2d.cli import app
from tests.balance.test_tune import SHARES, scene

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def cli(capsys: Any) -> Any:
    """Run ``softmax2d`` in this process; returns exit code, output, error output."""

    def run(*args: Any) -> Any:
        with pytest.raises(SystemExit) as stop:
            app.main([*map(str, args)])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def labels(tmp_path: Any) -> Any:
    folder = tmp_path / "labels"
    folder.mkdir()
    rng = np.random.default_rng(2)
    made = [rng.integers(0, 3, (8, 9), dtype=np.uint8) for _ in range(3)]
    made[0][:2] = 255
    for i, image in enumerate(made):
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder, made


def test_counts(cli: Any, labels: Any, tmp_path: Any) -> None:
    folder, made = labels
    want = balance.class_counts(made, classes=3, ignore_index=255, names=["a", "b", "c"])
    out = tmp_path / "counts.json"
    report = tmp_path / "counts.html"
    how = ("--ignore-index", 255, "--classes", "a,b,c", "-o", out, "--report", report)
    code, told, err = cli("counts", folder, *how)
    assert (code, err) == (0, "") and ClassCounts.load(out) == want
    assert "198 pixels in 3 images, 18 more ignored" in told and str(report) in told
    assert report.read_text().startswith("<!doctype html>")
    code, _, err = cli("counts", *sorted(folder.iterdir()), "--ignore-index", 255, "-o", out)
    assert code == 2 and "exists; add --overwrite" in err
    code, told, _ = cli("counts", folder, "--ignore-index", 255, "--classes", 3, "--quiet")
    assert (code, told) == (0, "")


def test_weights_of_labels_and_of_counts(cli: Any, labels: Any, tmp_path: Any) -> None:
    folder, made = labels
    counts = balance.class_counts(made, ignore_index=255)
    counts.save(tmp_path / "counts.json")
    for source in ([folder, "--ignore-index", 255], [tmp_path / "counts.json"]):
        for method in ("inverse", "median", "enet", "effective"):
            out = tmp_path / "weights.json"
            how = ("--method", method, "--normalize", "sum", "--beta", 0.9, "--overwrite")
            code, told, err = cli("weights", *source, *how, "-o", out)
            assert (code, err) == (0, ""), err
            want = balance.class_weights(counts, method, normalize="sum", beta=0.9)
            assert json.loads(out.read_text()) == want.tolist() and method in told
    mixed = tmp_path / "counts.json", folder / "0.png"
    assert "not both" in cli("weights", *mixed)[2]


def test_weights_of_a_class_without_pixels(cli: Any, tmp_path: Any) -> None:
    out = tmp_path / "w.json"
    how = ("100,0,5", "--classes", "road,car,sign", "-o", out)
    code, told, err = cli("weights", *how)
    assert code == 0 and json.loads(out.read_text()) == [1.05, 21.0, 21.0]
    assert err.startswith("beware: no pixel of class car; the weight is the largest of the other")
    assert "without a pixel, and of the largest weight: class car" in told
    assert cli("weights", *how, "--quiet", "--overwrite") == (0, "", "")


def test_tune_writes_what_segment_takes(cli: Any, tmp_path: Any) -> None:
    logits, target = scene(SHARES)
    np.save(tmp_path / "z.npy", logits)
    np.save(tmp_path / "t.npy", target)
    out, report = tmp_path / "bias.json", tmp_path / "r.txt"
    how = (
        "--goal",
        "recall:3,b",
        "--at-least-accuracy",
        0.8,
        "--sweeps",
        1,
        "--classes",
        "a,b,c,d",
    )
    files = (tmp_path / "z.npy", tmp_path / "t.npy")
    code, told, err = cli("tune", *files, *how, "-o", out, "--report", report)
    assert code == 0 and err.startswith("beware: chosen on 4 images: nothing says how"), err
    assert "beware" not in told and "beware: chosen on 4 images" in report.read_text()
    want = balance.tune_bias(
        logits, target, goal=("recall", [3, 1]), at_least_accuracy=0.8, sweeps=1, names=list("abcd")
    )
    plain = json.loads(out.read_text())
    assert plain["bias"] == want.bias.tolist() and plain["class_names"] == list("abcd")
    assert "recall of d, b, accuracy at least 0.8" in told and "Trade-off" in report.read_text()
    one = tmp_path / "one.npy"
    np.save(one, logits[0])
    code, _, err = cli("segment", one, "-o", tmp_path / "o.npy", "--calibration", out, "--quiet")
    if code == 2 and "No such option" in err:
        pytest.skip("segment knows no --calibration yet")
    assert (code, err) == (0, "")
    labels = s2d.segment(logits[0], bias=want.bias).labels
    assert np.array_equal(np.load(tmp_path / "o.npy"), labels)


def test_tune_by_tau_from_counts(cli: Any, tmp_path: Any) -> None:
    logits, target = scene(SHARES)
    for i in range(2):
        for folder, array in (("z", logits[i]), ("t", target[i])):
            (tmp_path / folder).mkdir(exist_ok=True)
            np.save(tmp_path / folder / f"{i}.npy", array)
    counts = balance.class_counts(target)
    counts.save(tmp_path / "counts.json")
    how = ("--family", "tau", "--counts", tmp_path / "counts.json", "--temperature", 1.5)
    folders = tmp_path / "z", tmp_path / "t"
    code, told, err = cli("tune", *folders, *how, "-o", tmp_path / "b.json")
    assert code == 0 and err.startswith("beware: chosen on 2 images: nothing says how"), err
    want = balance.tune_bias(
        list(logits[:2]), list(target[:2]), family="tau", prior=counts, temperature=1.5
    )
    plain = json.loads((tmp_path / "b.json").read_text())
    assert plain["bias"] == want.bias.tolist() and plain["temperature"] == 1.5
    assert f"tau: {want.tau:g}" in told


def test_tune_says_what_it_cannot_know(cli: Any, tmp_path: Any) -> None:
    """Ten images whose labels are right already: the start is returned unless forced."""
    logits, target = scene(SHARES, (10, 12, 10), seed=4)
    np.save(tmp_path / "z.npy", logits)
    np.save(tmp_path / "t.npy", target)
    how = ("--folds", 2, "--sweeps", 2, "--at-least-accuracy", 0.5, "--margin", 0.01)
    given = {"folds": 2, "sweeps": 2, "at_least_accuracy": 0.5, "margin": 0.01}
    pair = (tmp_path / "z.npy", tmp_path / "t.npy")
    for force in (False, True):
        more = ("--force",) * force
        code, told, err = cli("tune", *pair, *how, *more, "-o", tmp_path / f"{force}.json")
        want = balance.tune_bias(logits, target, force=force, **given)
        assert code == 0 and err == "".join(f"beware: {text}\n" for text in want.warnings)
        assert f"gain: {want.gain_in_words}" in told and "estimated on others" in told
        assert json.loads((tmp_path / f"{force}.json").read_text())["bias"] == want.bias.tolist()
    code, _, err = cli("tune", *pair, "--folds", 11, "-o", tmp_path / "o.json")
    assert code == 2 and "folds must be 0 for none, or from 2 to the number of images, 10" in err
    code, _, err = cli("tune", *pair, "--confidence", 0.9, "-o", tmp_path / "o.json")
    assert code == 2 and "give at_least_accuracy= (--at-least-accuracy) too" in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("counts", "nowhere"), "nowhere: "),
        (("counts", "{labels}", "-o", "{tmp}/a.txt"), "the result is a .json"),
        (("counts", "{labels}", "--report", "{tmp}/a.pdf"), "reports go to"),
        (("counts", "{labels}", "--classes", "3"), "255"),
        (("counts", "{labels}"), "pass ignore_index=255 (--ignore-index 255)"),
        (("weights", "{labels}", "--ignore-index", "255", "--beta", "2"), "beta must be"),
        (("weights", "{tmp}/bad.json"), "bad.json: "),
        (("tune", "{tmp}/z.npy", "{tmp}/t.npy", "-o", "{tmp}/o.json", "--goal", "x"), "expected"),
        (("tune", "{tmp}/z.npy", "{tmp}/t.npy", "-o", "{tmp}/o.json", "--family", "tau"), "prior="),
        (("tune", "{tmp}/z.npy", "{tmp}/t.npy", "-o", "{tmp}/t.npy"), "result is a .json"),
        (("tune", "{tmp}/z.npy", "{tmp}/t.npy"), "Missing option"),
    ],
)
def test_refusals_are_one_line(cli: Any, labels: Any, tmp_path: Any, args: Any, words: str) -> None:
    (tmp_path / "bad.json").write_text("{}")
    np.save(tmp_path / "z.npy", np.zeros((2, 3, 3), np.float32))
    np.save(tmp_path / "t.npy", np.zeros((3, 3), np.uint8))
    before = sorted(tmp_path.iterdir())
    code, out, err = cli(*(a.format(labels=labels[0], tmp=tmp_path) for a in args))
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


PLAIN = {
    "counts.json": ("[100, 20, 5]", None),
    "named.json": ('{"road": 100, "car": 20, "sign": 5}', ["road", "car", "sign"]),
    "line.csv": ("100,20,5\n", None),
    "table.csv": ("class,pixels\nroad,100\ncar,20\nsign,5\n", ["road", "car", "sign"]),
    "column.csv": ("100\n20\n5\n", None),
    "counts.npy": ("", None),
}


@pytest.mark.parametrize("name", [None, *PLAIN])
def test_weights_of_plain_counts(cli: Any, tmp_path: Any, name: str | None) -> None:
    given, out, names = "100,20,5", tmp_path / "w.json", None
    if name is not None:
        given, (text, names) = tmp_path / name, PLAIN[name]
        given.write_text(text)
        if given.suffix == ".npy":
            np.save(given, np.array([100, 20, 5]))
    code, told, err = cli("weights", given, "-o", out)
    assert (code, err) == (0, "")
    assert json.loads(out.read_text()) == balance.class_weights([100, 20, 5]).tolist()
    assert all(word in told for word in names or ())
    code, told, _ = cli("weights", given, "--classes", "a1,b2,c3")
    assert code == 0
    assert "b2" in told


@pytest.mark.parametrize(
    ("given", "options", "text"),
    [
        ("100,20", ("--method", "median"), "plain counts do not tell"),
        ("100,20", ("--classes", "a,b,c"), "names must be one string for each of 2 classes"),
        ("100,20", ("--classes", "3"), "--classes 3: there are counts of 2 classes."),
        ("0,0", (), "counts must hold at least one pixel"),
        ("bad.csv", (), "bad.csv: expected counts in one line, or a line `name,count` for each"),
        ("bad.json", (), "bad.json: "),
        ("long.csv", (), "long.csv: has entries of more than 400 characters"),
        ("huge.json", (), "pixels must be whole numbers"),
        ("endless.json", (), "pixels must be whole numbers"),
    ],
)
def test_plain_counts_are_refused(
    cli: Any, tmp_path: Any, monkeypatch: Any, given: str, options: Any, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("road,1.5\ncar,x\n")
    (tmp_path / "bad.json").write_text('["a", 1]')
    (tmp_path / "long.csv").write_text(f"{'1' * 5000},5\n")
    (tmp_path / "huge.json").write_text(f"[{'1' * 400}, 5]")
    (tmp_path / "endless.json").write_text("[1e999, 5]")
    code, out, err = cli("weights", given, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert text in err


def test_a_row_of_labels_is_no_counts_where_one_axis_is_asked_for(cli: Any, tmp_path: Any) -> None:
    np.save(tmp_path / "row.npy", np.array([0, 0, 0, 1]))
    code, out, _ = cli("weights", tmp_path / "row.npy", "--spatial-dims", 1, "--quiet")
    assert (code, out) == (0, "")
    cli("weights", tmp_path / "row.npy", "--spatial-dims", 1, "-o", tmp_path / "w.json")
    assert len(json.loads((tmp_path / "w.json").read_text())) == 2


def test_counts_of_a_folder_as_systems_leave_it(cli: Any, labels: Any) -> None:
    folder, made = labels
    want = balance.class_counts(made, classes=3, ignore_index=255)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "0.png.aux.xml", "0.pgw", "0.qml"):
        (folder / name).write_bytes(b"no labels")
    (folder / "__MACOSX").mkdir()
    code, told, err = cli("counts", folder, "--ignore-index", 255, "--classes", 3)
    assert (code, err) == (0, "") and f"{want.total} pixels in 3 images" in told
    (folder / "more.bmp").write_bytes(b"no labels")
    code, _, err = cli("counts", folder, "--ignore-index", 255, "--classes", 3)
    assert code == 2 and "more.bmp: has the unknown suffix '.bmp'; known are .npy" in err


def test_weights_of_counts_with_blanks(cli: Any, tmp_path: Any) -> None:
    out = tmp_path / "w.json"
    code, _, err = cli("weights", "100", "20", "5", "-o", out)
    assert (code, err) == (0, "")
    assert json.loads(out.read_text()) == balance.class_weights([100, 20, 5]).tolist()
    code, _, err = cli("weights", "100", "x", "5", "-o", out, "--overwrite")
    assert (code, "100: no such file." in err) == (2, True)
