"""``softmax2d evaluate --per-image``: each image by itself, of one pair of files and of folders."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import softmax2d as s2d
from tests.cli.test_folders import cli, folders  # noqa: F401 - fixtures


def table(name: str = "s.csv") -> list[dict[str, str]]:
    """The lines of a table, by the names of its columns."""
    return list(csv.DictReader(Path(name).read_text("utf-8-sig").splitlines()))


def saved(name: str) -> s2d.Statistics:
    """The statistics in a report."""
    return s2d.Statistics.from_dict(json.loads(Path(name).read_text())["statistics"])


@pytest.mark.parametrize("labels", [False, True])
def test_a_folder(cli: Any, folders: Any, labels: bool) -> None:  # noqa: F811
    logits, truth = folders
    want = s2d.evaluate(logits, truth, per_image=True)
    source = "z"
    if labels:
        given = s2d.segment(logits).labels
        want = s2d.evaluate_labels(given, truth, per_image=True)
        Path("out").mkdir()
        for i, one in enumerate(given):
            Image.fromarray(one).save(f"out/im{i}.png")
        source = "out"
    args = [source, "t", "--classes", "a,b,c,d", "--per-image", "s.csv", "--report", "r.json"]
    code, out, err = cli("evaluate", *args)
    assert (code, err) == (0, "")
    assert out.splitlines()[-3:-1] == ["r.json", "s.csv"]
    assert want.per_image is not None
    names = [f"im{i}" for i in range(3)]
    assert saved("r.json") == replace(want, per_image=want.per_image.with_names(names))
    assert "together, where large objects decide; a mean over images counts every image" in out
    (total,) = (row for row in out.splitlines() if row.startswith("mean Dice over images, ±"))
    mean, error = want.per_image.mean_dice(), want.per_image.mean_error("dice")
    assert total.split()[-2:] == [f"{error:.4f}", f"{mean:.4f}"]
    worst = out[out.index("\nWorst images\nimage  mean IoU  mean Dice\n") :].splitlines()[3:6]
    assert [line.split()[0] for line in worst] == [f"im{s.image}" for s in want.per_image.worst()]
    assert "Largest confusions" not in out
    assert [row["image"] for row in table()] == names
    assert [float(row["IoU b"]) for row in table()] == want.per_image.iou[:, 1].tolist()
    code, _, err = cli("evaluate", *args)
    assert code == 2
    assert "exists; add --overwrite" in err
    assert cli("evaluate", *args, "--overwrite", "--quiet") == (0, "", "")


def test_entries_of_one_file_and_the_account(cli: Any, folders: Any) -> None:  # noqa: F811
    logits, truth = folders
    np.save("scan.npy", logits)
    np.save("truth.npy", truth)
    args = ["scan.npy", "truth.npy", "--per-image", "s.csv", "--summary", "a.json"]
    assert cli("evaluate", *args)[0] == 0
    assert [row["image"] for row in table()] == ["scan[0]", "scan[1]", "scan[2]"]
    want = s2d.evaluate(logits, truth, per_image=True).per_image
    assert want is not None
    said = json.loads(Path("a.json").read_text())["images"]
    assert (said["total"], said["mean_iou"]) == (3, want.mean_iou())
    assert said["mean_dice_error"] == want.mean_error("dice")
    worst = [f"scan[{score.image}]" for score in want.worst()]
    assert [score["name"] for score in said["worst_iou"]] == worst


def test_what_measures_are_of_is_said_of_several_images(cli: Any, folders: Any) -> None:  # noqa: F811
    pooled = "All measures are of the pixels of all images together: large objects decide them.\n"
    assert pooled in cli("evaluate", "z", "t")[1]
    assert "together" not in cli("evaluate", "z/im0.npy", "t/im0.png")[1]


def test_what_it_refuses(cli: Any, folders: Any) -> None:  # noqa: F811
    for name, text in (("s.txt", "the scores of each image are a .csv"), ("no/s.csv", "no folder")):
        code, out, err = cli("evaluate", "z", "t", "--per-image", name)
        assert (code, out) == (2, "")
        assert text in err
    code, _, err = cli("evaluate", "z/im0.npy", "t/im0.png", "--resume")
    assert "--resume needs --report or --summary, or --per-image: beside it" in err
    Path("s.csv").write_text("mine")
    assert cli("evaluate", "z", "t", "--per-image", "s.csv")[0] == 2
    assert Path("s.csv").read_text() == "mine"
    Image.fromarray(np.full((20, 30), 9, np.uint8)).save("t/im2.png")
    code, _, err = cli("evaluate", "z", "t", "--per-image", "new.csv")
    assert code == 2
    assert not Path("new.csv").exists()


def test_curves(cli: Any, folders: Any) -> None:  # noqa: F811
    logits, truth = folders
    want = s2d.evaluate(logits, truth, curves=True)
    assert want.curves is not None
    code, out, err = cli("evaluate", "z", "t", "--curves", "--report", "r.json")
    assert (code, err) == (0, "")
    assert saved("r.json") == want
    rows = out[out.index("\nPrecision and recall\n") :].splitlines()[3:7]
    found = [float(row.split()[1]) for row in rows]
    assert found == [float(f"{ap:.4f}") for ap in want.curves.average_precision]
    code, _, err = cli("evaluate", "t", "t", "--curves")
    assert code == 2
    assert "is a label map; --curves is of scores: leave it out" in err
