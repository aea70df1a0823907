"""What the command line takes is public: names, palettes, previews, reports, accounts, workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import balance, calibrate
from softmax2d.stream import (
    Refused,
    Results,
    Summary,
    Unusable,
    evaluate_files,
    predict,
    segment_file,
    softmax2d_file,
)

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "scores.npy", rng.normal(0, 3, (3, 40, 50)).astype(np.float32))
    np.save(tmp_path / "truth.npy", rng.integers(0, 3, (40, 50), dtype=np.uint8))
    return tmp_path / "scores.npy", tmp_path / "truth.npy"


def test_palette_by_name_file_or_numbers(files: Any, tmp_path: Path) -> None:
    (tmp_path / "colours.txt").write_text("128 0 0\n0 128 0\n#808000\n")
    numbers = np.array([[128, 0, 0], [0, 128, 0], [128, 128, 0]])
    made = []
    for number, palette in enumerate(("voc", tmp_path / "colours.txt", numbers)):
        path = tmp_path / f"{number}.png"
        segment_file(files[0], path, palette=palette)
        made.append(path.read_bytes())
    labels = s2d.segment(np.load(files[0])).labels
    assert labels is not None
    rgb = np.asarray(Image.open(tmp_path / "1.png").convert("RGB"))
    assert np.array_equal(rgb, numbers[labels])
    assert np.array_equal(np.asarray(Image.open(tmp_path / "0.png")), labels)
    assert made[1] == made[2] != made[0]


@pytest.mark.parametrize("kind", ["text", "file", "list"])
def test_names_by_text_file_or_list(files: Any, tmp_path: Path, kind: str) -> None:
    (tmp_path / "names.txt").write_text("road\nwide sky\ntree\n")
    given = {"text": "road, wide sky,tree", "file": tmp_path / "names.txt"}
    names = given.get(kind, ["road", "wide sky", "tree"])
    found = segment_file(files[0], tmp_path / "out.npy", names=names)
    assert found.names == ("road", "wide sky", "tree")
    accounts: list[Summary] = []
    evaluate_files(*files, names=names, report=tmp_path / "r.txt", account=accounts.append)
    assert accounts[0].names == found.names and "wide sky" in (tmp_path / "r.txt").read_text()
    assert calibrate.fit(*files, class_names=names).class_names == found.names
    assert balance.tune_bias(*files, names=names, sweeps=1).names == found.names
    many = None if kind != "list" else 3
    counts = balance.class_counts(files[1], classes=many, names=names)
    assert counts.names == found.names and counts.classes == 3


def test_names_that_do_not_fit(files: Any, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("road\n")
    with pytest.raises(Unusable, match=r"^names a,b: 2 names for 3 classes\.$"):
        segment_file(files[0], tmp_path / "out.npy", names="a,b")
    with pytest.raises(Refused, match=r"names\.txt: 1 name for 3 classes\.$"):
        evaluate_files(*files, names=tmp_path / "names.txt")
    with pytest.raises(Refused, match="is the input .*names.txt itself"):
        segment_file(files[0], tmp_path / "names.txt", names=tmp_path / "names.txt", overwrite=True)
    assert not (tmp_path / "out.npy").exists()


def test_preview_beside_the_labels(files: Any, tmp_path: Path) -> None:
    out, shown = tmp_path / "out.npy", tmp_path / "shown.png"
    segment_file(files[0], out, preview=shown, palette="voc")
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]])
    assert np.array_equal(np.asarray(Image.open(shown)), colours[np.load(out)])
    with pytest.raises(Refused, match="exists"):
        segment_file(files[0], tmp_path / "b.npy", preview=shown)
    for preview, outputs, text in (
        (tmp_path / "shown.jpg", "labels", "a preview is a .png"),
        (tmp_path / "b.png", "confidence", "a preview shows the labels"),
        (files[0].with_suffix(".png"), "labels", "a PNG holds one image"),
    ):
        scores: Any = files[0] if "image" not in text else np.zeros((2, 3, 4, 4), np.float32)
        result: Any = tmp_path / "b.npy"
        with pytest.raises(Refused, match=text):
            segment_file(scores, result, preview=preview, outputs=outputs)
        assert not preview.exists() and not result.exists()


def test_a_report_is_written_whole_or_not_at_all(files: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    found = evaluate_files(*files, report=report)
    said = json.loads(report.read_text())
    assert said["title"] == "scores.npy and truth.npy"
    assert s2d.Statistics.from_dict(said["statistics"]) == found
    with pytest.raises(Refused, match=r"exists; add --overwrite"):
        evaluate_files(*files, report=report)
    assert evaluate_files(*files, report=report, overwrite=True) == found
    assert evaluate_files(*files, report=report, resume=True) == found, "the same bytes may stay"
    with pytest.raises(Refused, match=r"unknown suffix '\.pdf'"):
        evaluate_files(*files, report=tmp_path / "report.pdf")
    with pytest.raises(Refused, match="is no place for the account"):
        evaluate_files(*files, report=tmp_path / "a.json", summary=tmp_path / "truth.npy")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.json", "scores.npy", "truth.npy"]


@pytest.mark.parametrize("function", [segment_file, softmax2d_file, evaluate_files])
def test_the_account_comes_also_of_a_run_that_fails(
    files: Any, tmp_path: Path, function: Any
) -> None:
    def stop(*told: Any) -> None:
        raise RuntimeError("enough")

    accounts: list[Summary] = []
    second = files[1] if function is evaluate_files else tmp_path / "out.npy"
    with pytest.raises(RuntimeError):
        function(files[0], second, account=accounts.append, progress=stop)
    assert [found.status for found in accounts] == ["failed"]
    function(files[0], second, account=accounts.append)
    found = accounts[1]
    assert found.status == "done" and found.dtype == "float32" and found.source_shape == (40, 50)
    assert found.interpolation == ("linear", "linear")
    assert found.dtypes == {
        segment_file: {"labels": "uint8"}, softmax2d_file: {"probs": "float32"}, evaluate_files: {},
    }[function]  # fmt: skip


def test_a_discarded_run_is_noted(files: Any, tmp_path: Path) -> None:
    def stop(*told: Any) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError):
        segment_file(files[0], tmp_path / "out.npy", progress=stop)
    found = segment_file(files[0], tmp_path / "out.npy")
    assert found.notes == [f"{tmp_path / 'out.npy'}: an unfinished earlier run was discarded."]


def test_predict_takes_names_and_palettes(tmp_path: Path) -> None:
    def model(batch: Any) -> Any:
        return np.concatenate([0.5 - batch, batch - 0.5], axis=1)

    image = np.linspace(0, 1, 64).reshape(8, 8)
    out = tmp_path / "out.png"
    found = predict(model, image, out, window=4, names="dark,bright", palette="voc")
    assert found.names == ("dark", "bright")
    assert Image.open(out).convert("RGB").getpixel((7, 7)) == (128, 0, 0)


@pytest.mark.parametrize("scheduler", [0, -1, True, 1.5])
def test_a_scheduler_is_an_address_or_a_number(files: Any, tmp_path: Path, scheduler: Any) -> None:
    with pytest.raises(Unusable, match="an address or a positive number of processes"):
        segment_file(files[0], tmp_path / "out.npy", scheduler=scheduler)


def test_results_appear_together(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.txt"
    with pytest.raises(ZeroDivisionError), Results([first, second]) as results:
        results.write(first, b"1")
        results.save(second, lambda path: path.write_text("2"))
        _ = 1 / 0
    assert not list(tmp_path.iterdir())
    with Results([first], report=second) as results:
        results.write(first, b"1")
        results.save(second, lambda path: path.write_text("2"))
    assert (first.read_text(), second.read_text()) == ("1", "2")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.txt"]
    with pytest.raises(Refused, match="exists"):
        Results([first])
    with pytest.raises(Refused, match="would be written twice"):
        Results([second], overwrite=True, report=second)
    with pytest.raises(Refused, match="is the input"):
        Results([first], [first], overwrite=True)


def test_errors_of_saving_name_the_result(tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        raise Refused(path, "no.")

    path = tmp_path / "a.json"
    with pytest.raises(Refused, match=f"^{path}: no.$"), Results([path]) as results:
        results.save(path, refuse)


def test_instruction_sets() -> None:
    known = s2d.instruction_sets()
    assert known[s2d.instruction_set()] and list(known) == sorted(known)
