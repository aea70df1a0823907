"""softmax2d.dask.evaluate: the statistics of the whole, whatever the chunks and schedulers."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.delayed import Delayed

import softmax2d as s2d
import softmax2d.dask as s2k
from softmax2d.dask import _evaluate
from tests.dask.test_dask import CHUNKS, FORMS, logits_of, refusal, sealed


def truth_of(shape: tuple[int, ...], classes: int = 5) -> Any:
    """Classes in patches, so that some occur in a part of an image only."""
    rng = np.random.default_rng([7, *shape])
    t = rng.integers(0, classes, shape).astype(np.uint8)
    t[..., : t.shape[-1] // 2] = 1
    return t


def computed(found: Any) -> s2d.Statistics:
    assert isinstance(found, Delayed)
    value = found.compute(scheduler="synchronous")
    assert type(value) is s2d.Statistics
    return value


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("chunks", [CHUNKS, (2, 5, 20, 30), (2, 5, 3, 30), (1, 1, 20, 9)])
def test_the_statistics_of_the_whole(form: str, chunks: Any) -> None:
    given, z = FORMS[form], logits_of()
    truth = truth_of(s2d.segment(z, **given).labels.shape)
    want = s2d.evaluate(z, truth, bins=7, **given)
    lazy = da.from_array(z, chunks=chunks)
    assert computed(s2k.evaluate(lazy, truth, bins=7, **given)) == want
    other = da.from_array(truth, chunks=(2, 5, 4))
    assert computed(s2k.evaluate(lazy, other, bins=7, **given)) == want


@pytest.mark.parametrize(
    "shape, chunks, options",
    [
        ((3, 2, 4, 5, 6), (2, 1, 4, 2, 3), {}),
        ((3, 6, 5, 4), (2, 4, 3, 1), {"axis": -1}),
        ((2, 6, 5, 4), (2, 4, 3, 1), {"axis": -1, "spatial_dims": 3}),
        ((4, 6, 5), (2, 4, 3), {"axis": 0}),
        ((4,), (2,), {"axis": 0}),
        ((0, 3, 2, 2), (1, 3, 1, 1), {}),
        ((2, 3, 0, 2), (1, 3, 1, 1), {}),
        ((9, 3, 4, 4), (1, 3, 2, 2), {"size": (5, 7)}),
    ],
)
def test_images_and_axes(shape: tuple[int, ...], chunks: Any, options: dict[str, Any]) -> None:
    z = logits_of(shape)
    labels = s2d.segment(z, **options).labels
    truth = np.zeros(labels.shape, np.int64)
    if truth.ndim:
        truth[..., -1:] = 2
        truth[..., :1] = -7
    options |= {"ignore_index": -7}
    want = s2d.evaluate(z, truth, **options)
    found = computed(s2k.evaluate(da.from_array(z, chunks=chunks), truth, **options))
    assert found == want
    assert found.images == want.images and found.image_counts.tolist() == want.image_counts.tolist()


@pytest.mark.parametrize("dtype", ["int8", ">i2", "uint64", "int64"])
def test_types_of_targets(dtype: str) -> None:
    z = logits_of()
    truth = truth_of((2, 20, 30)).astype(dtype)
    ignore = {"int8": -1, "uint64": 2**64 - 1}.get(dtype, 99)
    truth[:, 4:9] = ignore
    lazy = da.from_array(z, chunks=CHUNKS)
    for index in (ignore, np.int64(4) if dtype == "int64" else ignore):
        target = np.where(truth == ignore, index, truth).astype(dtype)
        want = s2d.evaluate(z, target, ignore_index=index)
        assert computed(s2k.evaluate(lazy, target, ignore_index=index)) == want


def test_eight_are_added_by_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = _evaluate.merge
    monkeypatch.setattr(_evaluate, "merge", lambda p: sizes.append(len(p)) or real(p))
    z, truth = logits_of((3, 9, 9)), truth_of((9, 9), 3)
    found = s2k.evaluate(da.from_array(z, chunks=(3, 1, 1)), truth)
    assert computed(found) == s2d.evaluate(z, truth)
    assert sorted(sizes) == [1, 2, 3] + [8] * 11  # 81 parts, 11, 2, 1


def test_nothing_is_computed_early() -> None:
    for options in FORMS.values():
        shape = s2k.segment(sealed((2, 5, 20, 30), CHUNKS), **options).labels.shape
        lazy = sealed((2, 5, 20, 30), CHUNKS), sealed(shape, 5, np.dtype(np.uint8))
        assert isinstance(s2k.evaluate(*lazy, **options), Delayed)


def test_schedulers_agree() -> None:
    z, truth = logits_of(), truth_of((2, 20, 30))
    lazy = s2k.evaluate(da.from_array(z, chunks=CHUNKS), truth, size=None)
    for scheduler in ("threads", "synchronous"):
        assert lazy.compute(scheduler=scheduler) == s2d.evaluate(z, truth)


def test_results_and_statistics_together() -> None:
    z, truth = logits_of(), truth_of((2, 20, 30))
    lazy = da.from_array(z, chunks=CHUNKS)
    labels, found = dask.compute(s2k.segment(lazy).labels, s2k.evaluate(lazy, truth))
    assert found == s2d.evaluate(z, truth)
    assert np.array_equal(labels, s2d.segment(z).labels)


def test_a_bad_class_is_named_by_its_place_in_the_whole() -> None:
    z, truth = logits_of(), truth_of((2, 20, 30))
    truth[1, 17, 23] = 9
    lazy = da.from_array(z, chunks=CHUNKS)
    for options in ({}, {"ignore_index": 255}):
        want = refusal(s2d.evaluate, z, truth, **options)
        way = "If 9 marks pixels without a class, pass ignore_index=9."
        assert want[1].endswith(f"got 9 at (1, 17, 23). {way}")
        found = s2k.evaluate(lazy, truth, **options)
        assert refusal(found.compute, scheduler="synchronous") == want
    both = da.from_array(z, chunks=(2, 5, 20, 30))
    assert refusal(s2k.evaluate(both, truth).compute, scheduler="synchronous")[1].endswith(
        f"target must be in [0, 5); got 9 at (1, 17, 23). {way}"
    )


@pytest.mark.parametrize(
    "target, options",
    [
        (np.zeros((4, 3), np.uint8), {}),
        (np.zeros((4, 5), np.uint8), {"size": (5, 5)}),
        (np.zeros((4, 4)), {}),
        (np.zeros((4, 4), bool), {}),
        (np.zeros((4, 4), np.uint8), {"bins": 0}),
        (np.zeros((4, 4), np.uint8), {"bins": 1.5}),
        (np.zeros((4, 4), np.uint8), {"ignore_index": "x"}),
        (np.zeros((4, 4), np.uint8), {"temperature": -1}),
        (np.zeros((4, 4), np.uint8), {"size": 8}),
        (np.ma.masked_equal(np.zeros((4, 4), np.uint8), 0), {}),
        ([[0, 1], [1]], {}),
    ],
)
def test_refusals_come_at_once_in_the_same_words(target: Any, options: dict[str, Any]) -> None:
    z = np.zeros((3, 4, 4), np.float32)
    want = refusal(s2d.evaluate, z, target, **options)
    assert refusal(s2k.evaluate, sealed((3, 4, 4), 2), target, **options) == want
    if type(target) is np.ndarray:
        lazy = sealed(target.shape, 2, target.dtype)
        assert refusal(s2k.evaluate, sealed((3, 4, 4), 2), lazy, **options) == want


def test_logits_in_memory_are_refused_and_unknown_chunks_too() -> None:
    lazy = da.zeros((3, 4, 4), chunks=2)
    assert refusal(s2k.evaluate, np.zeros((3, 4, 4)), np.zeros((4, 4), int)) == (
        TypeError,
        "evaluate: logits must be a dask array or a DataArray; got ndarray. "
        "Use softmax2d.evaluate for arrays in memory.",
    )
    flat = da.zeros((4, 4), chunks=2, dtype=int)
    assert refusal(s2k.evaluate, lazy, flat[flat[:, 0] > 0]) == (
        ValueError,
        "evaluate: target must have chunks of known sizes; those along axis 0 are not known. "
        "Call target.compute_chunk_sizes() first.",
    )


def test_a_chunk_of_target_that_is_not_what_it_is_said_to_be() -> None:
    lying = da.zeros((4, 4), chunks=4, dtype=int).map_blocks(
        lambda _: np.zeros((5, 4), int), dtype=int, meta=np.empty((0, 0), int)
    )
    found = s2k.evaluate(da.zeros((3, 4, 4), chunks=4), lying)
    assert refusal(found.compute, scheduler="synchronous") == (
        ValueError,
        "evaluate: a chunk of target is not what its dask array says: shape (4, 4) was expected; "
        "got shape (5, 4) and dtype int64.",
    )


def test_data_arrays() -> None:
    z, truth = logits_of(), truth_of((2, 20, 30))
    place = {"y": np.arange(20), "x": np.arange(30.0)}
    logits = xr.DataArray(z, place, ("n", "class", "y", "x"))
    target = xr.DataArray(truth, place, ("n", "y", "x"))
    want = s2d.evaluate(z, truth)
    turned = target.transpose("x", "y", "n")
    for given in (target, turned, truth):
        assert s2k.evaluate(logits, given) == want  # in memory: at once
        assert computed(s2k.evaluate(logits.chunk(n=1, y=7, x=11), given)) == want
    assert computed(s2k.evaluate(logits, turned.chunk(y=5))) == want
    assert computed(s2k.evaluate(logits.chunk(y=5), turned.chunk(x=4))) == want
    assert computed(s2k.evaluate(logits.chunk(y=5).data, target)) == want
    bare = target.drop_vars("y")
    assert s2k.evaluate(logits, bare) == want
    # By position along axes that are resampled.
    larger = truth_of((2, 40, 30))
    fine = xr.DataArray(larger, {"y": np.arange(40) / 2 - 0.25, "x": place["x"]}, target.dims)
    lazy = s2k.evaluate(logits.chunk(y=5), fine, size=(40, 30))
    assert computed(lazy) == s2d.evaluate(z, larger, size=(40, 30))
    part = slice(3, 12), slice(None)
    cut = s2k.evaluate(logits, target.isel(y=part[0]), window=part)
    assert cut == s2d.evaluate(z, truth[:, 3:12], window=part)


def test_targets_that_run_the_other_way_are_turned() -> None:
    """As labels of coordinates have it, and within half a step."""
    z, truth = logits_of((3, 4, 6)), truth_of((4, 6), 3)
    axes = {"y": np.arange(4) * 10.0, "x": np.arange(6) * -5.0}
    logits = xr.DataArray(z, axes, ("class", "y", "x")).chunk({"y": 2})
    target = xr.DataArray(truth, axes, ("y", "x"))
    expected = s2d.evaluate(z, truth)
    near = target.assign_coords(y=axes["y"] + 4.9, x=axes["x"] - 2.4)
    for known in (target, near, near.chunk({"x": 4})):
        for step in ({"y": slice(None, None, -1)}, {"x": slice(None, None, -1)}):
            turned = known.isel(step).transpose("x", "y")
            assert computed(s2k.evaluate(logits, turned)) == expected
    finer = truth.repeat(2, 0).repeat(2, 1)
    axes = {"y": np.arange(8) * 5.0 - 2.5, "x": np.arange(12) * -2.5 + 1.25}
    fine = xr.DataArray(finer, axes, ("y", "x"))[::-1]
    found = s2k.evaluate(logits, fine, size=(8, 12))
    assert computed(found) == s2d.evaluate(z, finer, size=(8, 12))
    numbered = fine[::-1].assign_coords(y=np.arange(8), x=np.arange(12))
    plain = logits.assign_coords(y=np.arange(4), x=np.arange(6))  # no place either
    found = s2k.evaluate(plain, numbered, size=(8, 12))
    assert computed(found) == s2d.evaluate(z, finer, size=(8, 12))
    with pytest.raises(ValueError, match=r"'y' than logits: 37\.5 … 2\.5 \(8\); logits: -2\.5"):
        s2k.evaluate(logits, fine.assign_coords(y=axes["y"][::-1] + 5), size=(8, 12))


def test_targets_of_another_coordinate_system() -> None:
    z, truth = logits_of((3, 4, 6)), truth_of((4, 6), 3)

    systems = pytest.importorskip("rasterio.crs").CRS

    def placed(values: np.ndarray, code: int, version: str) -> xr.DataArray:
        held = xr.DataArray(values, dims=("class", "y", "x")[-values.ndim :])
        text = systems.from_epsg(code).to_wkt(version=version)
        return held.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": text}))

    logits = placed(z, 32633, "WKT2_2019")
    alike = placed(truth, 32633, "WKT1_ESRI")
    assert s2k.evaluate(logits, alike) == s2d.evaluate(z, truth)
    assert refusal(s2k.evaluate, logits, placed(truth, 32733, "WKT2_2019")) == (
        ValueError,
        "evaluate: target is in another coordinate system than logits: WGS 84 / UTM zone 33S "
        "(EPSG:32733); logits: WGS 84 / UTM zone 33N (EPSG:32633). Give target.data to compare "
        "sizes alone.",
    )


def test_targets_of_other_dimensions_or_coordinates() -> None:
    z, truth = logits_of((3, 4, 6)), truth_of((4, 6), 3)
    logits = xr.DataArray(z, {"y": np.arange(4)}, ("class", "y", "x"))
    other = xr.DataArray(truth, dims=("lat", "x"))
    assert refusal(s2k.evaluate, logits, other) == (
        ValueError,
        "evaluate: target must have the dimensions ('y', 'x'); got ('lat', 'x').",
    )
    moved = xr.DataArray(truth, {"y": np.arange(4) + 1}, ("y", "x"))
    assert refusal(s2k.evaluate, logits, moved) == (
        ValueError,
        "evaluate: target has other coordinates along 'y' than logits: 1 … 4 (4); logits: 0 … 3 "
        '(4). Align them first, for example with xarray.align(join="inner"), or give target.data '
        "to compare sizes alone.",
    )
    assert refusal(s2k.evaluate, logits, other.data[:, :5]) == refusal(
        s2d.evaluate, z, truth[:, :5]
    )


@pytest.mark.parametrize("chunks", [(1, 2, 4, 4, 11), (2, 3, 4, 9, 5), (2, 5, 4, 9, 11)])
def test_per_image_scores_are_those_of_the_whole(chunks: tuple[int, ...]) -> None:
    logits = np.random.default_rng(7).normal(size=(2, 5, 4, 9, 11)).astype(np.float32)
    target = truth_of((2, 5, 9, 11), 4)
    whole = s2d.evaluate(logits, target, per_image=True)
    lazy = da.from_array(logits, chunks=chunks)
    assert computed(s2k.evaluate(lazy, target, per_image=True)) == whole


def test_images_are_called_after_coordinates() -> None:
    z, truth = logits_of((2, 3, 4, 3, 3)), truth_of((2, 3, 3, 3), 3)
    days = np.array(["2026-01-01", "2026-01-02"], "datetime64[ns]")
    lazy = da.from_array(z, chunks=(1, 2, 4, 3, 3))
    dims = ("day", "view", "class", "y", "x")
    want = s2d.evaluate(z, truth, per_image=True)
    assert want.per_image is not None
    for held in (lazy, z):
        named = xr.DataArray(held, {"day": days}, dims)
        found = s2k.evaluate(named, truth, per_image=True)
        found = found if isinstance(found, s2d.Statistics) else computed(found)
        assert found.per_image is not None and found.per_image.names is not None
        assert found.per_image.names[2:4] == ("2026-01-01,2", "2026-01-02,0")
        assert np.array_equal(found.per_image.counts, want.per_image.counts)
        found = s2k.evaluate(named.drop_vars("day"), truth, per_image=True)
        found = found if isinstance(found, s2d.Statistics) else computed(found)
        assert found == want


@pytest.mark.parametrize("chunks", [(1, 2, 4, 4, 11), (2, 3, 4, 9, 5), (2, 5, 4, 9, 11)])
def test_curves_are_those_of_the_whole(chunks: tuple[int, ...]) -> None:
    logits = np.random.default_rng(7).normal(size=(2, 5, 4, 9, 11)).astype(np.float32)
    target = truth_of((2, 5, 9, 11), 4)
    whole = s2d.evaluate(logits, target, per_image=True, curves=True)
    lazy = da.from_array(logits, chunks=chunks)
    assert computed(s2k.evaluate(lazy, target, per_image=True, curves=True)) == whole
    named = xr.DataArray(logits, dims=(*"abcde",))
    assert s2k.evaluate(named, target, axis="c", curves=True) == (
        s2d.evaluate(logits, target, curves=True)
    )
