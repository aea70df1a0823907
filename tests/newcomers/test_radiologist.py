"""A radiologist: nnU-Net's exported probabilities and the scan, to labels where the scan lies."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform

from tests.newcomers.conftest import Shell

AFFINE = np.array([[-0.8, 0, 0, 90], [0, -0.8, 0, 80], [0, 0, 2.5, -40], [0, 0, 0, 1]])  # LPS
CLASSES = "background,liver,tumour"


class Case(NamedTuple):
    """What was drawn, along X, Y, Z of the scan."""

    probs: Any  # C, X, Y, Z
    truth: Any


def nifti(path: str, array: Any, affine: Any = AFFINE, axes: str = "LPS") -> None:
    """Save an image, its axes turned to those named."""
    image = nibabel.Nifti1Image(array, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm")
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(axes))
    nibabel.save(image.as_reoriented(turn), path)


@pytest.fixture
def case(folder: Path) -> Case:
    """A scan, its truth in three orientations, and what nnU-Net exports with probabilities."""
    rng = np.random.default_rng(3)
    size = 24, 20, 12
    truth = np.zeros(size, np.uint8)
    truth[4:14, 3:12, 2:8] = 1
    truth[15:20, 12:17, 4:9] = 2
    scores = 4 * (np.arange(3)[:, None, None, None] == truth) + rng.normal(size=(3, *size))
    e = np.exp(scores - scores.max(0))
    probs = (e / e.sum(0)).astype(np.float32)
    nifti("case_0000.nii.gz", rng.integers(-1000, 1000, size).astype(np.int16))
    for axes in ("LPS", "RAS", "ASL"):
        nifti(f"truth_{axes}.nii.gz", truth, axes=axes)
    np.savez_compressed("case.npz", probabilities=probs.transpose(0, 3, 2, 1))  # C, Z, Y, X
    Path("case.pkl").write_bytes(pickle.dumps({"spacing": [2.5, 0.8, 0.8]}))
    return Case(probs, truth)


def test_labels_lie_where_the_scan_lies(case: Case, shell: Shell) -> None:
    out, err = shell("softmax2d segment case.npz --like case_0000.nii.gz -o labels.nii.gz")
    assert err == ""
    assert out.startswith("case.npz: 3 classes, 12 × 20 × 24 pixels, float32 probabilities\n")
    scan, labels = nibabel.load("case_0000.nii.gz"), nibabel.load("labels.nii.gz")
    assert labels.shape == scan.shape and labels.get_data_dtype() == np.uint8
    assert np.array_equal(labels.affine, scan.affine)
    for name in ("qform_code", "sform_code", "xyzt_units", "pixdim"):
        assert np.array_equal(labels.header[name], scan.header[name])
    assert np.array_equal(np.asarray(labels.dataobj), case.probs.argmax(0))
    confidence = nibabel.load("labels.confidence.nii.gz")  # the softmax that nnU-Net exported
    assert np.allclose(np.asarray(confidence.dataobj), case.probs.max(0), atol=1e-6)
    assert np.array_equal(confidence.affine, scan.affine)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "ASL"])
def test_evaluated_against_a_truth_of_any_orientation(case: Case, shell: Shell, axes: str) -> None:
    shell("softmax2d segment case.npz --like case_0000.nii.gz -o labels.nii.gz")
    shell("softmax2d probs case.npz --like case_0000.nii.gz -o probs.nii.gz")
    accuracy = f"{(case.probs.argmax(0) == case.truth).mean():.4f}"
    turned = {
        "labels": f"softmax2d: labels.nii.gz: turned from LPS to {axes}, as truth_{axes}.nii.gz "
        "lies.\n",
        "probs": f"softmax2d: truth_{axes}.nii.gz: turned from {axes} to LPS, as probs.nii.gz "
        "lies.\n",
    }
    for name in ("labels", "probs"):
        line = f"softmax2d evaluate {name}.nii.gz truth_{axes}.nii.gz --classes {CLASSES}"
        out, err = shell(line)
        assert err == ("" if axes == "LPS" else turned[name])
        assert "5760 pixels in 1 image, 3 classes" in out, out
        assert re.search(rf"^accuracy +{accuracy}$", out, re.MULTILINE)
        assert re.search(r"^tumour +0\.\d{4} ", out, re.MULTILINE)
    assert "negative log-likelihood (nats)" in out


def test_scores_without_a_place_are_said(case: Case, shell: Shell) -> None:
    """The .npz says no place: whether its voxels are those of the truth, nobody can know."""
    out, err = shell("softmax2d evaluate case.npz truth_LPS.nii.gz")
    assert "float32 probabilities" in out
    assert err == (
        "softmax2d: case.npz: does not say where its voxels lie: taken to lie as truth_LPS.nii.gz "
        "does (LPS). Labels made with --like SCAN (like=) say it.\n"
    )
    np.save("labels.npy", case.probs.argmax(0).T.astype(np.uint8))
    _, err = shell("softmax2d evaluate labels.npy truth_LPS.nii.gz")
    assert err.startswith("softmax2d: labels.npy: does not say where its voxels lie: taken")
    _, err = shell("softmax2d evaluate labels.npy truth_LPS.nii.gz --ignore-place")
    assert err == ""


def test_a_folder_of_cases(case: Case, shell: Shell) -> None:
    for name in ("predicted", "scans", "truth"):
        Path(name).mkdir()
    for number in (1, 2):
        np.savez(f"predicted/liver_{number}.npz", probabilities=case.probs.transpose(0, 3, 2, 1))
        Path(f"predicted/liver_{number}.pkl").write_bytes(b"never read")
        nifti(f"scans/liver_{number}.nii.gz", np.zeros(case.truth.shape, np.int16))
        nifti(f"truth/liver_{number}.nii.gz", case.truth, axes="RAS")
    Path("predicted/dataset.json").write_text("{}")
    line = "softmax2d segment predicted/ --like scans/ -o labels/ --format nii.gz"
    out, err = shell(line)
    assert err == "" and "predicted/liver_2.npz  labels/liver_2.nii.gz" in out
    out, err = shell(f"softmax2d evaluate labels/ truth/ --classes {CLASSES}")
    assert "labels: 2 label maps\ntruth: 11520 pixels in 2 images, 3 classes" in out
    assert err.count("turned from LPS to RAS") == 2


def test_the_folders_of_nnunet(case: Case, shell: Shell) -> None:
    """``nnUNetv2_predict --save_probabilities`` writes labels, .npz and .pkl of each case."""
    for name in ("predicted", "imagesTs", "labelsTs"):
        Path(name).mkdir()
    for number in (1, 2):
        np.savez(f"predicted/liver_{number}.npz", probabilities=case.probs.transpose(0, 3, 2, 1))
        Path(f"predicted/liver_{number}.pkl").write_bytes(b"never read")
        nifti(f"predicted/liver_{number}.nii.gz", np.zeros_like(case.truth))
        for channel in range(2):
            nifti(f"imagesTs/liver_{number}_000{channel}.nii.gz", case.truth.astype(np.int16))
        nifti(f"labelsTs/liver_{number}.nii.gz", case.truth, axes="RAS")
    for name in ("dataset", "plans", "predict_from_raw_data_args"):
        Path(f"predicted/{name}.json").write_text("{}")
    out, err = shell("softmax2d segment predicted --like imagesTs -o labels --format nii.gz")
    assert err == "" and "predicted/liver_1.npz  labels/liver_1.nii.gz" in out
    labels: Any = nibabel.load("labels/liver_2.nii.gz")
    assert np.array_equal(np.asarray(labels.dataobj), case.probs.argmax(0))
    assert np.allclose(labels.affine, AFFINE)
    # Its own labels say where they lie, and are compared; with a map for scores, the scores.
    out, _ = shell(f"softmax2d evaluate predicted labelsTs --classes {CLASSES}")
    assert "predicted: 2 label maps" in out
    out, _ = shell(f"softmax2d evaluate predicted labelsTs --classes {CLASSES} --temperature 2")
    assert "predicted: 2 files, 3 classes" in out


def test_mistakes_lead_on(case: Case, refusal: Callable[[str], str]) -> None:
    like = "--like case_0000.nii.gz"
    assert "a PNG holds one image of rows × columns; got 12 × 20 × 24" in refusal(
        f"softmax2d segment case.npz {like} -o labels.png"
    )
    text = refusal(f"softmax2d segment case.pkl {like} -o labels.nii.gz")
    assert "has the unknown suffix '.pkl'; known are .npy, .npz," in text
    assert text.endswith(" No pickle is opened: save the array with numpy.save.\n")
    assert "is a label map, int16 of shape (12, 20, 24): one number a pixel" in refusal(
        "softmax2d segment case_0000.nii.gz -o labels.nii.gz"
    )
    text = refusal("softmax2d segment case.npz --like truth_ASL.nii.gz -o labels.nii.gz")
    assert text.endswith("has 24 × 12 × 20 pixels, and case.npz 12 × 20 × 24: the same axes in "
                         "another order. Transpose one of them.\n")  # fmt: skip
    moved = AFFINE.copy()
    moved[2, 3] += 50
    nifti("elsewhere.nii.gz", case.truth, moved)
    text = refusal("softmax2d evaluate truth_LPS.nii.gz elsewhere.nii.gz")
    assert "first voxel at (90, 80, -40) mm" in text and "at (90, 80, 10) mm" in text
    assert "--ignore-place" in text
