"""NIfTI, HDF5, safetensors and .npz: what their own libraries write is read, and the reverse."""

from __future__ import annotations

import gzip
import json
import os
import struct

import h5py
import nibabel
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

import softmax2d as s2d
from softmax2d import calibrate
from softmax2d.stream import Refused, evaluate_files, segment_file, softmax2d_file
from softmax2d.stream.plan.inputs import open_any

Z = np.random.default_rng(1).normal(0, 4, (4, 9, 20, 31)).astype(np.float32)  # C, Z, Y, X
FLAT = Z[:, 3]
AFFINE = np.array([[-2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, -30], [0, 0, 0, 1.0]])
LABELS = s2d.segment(Z, axis=0).labels


def nifti(path, values=Z, kind=nibabel.Nifti1Image, affine=AFFINE):
    image = kind(np.ascontiguousarray(values.T), affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_volumes_keep_their_place(tmp_path, suffix, kind):
    source = nifti(tmp_path / f"in.{suffix}", kind=kind)
    out = tmp_path / f"out.{suffix}"
    segment_file(source, out, outputs=("labels", "confidence"), memory="1MB")
    found = nibabel.load(out)
    np.testing.assert_array_equal(np.asarray(found.dataobj).T, LABELS)
    np.testing.assert_allclose(found.affine, AFFINE)
    assert found.header.get_xyzt_units()[0] == "mm"
    assert found.get_data_dtype() == np.uint8
    beside = nibabel.load(tmp_path / f"out.confidence.{suffix}")
    expected = s2d.segment(Z, axis=0).confidence
    np.testing.assert_array_equal(np.asarray(beside.dataobj).T, expected)


def test_another_size_keeps_the_region(tmp_path):
    source = nifti(tmp_path / "in.nii")
    segment_file(source, tmp_path / "out.nii", size=(18, 20, 62))
    found = nibabel.load(tmp_path / "out.nii")
    assert found.shape == (62, 20, 18)
    np.testing.assert_allclose(np.diag(found.affine), [-1, 3, 2, 1])
    np.testing.assert_allclose(found.affine[:3, 3], [10.5, 20, -31])
    whole = s2d.segment(Z, axis=0, size=(18, 20, 62))
    np.testing.assert_array_equal(np.asarray(found.dataobj).T, whole.labels)


def test_like_another_volume(tmp_path):
    half = np.array(Z.shape[:0:-1]) / np.array(Z[0, ::2, ::2, ::2].shape[::-1])
    affine = AFFINE @ np.diag([*half, 1])
    affine[:3, 3] = AFFINE[:3, 3] + AFFINE[:3, :3] @ ((half - 1) / 2)  # the same outer edges
    coarse = nifti(tmp_path / "in.nii", Z[:, ::2, ::2, ::2], affine=affine)
    like = nifti(tmp_path / "like.nii.gz", Z[0])
    segment_file(coarse, tmp_path / "out.nii.gz", like=like)
    found = nibabel.load(tmp_path / "out.nii.gz")
    assert found.shape == Z.shape[:0:-1]
    np.testing.assert_allclose(found.affine, AFFINE)


def test_probabilities_in_8_bits_say_their_scale(tmp_path):
    source = nifti(tmp_path / "in.nii")
    softmax2d_file(source, tmp_path / "out.nii", encoding="uint8")
    found = nibabel.load(tmp_path / "out.nii")
    np.testing.assert_allclose(found.get_fdata().T, s2d.softmax2d(Z, axis=0), atol=1 / 500)


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_scaled_integers(tmp_path, dtype):
    image = nibabel.Nifti1Image(np.ascontiguousarray((Z * 10).astype(dtype).T), AFFINE)
    image.header.set_slope_inter(0.5, 3)
    nibabel.save(image, tmp_path / "in.nii")
    found = np.empty(LABELS.shape, np.uint8)
    segment_file(tmp_path / "in.nii", found)
    scaled = nibabel.load(tmp_path / "in.nii").get_fdata().T
    with open_any(tmp_path / "in.nii") as source:
        assert source.dtype == np.result_type(dtype, np.float32)
        assert source.converted == np.dtype(dtype).itemsize + 8
        np.testing.assert_array_equal(source[:], scaled.astype(source.dtype))
    np.testing.assert_array_equal(found, s2d.segment(scaled, axis=0).labels)


def test_vectors_and_truth(tmp_path):
    source = nifti(tmp_path / "in.nii", Z[:, None])
    truth = nifti(tmp_path / "truth.nii.gz", LABELS)
    found = evaluate_files(source, truth)
    assert found == s2d.evaluate(Z, LABELS, axis=0)
    assert found.accuracy == 1


def test_a_volume_without_classes_says_what_to_add(tmp_path):
    with pytest.raises(Refused, match="none of its axes, z, y, x, counts classes"):
        segment_file(nifti(tmp_path / "in.nii", Z[0]), tmp_path / "out.nii")


def damaged(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda p: os.truncate(p, 0), "is empty"),
        (lambda p: os.truncate(p, 100), "is truncated inside its header"),
        (lambda p: os.truncate(p, 5000), r"is truncated: \d+ bytes are claimed, 4648 are there"),
        (lambda p: damaged(p, 0, b"abcd"), "is not a NIfTI file"),
        (lambda p: damaged(p, 42, struct.pack("<4h", 32767, 32767, 32767, 32767)), "is truncated"),
        (lambda p: damaged(p, 42, struct.pack("<h", -5)), "gives no valid shape"),
        (lambda p: damaged(p, 70, struct.pack("<h", 999)), "cannot be read"),
        (lambda p: damaged(p, 344, b"ni1\0"), "is half of a .hdr/.img pair"),
        (lambda p: damaged(p, 70, struct.pack("<h", 32)), "holds complex64"),
    ],
)
def test_damaged_volumes(tmp_path, damage, text):
    source = nifti(tmp_path / "in.nii")
    damage(source)
    with pytest.raises(Refused, match=text):
        segment_file(source, tmp_path / "out.npy")
    assert [p.name for p in tmp_path.iterdir()] == ["in.nii"]


def test_damaged_gzip(tmp_path, monkeypatch):
    source = nifti(tmp_path / "in.nii.gz")
    data = source.read_bytes()
    for bad, text in (
        (data[:-2000], "is damaged"),
        (data[:-8] + b"\0" * 8, "is damaged"),
        (gzip.compress(gzip.decompress(data)[:-500]), "is truncated"),
        (b"no gzip at all", "is damaged"),
    ):
        source.write_bytes(bad)
        with pytest.raises(Refused, match=text):
            segment_file(source, tmp_path / "out.npy")
    source.write_bytes(data)
    monkeypatch.setattr("softmax2d._files.source.bombs.BOMB_BYTES", 1000)
    monkeypatch.setattr("softmax2d._files.source.bombs.BOMB_RATIO", 1)
    with pytest.raises(Refused, match="as a bomb does"):
        segment_file(source, tmp_path / "out.npy")


PACKED = {"chunks": (2, 8, 8), "compression": "gzip", "shuffle": True}


@pytest.mark.parametrize("options", [{}, {"chunks": (4, 8, 8)}, PACKED])
def test_datasets(tmp_path, options):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a/logits", data=FLAT, **options)
    segment_file(path, tmp_path / "out.h5", names=list("abcd"), memory="1MB")
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["labels"][:], s2d.segment(FLAT).labels)
        assert list(file["labels"].attrs["class_names"]) == list("abcd")
    first = (tmp_path / "out.h5").read_bytes()
    segment_file(path, tmp_path / "out.h5", names=list("abcd"), memory="1MB", overwrite=True)
    assert (tmp_path / "out.h5").read_bytes() == first


def test_labelled_axes_of_a_dataset(tmp_path):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        found = file.create_dataset("logits", data=np.moveaxis(FLAT, 0, -1))
        for dim, label in zip(found.dims, ("y", "x", "class"), strict=True):
            dim.label = label
    labels = np.empty(FLAT.shape[1:], np.uint8)
    segment_file(path, labels)
    np.testing.assert_array_equal(labels, s2d.segment(FLAT).labels)


def test_axes_named_by_scales_and_numbers_packed_as_netcdf_has_them(tmp_path):
    path = tmp_path / "in.h5"
    stored = np.round(np.moveaxis(FLAT, 0, -1) * 100).astype(np.int16)
    stored[3, 4] = -32768
    with h5py.File(path, "w") as file:
        found = file.create_dataset("logits", data=stored, chunks=(8, 8, FLAT.shape[0]))
        for dim, name in zip(found.dims, ("y", "x", "class"), strict=True):
            file.create_dataset(name, data=np.arange(len(stored))).make_scale(name)
            dim.attach_scale(file[name])
        found.attrs["_FillValue"] = np.array([-32768], np.int16)
        found.attrs["scale_factor"] = 0.01
    confidence = np.empty(stored.shape[:2], np.float32)
    summary = segment_file(path, confidence, outputs="confidence", key="logits")
    assert summary.counts.ignored == 1
    meant = s2d.segment((stored * 0.01).astype(np.float32), axis=-1).confidence
    meant[3, 4] = np.nan
    np.testing.assert_array_equal(confidence, meant)


def hostile(path, kind):
    with h5py.File(path, "w") as file:
        if kind == "external link":
            file["a"] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == "external storage":
            file.create_dataset("a", (4, 4, 4), "f4", external=[("/etc/passwd", 0, 256)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4, 4, 4), "f4")
            layout[:] = h5py.VirtualSource("/tmp/other.h5", "b", (4, 4, 4))
            file.create_virtual_dataset("a", layout)
        elif kind == "strings":
            file.create_dataset("a", (4, 4, 4), h5py.string_dtype())
        elif kind == "several":
            file["a"], file["b"] = FLAT, FLAT
        elif kind == "unwritten":
            file.create_dataset("a", (4, 4, 4), "f4")
        elif kind == "unwritten chunk":
            file.create_dataset("a", (4, 4, 4), "f4", chunks=(4, 2, 4))[:, :2] = 1
        elif kind == "2^40":
            file.create_dataset("a", (4, 1 << 19, 1 << 19), "f4", chunks=(4, 64, 64))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("external link", "holds no dataset"),
        ("external storage", "lies in other files"),
        ("virtual", "lies in other files"),
        ("strings", "numbers of 8 to 64 bits"),
        ("several", r"holds 2 datasets \(a, b\); choose one with --key"),
        ("unwritten", "/a was never written: 0 of 256 bytes"),
        ("unwritten chunk", r"the chunk of /a at \(0, 2, 0\) is missing"),
        ("2^40", "as a bomb does"),
    ],
)
def test_hostile_datasets(tmp_path, kind, text):
    path = tmp_path / "in.h5"
    hostile(path, kind)
    with pytest.raises(Refused, match=text):
        segment_file(path, tmp_path / "out.npy")
    assert [p.name for p in tmp_path.iterdir()] == ["in.h5"]


def test_damaged_hdf5(tmp_path):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        file["a"] = FLAT
    os.truncate(path, 3000)
    with pytest.raises(Refused, match="is not a usable HDF5 file"):
        segment_file(path, tmp_path / "out.npy")
    path.write_bytes(b"words")
    with pytest.raises(Refused, match="is not a usable HDF5 file"):
        segment_file(path, tmp_path / "out.npy")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_tensors(tmp_path, dtype):
    values = (FLAT * 10).astype(dtype)
    path = tmp_path / "in.safetensors"
    safetensors.numpy.save_file({"logits": values, "other": np.zeros(3)}, path)
    with pytest.raises(Refused, match="holds 2 tensors .*choose one with --key"):
        segment_file(path, tmp_path / "out.safetensors")
    segment_file(path, tmp_path / "out.safetensors", key="logits", names=list("abcd"))
    found = safetensors.numpy.load_file(tmp_path / "out.safetensors")
    np.testing.assert_array_equal(found["labels"], s2d.segment(values).labels)


def test_bfloat16_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    values = torch.from_numpy(FLAT).bfloat16()
    save_file({"logits": values}, tmp_path / "in.safetensors")
    found = np.empty(FLAT.shape[1:], np.uint8)
    segment_file(tmp_path / "in.safetensors", found)
    np.testing.assert_array_equal(found, s2d.segment(values).labels)


def tensors(header, data=b"\0" * 64, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(**changes):
    return {"a": {"dtype": "F32", "shape": [1, 4, 4], "data_offsets": [0, 64]} | changes}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is empty"),
        (b"1234", "is truncated inside its header"),
        (tensors(entry(), length=1 << 40), "claims a header of 1099511627776 bytes"),
        (tensors(b"{" * 5000), "its header cannot be read"),
        (tensors(b"[]"), "its header cannot be read"),
        (tensors(b'{"a": 1, "a": 2}'), "its header cannot be read"),
        (tensors({}), "holds no tensor"),
        (tensors({"a": 3}), "shape and place do not agree"),
        (tensors(entry(shape=[1 << 40])), "shape and place do not agree"),
        (tensors(entry(shape=[-1, -4, 4])), "shape and place do not agree"),
        (tensors(entry(data_offsets=[0, 60])), "shape and place do not agree"),
        (tensors(entry(data_offsets=[64, 128])), "is truncated: "),
        (tensors(entry(dtype="F8_E4M3")), "holds F8_E4M3, which is not read"),
    ],
)
def test_hostile_tensors(tmp_path, data, text):
    path = tmp_path / "in.safetensors"
    path.write_bytes(data)
    with pytest.raises(Refused, match=text):
        segment_file(path, tmp_path / "out.npy")
    assert [p.name for p in tmp_path.iterdir()] == ["in.safetensors"]


def test_archives(tmp_path):
    np.savez(tmp_path / "in.npz", FLAT)
    for name in ("a.npz", "b.npz"):
        softmax2d_file(tmp_path / "in.npz", tmp_path / name)
    with np.load(tmp_path / "a.npz") as found:
        np.testing.assert_array_equal(found["probs"], s2d.softmax2d(FLAT))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("suffix", ["nii", "h5"])
def test_results_that_do_not_fit(tmp_path, suffix):
    z = np.zeros((2, 3, 4, 5), np.float16)
    np.save(tmp_path / "in.npy", z)
    if suffix == "nii":
        with pytest.raises(Refused, match="a NIfTI holds one volume, its classes first"):
            softmax2d_file(tmp_path / "in.npy", tmp_path / "out.nii", axis=-3)
        with pytest.raises(Refused, match="a NIfTI holds no float16"):
            softmax2d_file(tmp_path / "in.npy", tmp_path / "out.nii", axis=0)
    else:
        softmax2d_file(tmp_path / "in.npy", tmp_path / "out.h5")
        with h5py.File(tmp_path / "out.h5") as file:
            np.testing.assert_array_equal(file["probs"][:], s2d.softmax2d(z))


SLICE = np.random.default_rng(3).normal(0, 3, (4, 1, 21, 13)).astype(np.float32)  # C, Z, Y, X


@pytest.mark.parametrize("kind", ["nnunet", "nifti", "batch"])
def test_a_volume_of_one_slice_is_an_image_beside_images(tmp_path, kind):
    e = np.exp(SLICE)
    labels, affine = SLICE[:, 0].argmax(0).astype(np.uint8), np.diag([2.0, 3, 4, 1])
    if kind == "nnunet":
        np.savez_compressed(source := tmp_path / "case.npz", probabilities=e / e.sum(0))
    elif kind == "nifti":
        nibabel.Nifti1Image(SLICE.T, affine).to_filename(source := tmp_path / "case.nii.gz")
    else:
        np.save(source := tmp_path / "case.npy", SLICE[:, 0][None])
    Image.fromarray(labels).save(tmp_path / "truth.png")
    nibabel.Nifti1Image(labels.T, affine).to_filename(tmp_path / "truth.nii.gz")
    out = tmp_path / "labels.png"
    segment_file(source, out, outputs="labels")
    np.testing.assert_array_equal(np.asarray(Image.open(out)), labels)
    assert segment_file(source, out, outputs="labels", resume=True).counts.pixels == 21 * 13
    for truth in ("truth.png", "truth.nii.gz"):
        assert evaluate_files(source, tmp_path / truth).accuracy == 1
    if kind == "batch":
        return
    for like in ("truth.png", "truth.nii.gz"):
        made = tmp_path / f"{like}.nii.gz"
        segment_file(source, made, like=tmp_path / like, outputs="labels")
        np.testing.assert_array_equal(np.squeeze(nibabel.load(made).dataobj).T, labels)
    np.testing.assert_array_equal(nibabel.load(made).affine, affine)
    assert calibrate.fit(source, tmp_path / "truth.png").bias is None


def test_volumes_of_several_slices_are_none(tmp_path):
    nibabel.Nifti1Image(np.repeat(SLICE, 2, 1).T, np.eye(4)).to_filename(tmp_path / "v.nii")
    with pytest.raises(Refused, match="a PNG holds one image"):
        segment_file(tmp_path / "v.nii", tmp_path / "v.png", outputs="labels")
