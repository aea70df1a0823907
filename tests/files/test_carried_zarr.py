"""Results in Zarr for xarray and OME-Zarr: names of axes, coordinates, places; and read back."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import rasterio
import xarray
import zarr

import softmax2d as s2d
from softmax2d.stream import Refused, segment_file, softmax2d_file
from softmax2d.stream.plan.inputs import open_any
from tests.stream.tiles import cut

Z = np.random.default_rng(5).normal(0, 3, (4, 40, 50)).astype(np.float32)
LABELS = s2d.segment(Z).labels
WKT = rasterio.crs.CRS.from_epsg(32633).to_wkt()
Y, X = 5_500_000 - 10 * (np.arange(40) + 0.5), 400_000.1 + 10 * (np.arange(50) + 0.5)


def dataset(values=Z, **coordinates):
    found = xarray.Dataset({"scores": (("class", "y", "x"), values)})
    return found.assign_coords(coordinates)


def placed():
    said = {"crs_wkt": WKT, "GeoTransform": "400000.1 10 0 5500000 0 -10"}
    found = dataset(y=("y", Y, {"units": "m"}), x=("x", X), spatial_ref=((), 0, said))
    found["scores"].attrs["grid_mapping"] = "spatial_ref"
    return found


def write(found, path, version=3):
    found.to_zarr(path, zarr_format=version, consolidated=version == 2)  # 3 warns of it


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("suffix", ["zarr", "npy"])
def test_xarray_opens_what_came_of_any_source(tmp_path, version, suffix):
    source = tmp_path / f"in.{suffix}"
    if suffix == "npy":
        np.save(source, Z)
    else:
        write(placed(), source, version)
    segment_file(source, tmp_path / "out.zarr", outputs=("labels", "confidence"))
    with xarray.open_zarr(tmp_path / "out.zarr") as found:
        assert found["labels"].dims == ("y", "x") and found["labels"].dtype == np.uint8
        np.testing.assert_array_equal(found["labels"], LABELS)
        assert set(found.coords) == ({"y", "x", "spatial_ref"} if suffix == "zarr" else set())
    with xarray.open_dataset(tmp_path / "out.confidence.zarr", engine="zarr") as found:
        np.testing.assert_array_equal(found["confidence"], s2d.segment(Z).confidence)
    with open_any(tmp_path / "out.zarr") as again:
        assert again.axes == ("y", "x") and again.class_axis is None
        np.testing.assert_array_equal(again[:], LABELS)


@pytest.mark.parametrize("version", [2, 3])
def test_coordinates_to_the_bit(tmp_path, version):
    write(placed(), tmp_path / "in.zarr", version)
    softmax2d_file(tmp_path / "in.zarr", tmp_path / "out.zarr")
    with xarray.open_zarr(tmp_path / "out.zarr") as found:
        for name, values in {"y": Y, "x": X}.items():
            np.testing.assert_array_equal(found[name], values)
        assert found["y"].attrs["units"] == "m"
        assert found["spatial_ref"].attrs["crs_wkt"] == WKT
        assert found["probs"].dims == ("class", "y", "x")
        with xarray.open_zarr(tmp_path / "in.zarr", consolidated=False) as logits:
            assert (logits["scores"] * found["probs"]).shape == Z.shape, "their pixels are the same"


def test_coordinates_at_another_size(tmp_path):
    write(placed(), tmp_path / "in.zarr")
    segment_file(tmp_path / "in.zarr", tmp_path / "out.zarr", size=(80, 10))
    with xarray.open_zarr(tmp_path / "out.zarr") as found:
        np.testing.assert_allclose(found["y"], 5_500_000 - 5 * (np.arange(80) + 0.5), 1e-12)
        np.testing.assert_allclose(found["x"], 400_000.1 + 50 * (np.arange(10) + 0.5), 1e-12)
        assert "GeoTransform" not in found["spatial_ref"].attrs
    uneven = dataset(y=np.arange(40.0) ** 2, x=np.arange(50.0))
    write(uneven, tmp_path / "uneven.zarr")
    for number, size in enumerate((None, (20, 25))):
        segment_file(tmp_path / "uneven.zarr", tmp_path / f"{number}.zarr", size=size)
    with (
        xarray.open_zarr(tmp_path / "0.zarr") as same,
        xarray.open_zarr(tmp_path / "1.zarr") as half,
    ):
        np.testing.assert_array_equal(same["y"], np.arange(40.0) ** 2)
        assert set(half.coords) == {"x"} and half["x"][0] == 0.5


def test_names_of_axes_and_images_in_time(tmp_path):
    values = np.stack([Z, Z + 1])
    found = xarray.Dataset({"scores": (("time", "class", "lat", "lon"), values)})
    found = found.assign_coords(
        time=np.array(["2026-01-01", "2026-02-01"], "M8[ns]"), lat=np.linspace(50, 49, 40)
    )
    write(found, tmp_path / "in.zarr")
    segment_file(tmp_path / "in.zarr", tmp_path / "out.zarr", size=(20, 25))
    with xarray.open_zarr(tmp_path / "out.zarr") as made:
        assert made["labels"].dims == ("time", "lat", "lon")
        assert made["time"][1] == np.datetime64("2026-02-01")
        np.testing.assert_allclose(made["lat"][[0, -1]], [50 - 1 / 78, 49 + 1 / 78])


def test_a_place_on_earth_goes_to_and_fro(tmp_path):
    place = rasterio.Affine(10, 0, 400_000, 0, -10, 5_500_000)
    profile = {"driver": "GTiff", "height": 40, "width": 50, "count": 4, "dtype": "float32"}
    with rasterio.open(tmp_path / "in.tif", "w", crs=WKT, transform=place, **profile) as file:
        file.write(Z)
    softmax2d_file(tmp_path / "in.tif", tmp_path / "probs.zarr")
    with xarray.open_zarr(tmp_path / "probs.zarr") as found:
        assert found["y"][0] == 5_500_000 - 5 and found["x"][-1] == 400_000 + 495
    segment_file(tmp_path / "probs.zarr", tmp_path / "out.tif", size=(20, 50))
    with rasterio.open(tmp_path / "out.tif") as made:
        assert made.crs == rasterio.crs.CRS.from_wkt(WKT)
        assert made.transform == rasterio.Affine(10, 0, 400_000, 0, -20, 5_500_000)


def test_a_scan_goes_to_and_fro(tmp_path):
    volume = np.stack([Z] * 3, 1)  # C, Z, Y, X
    affine = np.array([[-2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, -30], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(volume.T, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "in.nii")
    softmax2d_file(tmp_path / "in.nii", tmp_path / "probs.zarr")
    said = json.loads((tmp_path / "probs.zarr/zarr.json").read_text())["attributes"]["ome"]
    (scale,) = said["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [1, 4, 3, 2]}
    assert said["multiscales"][0]["axes"][3] == {"name": "x", "type": "space", "unit": "millimeter"}
    segment_file(tmp_path / "probs.zarr", tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(nibabel.load(tmp_path / "out.nii.gz").affine, affine)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_sizes_of_pixels_in_ome_zarr(tmp_path, version):
    group = zarr.create_group(tmp_path / "in.zarr", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", data=Z)
    group.create_array("1", data=Z[:, ::2, ::2])
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]

    def level(path, k):
        scale = {"type": "scale", "scale": [1, 0.5 * k, 0.25 * k]}
        moved = {"type": "translation", "translation": [0, 7, 9]}
        return {"path": path, "coordinateTransformations": [scale, moved]}

    whole = {"axes": axes, "datasets": [level("0", 1), level("1", 2)],
             "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 2]}]}  # fmt: skip
    said = {"version": version, "multiscales": [whole]}
    group.attrs.update(said if version == "0.4" else {"ome": said})
    names = ["sea", "land", "ice", "bog"]
    segment_file(tmp_path / "in.zarr", tmp_path / "out.zarr", key="1", size=(40, 50), names=names)
    ome = zarr.open_group(tmp_path / "out.zarr").attrs["ome"]
    (image,) = ome["multiscales"]
    assert ome["version"] == "0.5" and image["datasets"][0]["path"] == "labels"
    assert image["axes"] == axes[1:]
    steps, moved = image["datasets"][0]["coordinateTransformations"]
    assert steps == {"type": "scale", "scale": [1, 0.5]}
    assert moved == {"type": "translation", "translation": [14 - 0.5, 18 - 0.25]}
    assert ome["image-label"]["properties"][1] == {"label-value": 1, "class": "land"}
    with open_any(tmp_path / "out.zarr") as again:
        assert again.space.fields["spacing"] == [1, 0.5] and again.space.fields["units"][0] == "µm"
    segment_file(tmp_path / "in.zarr", tmp_path / "out.tif", key="0")
    with open_any(tmp_path / "out.tif") as again:
        assert again.space.fields == {"spacing": [1, 0.5], "units": ["µm", "µm"]}


def test_what_the_numbers_are(tmp_path):
    np.save(tmp_path / "in.npy", Z)
    softmax2d_file(tmp_path / "in.npy", tmp_path / "out.zarr", encoding="uint8")
    with open_any(tmp_path / "out.zarr") as source:
        assert source.meaning == "probabilities"
        np.testing.assert_allclose(source[:], s2d.softmax2d(Z), atol=0.5 / 255 + 1e-6)
    with xarray.open_zarr(tmp_path / "out.zarr") as found:
        np.testing.assert_allclose(found["probs"], s2d.softmax2d(Z), atol=0.5 / 255 + 1e-6)
    segment_file(tmp_path / "in.npy", tmp_path / "labels.zarr")
    with open_any(tmp_path / "labels.zarr") as source:
        assert source.meaning is None


def test_several_arrays_are_still_to_be_chosen(tmp_path):
    two = placed().assign(other=placed()["scores"] + 1)
    write(two, tmp_path / "in.zarr")
    with pytest.raises(Refused, match=r"holds 2 arrays \(other, scores\); choose one with --key"):
        segment_file(tmp_path / "in.zarr", tmp_path / "out.zarr")
    segment_file(tmp_path / "in.zarr", tmp_path / "out.zarr", key="scores")
    far = np.add.outer(Y, X)
    curved = dataset(lat=(("y", "x"), far), lon=(("y", "x"), far))
    write(curved, tmp_path / "curved.zarr")
    segment_file(tmp_path / "curved.zarr", tmp_path / "out.npy")
    write(xarray.Dataset({}, {"x": X}), tmp_path / "x.zarr")
    with open_any(tmp_path / "x.zarr") as alone:
        np.testing.assert_array_equal(alone[:], X)


def test_a_resumed_result_has_its_coordinates(tmp_path, monkeypatch):
    cut(monkeypatch, 1 << 10)
    write(placed(), tmp_path / "in.zarr")
    segment_file(tmp_path / "in.zarr", tmp_path / "whole.zarr", workers=1)

    def stop(*told):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        segment_file(tmp_path / "in.zarr", tmp_path / "out.zarr", progress=stop, workers=1)
    stage = tmp_path / ".out.zarr.softmax2d/stage.zarr"
    (stage / "x/c/0").write_bytes(b"other bytes")
    (stage / "spatial_ref/zarr.json").unlink()
    segment_file(tmp_path / "in.zarr", tmp_path / "out.zarr", resume=True, workers=1)
    each = [
        {p.relative_to(top): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}
        for top in (tmp_path / "whole.zarr", tmp_path / "out.zarr")
    ]
    assert each[0] == each[1]


@pytest.mark.parametrize("change", [
    {"multiscales": 7}, {"multiscales": [{"datasets": [{"path": "a"}], "axes": []}]},
    {"multiscales": [{"datasets": [{"path": "a", "coordinateTransformations": [{"type": "scale",
     "scale": [1, -1, "x"]}]}], "axes": [{"name": "y"}]}]},
])  # fmt: skip
def test_metadata_that_say_no_place(tmp_path, change):
    group = zarr.create_group(tmp_path / "in.zarr", zarr_format=3, attributes={"ome": change})
    made = group.create_array("a", data=Z, dimension_names=("class", "y", "x"))
    made.attrs.update(
        {"nifti": {"affine": [[1]], "header": "!"}, "grid_mapping": "../a", "meaning": 3}
    )
    with open_any(tmp_path / "in.zarr") as source:
        assert source.space is None and source.meaning is None
