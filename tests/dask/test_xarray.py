"""DataArrays through softmax2d.dask: which axis is the classes', and what a result keeps."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import softmax2d as s2d
import softmax2d.dask as s2k
from tests.dask.test_dask import logits_of, refusal


def scene(lazy: bool = True, dims: tuple[str, ...] = ("time", "class", "y", "x")) -> xr.DataArray:
    """Logits with coordinates of every kind."""
    z = xr.DataArray(
        logits_of((2, 3, 4, 6)),
        {
            "time": np.array(["2026-01-01", "2026-01-02"], "datetime64[ns]"),
            "class": ["road", "car", "sky"],
            "colour": ("class", [1, 2, 3]),
            "y": ("y", [40.0, 30.0, 20.0, 10.0], {"units": "m"}),
            "x": np.arange(6),
            "lat": (("y", "x"), np.arange(24.0).reshape(4, 6)),
            "row": ("y", list("abcd")),
            "share": (("class", "y"), np.ones((3, 4))),
            "crs": 4326,
        },
        ("time", "class", "y", "x"),
        "scores",
        {"model": "fcn"},
    ).transpose(*dims)
    z.encoding = {"dtype": "float32", "chunks": (1, 3, 4, 6)}
    return z.chunk(time=1, y=3, x=4) if lazy else z


def test_a_result_keeps_what_is_not_of_the_classes() -> None:
    for lazy in (True, False):
        z = scene(lazy)
        found = s2k.segment(z)
        want = s2d.segment(z.to_numpy())
        for result, truth in ((found.labels, want.labels), (found.confidence, want.confidence)):
            assert isinstance(result.data, da.Array if lazy else np.ndarray)
            assert result.dtype == truth.dtype
            assert np.array_equal(result.to_numpy(), truth, equal_nan=True)
            alike = z.drop_vars(["class", "colour", "share"]).isel({"class": 0})
            xr.testing.assert_identical(result, alike.copy(data=truth))
            assert result.encoding == {}
        assert found.margin is None and found.top_labels is None
    assert found.labels.y.attrs == {"units": "m"}


def test_probabilities_keep_the_classes_too() -> None:
    for lazy in (True, False):
        z = scene(lazy)
        for name in ("softmax2d", "log_softmax2d"):
            result = getattr(s2k, name)(z, temperature=xr.DataArray([1.0, 2.0, 3.0]))
            truth = getattr(s2d, name)(z.to_numpy(), temperature=[1.0, 2.0, 3.0])
            assert isinstance(result.data, da.Array if lazy else np.ndarray)
            xr.testing.assert_identical(result, z.copy(data=truth))
            assert result.encoding == {}


def test_the_best_classes_have_a_rank() -> None:
    for lazy in (True, False):
        z = scene(lazy)
        found = s2k.segment(z, outputs=(), top_k=2)
        assert found.top_labels.dims == ("time", "rank", "y", "x")
        assert found.labels is None and "rank" not in found.top_probs.coords
        want = s2d.segment(z.to_numpy(), outputs=(), top_k=2)
        assert np.array_equal(found.top_labels, want.top_labels)
        assert np.array_equal(found.top_probs, want.top_probs, equal_nan=True)
        assert set(found.top_labels.coords) == {"time", "y", "x", "lat", "row", "crs"}


@pytest.mark.parametrize("dims", [("class", "time", "y", "x"), ("time", "y", "x", "class")])
def test_the_class_dimension_may_lie_anywhere(dims: tuple[str, ...]) -> None:
    z = scene(dims=dims)
    axis = dims.index("class")
    for given in ({}, {"axis": "class"}, {"axis": axis}, {"axis": np.int64(axis)}):
        found = s2k.segment(z, **given).confidence
        assert found.dims == ("time", "y", "x")
        want = s2d.segment(z.to_numpy(), axis=axis).confidence
        assert np.array_equal(found, want, equal_nan=True)


def test_another_name_is_given_by_axis() -> None:
    z = scene().rename({"class": "band"})
    assert refusal(s2k.segment, z) == (
        ValueError,
        "segment: logits needs a dimension \"class\"; got ('time', 'band', 'y', 'x'). "
        "Name the class axis with axis='band'.",
    )
    want = s2d.segment(z.to_numpy()).labels
    assert np.array_equal(s2k.segment(z, axis="band").labels, want)
    assert np.array_equal(s2k.segment(z, axis=1).labels, want)
    assert refusal(s2k.segment, z, axis="class") == (
        ValueError,
        "segment: axis must be one of the dimensions ('time', 'band', 'y', 'x'); got 'class'.",
    )
    assert refusal(s2k.segment, z, axis=1.0) == (
        TypeError,
        "segment: axis must be an integer or the name of a dimension; got float.",
    )
    assert refusal(s2k.segment, xr.DataArray(1.0))[1] == (
        'segment: logits needs a dimension "class"; got ().'
    )
    assert refusal(s2k.segment, xr.DataArray(np.zeros((4, 4)), dims=("y", "x")))[1].endswith(
        "got ('y', 'x'). Name the class axis with axis='y'."
    )
    with pytest.raises(ValueError, match=r"^segment: axis must be between -4 and 3 for logits of"):
        s2k.segment(z, axis=4)


def test_coordinates_of_resampled_axes() -> None:
    for lazy in (True, False):
        z = scene(lazy)
        found = s2k.segment(z, size=(8, 3)).labels
        want = s2d.segment(z.to_numpy(), size=(8, 3)).labels
        assert np.array_equal(found, want)
        assert set(found.coords) == {"time", "y", "x", "crs"}
        # Pixels of 5 where they were 10: the outer edges, 45 and 5, stay.
        assert found.y.values.tolist() == [42.5, 37.5, 32.5, 27.5, 22.5, 17.5, 12.5, 7.5]
        assert found.x.values.tolist() == [0.5, 2.5, 4.5]
        assert found.y.attrs == {"units": "m"}
        xr.testing.assert_identical(found.crs, z.crs)
    one = s2k.segment(z, size=(4, 12), interpolation="nearest").labels
    assert set(one.coords) == {"time", "y", "row", "x", "crs"}
    assert one.y.identical(z.y) and one.x.values[:2].tolist() == [-0.25, 0.25]
    corners = s2k.segment(z, size=(7, 1), align_corners=True).labels
    assert corners.y.values.tolist() == [40.0, 35.0, 30.0, 25.0, 20.0, 15.0, 10.0]
    assert corners.x.values.tolist() == [0.0]
    probs = s2k.softmax2d(z, size=(8, 6))
    assert set(probs.coords) == {"time", "class", "colour", "y", "x", "crs"}
    edges = s2k.segment(
        z, size=(7, 3), align_corners=True, interpolation=("linear", "nearest")
    ).labels
    assert edges.y.values[[0, -1]].tolist() == [40.0, 10.0]
    assert edges.x.values.tolist() == [0.5, 2.5, 4.5]  # corners mean nothing to it


@pytest.mark.parametrize(
    "values",
    [
        np.array([0.0, 1.0, 2.0, 4.0]),
        np.array([0.0, 1.0, np.nan, 3.0]),
        np.array(list("abcd")),
        np.array([0, 1, 2, 3], "timedelta64[s]").astype("timedelta64[ns]"),
    ],
    ids=["uneven", "nan", "letters", "times"],
)
def test_coordinates_that_cannot_be_continued_are_left_out(values: Any) -> None:
    z = xr.DataArray(np.zeros((3, 4, 4)), {"y": values, "x": range(4)}, ("class", "y", "x"))
    assert set(s2k.segment(z, size=(8, 4)).labels.coords) == {"x"}
    assert set(s2k.segment(z).labels.coords) == {"y", "x"}


def test_one_pixel_has_no_spacing() -> None:
    z = xr.DataArray(np.zeros((3, 1, 4)), {"y": [5], "x": range(4)}, ("class", "y", "x"))
    assert set(s2k.segment(z, size=(2, 8)).labels.coords) == {"x"}
    assert s2k.segment(z, size=(1, 8)).labels.y.values.tolist() == [5]


def test_windows_cut_coordinates() -> None:
    for lazy in (True, False):
        z = scene(lazy)
        window = slice(1, 4, 2), slice(-2, None)
        found = s2k.segment(z, window=window).labels
        alike = z.drop_vars(["class", "colour", "share"]).isel({"class": 0})
        alike = alike.isel(y=window[0], x=window[1])
        want = s2d.segment(z.to_numpy(), window=window).labels
        xr.testing.assert_identical(found, alike.copy(data=want))
        part = s2k.segment(z, size=(8, 6), window=(slice(2, 5), slice(0, 2))).labels
        assert part.y.values.tolist() == [32.5, 27.5, 22.5] and part.x.values.tolist() == [0, 1]
        assert part.shape == (2, 3, 2)


def test_a_multi_index_is_kept() -> None:
    z = xr.DataArray(np.zeros((3, 2, 2, 4)), dims=("class", "a", "b", "x"))
    z = z.assign_coords(a=[1, 2], b=[3, 4]).stack(y=("a", "b")).transpose("class", "y", "x")
    found = s2k.segment(z).labels
    xr.testing.assert_identical(found.y, z.y)


def test_datasets_and_lazy_maps_are_refused() -> None:
    z = scene()
    assert refusal(s2k.segment, z.to_dataset(name="z")) == (
        TypeError,
        "segment: logits must be a dask array or a DataArray; got Dataset. "
        "It holds 'z': pass one, as logits['z'].",
    )
    kind, text = refusal(s2k.segment, z, temperature=xr.DataArray(da.ones(3)))
    assert kind is TypeError and text == (
        "segment: temperature must be in memory, because it is checked at once; "
        "got a lazy DataArray. Use temperature.compute()."
    )


def test_results_go_into_a_dataset() -> None:
    z = scene()
    found = s2k.segment(z, outputs=("labels", "entropy"))
    both = xr.Dataset({"labels": found.labels, "entropy": found.entropy})
    assert both.labels.chunks == ((1, 1), (3, 1), (4, 2))
    loaded = both.compute(scheduler="synchronous")
    assert np.array_equal(loaded.labels, s2d.segment(z.to_numpy()).labels)


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("size", [None, (8, 12)])
def test_probabilities_that_say_so_are_taken_as_such(lazy: bool, size: Any) -> None:
    z = scene(lazy=False)
    p = z.copy(data=s2d.softmax2d(np.nan_to_num(z.to_numpy(), nan=0.0, neginf=-9.0, posinf=9.0)))
    p.attrs["meaning"] = "probabilities"
    held = p.chunk({"class": 1, "y": 3, "x": 4}) if lazy else p
    found = s2k.segment(held, size=size)
    want = s2d.segment(np.log(p.to_numpy()), size=size)
    assert found.labels.attrs == found.confidence.attrs == {"model": "fcn"}
    assert found.confidence.dtype == want.confidence.dtype
    np.testing.assert_array_equal(found.labels.to_numpy(), want.labels)
    np.testing.assert_allclose(found.confidence.to_numpy(), want.confidence, rtol=1e-6)
    if size is None:
        np.testing.assert_array_equal(found.labels.to_numpy(), p.to_numpy().argmax(1))
        np.testing.assert_allclose(s2k.softmax2d(held).to_numpy(), p.to_numpy(), rtol=1e-5)
        truth = found.labels
        counts = s2k.evaluate(held, truth)
        counts = counts.compute() if hasattr(counts, "compute") else counts
        assert counts.accuracy == 1


def test_probabilities_without_data() -> None:
    p = xr.DataArray(s2d.softmax2d(logits_of((3, 6, 8))), dims=("class", "y", "x"))
    p = p.fillna(1 / 3)
    want = s2d.segment(p.to_numpy()).labels
    p.attrs |= {"meaning": "probabilities", "_FillValue": -9.0}
    p[:, 2, 3] = -9
    found = s2k.segment(p.chunk({"y": 2})).labels.to_numpy()
    assert found[2, 3] == 255
    found[2, 3] = want[2, 3]
    np.testing.assert_array_equal(found, want)
