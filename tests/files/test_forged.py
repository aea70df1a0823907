"""What files say of themselves that does not fit, or that libraries fall over."""

from __future__ import annotations

import json
import os
import struct
import warnings

import numpy as np
import pytest

from softmax2d._files.views.scores import step_of
from softmax2d.cli import app
from softmax2d.stream import Refused
from softmax2d.stream.plan.inputs import open_any

h5py = pytest.importorskip("h5py")
tifffile = pytest.importorskip("tifffile")
zarr = pytest.importorskip("zarr")


def forged_tiff(path, name, data, *, count=False, **options):
    """A compressed TIFF in which a tag's value, or how many there are, is overwritten."""
    made = {"compression": "zlib", "photometric": "minisblack", **options}
    tifffile.imwrite(path, np.zeros((3, 8, 8), np.float32), **made)
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags[name]
    with open(path, "r+b") as file:
        file.seek(tag.offset + 4 if count else tag.valueoffset)
        file.write(data)
    return path


@pytest.mark.parametrize("value", [60000, 65535])
def test_tiff_of_an_unknown_codec(tmp_path, value):
    path = forged_tiff(tmp_path / "in.tif", "Compression", struct.pack("<H", value))
    with pytest.raises(Refused, match=f"is compressed by {value}"):
        open_any(path)


def test_tiff_whose_codec_is_several(tmp_path):
    path = forged_tiff(tmp_path / "in.tif", "Compression", struct.pack("<I", 2), count=True)
    with pytest.raises(Refused, match="is not a usable TIFF file"):
        open_any(path)


def test_hdf5_of_more_labels_than_axes(tmp_path):
    """HDF5 itself writes past the end of its memory here."""
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        found = file.create_dataset("logits", data=np.zeros((3, 4, 5), np.float32))
        found.attrs.create("DIMENSION_LABELS", ["class"] * 1000, dtype=h5py.string_dtype())
    with open_any(path) as source:
        assert source.axes is None
    with h5py.File(path, "r+") as file:
        del file["logits"].attrs["DIMENSION_LABELS"]
        for d, name in enumerate(("y", "class", "x")):
            file["logits"].dims[d].label = name
    with open_any(path) as source:
        assert (source.axes, source.class_axis) == (("y", "class", "x"), 1)


@pytest.mark.parametrize("names", [["a"], ["a"] * 9])
@pytest.mark.parametrize("suffix", ["npy", "zarr", "h5", "safetensors"])
def test_names_that_are_not_one_a_class_are_not_carried_over(tmp_path, names, suffix):
    source, out = tmp_path / "in.zarr", tmp_path / f"out.{suffix}"
    found = zarr.create_array(
        source, shape=(5, 8, 9), dtype="f4", attributes={"class_names": names}
    )
    found[:] = np.random.default_rng(0).normal(size=(5, 8, 9))
    with pytest.raises(SystemExit) as stop:
        app.main(["segment", str(source), "-o", str(out)])
    assert stop.value.code == 0
    if suffix != "npy":
        with open_any(out) as labels:
            assert labels.names is None


def test_tiff_of_strips_without_rows(tmp_path):
    path = forged_tiff(tmp_path / "in.tif", "RowsPerStrip", b"\0\0", rowsperstrip=4)
    with pytest.raises(Refused, match="its strips or tiles are"):
        open_any(path)


def test_geotiff_whose_metadata_are_no_text(tmp_path, capfd):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "in.tif"
    made = {"driver": "GTiff", "count": 2, "height": 8, "width": 9, "dtype": "float32"}
    where = {"crs": "EPSG:32633", "transform": rasterio.Affine(1, 0, 0, 0, -1, 9)}
    with rasterio.open(path, "w", **made, **where) as file:
        file.write(np.zeros((2, 8, 9), np.float32))
        file.update_tags(note="héllo")
    with open_any(path) as source:
        assert source.shape == (2, 8, 9)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"</Item>", b"\x80\xff/Item>", 1))
    with pytest.raises(Refused, match="its GDAL metadata are neither UTF-8 nor XML"):
        open_any(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", [".zattrs", ".zarray", "zarr.json"])
@pytest.mark.parametrize("kind", ["device", "fifo"])
def test_zarr_metadata_that_have_no_end(tmp_path, version, name, kind):
    path = tmp_path / "in.zarr"
    made = {"shape": (2, 8, 9), "dtype": "f4", "zarr_format": version}
    zarr.create_array(path, **made)[:] = np.zeros((2, 8, 9))
    (path / name).unlink(missing_ok=True)
    (path / name).symlink_to("/dev/zero") if kind == "device" else os.mkfifo(path / name)
    with pytest.raises(Refused, match=f"its {name} is no file|without Zarr metadata"):
        open_any(path)


def test_zarr_nodata_that_is_no_number_of_ours(tmp_path):
    path = tmp_path / "in.zarr"
    made = {"shape": (2, 8, 9), "dtype": "f4", "attributes": {"nodata": 10**400}}
    zarr.create_array(path, **made)[:] = np.zeros((2, 8, 9))
    with pytest.raises(Refused, match="its Zarr metadata cannot be understood"):
        open_any(path)


def test_tensors_over_one_another(tmp_path):
    path = tmp_path / "in.safetensors"
    entries = {
        name: {"dtype": "F32", "shape": [2, 2, 2], "data_offsets": [first, first + 32]}
        for name, first in (("a", 0), ("b", 16))
    }
    head = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(64))
    with pytest.raises(Refused, match="its tensors lie over one another"):
        open_any(path, "a")


@pytest.mark.parametrize("inter", [np.nan, np.inf])
def test_nifti_that_adds_no_number(tmp_path, inter):
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "in.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 1, 3), np.float32), np.eye(4)), path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<ff", data, 112, 1.0, inter)
    path.write_bytes(data)
    with pytest.raises(Refused, match=f"adds {inter} to every number"):
        open_any(path)


def test_names_that_are_half_characters(tmp_path):
    source, out = tmp_path / "in.zarr", tmp_path / "out.tif"
    told = {"class_names": ["a\ud800", "b"]}
    zarr.create_array(source, shape=(2, 8, 9), dtype="f4", attributes=told)[:] = np.ones((2, 8, 9))
    with open_any(source) as found:
        assert found.names == ("a?", "b")
    with pytest.raises(SystemExit) as stop:
        app.main(["segment", str(source), "-o", str(out)])
    assert stop.value.code == 0


def hdf5_of_lzf(path, data, **options):
    """A file of one chunk."""
    with h5py.File(path, "w") as file:
        file.create_dataset("logits", data=data, chunks=data.shape, compression="lzf", **options)
    return path


@pytest.mark.parametrize("shuffle", [False, True])
def test_lzf_of_every_kind_of_token_is_read(tmp_path, shuffle):
    rng = np.random.default_rng(0)
    for data in (
        np.zeros((3, 40, 50), np.float32),  # long runs
        rng.integers(0, 3, (3, 40, 50)).astype(np.int16),  # short ones
        rng.normal(size=(3, 40, 50)).astype(np.float32),  # stored as it is
    ):
        path = hdf5_of_lzf(tmp_path / "in.h5", data, shuffle=shuffle)
        with open_any(path) as source:
            assert np.array_equal(source.read(tuple(slice(0, n) for n in data.shape)), data)


def test_lzf_that_decodes_to_another_size_is_refused(tmp_path):
    """HDF5 gives what lies in memory for the rest, other numbers in every reading."""
    path = hdf5_of_lzf(tmp_path / "in.h5", np.ones((3, 8, 8), np.float32))
    with h5py.File(path, "r+") as file:
        _, packed = file["logits"].id.read_direct_chunk((0, 0, 0))
        for short in (packed[:-3], bytes([2, 1, 2, 3])):
            file["logits"].id.write_direct_chunk((0, 0, 0), short)
            file.flush()
            with (
                open_any(path) as source,
                pytest.raises(Refused, match=r"logits at \(0, 0, 0\) is damaged: of another size"),
            ):
                source.read((slice(0, 3), slice(0, 8), slice(0, 8)))


def test_hdf5_of_a_filter_that_is_not_read_names_the_way_on(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file.create_dataset("z", data=np.zeros((3, 8, 8), np.float32), scaleoffset=2)
    text = r"z is encoded with filter 6, scale-offset, which is not read; .* \(h5repack -f GZIP=4"
    with pytest.raises(Refused, match=text):
        open_any(tmp_path / "in.h5")


def test_palette_of_a_png_with_damaged_pixels(tmp_path):
    """The palette is known from the header; the pixels are refused when they are read."""
    image = pytest.importorskip("PIL.Image").fromarray(np.zeros((40, 50), np.uint8))
    image.putpalette([1, 2, 3, 4, 5, 6])
    path = tmp_path / "in.png"
    image.save(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 8] ^= 255
    path.write_bytes(data)
    with open_any(path) as source:
        assert source.palette[:2].tolist() == [[1, 2, 3], [4, 5, 6]]
        with pytest.raises(Refused, match="is damaged: its rows"):
            source.prepare()


def test_numbers_far_apart_have_no_step():
    """As damaged files hold them; without a word on standard error."""
    values = np.tile(np.r_[np.arange(20) * 5e-324, 1e300], 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert step_of(values) == 0
    assert step_of(np.tile(np.arange(64) / 255, 10)) == pytest.approx(1 / 255)
