"""What results in TIFF keep: rational polynomials, points, nodata, resolution, spacing, meaning."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import rasterio
import safetensors
import tifffile
import xarray
from rasterio.rpc import RPC

import softmax2d as s2d
from softmax2d.stream import Refused, predict, segment_file, softmax2d_file
from softmax2d.stream.plan.inputs import open_any

Z = np.random.default_rng(3).normal(0, 3, (4, 40, 50)).astype(np.float32)
LABELS = s2d.segment(Z).labels
UTM = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 4e5, 0, -10, 5e6)}
ONE = [1.0] + [0.0] * 19


def rpcs():
    return RPC(
        height_off=100.0, height_scale=50.0, lat_off=45.0, lat_scale=1.0, long_off=10.0,
        long_scale=1.0, line_off=20.0, line_scale=20.0, samp_off=25.0, samp_scale=25.0,
        line_num_coeff=[0.0, 0.0, 1.0, *ONE[3:]], line_den_coeff=ONE,
        samp_num_coeff=[0.0, 1.0, *ONE[2:]], samp_den_coeff=ONE, err_bias=0.5, err_rand=0.25,
    )  # fmt: skip


def stored(path, values=Z, **said):
    count, rows, columns = values.shape
    profile = {"driver": "GTiff", "height": rows, "width": columns, "count": count}
    with rasterio.open(path, "w", dtype=values.dtype, **profile, **said) as file:
        file.write(values)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("cog", [False, True])
def test_rational_polynomials(tmp_path, cog):
    source = stored(tmp_path / "in.tif", rpcs=rpcs())
    segment_file(source, tmp_path / "same.tif", cog=cog)
    segment_file(source, tmp_path / "half.tif", cog=cog, size=(20, 100))
    with rasterio.open(tmp_path / "same.tif") as same, rasterio.open(tmp_path / "half.tif") as half:
        assert same.rpcs.to_gdal() == rpcs().to_gdal()
        assert same.crs is None and half.transform.is_identity
        found = half.rpcs
    assert found.line_num_coeff == rpcs().line_num_coeff
    # The outer edges stay: row -0.5 of one is row -0.5 of the other, and 39.5 is 19.5.
    for edge, other in ((-0.5, -0.5), (39.5, 19.5)):
        assert (edge - 20) / 20 == pytest.approx((other - found.line_off) / found.line_scale)
    for edge, other in ((-0.5, -0.5), (49.5, 99.5)):
        assert (edge - 25) / 25 == pytest.approx((other - found.samp_off) / found.samp_scale)


def test_predictions_of_an_unrectified_scene(tmp_path):
    source = stored(tmp_path / "in.tif", (Z[:1] * 9 + 99).astype(np.uint8), rpcs=rpcs())

    def model(batch):
        return np.concatenate([0.5 - batch, batch - 0.5], axis=1)

    predict(model, source, tmp_path / "out.tif", window=16)
    with rasterio.open(tmp_path / "out.tif") as found:
        assert found.rpcs.to_gdal() == rpcs().to_gdal()


@pytest.mark.parametrize("size", [None, (20, 50)])
def test_a_pixel_that_is_a_point(tmp_path, size):
    source = stored(tmp_path / "in.tif", **UTM)
    with rasterio.open(source, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
        file.transform = UTM["transform"]
    segment_file(source, tmp_path / "out.tif", size=size)
    with rasterio.open(source) as one, rasterio.open(tmp_path / "out.tif") as other:
        assert one.tags()["AREA_OR_POINT"] == other.tags()["AREA_OR_POINT"] == "Point"
        assert other.bounds == one.bounds and other.crs == one.crs
    segment_file(stored(tmp_path / "area.tif", **UTM), tmp_path / "area_out.tif")
    with rasterio.open(tmp_path / "area_out.tif") as other:
        assert other.tags()["AREA_OR_POINT"] == "Area"


@pytest.mark.parametrize("function", [segment_file, predict])
def test_nodata_of_float_results(tmp_path, function):
    values = Z.copy()
    values[:, :5] = -9999
    source = stored(tmp_path / "in.tif", values, nodata=-9999, **UTM)
    outputs = ("labels", "confidence", "entropy")
    if function is segment_file:
        segment_file(source, tmp_path / "out.tif", outputs=outputs)
    else:
        predict(lambda batch: batch, source, tmp_path / "out.tif", window=16, outputs=outputs)
    for name in ("confidence", "entropy"):
        with rasterio.open(tmp_path / f"out.{name}.tif") as found:
            assert np.isnan(found.nodata) and found.descriptions == (name,)
            assert (found.dataset_mask()[:5] == 0).all() and found.dataset_mask()[5:].all()
    with rasterio.open(tmp_path / "out.tif") as found:
        assert found.nodata == 255 and found.descriptions == ("labels",)
    plain = stored(tmp_path / "plain.tif", **UTM)
    segment_file(plain, tmp_path / "plain_out.tif", outputs=("confidence",))
    with rasterio.open(tmp_path / "plain_out.tif") as found:
        assert found.nodata is None, "every pixel has data"


RESOLUTIONS = {"inch": (300.0, 150.0, 2), "centimetre": (118.0, 40.0, 3), "none": (5.0, 2.5, 1)}


@pytest.mark.parametrize("unit", RESOLUTIONS)
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_resolution(tmp_path, unit, compression):
    across, down, number = RESOLUTIONS[unit]
    tifffile.imwrite(
        tmp_path / "in.tif", Z, resolution=(across, down), resolutionunit=number,
        photometric="minisblack", compression=compression,
    )  # fmt: skip
    palette = np.arange(12, dtype=np.uint8).reshape(4, 3)
    segment_file(tmp_path / "in.tif", tmp_path / "same.tif", palette=palette)
    segment_file(tmp_path / "in.tif", tmp_path / "half.tif", size=(20, 100))
    for name, rows, columns in (("same", 1, 1), ("half", 0.5, 2)):
        with tifffile.TiffFile(tmp_path / f"{name}.tif") as file:
            page = file.pages[0]
            assert page.get_resolution() == pytest.approx((across * columns, down * rows))
            assert page.resolutionunit == number


def test_resolution_of_a_raster(tmp_path):
    source = stored(tmp_path / "in.tif", **UTM)
    with rasterio.open(source, "r+") as file:
        file.update_tags(TIFFTAG_XRESOLUTION="72", TIFFTAG_YRESOLUTION="36",
                         TIFFTAG_RESOLUTIONUNIT="2 (pixels/inch)")  # fmt: skip
    segment_file(source, tmp_path / "out.tif", size=(80, 50))
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        page = file.pages[0]
        assert page.get_resolution() == (72, 72) and page.resolutionunit == 2


def test_stacks_of_imagej(tmp_path):
    volume = np.stack([Z, Z + 1, Z * 2], 1)  # C, Z, Y, X
    said = {"spacing": 0.5, "unit": "um", "finterval": 0.25, "axes": "ZCYX"}
    source = tmp_path / "in.tif"
    tifffile.imwrite(
        source, np.swapaxes(volume, 0, 1).copy(), imagej=True, resolution=(4, 2), metadata=said
    )
    palette = np.arange(12, dtype=np.uint8).reshape(4, 3)
    segment_file(source, tmp_path / "out.tif", palette=palette)
    softmax2d_file(source, tmp_path / "probs.tif", size=(20, 50))
    for name, axes, down in (("out", "ZYX", 2), ("probs", "ZCYX", 1)):
        with tifffile.TiffFile(tmp_path / f"{name}.tif") as file:
            found = file.imagej_metadata
            assert (found["spacing"], found["unit"], found["finterval"]) == (0.5, "um", 0.25)
            assert file.series[0].axes == axes
            assert file.pages[0].get_resolution() == (4, down)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert np.array_equal(np.reshape(file.imagej_metadata["LUTs"], (3, 256))[:, :4].T, palette)
        np.testing.assert_array_equal(file.asarray(), s2d.segment(volume, axis=0).labels)
    np.save(tmp_path / "in.npy", volume[:, ::2])
    segment_file(tmp_path / "in.npy", tmp_path / "like.tif", axis=0, like=tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "like.tif") as file:
        assert file.imagej_metadata["spacing"] == 0.5 and file.series[0].shape == (3, 40, 50)


def test_probabilities_say_that_they_are(tmp_path):
    for name in ("in.npy", "in.tif"):
        np.save(tmp_path / name, Z) if name == "in.npy" else stored(tmp_path / name, **UTM)
    for place, suffix in (("in.tif", "tif"), ("in.npy", "tif"), ("in.npy", "h5"),
                          ("in.npy", "safetensors"), ("in.npy", "npz")):  # fmt: skip
        for encoding in ("float", "uint8"):
            path = tmp_path / f"{place}.{encoding}.{suffix}"
            softmax2d_file(tmp_path / place, path, encoding=encoding)
            with open_any(path) as source:
                says = None if suffix == "npz" and encoding == "uint8" else "probabilities"
                assert source.meaning == says, (place, suffix, encoding)
                if says:
                    found = source[:] / (255 if source.dtype == np.uint8 else 1)
                    np.testing.assert_allclose(found, s2d.softmax2d(Z), atol=0.5 / 255 + 1e-6)
            segment_file(tmp_path / place, tmp_path / f"labels.{suffix}", overwrite=True)
            with open_any(tmp_path / f"labels.{suffix}") as source:
                assert source.meaning is None
    with h5py.File(tmp_path / "in.npy.float.h5") as file:
        assert file["probs"].attrs["meaning"] == "probabilities"
    with safetensors.safe_open(tmp_path / "in.npy.float.safetensors", "np") as file:
        assert file.metadata()["meaning"] == "probabilities"


def test_ome_tiff_says_what_it_holds(tmp_path):
    np.save(tmp_path / "in.npy", Z)
    softmax2d_file(tmp_path / "in.npy", tmp_path / "probs.ome.tif")
    segment_file(tmp_path / "in.npy", tmp_path / "c.ome.tif", outputs=("confidence",))
    for name, meaning in {"probs.ome.tif": "probabilities", "c.ome.tif": None}.items():
        with open_any(tmp_path / name) as source:
            assert source.meaning == meaning
    tifffile.imwrite(tmp_path / "dots.tif", Z, resolution=(300, 150), photometric="minisblack")
    segment_file(tmp_path / "dots.tif", tmp_path / "dots.ome.tif")
    with tifffile.TiffFile(tmp_path / "dots.ome.tif") as file:
        assert file.is_ome and file.pages[0].get_resolution() == (300, 150)


def test_coordinate_systems_that_nobody_knows(tmp_path):
    """They are refused before anything is computed; an authority's code is as good as a text."""
    place = {"y": np.arange(40.0)[::-1] * 10, "x": np.arange(50.0) * 10}
    for number, said in enumerate(("EPSG:32633", "the moon's")):
        found = xarray.Dataset({"scores": (("class", "y", "x"), Z)}, place)
        found = found.assign_coords(spatial_ref=((), 0, {"spatial_ref": said}))
        found.to_zarr(tmp_path / f"{number}.zarr", zarr_format=3, consolidated=False)
    segment_file(tmp_path / "0.zarr", tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as made:
        assert made.crs.to_epsg() == 32633 and made.transform[0] == 10
    with pytest.raises(
        Refused, match=r"does not hold the coordinate system \"the moon's\"; choose"
    ):
        segment_file(tmp_path / "1.zarr", tmp_path / "no.tif")
    segment_file(tmp_path / "1.zarr", tmp_path / "out.zarr")
    with xarray.open_zarr(tmp_path / "out.zarr") as made:
        assert made["spatial_ref"].attrs["spatial_ref"] == "the moon's"


def test_names_of_axes_of_predictions(tmp_path):
    found = xarray.Dataset({"image": (("band", "lat", "lon"), Z)})
    found.to_zarr(tmp_path / "in.zarr", zarr_format=3, consolidated=False)
    predict(lambda batch: batch, tmp_path / "in.zarr", tmp_path / "out.zarr", window=16)
    with xarray.open_zarr(tmp_path / "out.zarr") as made:
        assert made["labels"].dims == ("lat", "lon")


def test_probabilities_of_nnunet(tmp_path):
    probs = s2d.softmax2d(np.stack([Z] * 3, 1), axis=0)
    for name in ("probabilities", "softmax"):
        np.savez_compressed(tmp_path / "in.npz", **{name: probs})
        with open_any(tmp_path / "in.npz") as source:
            assert source.meaning == "probabilities" and source.class_axis == 0
    np.savez(tmp_path / "in.npz", logits=probs)
    with open_any(tmp_path / "in.npz") as source:
        assert source.meaning is None and source.class_axis is None
