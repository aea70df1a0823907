"""Where files say that their pixels lie: relations of two files x formats x commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from softmax2d.cli import app
from tests.doors.formats import PLACE, write_geotiff

C, H, W = 4, 24, 36
WKT1 = rasterio.CRS.from_epsg(32633).to_wkt(version="WKT1_ESRI")
LOGITS = np.random.default_rng(1).normal(0, 3, (C, H, W)).astype(np.float32)
LABELS = LOGITS.argmax(0).astype(np.uint8)
SCAN = np.random.default_rng(2).normal(0, 3, (10, 12, 14, C)).astype(np.float32)  # i, j, k, class
MASK = SCAN.argmax(-1).astype(np.uint8)
AFFINE = np.array([[2.0, 0, 0, -20], [0, 2, 0, -30], [0, 0, 3, 40], [0, 0, 0, 1]])


@pytest.fixture
def cli(capsys: Any) -> Any:
    """Run a command: exit code and error output."""

    def run(*args: Any) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stop:
            app.main([*map(str, args)])
        return int(stop.value.code or 0), capsys.readouterr().err

    return run


def accuracy(path: Path) -> float:
    """The accuracy in a report."""
    return float(json.loads(path.read_text())["measures"]["accuracy"])


def turned_affine(flips: tuple[int, ...], order: tuple[int, ...]) -> tuple[Any, Any]:
    """The mask with axes flipped and permuted, and the affine with which it lies where it lay."""
    array, affine = MASK, AFFINE.copy()
    for axis in flips:
        array = np.flip(array, axis)
        affine[:3, 3] += affine[:3, axis] * (MASK.shape[axis] - 1)
        affine[:3, axis] *= -1
    return np.transpose(array, order), np.column_stack(
        [*(affine[:, d] for d in order), affine[:, 3]]
    )


SAME = {
    "equal": {},
    "within half a pixel": {"transform": PLACE @ Affine.translation(0.4, -0.4)},
    "the same CRS in other words": {"crs": WKT1},
}
APART = {
    "another zone": {"crs": "EPSG:32733"},
    "a neighbouring tile": {"transform": PLACE @ Affine.translation(W, 0)},
    "two pixels off": {"transform": PLACE @ Affine.translation(2, 0)},
    "half the size": {"transform": PLACE @ Affine.scale(0.5)},
    "rotated": {"transform": PLACE @ Affine.rotation(20)},
}


@pytest.mark.parametrize("command", ["evaluate", "calibrate", "tune"])
@pytest.mark.parametrize("case", SAME)
def test_truth_at_the_same_place(cli: Any, tmp_path: Path, case: str, command: str) -> None:
    scores = write_geotiff(tmp_path / "l.tif", LOGITS)
    truth = write_geotiff(tmp_path / "t.tif", LABELS, **SAME[case])
    out = tmp_path / "out.json"
    assert cli(command, scores, truth, "--report" if command == "evaluate" else "-o", out)[0] == 0
    if command == "evaluate":
        assert accuracy(out) == 1


@pytest.mark.parametrize("command", ["evaluate", "calibrate", "tune"])
@pytest.mark.parametrize("case", APART)
def test_truth_elsewhere(cli: Any, tmp_path: Path, case: str, command: str) -> None:
    scores = write_geotiff(tmp_path / "l.tif", LOGITS)
    truth = write_geotiff(tmp_path / "t.tif", LABELS, **APART[case])
    out = "--report" if command == "evaluate" else "-o", tmp_path / "out.json"
    code, err = cli(command, scores, truth, *out)
    assert code == 2
    assert "--ignore-place" in err
    assert "t.tif" in err
    assert cli(command, scores, truth, *out, "--ignore-place")[0] == 0


@pytest.mark.parametrize("command", ["segment", "probs"])
@pytest.mark.parametrize("case", APART)
def test_like_elsewhere(cli: Any, tmp_path: Path, case: str, command: str) -> None:
    scores = write_geotiff(tmp_path / "l.tif", LOGITS)
    like = write_geotiff(tmp_path / "like.tif", LABELS, **APART[case])
    given = command, scores, "-o", tmp_path / "out.tif", "--like", like
    code, err = cli(*given)
    if case == "half the size":  # a part of the logits: cut to it
        assert code == 0
        return
    assert code == 2
    assert "--ignore-place" in err
    assert cli(*given, "--ignore-place")[0] == 0


def test_like_that_is_a_part(cli: Any, tmp_path: Path) -> None:
    scores = write_geotiff(tmp_path / "l.tif", LOGITS)
    part = PLACE @ Affine.translation(5, 3)
    like = write_geotiff(tmp_path / "like.tif", LABELS[3:13, 5:25], transform=part)
    assert cli("segment", scores, "-o", tmp_path / "out.tif", "--like", like)[0] == 0
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.transform == part
        np.testing.assert_array_equal(file.read(1), LABELS[3:13, 5:25])


def test_south_up(cli: Any, tmp_path: Path) -> None:
    """The same pixels in another order: brought together, exactly."""
    scores = write_geotiff(tmp_path / "l.tif", LOGITS)
    up = PLACE @ Affine.translation(0, H) @ Affine.scale(1, -1)
    truth = write_geotiff(tmp_path / "t.tif", LABELS[::-1], transform=up)
    assert cli("evaluate", scores, truth, "--report", tmp_path / "r.json")[0] == 0
    assert accuracy(tmp_path / "r.json") == 1
    assert cli("segment", scores, "-o", tmp_path / "out.tif", "--like", truth)[0] == 0
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.transform == up
        np.testing.assert_array_equal(file.read(1), LABELS[::-1])


@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_turned_scans(
    cli: Any, tmp_path: Path, suffix: str, order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    scores, truth = tmp_path / f"l{suffix}", tmp_path / f"t{suffix}"
    nibabel.save(nibabel.Nifti1Image(SCAN, AFFINE), scores)
    array, affine = turned_affine(flips, order)
    nibabel.save(nibabel.Nifti1Image(array, affine), truth)
    assert cli("evaluate", scores, truth, "--report", tmp_path / "r.json")[0] == 0
    assert accuracy(tmp_path / "r.json") == 1
    out = tmp_path / f"out{suffix}"
    assert cli("segment", scores, "-o", out, "--like", truth, "--outputs", "labels")[0] == 0
    made = nibabel.load(out)
    np.testing.assert_allclose(made.affine, affine, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(made.dataobj), array)


def test_another_scan(cli: Any, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(SCAN, AFFINE), tmp_path / "l.nii")
    moved = AFFINE.copy()
    moved[0, 3] += 30
    nibabel.save(nibabel.Nifti1Image(MASK, moved), tmp_path / "t.nii")
    code, err = cli("evaluate", tmp_path / "l.nii", tmp_path / "t.nii")
    assert code == 2
    assert "--ignore-place" in err
