"""What attributes say of numbers is known however they come: as a file, or as an object."""

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr

import softmax2d as s2d
import softmax2d.dask
from softmax2d._files.source.attributes import number_in, texts_in
from softmax2d.stream import Refused, evaluate_files, segment_file, softmax2d_file
from softmax2d.stream.plan.inputs import open_any

rng = np.random.default_rng(5)
STORED = rng.integers(-900, 900, (4, 20, 30)).astype(np.int16)
STORED[:, :3, :5] = -9999
STORED[1, 7, 7] = -8888
SAID = {"scale_factor": 0.01, "add_offset": -2.0, "_FillValue": -9999, "missing_value": -8888}
EMPTY = (STORED == -9999).any(0) | (STORED == -8888).any(0)


def h5_file(path, values=STORED, said=SAID, name="scores"):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values, chunks=(1, 10, 10)[-values.ndim :])
        file[name].attrs.update(said)
    return path


def zarr_file(path, values=STORED, said=SAID, version=3):
    array = zarr.create_array(path, data=values, chunks=(4, 10, 10), zarr_format=version)
    array.attrs.update(said)
    return path


def as_dataset(folder):
    return h5py.File(h5_file(folder / "d.h5"), "r")["scores"]


def as_zarr(folder):
    return zarr.open_array(zarr_file(folder / "a.zarr"), mode="r")


def as_frame(folder):
    """As rioxarray opens a file: numbers as they are stored, attributes that say what they mean."""
    return xr.DataArray(STORED, dims=("class", "y", "x"), attrs=dict(SAID))


def as_lazy_frame(folder):
    return as_frame(folder).chunk(y=7)


def as_decoded(folder):
    """As xarray opens a file: numbers decoded, what said so in the encoding."""
    path = folder / "x.zarr"
    frame = xr.DataArray(STORED, dims=("class", "y", "x"), name="z", attrs=dict(SAID))
    frame.to_dataset().to_zarr(path, consolidated=False)
    with pytest.warns(xr.SerializationWarning, match="multiple fill values"):
        found = xr.open_zarr(path, consolidated=False)["z"]
    assert found.encoding["scale_factor"] == 0.01
    assert found.dtype.kind == "f"
    return found


def as_bands(folder):
    """As rioxarray passes on GDAL's factors of several bands."""
    said = {"scales": [0.01] * 4, "offsets": [-2.0] * 4, "nodatavals": (-9999, -8888)}
    return xr.DataArray(STORED, dims=("band", "y", "x"), attrs=said)


def as_h5(folder):
    return h5_file(folder / "f.h5")


def as_store(folder):
    return zarr_file(folder / "f.zarr")


def as_old_store(folder):
    return zarr_file(folder / "old.zarr", version=2)


WAYS = (
    as_h5, as_store, as_old_store, as_dataset, as_zarr, as_frame, as_lazy_frame, as_decoded,
    as_bands,
)  # fmt: skip


@pytest.mark.parametrize("come", WAYS)
def test_numbers_mean_the_same_however_they_come(tmp_path, come):
    held = come(tmp_path)
    meant = STORED * 0.01 - 2.0
    labels, found = np.empty((20, 30), np.uint8), s2d.segment(meant)
    account = segment_file(held, labels)
    assert (labels[EMPTY] == 255).all()
    assert (labels[~EMPTY] == found.labels[~EMPTY]).all()
    assert account.counts.ignored == EMPTY.sum()
    probs = np.empty((4, 20, 30), np.float32)
    softmax2d_file(held, probs, encoding="float32")
    np.testing.assert_allclose(probs[:, ~EMPTY], s2d.softmax2d(meant)[:, ~EMPTY], rtol=1e-4)
    assert np.isnan(probs[:, EMPTY]).all()
    truth = rng.integers(0, 4, (20, 30))
    hidden = np.where(EMPTY, -1, truth)
    counts = evaluate_files(held, truth).confusion
    assert (counts == s2d.evaluate(meant, hidden, ignore_index=-1).confusion).all()


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_labels_of_objects_have_no_data_too(tmp_path, kind):
    truth = rng.integers(0, 4, (20, 30)).astype(kind)
    truth[:4] = 200
    hidden = np.where(truth == 200, -1, truth.astype(int))
    z = rng.normal(size=(4, 20, 30)).astype(np.float32)
    want = s2d.evaluate(z, hidden, ignore_index=-1)
    with h5py.File(h5_file(tmp_path / "t.h5", truth, {"_FillValue": kind(200)}), "r") as file:
        assert evaluate_files(z, file["scores"]) == want
    frame = xr.DataArray(truth, dims=("y", "x"), name="t", attrs={"_FillValue": kind(200)})
    assert evaluate_files(z, frame) == want
    frame.to_dataset().to_zarr(tmp_path / "t.zarr", consolidated=False)
    decoded = xr.open_zarr(tmp_path / "t.zarr", consolidated=False)["t"]  # NaN in the place of 200
    assert decoded.dtype.kind == "f"
    assert evaluate_files(z, decoded) == want
    assert evaluate_files(z, tmp_path / "t.zarr", target_key="t") == want


@pytest.mark.parametrize("name", ["p.zarr", "p.h5", "p.safetensors"])
def test_our_eight_bits_are_read_as_what_they_mean(tmp_path, name):
    z = rng.normal(size=(4, 20, 30)).astype(np.float32)
    softmax2d_file(z, tmp_path / name, encoding="uint8")
    with open_any(tmp_path / name) as source:
        np.testing.assert_allclose(source[:], s2d.softmax2d(z), atol=1 / 509)
    if name == "p.h5":
        with h5py.File(tmp_path / name, "r") as file, open_any(file["probs"]) as source:
            np.testing.assert_allclose(source[:], s2d.softmax2d(z), atol=1 / 509)


def test_a_foreign_scale_is_none_of_the_numbers(tmp_path):
    values = rng.integers(0, 9, (2, 20, 30)).astype(np.uint8)
    with open_any(h5_file(tmp_path / "a.h5", values, {"scale": 0.5})) as source:
        assert (source[:] == values).all()


def test_bands_of_other_factors(tmp_path):
    frame = as_bands(tmp_path)
    frame.attrs["scales"] = [0.5, 1, 2, 4]
    with open_any(frame) as source:
        want = STORED * np.reshape([0.5, 1, 2, 4], (4, 1, 1)) - 2
        assert np.allclose(source[:], want)
    with pytest.raises(Refused, match="has scales of 4 bands, which are not the first of thr"):
        open_any(frame.transpose("y", "x", "band"))


class Variable:
    """A variable of netCDF4."""

    shape, dtype, scale, mask = STORED.shape, STORED.dtype, True, True

    def ncattrs(self):
        return list(SAID)

    def getncattr(self, name):
        return SAID[name]

    def set_auto_maskandscale(self, on):
        self.scale = self.mask = on

    def __getitem__(self, box):
        return np.ma.masked_equal(STORED[box], -9999) if self.mask else STORED[box]


def test_variables_that_decode_themselves():
    held, labels = Variable(), np.empty((20, 30), np.uint8)
    with pytest.raises(Refused, match=r"call its set_auto_maskandscale\(False\) first"):
        segment_file(held, labels)
    held.set_auto_maskandscale(False)
    segment_file(held, labels)
    assert (labels == 255).sum() == EMPTY.sum()


@pytest.mark.parametrize(
    "names",
    [
        np.array([b"road", b"car", "天空".encode(), b"x"]),
        np.array(["road", "car", "天空", "x"], object),
        np.array([b"road   ", b"car\0\0", "天空".encode(), b"x"], object),
        "road\ncar\n天空\nx",
        np.bytes_("road\ncar\n天空\nx".encode()),
    ],
)
def test_names_of_classes_in_hdf5(tmp_path, names):
    if isinstance(names, np.ndarray) and names.dtype == object and isinstance(names[0], bytes):
        held = {"class_names": names.astype("S12")}
    else:
        held = {"class_names": names}
    z = rng.normal(size=(4, 20, 30)).astype(np.float32)
    with open_any(h5_file(tmp_path / "z.h5", z, held)) as source:
        assert source.names == ("road", "car", "天空", "x")


def test_texts_and_numbers_of_any_kind():
    assert texts_in([b"a ", "b"]) == ("a", "b")
    assert texts_in(np.array(3)) is None
    assert texts_in(["a", 1]) is None
    assert texts_in(None) is None
    assert number_in("NaN") != number_in("NaN")
    assert number_in(np.array([7], np.uint8)) == 7
    assert (number_in("seven"), number_in(True), number_in([1, 2]), number_in(None)) == (None,) * 4


def test_a_number_beyond_floats(tmp_path):
    array = zarr.open_array(zarr_file(tmp_path / "a.zarr", said={"nodata": 10**400}), mode="r")
    with pytest.raises(Refused, match="has an attribute of its numbers that no float holds"):
        open_any(array)


@pytest.mark.parametrize("mode", ["r", "r+", "a"])
@pytest.mark.parametrize("locking", [None, True, False, "best-effort"])
@pytest.mark.parametrize("chunks", [None, (1, 8, 8)])
def test_hdf5_files_that_this_process_has_open(tmp_path, mode, locking, chunks):
    path, z = tmp_path / "z.h5", rng.normal(size=(4, 20, 30)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset("z", data=z, chunks=chunks)
    how = {} if locking is None else {"locking": locking}
    with h5py.File(path, mode, **how) as file:
        held = file["z"]
        if mode != "r":  # not yet in the file
            z[2, 3:9] = held[2, 3:9] = 50
        labels = np.empty((20, 30), np.uint8)
        segment_file(path, labels)
        assert (labels == z.argmax(0)).all()
        segment_file(held, labels)
        assert (labels == z.argmax(0)).all()
        assert (held[:] == z).all()  # still open


@pytest.mark.parametrize("come", ["zarr", "h5", "objects", "frame", "dask"])
def test_bits_of_the_other_sign(tmp_path, come):
    held = rng.integers(0, 255, (4, 20, 30)).astype(np.uint8)
    held[:, :3] = 255
    said = {"_Unsigned": "true", "_FillValue": -1, "scale_factor": 0.01}
    expected = held.argmax(0)
    expected[:3] = 255
    signed, found = held.view(np.int8), np.empty((20, 30), np.uint8)
    if come == "dask":
        frame = xr.DataArray(signed, dims=("class", "y", "x"), attrs=said)
        found = softmax2d.dask.segment(frame.chunk(y=7), outputs="labels").labels.values
    else:
        makes = {
            "zarr": lambda: zarr_file(tmp_path / "a.zarr", signed, said),
            "h5": lambda: h5_file(tmp_path / "a.h5", signed, said),
            "objects": lambda: zarr.open_array(zarr_file(tmp_path / "a.zarr", signed, said)),
            "frame": lambda: xr.DataArray(signed, dims=("class", "y", "x"), attrs=said),
        }
        segment_file(makes[come](), found, input="logits")
    np.testing.assert_array_equal(found, expected)
    truth = xr.DataArray(expected.astype(np.uint8).view(np.int8), dims=("y", "x"), attrs=said)
    del truth.attrs["scale_factor"]
    counted = evaluate_files(np.eye(4, dtype="f4")[expected % 4].transpose(2, 0, 1) * 9, truth)
    assert counted.accuracy == 1
    assert counted.pixels == 17 * 30


def test_floats_that_were_eight_bits_are_probabilities(tmp_path):
    p = rng.dirichlet(np.ones(6), (20, 30)).transpose(2, 0, 1)
    frame = xr.DataArray(p, dims=("class", "y", "x"), name="p")
    how = {"p": {"dtype": "u1", "scale_factor": 1 / 250, "_FillValue": 255}}
    frame.to_dataset().to_zarr(tmp_path / "p.zarr", encoding=how, consolidated=False)
    decoded = xr.open_zarr(tmp_path / "p.zarr", consolidated=False)["p"]
    assert abs(decoded.values.sum(0) - 1).max() > 2**-8
    segment_file(decoded, found := np.empty((20, 30), np.uint8), input="probabilities")
    np.testing.assert_array_equal(found, decoded.values.argmax(0))
