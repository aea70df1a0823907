"""Label maps in files against the truth: the counts of the arrays, whatever format and pieces."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import rasterio
import zarr
from PIL import Image

import softmax2d as s2d
from softmax2d import stream

RNG = np.random.default_rng(3)
TRUTH = RNG.integers(0, 4, (70, 90)).astype(np.uint8)
LABELS = np.where(RNG.random(TRUTH.shape) < 0.2, RNG.integers(0, 4, TRUTH.shape), TRUTH)
LABELS = LABELS.astype(np.uint8)
WANT = s2d.evaluate_labels(LABELS, TRUTH)


def tif(path: Path, array: Any, nodata: int | None = None, west: float = 0.0) -> None:
    """A GeoTIFF."""
    profile: dict[str, Any] = {"height": array.shape[0], "width": array.shape[1], "count": 1}
    profile |= {"dtype": array.dtype.name, "crs": "EPSG:32633", "nodata": nodata}
    profile["transform"] = rasterio.Affine(10, 0, west, 0, -10, 0)
    with rasterio.open(path, "w", driver="GTiff", **profile) as file:
        file.write(array, 1)


def write(path: Path, array: Any) -> Path:
    """A label map in the format of the suffix."""
    name = path.name
    if name.endswith(".npy"):
        np.save(path, array)
    elif name.endswith(".npz"):
        np.savez_compressed(path, labels=array)
    elif name.endswith(".png"):
        Image.fromarray(array).save(path)
    elif name.endswith(".tif"):
        tif(path, array)
    elif name.endswith((".nii", ".nii.gz")):
        nibabel.Nifti1Image(array.T, np.eye(4)).to_filename(path)
    elif name.endswith(".h5"):
        with h5py.File(path, "w") as file:
            file["labels"] = array
    elif name.endswith(".zarr"):
        zarr.create_array(str(path), data=array, chunks=(32, 32))
    return path


FORMATS = ("a.npy", "a.npz", "a.png", "a.tif", "a.nii", "a.nii.gz", "a.h5", "a.zarr")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_against_every_other(name: str, tmp_path: Path) -> None:
    labels = write(tmp_path / name, LABELS)
    truth = write(tmp_path / "truth.npy", TRUTH)
    assert stream.holds_labels(labels, truth)
    assert stream.evaluate_label_files(labels, truth) == WANT
    assert (
        stream.evaluate_label_files(truth, labels).confusion.tolist() == WANT.confusion.T.tolist()
    )


@pytest.mark.parametrize("kind", ["u1", "i2", "u4", "i8", "f4", "f8"])
def test_types_of_numbers(kind: str, tmp_path: Path) -> None:
    labels = write(tmp_path / "a.npy", LABELS.astype(kind))
    assert stream.evaluate_label_files(labels, TRUTH.astype(kind)) == WANT


def test_pieces_and_batches(tmp_path: Path) -> None:
    truth = RNG.integers(0, 5, (3, 700, 900)).astype(np.uint8)
    labels = RNG.integers(0, 5, truth.shape).astype(np.uint8)
    truth[0][truth[0] == 4], truth[:, :9] = 0, 255
    want = s2d.evaluate_labels(labels, truth, ignore_index=255)
    paths = write(tmp_path / "a.npy", labels), write(tmp_path / "b.npy", truth)
    for memory in ("2MB", "512MB"):
        assert stream.evaluate_label_files(*paths, ignore_index=255, memory=memory) == want
    lists = stream.evaluate_label_files(list(labels), list(truth), ignore_index=255)
    assert lists == want
    volume = stream.evaluate_label_files(*paths, ignore_index=255, spatial_dims=3)
    assert (volume.images, want.images) == (1, 3)
    assert volume.confusion.tolist() == want.confusion.tolist()
    seen: list[tuple[int, int]] = []
    how: dict[str, Any] = {"progress": lambda done, total, _: seen.append((done, total))}
    stream.evaluate_label_files(*paths, ignore_index=255, memory="2MB", **how)
    assert len(seen) > 1
    assert seen[-1] == (truth.size, truth.size)


def test_a_volume_of_nifti_is_one_image(tmp_path: Path) -> None:
    volume = RNG.integers(0, 3, (4, 5, 6)).astype(np.uint8)
    paths = [write(tmp_path / n, volume) for n in ("a.nii.gz", "b.nii")]
    assert stream.evaluate_label_files(*paths).images == 1


def test_axes_of_one_entry(tmp_path: Path) -> None:
    found = stream.evaluate_label_files(LABELS[None, ..., None], write(tmp_path / "t.png", TRUTH))
    assert found == WANT


def test_the_labels_of_scores(tmp_path: Path) -> None:
    logits = RNG.normal(size=(4, 70, 90)).astype(np.float32)
    source, labels = tmp_path / "z.npy", tmp_path / "labels.tif"
    np.save(source, logits)
    stream.segment_file(source, labels)
    assert not stream.holds_labels(source, TRUTH)
    report = tmp_path / "report.json"
    found = stream.evaluate_label_files(labels, TRUTH, report=report, names="a,b,c,d")
    assert found.confusion.tolist() == s2d.evaluate(logits, TRUTH).confusion.tolist()
    assert json.loads(report.read_text())["classes"] == ["a", "b", "c", "d"]


def test_pixels_without_a_label_count_nowhere_and_are_said(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[:5] = 255
    want = s2d.evaluate_labels(labels[5:], TRUTH[5:])
    tif(tmp_path / "a.tif", labels, nodata=255)
    accounts: list[Any] = []
    found = stream.evaluate_label_files(tmp_path / "a.tif", TRUTH, account=accounts.append)
    assert found == want
    note = f"{tmp_path}/a.tif: 450 pixels without a label, 255: counted nowhere."
    assert note in accounts[0].notes
    assert accounts[0].counts.ignored == 450
    plain = write(tmp_path / "a.npy", labels)
    assert stream.evaluate_label_files(plain, TRUTH, nodata=255) == want
    with pytest.raises(stream.Refused, match=re.escape("got 255 at (0, 0). Give nodata=255 (--")):
        stream.evaluate_label_files(plain, TRUTH)


def test_a_label_map_that_lies_elsewhere(tmp_path: Path) -> None:
    tif(tmp_path / "a.tif", LABELS)
    tif(tmp_path / "b.tif", TRUTH, west=5000.0)
    pair = tmp_path / "a.tif", tmp_path / "b.tif"
    with pytest.raises(stream.Refused, match="lies elsewhere than"):
        stream.evaluate_label_files(*pair)
    assert stream.evaluate_label_files(*pair, ignore_place=True) == WANT


def test_classes_and_names(tmp_path: Path) -> None:
    assert stream.evaluate_label_files(LABELS, TRUTH, classes=9).classes == 9
    report = tmp_path / "r.txt"
    assert stream.evaluate_label_files(LABELS, TRUTH, names="a,b,c,d,e", report=report).classes == 5
    assert "\ne " in report.read_text()
    with pytest.raises(stream.Unusable, match="5 names for 4 classes"):
        stream.evaluate_label_files(LABELS, TRUTH, classes=4, names="a,b,c,d,e")


@pytest.mark.parametrize(
    ("labels", "target", "options", "message"),
    [
        (LABELS[:9], TRUTH, {}, "holds 9 × 90 labels, and source 70 × 90. Labels of the"),
        (LABELS + 0.5, TRUTH, {}, "holds "),
        (LABELS, TRUTH, {"classes": 2}, "must be in [0, 2)"),
        (LABELS, TRUTH, {"spatial_dims": 7}, "spatial_dims must be 1, 2 or 3; got 7."),
        ([LABELS], TRUTH, {}, "give one target for one label map, or a list for a list."),
        ([LABELS], [TRUTH] * 2, {}, "give one target for each of 1 label maps; got 2."),
        ([LABELS] * 2, [TRUTH] * 2, {"summary": "s.json"}, "summary accounts for one pair"),
    ],
)  # fmt: skip
def test_refusals(labels: Any, target: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((stream.Unusable, ValueError), match=re.escape(message)):
        stream.evaluate_label_files(labels, target, **options)


@pytest.mark.parametrize(
    ("array", "labels"),
    [
        (LABELS, True),
        (LABELS > 0, True),
        (LABELS.astype("f4"), True),
        (LABELS + 0.25, False),
        (LABELS[None], True),
        (np.stack([LABELS] * 4), False),
        (np.zeros((4, 70, 90), np.float32), False),
        (np.zeros((1, 70, 90), np.float32), False),
        (LABELS[:30], True),
    ],
)
def test_what_a_file_holds(array: Any, labels: bool, tmp_path: Path) -> None:
    assert stream.holds_labels(write(tmp_path / "a.npy", array), TRUTH) == labels


def test_255_is_a_class_where_another_piece_has_larger_ones(tmp_path: Path) -> None:
    labels = np.zeros((1200, 1300), np.uint16)
    labels[0, 0] = 255
    truth = labels.copy()
    truth[-1, -1] = 300
    paths = write(tmp_path / "a.npy", labels), write(tmp_path / "b.npy", truth)
    want = s2d.evaluate_labels(labels, truth)
    for memory in ("2MB", "512MB"):
        assert stream.evaluate_label_files(*paths, memory=memory) == want
    both = stream.evaluate_label_files([paths[0], paths[0]], [paths[0], paths[1]])
    assert (both.classes, both.images) == (301, 2)
    for pair in ((paths[0], paths[0]), ([paths[0]] * 2, [paths[0]] * 2)):
        with pytest.raises(stream.Refused, match=r"a\.npy: must be a class; got 255 at \(0, 0\)"):
            stream.evaluate_label_files(*pair)


def test_masks_and_negative_labels_name_the_way_on() -> None:
    mask = (TRUTH > 1).astype(np.uint8)
    with pytest.raises(stream.Refused, match="In a mask of 0 and 255 it is class 1: store 255 as"):
        stream.evaluate_label_files(mask, mask * 255)
    with pytest.raises(stream.Refused, match="got -1 at .* Give nodata=-1 "):
        stream.evaluate_label_files(LABELS.astype(np.int8) - 1, TRUTH)
