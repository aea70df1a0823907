"""``softmax2d evaluate --boundary-tolerance``: a table in the report, of files and of folders."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import softmax2d as s2d
from tests.boundaries.test_boundaries import maps
from tests.boundaries.test_boundary_files import save_nifti
from tests.cli.test_folders import cli  # noqa: F401 - a fixture


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    """Two label maps and their truth, in two folders."""
    monkeypatch.chdir(tmp_path)
    held = [maps(seed, (20, 24)) for seed in range(2)]
    for folder, each in zip(("labels", "truth"), zip(*held, strict=True), strict=True):
        Path(folder).mkdir()
        for k, values in enumerate(each):
            np.save(f"{folder}/{k}.npy", values)
    return held


def test_a_file(cli, pairs):  # noqa: F811
    labels, truth = pairs[0]
    wanted = s2d.evaluate_boundaries(labels, truth, tolerance=2)
    args = "labels/0.npy", "truth/0.npy", "--boundary-tolerance", "2", "--report", "r.json"
    code, out, err = cli("evaluate", *args, "--classes", "a,b,c")
    assert (code, err) == (0, "")
    assert "1 image, 3 classes; boundaries within 2 pixels" in out
    assert f"mean surface Dice  {wanted.mean_surface_dice:.4f}" in out
    head = "class  boundary IoU  boundary F  surface Dice  precision  recall  length (pixels)\na "
    assert head in out
    plain = json.loads(Path("r.json").read_text())
    assert s2d.Boundaries.from_dict(plain["boundaries"]["boundaries"]) == wanted
    assert s2d.Statistics.from_dict(plain["statistics"]) == s2d.evaluate_labels(labels, truth)
    code, _, err = cli("evaluate", *args)
    assert code == 2
    assert "exists" in err
    code, out, _ = cli("evaluate", *args[:4], "--report", "r.html", "--quiet")
    assert (code, out) == (0, "")
    assert "<h2>Boundaries</h2>" in Path("r.html").read_text()


def test_folders_in_millimetres(cli, pairs):  # noqa: F811
    for folder in ("labels", "truth"):
        for path in Path(folder).iterdir():
            values = np.stack([np.load(path)] * 3)
            save_nifti(path.with_suffix(".nii"), values, (0.5, 0.6, 1 + int(path.stem)))
            path.unlink()
    code, out, err = cli("evaluate", "labels", "truth", "--boundary-tolerance", "1.2mm")
    assert (code, err) == (0, "")
    assert "2 images, 3 classes; boundaries within 1.2 mm, voxels of 2 sizes" in out
    assert "area (mm²)" in out
    assert "mean surface Dice per image" in out
    parts = [
        s2d.evaluate_boundaries(
            *(np.stack([each] * 3) for each in pair),
            tolerance=1.2,
            spacing=(1 + k, 0.6, 0.5),
            spatial_dims=3,
        )
        for k, pair in enumerate(pairs)
    ]
    assert re.search(f"mean surface Dice +{sum(parts).mean_surface_dice:.4f}\n", out)
    given = "--boundary-tolerance", "1.2mm", "--spacing", "1,0.6,0.5"
    assert "voxels of 1 × 0.6 × 0.5 mm" in cli("evaluate", "labels", "truth", *given)[1]


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        (["--boundary-tolerance", "2mm"], "does not say how large its pixels are"),
        (["--boundary-tolerance", "2 x"], "--boundary-tolerance '2 x': expected a distance as 2"),
        (["--spacing", "1,2"], "--spacing is of boundaries: give --boundary-tolerance as well."),
        (
            ["--boundary-tolerance", "2", "--spacing", "1,2,3"],
            "spacing must be one number above 0 for",
        ),
    ],
)
def test_refusals(cli, pairs, args, cause):  # noqa: F811
    assert pairs
    code, out, err = cli("evaluate", "labels/0.npy", "truth/0.npy", *args, "--report", "r.txt")
    assert (code, out) == (2, "")
    assert cause in err
    assert not Path("r.txt").exists()


def test_scores_are_no_labels(cli, pairs):  # noqa: F811
    truth = pairs[0][1]
    np.save("scores.npy", np.eye(3, dtype=np.float32)[truth].transpose(2, 0, 1))
    code, _, err = cli("evaluate", "scores.npy", "truth/0.npy", "--boundary-tolerance", "2")
    assert code == 2
    assert "scores.npy: holds scores; --boundary-tolerance is of labels. Make them by" in err
