"""What labels of a NIfTI keep of its header, and what is put right in it."""

from __future__ import annotations

import struct
from typing import Any

import nibabel
import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.stream import segment_file, softmax2d_file
from softmax2d.stream.plan.inputs import open_any

Z = np.random.default_rng(7).normal(0, 3, (3, 6, 8, 10)).astype(np.float32)  # C, Z, Y, X
LABELS = s2d.segment(Z, axis=0).labels
TURN = (0.5, 0.5, -0.5)  # quaternion: the axes change places
KINDS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
KEPT = (
    "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "descrip", "aux_file",
)  # fmt: skip


def store(path, *, size=348, order="<", values=Z, extension=b"", **fields: Any):
    """Write a volume with a header of just these fields."""
    header: Any = KINDS[size](endianness=order)
    header.set_data_dtype(np.float32)
    header.set_data_shape(values.T.shape)
    header["pixdim"][1:4] = 0.5, 0.6, 0.7
    for name, value in fields.items():
        header[name] = value
    after = b"\0\0\0\0"
    if extension:
        after = b"\1\0\0\0" + struct.pack(f"{order}ii", 8 + len(extension), 6) + extension
    header["vox_offset"], header["magic"] = size + len(after), header.single_magic
    data = values.astype(f"{order}f4").tobytes()
    path.write_bytes(header.binaryblock + after + data)
    return path


def rows(matrix):
    return dict(zip(("srow_x", "srow_y", "srow_z"), np.asarray(matrix)[:3], strict=True))


MATRIX = np.array([[0, 0, 0.7, -9], [0.5, 0, 0, 4], [0, 0.6, 0, 5], [0, 0, 0, 1.0]])
SHEARED = np.array([[2, 0.5, 0, 0], [0, 2, 0, 0], [0, 0.3, 3, 0], [0, 0, 0, 1.0]])
QFORM = dict(zip(("quatern_b", "quatern_c", "quatern_d"), TURN, strict=True)) | {"qoffset_x": 3}
HEADS: dict[str, dict[str, Any]] = {
    "neither": {},
    "qform alone": {"qform_code": 1, **QFORM, "xyzt_units": 10},
    "qform of mirrored slices": {"qform_code": 4, **QFORM, "pixdim": [-1, 2, 3, 4, 5, 1, 1, 1]},
    "sform alone": {"sform_code": 2, **rows(MATRIX), "descrip": b"from the scanner"},
    "both, unlike": {"qform_code": 5, "sform_code": 4, **QFORM, **rows(MATRIX)},
    "sheared": {"sform_code": 3, **rows(SHEARED), "aux_file": b"colours"},
    "a column of zeros": {"sform_code": 1, **rows(MATRIX * [1, 0, 1, 1])},
    "no numbers": {"sform_code": 1, **rows(MATRIX * np.nan), "qform_code": 1},
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("size", KINDS)
@pytest.mark.parametrize("order", "<>")
def test_headers_stay_as_they_are(tmp_path, head, suffix, size, order):
    source = store(tmp_path / "in.nii", size=size, order=order, **HEADS[head])
    out = tmp_path / f"out.{suffix}"
    segment_file(source, out, outputs=("labels", "confidence"))
    before = nibabel.load(source).header
    for path in (out, tmp_path / f"out.confidence.{suffix}"):
        found = nibabel.load(path)
        for name in KEPT:
            one, other = (
                h[name][1:4] if name == "pixdim" else h[name] for h in (before, found.header)
            )
            if name != "descrip" or before[name].item():
                np.testing.assert_array_equal(other, one, name)
        assert len(found.header.binaryblock) == size
        assert found.header["cal_max"] == 0 and found.dataobj.slope == 1
        found.header.get_qform()
    assert np.array_equal(np.asarray(nibabel.load(out).dataobj).T, LABELS)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("size", KINDS)
def test_another_size_scales_what_the_header_says(tmp_path, head, size):
    source = store(tmp_path / "in.nii", size=size, **HEADS[head], slice_end=5)
    segment_file(source, tmp_path / "out.nii", size=(3, 16, 10))
    one, other = (nibabel.load(tmp_path / name).header for name in ("in.nii", "out.nii"))
    steps = np.array([1, 0.5, 2])
    assert all(one[name] == other[name] for name in ("qform_code", "sform_code"))
    np.testing.assert_allclose(other["pixdim"][1:4], one["pixdim"][1:4] * steps, 1e-6)
    assert other["slice_end"] == 0
    corners = np.array([[-0.5, -0.5, -0.5, 1], [9.5, 7.5, 5.5, 1]]).T
    moved = np.array([[-0.5, -0.5, -0.5, 1], [9.5, 15.5, 2.5, 1]]).T
    for form in ("get_qform", "get_sform"):
        before, after = (getattr(h, form)() for h in (one, other))
        if one[f"{form[4]}form_code"]:
            np.testing.assert_allclose(after @ moved, before @ corners, 1e-5, 1e-5)
    for name in ("quatern_b", "quatern_c", "quatern_d"):
        assert one[name] == other[name], "a change of size turns nothing"


def test_quaternions_that_are_too_long_by_rounding(tmp_path):
    long = {"qform_code": 1, "quatern_b": 0.6000003, "quatern_c": 0.8000003}
    source = store(tmp_path / "in.nii", **long)
    segment_file(source, tmp_path / "out.nii")
    found = nibabel.load(tmp_path / "out.nii")
    turn = [[-0.28, 0.96, 0], [0.96, 0.28, 0], [0, 0, -1]]
    np.testing.assert_allclose(found.header.get_qform()[:3, :3], turn * np.array([0.5, 0.6, 0.7]),
                               atol=1e-3)  # fmt: skip
    with open_any(source) as opened:
        np.testing.assert_allclose(opened.space.fields["affine"], found.affine)
    both = store(tmp_path / "both.nii", **long, sform_code=2, **rows(MATRIX))
    segment_file(both, tmp_path / "out.nii", overwrite=True)
    np.testing.assert_allclose(nibabel.load(tmp_path / "out.nii").affine, MATRIX, 1e-6)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_extensions(tmp_path, order, suffix):
    text = b"anonymised by hand".ljust(40, b"\0")
    source = store(tmp_path / "in.nii", order=order, extension=text, sform_code=1, **rows(MATRIX))
    for number, size in enumerate((None, (12, 8, 10))):
        out = tmp_path / f"{number}.{suffix}"
        segment_file(source, out, size=size)
        found = nibabel.load(out)
        (said,) = found.header.extensions
        assert said.get_code() == 6
        assert said.get_content() in (text.rstrip(b"\0"), text.rstrip(b"\0").decode())
        with open_any(out) as opened:
            assert opened.shape == (size or Z.shape[1:])
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / f"0.{suffix}").dataobj).T, LABELS)


def test_axes_of_logits_that_labels_no_longer_have(tmp_path):
    header = nibabel.Nifti1Header()
    header.extensions.append(nibabel.nifti1.Nifti1Extension(6, b"a text"))
    header.extensions.append(nibabel.nifti1.Nifti1Extension(32, b"<CIFTI/>"))
    nibabel.save(nibabel.Nifti1Image(Z.T, MATRIX, header), tmp_path / "in.nii")
    segment_file(tmp_path / "in.nii", tmp_path / "out.nii")
    assert nibabel.load(tmp_path / "out.nii").header.extensions.get_codes() == [6]


def test_what_the_numbers_are(tmp_path):
    image = nibabel.Nifti1Image(Z.T[:, :, :, None], np.eye(4))
    image.header.set_intent("vector", (), name="probs")
    nibabel.save(image, tmp_path / "in.nii")
    segment_file(tmp_path / "in.nii", tmp_path / "out.nii", outputs=("labels", "entropy"))
    softmax2d_file(tmp_path / "in.nii", tmp_path / "probs.nii.gz")
    said = {
        name: nibabel.load(tmp_path / name).header.get_intent()[::2]
        for name in ("out.nii", "out.entropy.nii", "probs.nii.gz")
    }
    assert said == {
        "out.nii": ("label", "labels"),
        "out.entropy.nii": ("estimate", "entropy"),
        "probs.nii.gz": ("estimate", "probabilities"),
    }
    for name, meaning in {"in.nii": None, "out.nii": None, "probs.nii.gz": "probabilities"}.items():
        with open_any(tmp_path / name) as source:
            assert source.meaning == meaning


def test_a_place_without_numbers_is_resumed(tmp_path):
    def stop(*told: Any) -> None:
        raise RuntimeError("enough")

    source = store(tmp_path / "in.nii", **HEADS["no numbers"])
    with pytest.raises(RuntimeError, match="enough"):
        segment_file(source, tmp_path / "out.nii", progress=stop, memory="1MB")
    segment_file(source, tmp_path / "out.nii", memory="1MB", resume=True)
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "out.nii").dataobj).T, LABELS)
