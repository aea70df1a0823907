"""Labels as files store them: integers, whole floats, masks of one bit, each with its no data."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import softmax2d as s2d
from softmax2d import balance
from softmax2d.cli import app
from softmax2d.stream import Refused, evaluate_files, segment_file

rng = np.random.default_rng(7)
SCORES = rng.normal(0, 3, (4, 24, 30)).astype(np.float32)
TRUTH = rng.integers(0, 4, (24, 30)).astype(np.uint8)
MASK = rng.integers(0, 2, (24, 30)).astype(bool)


def store_npy(path, values, nodata):
    assert nodata is None
    np.save(path, values)


def store_npz(path, values, nodata):
    assert nodata is None
    np.savez_compressed(path, values)


def store_zarr(path, values, nodata, version=3):
    import zarr

    array = zarr.create_array(
        path, data=values, chunks=(1, 10, 10)[-values.ndim :], zarr_format=version
    )
    if nodata is not None:
        array.attrs["nodata"] = nodata


def store_zarr_2(path, values, nodata):
    store_zarr(path, values, nodata, version=2)


def store_h5(path, values, nodata):
    import h5py

    with h5py.File(path, "w") as file:
        held = file.create_dataset("labels", data=values, chunks=(1, 8, 8)[-values.ndim :])
        if nodata is not None:
            held.attrs["_FillValue"] = values.dtype.type(nodata)


def store_nii(path, values, nodata):
    import nibabel

    assert nodata is None
    nibabel.save(nibabel.Nifti1Image(values.T[:, :, None], np.eye(4)), path)


def store_tif(path, values, nodata):
    import tifffile

    extra = [] if nodata is None else [(42113, "s", 0, str(nodata), True)]
    tifffile.imwrite(path, values, extratags=extra, photometric="minisblack", metadata=None)


def store_placed(path, values, nodata):
    import rasterio

    bits = {"nbits": 1} if values.dtype.kind == "b" else {}
    values = values.view(np.uint8) if bits else values
    where = {"driver": "GTiff", "transform": rasterio.Affine.scale(10, -10), "nodata": nodata}
    shape = {"height": values.shape[0], "width": values.shape[1], "count": 1}
    with rasterio.open(path, "w", dtype=values.dtype, **where, **shape, **bits) as file:
        file.write(values, 1)


def store_png(path, values, nodata):
    from PIL import Image

    assert nodata is None
    Image.fromarray(values).save(path)


def store_g4(path, values, nodata):
    from PIL import Image

    assert nodata is None
    # 0: white is stored as 0
    Image.fromarray(values).save(path, compression="group4", tiffinfo={262: 0})


def store_tensor(path, values, nodata):
    from safetensors.numpy import save_file

    assert nodata is None
    save_file({"labels": np.ascontiguousarray(values)}, path)


STORES = {
    "a.npy": store_npy,
    "a.npz": store_npz,
    "3.zarr": store_zarr,
    "2.zarr": store_zarr_2,
    "a.h5": store_h5,
    "a.nii": store_nii,
    "a.nii.gz": store_nii,
    "a.tif": store_tif,
    "placed.tif": store_placed,
    "a.png": store_png,
    "g4.tif": store_g4,
    "a.safetensors": store_tensor,
}


@pytest.mark.parametrize("name", sorted(set(STORES) - {"a.nii", "a.nii.gz"}))
def test_a_mask_is_a_truth_of_two_classes(tmp_path, name):
    path = tmp_path / name
    STORES[name](path, MASK, None)
    assert evaluate_files(SCORES[:2], path) == s2d.evaluate(SCORES[:2], MASK.astype(int))
    assert balance.class_counts(path).pixels.tolist() == [int((~MASK).sum()), int(MASK.sum())]


FLOATS = [
    (name, dtype)
    for name in sorted(set(STORES) - {"a.png", "g4.tif"})
    for dtype in ("f2", "f4", "f8")
    if dtype != "f2" or name not in ("placed.tif", "a.nii", "a.nii.gz")  # which have no float16
]


@pytest.mark.parametrize(("name", "dtype"), FLOATS)
def test_whole_numbers_in_floats_are_labels(tmp_path, name, dtype):
    path = tmp_path / name
    STORES[name](path, TRUTH.astype(dtype), None)
    assert evaluate_files(SCORES, path) == s2d.evaluate(SCORES, TRUTH)
    assert balance.class_counts(path).pixels.tolist() == np.bincount(TRUTH.ravel()).tolist()


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 2.0**60])
@pytest.mark.parametrize("name", ["a.npy", "3.zarr", "a.h5", "a.tif", "a.nii"])
def test_a_fraction_is_refused_with_its_place(tmp_path, name, value):
    wrong, path = TRUTH.astype(float), tmp_path / name
    wrong[13, 21] = value
    STORES[name](path, wrong, None)
    for read in (lambda: evaluate_files(SCORES, path), lambda: balance.class_counts(path)):
        with pytest.raises(
            Refused, match=rf"holds {value:g} at .*13, 21".replace("+", r"\+")
        ) as found:
            read()
        assert "class indices, whole numbers" in str(found.value)
        assert ("nodata" in str(found.value)) == bool(np.isnan(value))


def test_large_whole_floats_are_named_as_integers(tmp_path):
    with pytest.raises(
        Refused, match=r"must be in \[0, 4\); got 255 at \(0, 0\).*--ignore-index 255"
    ):
        evaluate_files(SCORES, np.full((24, 30), 255.0))


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
@pytest.mark.parametrize("name", ["3.zarr", "2.zarr", "a.h5", "a.tif", "placed.tif"])
@pytest.mark.parametrize(("nodata", "ignore"), [(200, None), (0, None), (200, 3), (200, 100)])
def test_no_data_of_a_truth_counts_nowhere(tmp_path, name, dtype, nodata, ignore):
    path, truth, out = tmp_path / name, TRUTH.astype(dtype), np.full(TRUTH.shape, -1)
    truth[:5, 3:20] = nodata
    if ignore == 100:
        truth[7, 7] = 100
    STORES[name](path, truth, nodata)
    counts = (truth != nodata) & (truth != (-1 if ignore is None else ignore))
    out[counts] = truth[counts]
    accounts = []
    found = evaluate_files(SCORES, path, ignore_index=ignore, account=accounts.append)
    assert found == s2d.evaluate(SCORES, out, ignore_index=-1)
    assert accounts[0].counts.ignored == int((~counts).sum())
    (note,) = accounts[0].notes
    assert f"its nodata, {nodata}, is left out" in note
    assert ("is the number of a class" in note) == (nodata == 0)
    counted = balance.class_counts(path, ignore_index=ignore, classes=4)
    assert counted.pixels.tolist() == np.bincount(out[counts], minlength=4).tolist()
    assert counted.ignored == int((~counts).sum())


@pytest.mark.parametrize(("dtype", "wrong"), [("i8", -1), ("u8", 2**64 - 1), ("i2", -300)])
def test_no_data_hides_no_wrong_label(dtype, wrong):
    """The marker of ignored pixels is never a number of the file."""
    scores, truth = SCORES.copy(), TRUTH.astype(dtype)
    scores[:, :3] = -9999
    truth[20, 20] = wrong
    with pytest.raises(Refused, match=rf"got {min(wrong, 2**63 - 1)} at \(20, 20\)"):
        evaluate_files(scores, truth, nodata=-9999)
    truth[21, 21], truth[22, 22] = 60, 61
    with pytest.raises(Refused) as said:
        evaluate_files(scores, truth, nodata=-9999)
    assert "922337203685477580" not in str(said.value).replace(str(2**63 - 1), "")


def test_nan_is_no_label_where_the_file_says_so(tmp_path):
    import h5py

    truth = TRUTH.astype(np.float32)
    truth[2:4] = np.nan
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["t"] = truth
        file["t"].attrs["_FillValue"] = np.float32(np.nan)
    hidden = np.where(np.isnan(truth), -1, TRUTH.astype(int))
    assert evaluate_files(SCORES, tmp_path / "t.h5") == s2d.evaluate(
        SCORES, hidden, ignore_index=-1
    )
    store_placed(tmp_path / "t.tif", truth, np.nan)
    assert evaluate_files(SCORES, tmp_path / "t.tif") == s2d.evaluate(
        SCORES, hidden, ignore_index=-1
    )


def test_the_note_and_the_summary_say_it(tmp_path):
    store_placed(tmp_path / "t.tif", TRUTH, 0)
    np.save(tmp_path / "z.npy", SCORES)
    files = [str(tmp_path / name) for name in ("z.npy", "t.tif", "s.json")]
    said = CliRunner().invoke(app, ["evaluate", *files[:2], "--summary", files[2]])
    assert said.exit_code == 0, said.output
    assert "its nodata, 0, is left out, though 0 is the number of a class" in said.stderr
    assert "its nodata, 0" in json.loads((tmp_path / "s.json").read_text())["notes"][0]


@pytest.mark.parametrize("name", ["a.npy", "3.zarr", "a.h5", "a.tif", "a.safetensors"])
def test_true_and_false_are_no_scores(tmp_path, name):
    STORES[name](tmp_path / name, np.stack([MASK, ~MASK]), None)
    with pytest.raises(Refused, match="holds true and false.*no class scores"):
        segment_file(tmp_path / name, np.empty((24, 30), np.uint8), axis=0)


@pytest.mark.parametrize("placed", [True, False])
def test_labels_by_jpeg_are_refused(tmp_path, placed):
    import rasterio
    from PIL import Image

    path, shape = tmp_path / "t.tif", {"height": 24, "width": 30, "count": 1}
    if placed:
        where = {"driver": "GTiff", "transform": rasterio.Affine.scale(10, -10)}
        with rasterio.open(path, "w", dtype="uint8", compress="jpeg", **where, **shape) as file:
            file.write(TRUTH, 1)
    else:
        Image.fromarray(TRUTH).save(path, compression="jpeg")
    with pytest.raises(Refused, match="compressed by JPEG, which blurs labels"):
        evaluate_files(SCORES, path)
