"""``evaluate_boundary_files``: files of every kind, in parts, in pixels and in the world."""

import json
from functools import partial

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import stream
from softmax2d.stream.counting import boundary_maps
from tests.boundaries.test_boundaries import maps

evaluate = stream.evaluate_boundary_files


def save_nifti(path, values, zooms, code=2, affine=None):
    nibabel = pytest.importorskip("nibabel")
    matrix = np.diag([*zooms, 1.0]) if affine is None else affine
    image = nibabel.Nifti1Image(values.T, matrix)  # axes run the other way
    image.header.set_xyzt_units(code)
    nibabel.save(image, path)
    return path


def save_geotiff(path, values, system, side):
    rasterio = pytest.importorskip("rasterio")
    west, north = (7, 48) if system == "EPSG:4326" else (500000, 5400000)
    transform = rasterio.Affine(side[0], 0, west, 0, -side[1], north)
    kinds = {"dtype": "uint8", "crs": system, "transform": transform}
    height, width = values.shape
    with rasterio.open(path, "w", "GTiff", width, height, 1, **kinds) as file:
        file.write(values, 1)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".png", ".tif"])
def test_files_count_as_arrays_do(tmp_path, suffix):
    labels, truth = maps(20, (40, 30))
    truth[3:9, 4] = 255
    wanted = s2d.evaluate_boundaries(labels, truth, tolerance=2, ignore_index=255)
    paths = [tmp_path / f"{name}{suffix}" for name in ("labels", "truth")]
    for path, values in zip(paths, (labels, truth), strict=True):
        if suffix == ".npy":
            np.save(path, values)
        elif suffix == ".tif":
            pytest.importorskip("tifffile").imwrite(path, values)
        else:
            pytest.importorskip("PIL.Image").fromarray(values).save(path)
    for tolerance in (2, "2", "2 px", "2.0pixels"):
        assert evaluate(*paths, tolerance=tolerance, ignore_index=255) == wanted


@pytest.mark.parametrize("dims", [2, 3])
def test_parts_and_workers_change_nothing(monkeypatch, dims):
    labels, truth = maps(21, (3, 14, 20))
    truth.flat[3::41] = 255
    options = {"tolerance": 1.5, "ignore_index": 255, "spatial_dims": dims}
    wanted = s2d.evaluate_boundaries(labels, truth, **options)
    monkeypatch.setattr(boundary_maps, "_LEAST", 1)
    seen = []
    for pixels in (150, 400):
        monkeypatch.setattr(boundary_maps, "_MOST", pixels)
        for workers in (1, 3):
            progress = []
            note = partial(lambda held, *given: held.append(given), progress)
            found = evaluate(labels, truth, **options, workers=workers, progress=note)
            assert found == wanted
            np.testing.assert_array_equal(found.by_image, wanted.by_image)
            seen.append(len(progress))
    assert seen[0] == seen[1] > seen[2] > 1


def test_chunks_are_read_whole(tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    labels, truth = maps(22, (50, 60))
    for name, values in (("labels", labels), ("truth", truth)):
        held = zarr.create_array(tmp_path / f"{name}.zarr", data=values, chunks=(8, 16))
        assert held.chunks == (8, 16)
    monkeypatch.setattr(boundary_maps, "_LEAST", 1)
    monkeypatch.setattr(boundary_maps, "_MOST", 900)
    found = evaluate(tmp_path / "labels.zarr", tmp_path / "truth.zarr", tolerance=2)
    assert found == s2d.evaluate_boundaries(labels, truth, tolerance=2)


def test_several_files(tmp_path):
    pairs = [maps(seed, (2, 12, 13 + seed), classes=2 + seed) for seed in range(3)]
    labels, truth = map(list, zip(*pairs, strict=True))
    whole = evaluate(labels, truth, tolerance=1, names=["a", "b", "c", "d"])
    parts = [s2d.evaluate_boundaries(*pair, tolerance=1, classes=4) for pair in pairs]
    assert whole == sum(parts)
    np.testing.assert_array_equal(whole.by_image, np.concatenate([p.by_image for p in parts]))
    report = tmp_path / "report.json"
    evaluate(labels, truth, tolerance=1, names=["a", "b", "c", "d"], report=report)
    plain = json.loads(report.read_text())
    assert plain["classes"] == ["a", "b", "c", "d"]
    assert s2d.Boundaries.from_dict(plain["boundaries"]) == whole
    with pytest.raises(stream.Refused, match="exists"):
        evaluate(labels, truth, tolerance=1, report=report)
    assert evaluate(labels, truth, tolerance=1).classes == 4


def test_a_nifti_is_measured_in_millimetres(tmp_path):
    labels, truth = maps(23, (6, 8, 9))
    sides, zooms = (2.5, 0.7, 0.6), (0.6, 0.7, 2.5)
    paths = [
        save_nifti(tmp_path / f"{k}.nii", each, zooms) for k, each in enumerate((labels, truth))
    ]
    wanted = s2d.evaluate_boundaries(labels, truth, tolerance=1.4, spacing=sides, spatial_dims=3)
    for tolerance in ("1.4mm", "0.0014 m", "0.14cm", "1400 um"):
        found = evaluate(*paths, tolerance=tolerance)
        np.testing.assert_array_equal(found.points, wanted.points)
        np.testing.assert_array_equal(found.band, wanted.band)
        np.testing.assert_allclose(found.surface_dice, wanted.surface_dice, rtol=1e-6)
    millimetres = evaluate(*paths, tolerance="1.4mm")
    assert millimetres.unit == "mm"
    assert [*millimetres.elements] == [pytest.approx(sides)]
    assert "boundaries within 1.4 mm, voxels of 2.5 × 0.7 × 0.6 mm" in millimetres.report()
    same = s2d.evaluate_boundaries(labels, truth, tolerance=1, spatial_dims=3)
    assert evaluate(*paths, tolerance=1) == same
    save_nifti(tmp_path / "0.nii", labels, zooms, code=1)  # in metres
    save_nifti(tmp_path / "1.nii", truth, zooms, code=1)
    np.testing.assert_array_equal(evaluate(*paths, tolerance="1.4m").points, wanted.points)


def test_a_turned_nifti_is_measured_along_the_truths_axes(tmp_path):
    labels, truth = maps(24, (5, 8, 7))
    one = save_nifti(tmp_path / "truth.nii", truth, (1, 2, 3))
    turned = np.eye(4)
    turned[:3, :3] = [[0, 1, 0], [2, 0, 0], [0, 0, 3]]  # the first axis of the file runs along y
    other = save_nifti(tmp_path / "labels.nii", labels.transpose(0, 2, 1), (), affine=turned)
    found = evaluate(other, one, tolerance="2mm")
    wanted = s2d.evaluate_boundaries(labels, truth, tolerance=2, spacing=(3, 2, 1), spatial_dims=3)
    np.testing.assert_array_equal(found.points, wanted.points)
    np.testing.assert_array_equal(found.elements[3.0, 2.0, 1.0], wanted.elements[3.0, 2.0, 1.0])


def test_a_slice_of_a_nifti_has_the_sides_of_its_long_axes(tmp_path):
    labels, truth = maps(25, (8, 9))
    paths = [
        save_nifti(tmp_path / f"{k}.nii", each[:, :, None], (1, 0.5, 4))
        for k, each in enumerate((labels, truth))
    ]
    found = evaluate(*paths, tolerance="1mm")
    assert [*found.elements] == [(4.0, 0.5)]


def test_a_geotiff_is_measured_in_metres(tmp_path):
    labels, truth = maps(26, (20, 24))
    wanted = s2d.evaluate_boundaries(labels, truth, tolerance=30, spacing=(20, 10))
    paths = [
        save_geotiff(tmp_path / f"{k}.tif", each, "EPSG:32632", (10, 20))
        for k, each in enumerate((labels, truth))
    ]
    found = evaluate(*paths, tolerance="30m")
    np.testing.assert_array_equal(found.points, wanted.points)
    assert [*found.elements] == [(20.0, 10.0)]
    np.testing.assert_array_equal(evaluate(*paths, tolerance="0.03km").points, wanted.points)
    feet = [
        save_geotiff(tmp_path / f"{k}.tif", each, "EPSG:2225", (10, 20))
        for k, each in enumerate((labels, truth))
    ]
    (sides,) = evaluate(*feet, tolerance="9.15m").elements
    assert sides == pytest.approx((20 * 1200 / 3937, 10 * 1200 / 3937))


def test_pixels_without_a_size_are_refused_with_a_way_on(tmp_path):
    labels, truth = maps(27, (10, 12))
    with pytest.raises(stream.Refused, match=r"does not say how large its pixels are.*spacing="):
        evaluate(labels, truth, tolerance="2mm")
    degrees = [
        save_geotiff(tmp_path / f"{k}.tif", each, "EPSG:4326", (0.1, 0.1))
        for k, each in enumerate((labels, truth))
    ]
    with pytest.raises(stream.Refused, match=r"in degrees; the tolerance is in m.*gdalwarp"):
        evaluate(*degrees, tolerance="2m")
    given = evaluate(*degrees, tolerance="2m", spacing=(1.5, 1))
    assert [*given.elements] == [(1.5, 1.0)]
    assert given.unit == "m"
    assert evaluate(labels, truth, tolerance=2, spacing=1).unit == ""
    assert evaluate(*degrees, tolerance=2).unit == "pixels"


def test_metres_of_web_maps_are_refused_with_a_way_on(tmp_path):
    labels, truth = maps(31, (10, 12))
    for system in ("EPSG:3857", "EPSG:3395"):
        paths = [
            save_geotiff(tmp_path / f"{k}.tif", each, system, (10, 10))
            for k, each in enumerate((labels, truth))
        ]
        wanted = r"Mercator's projection, .* shorter on the ground; .*gdalwarp.*spacing="
        with pytest.raises(stream.Refused, match=wanted):
            evaluate(*paths, tolerance="20m")
        assert [*evaluate(*paths, tolerance="20m", spacing=6.8).elements] == [(6.8, 6.8)]
        assert evaluate(*paths, tolerance=2).unit == "pixels"


def test_a_spacing_in_the_order_of_the_header_is_refused(tmp_path):
    labels, truth = maps(32, (5, 6, 7))
    paths = [
        save_nifti(tmp_path / f"{k}.nii", each, (0.5, 0.6, 3))
        for k, each in enumerate((labels, truth))
    ]
    for tolerance in ("2mm", 2):
        with pytest.raises(
            stream.Refused, match=r"backwards: .*\(z, y, x\)\. Give 3,0\.6,0\.5, or"
        ):
            evaluate(*paths, tolerance=tolerance, spacing=(0.5, 0.6, 3))
        for sides in ((3, 0.6, 0.5), (1, 2, 3)):
            found = evaluate(*paths, tolerance=tolerance, spacing=sides)
            assert [*found.elements] == [sides]
    assert evaluate(labels, truth, tolerance=2, spacing=(0.5, 0.6, 3), spatial_dims=3).images == 1


def test_spacings_that_differ_are_refused(tmp_path):
    labels, truth = maps(28, (5, 6, 7))
    one = save_nifti(tmp_path / "one.nii", labels, (1, 1, 1))
    two = save_nifti(tmp_path / "two.nii", truth, (1, 1, 1.5))
    with pytest.raises(stream.Refused, match=r"of 1 × 1 × 1 mm, and .*two.nii of 1.5 × 1 × 1"):
        evaluate(one, two, tolerance="1mm", ignore_place=True)
    assert evaluate(one, two, tolerance=1, ignore_place=True).unit == "pixels"
    alone = evaluate(labels, two, tolerance="1mm", spatial_dims=3)  # the truth alone says it
    assert [*alone.elements] == [(1.5, 1.0, 1.0)]


def test_labels_that_are_none(tmp_path):
    labels, truth = maps(29, (12, 12))
    labels[2, 3] = 200
    with pytest.raises(stream.Refused, match=r"must be in \[0, 3\).*got 200 at \(2, 3\)"):
        evaluate(labels, truth, tolerance=1, classes=3)
    wanted = s2d.evaluate_boundaries(
        labels, np.where(labels == 200, 9, truth), tolerance=1, ignore_index=9
    )
    assert evaluate(labels, truth, tolerance=1, nodata=200) == wanted
    labels[2, 3] = 255
    with pytest.raises(stream.Refused, match="got 255"):
        evaluate(labels, truth, tolerance=1)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"tolerance": "2 parsecs"}, "expected a distance as 2, 2px or 1.5mm; the units are px"),
        ({"tolerance": "-2"}, "tolerance='-2': expected a distance"),
        ({"tolerance": "mm"}, "tolerance='mm': expected a distance"),
        ({"tolerance": "1.2.3"}, "tolerance='1.2.3': expected a distance"),
        ({"tolerance": -1}, "tolerance must be a finite number, 0 or more; got -1."),
        ({"tolerance": "2px", "spacing": 1}, "a tolerance in pixels takes no spacing"),
        (
            {"tolerance": 1, "spacing": (1, 2, 3)},
            "spacing must be one number above 0 for each of 2",
        ),
        ({"tolerance": 1, "spatial_dims": 3}, "holds 600 × 700 labels, not 3 spatial axes"),
        ({"tolerance": 500, "memory": "2MB"}, "a tolerance that reaches 500 × 500 pixels needs"),
    ],
)
def test_refusals(options, cause):
    labels = np.zeros((600, 700), np.uint8)
    with pytest.raises((ValueError, TypeError)) as caught:
        evaluate(labels, labels, **options)
    assert cause in str(caught.value)


def test_maps_without_pixels():
    empty = np.zeros((2, 0, 5), np.uint8)
    found = evaluate(empty, empty, tolerance=1)
    assert found.images == 2
    assert np.isnan(found.surface_dice).all()
