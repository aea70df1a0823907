"""What the numbers of DataArrays mean is applied, and told of no result of which it is not true."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import softmax2d as s2d
import softmax2d.dask as s2k
from softmax2d.stream import segment_file

rng = np.random.default_rng(8)
STORED = rng.integers(-900, 900, (4, 20, 30)).astype(np.int16)
STORED[2, :3, :5] = -9999
STORED[1, 7, 7] = -8888
EMPTY = (STORED <= -8888).any(0)
SAID = {"scale_factor": 0.01, "add_offset": -2.0, "_FillValue": -9999, "missing_value": -8888}
TRUTH = rng.integers(0, 4, (20, 30)).astype(np.uint8)
LAZY = pytest.mark.parametrize("lazy", [True, False])


def scores(lazy, stored=STORED, **said):
    attrs = {"model": "fcn", "units": "K", "valid_range": [0, 1], **(said or SAID)}
    frame = xr.DataArray(stored, dims=("class", "y", "x"), attrs=attrs)
    return frame.chunk(y=7, x=11) if lazy else frame


@LAZY
@pytest.mark.parametrize("size", [None, (40, 45)])
def test_results_are_those_of_the_file(lazy, size):
    file, outputs = {"labels": None, "confidence": None}, ("labels", "confidence")
    shape = size or (20, 30)
    file = {"labels": np.empty(shape, np.uint8), "confidence": np.empty(shape, np.float32)}
    segment_file(scores(False), file, outputs=outputs, size=size)
    found = s2k.segment(scores(lazy), outputs=outputs, size=size)
    assert (file["labels"] == 255).any()
    for name in outputs:
        made = getattr(found, name)
        assert isinstance(made.data, da.Array if lazy else np.ndarray)
        assert made.dtype == made.compute().dtype == file[name].dtype
        np.testing.assert_array_equal(made.to_numpy(), file[name])
    assert found.labels.attrs == {"model": "fcn", "_FillValue": 255}
    assert found.confidence.attrs == {"model": "fcn"}


@LAZY
def test_probabilities_without_data_are_none(lazy):
    probs = s2k.softmax2d(scores(lazy))
    meant = (STORED * 0.01 - 2.0).astype(np.float32)
    assert np.isnan(probs.to_numpy()[:, EMPTY]).all()
    np.testing.assert_array_equal(probs.to_numpy()[:, ~EMPTY], s2d.softmax2d(meant)[:, ~EMPTY])
    assert probs.attrs == {"model": "fcn"}
    top = s2k.segment(scores(lazy), outputs=(), top_k=2)
    assert (top.top_labels.to_numpy()[:, EMPTY] == 255).all()
    assert np.isnan(top.top_probs.to_numpy()[:, EMPTY]).all()


@LAZY
def test_decoded_numbers_are_not_scaled_again(lazy, tmp_path):
    scores(False, scale_factor=0.01, _FillValue=-9999).to_dataset(name="z").to_zarr(
        tmp_path / "z.zarr", consolidated=False
    )
    frame = xr.open_zarr(tmp_path / "z.zarr", consolidated=False)["z"]
    frame = frame.chunk(y=7) if lazy else frame.load()
    stored = np.where(STORED == -9999, 0, STORED) * 0.01
    labels = s2k.segment(frame).labels.to_numpy()
    empty = (STORED == -9999).any(0)
    assert (labels[empty] == 255).all()
    assert (labels[~empty] == s2d.segment(stored).labels[~empty]).all()


def test_bands_of_other_factors():
    said = {"scales": (0.5, 1, 2, 4), "offsets": (1, 0, 0, 0), "nodatavals": (-9999,) * 4}
    for lazy in (True, False):
        frame = scores(lazy, **said).chunk({"class": 2}) if lazy else scores(lazy, **said)
        meant = STORED * np.reshape(said["scales"], (4, 1, 1)) + np.reshape(
            said["offsets"], (4, 1, 1)
        )
        labels, empty = s2k.segment(frame).labels.to_numpy(), (STORED == -9999).any(0)
        assert (labels[empty] == 255).all()
        assert (labels[~empty] == s2d.segment(meant).labels[~empty]).all()


@LAZY
@pytest.mark.parametrize("kind", ["u1", "f4", "f8"])
@pytest.mark.parametrize("ignore", [None, 3])
def test_evaluation_leaves_out_what_is_no_data(lazy, kind, ignore):
    truth = TRUTH.astype(kind)
    truth[10:12] = 77
    frame = xr.DataArray(truth, dims=("y", "x"), attrs={"_FillValue": truth.dtype.type(77)})
    decoded = xr.DataArray(np.where(truth == 77, np.nan, truth), dims=("y", "x"))
    decoded.encoding["_FillValue"] = 77
    out = EMPTY | (truth == 77) | (truth == (-1 if ignore is None else ignore))
    meant = (STORED * 0.01 - 2.0).astype(np.float32)
    want = s2d.evaluate(meant, np.where(out, -1, TRUTH.astype(int)), ignore_index=-1)
    for target in (frame, decoded):
        found = s2k.evaluate(
            scores(lazy), target.chunk(x=9) if lazy else target, ignore_index=ignore
        )
        assert (found.compute() if lazy else found) == want


@LAZY
def test_masks_and_fractions_of_a_target(lazy):
    z = rng.normal(size=(2, 20, 30)).astype(np.float32)
    logits = scores(lazy, z, other=1)
    mask = xr.DataArray(TRUTH > 1, dims=("y", "x"))
    found = s2k.evaluate(logits, mask)
    assert (found.compute() if lazy else found) == s2d.evaluate(z, (TRUTH > 1).astype(int))
    wrong = mask.astype(float)
    wrong[11, 13] = 0.5
    with pytest.raises(
        ValueError, match=r"evaluate: target: holds 0.5 at \(11, 13\); labels are class"
    ):
        s2d_found = s2k.evaluate(logits, wrong)
        s2d_found.compute()
    bad = xr.DataArray(TRUTH.astype(int), dims=("y", "x"), attrs={"_FillValue": 0})
    with pytest.raises(ValueError, match=r"target must be in \[0, 2\).*; got [23] at") as said:
        found = s2k.evaluate(logits, bad)
        found.compute()
    assert "922337" not in str(said.value)


def test_256_classes_leave_room_for_no_data():
    z = rng.normal(size=(256, 6, 5)).astype(np.float32)
    want = z.argmax(0).astype(np.uint16)
    z[3, 0], want[0] = -9999, 65535
    for lazy in (True, False):
        frame = xr.DataArray(z, dims=("class", "y", "x"), attrs={"_FillValue": -9999.0})
        found = s2k.segment(frame.chunk(y=2) if lazy else frame).labels
        assert found.dtype == found.compute().dtype == np.uint16
        assert (found.to_numpy() == want).all()


@LAZY
def test_grids_are_told_of_results_on_them_alone(lazy):
    coords = {"y": np.arange(20.0), "x": np.arange(30.0)}
    frame = xr.DataArray(
        rng.normal(size=(3, 20, 30)), {**coords, "spatial_ref": 0}, ("class", "y", "x"),
        attrs={"grid_mapping": "spatial_ref", "transform": (1, 0, 0, 0, 1, 0), "res": (1, 1)},
    )  # fmt: skip
    frame.spatial_ref.attrs.update(crs_wkt="LOCAL", GeoTransform="0 1 0 0 0 1")
    frame = frame.chunk(y=7) if lazy else frame
    same = s2k.segment(frame).labels
    assert same.attrs == frame.attrs
    assert same.spatial_ref.attrs == frame.spatial_ref.attrs
    for how in ({"size": (40, 60)}, {"window": (slice(0, 5), slice(2, 9))}):
        moved = s2k.segment(frame, **how).labels
        assert moved.attrs == {"grid_mapping": "spatial_ref"}
        assert moved.spatial_ref.attrs == {"crs_wkt": "LOCAL"}
    assert "GeoTransform" in frame.spatial_ref.attrs
