"""Where things lie: turned exactly, cropped where that is asked, refused with both places."""

from __future__ import annotations

import h5py
import nibabel
import numpy as np
import pytest
import rasterio
import tifffile
import xarray as xr
import zarr
from click.testing import CliRunner
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import Affine

import softmax2d as s2d
from softmax2d import balance, calibrate
from softmax2d._files.places.systems import name_system, same_system
from softmax2d.cli import app
from softmax2d.stream import Refused, evaluate_files, segment_file, softmax2d_file
from softmax2d.stream.plan.alignment import show_alike
from softmax2d.stream.plan.inputs import Input

RNG = np.random.default_rng(9)
Z = RNG.normal(0, 3, (4, 40, 50)).astype(np.float32)
TRUTH = RNG.integers(0, 4, (40, 50)).astype(np.uint8)
NORTH = Affine(10, 0, 500000, 0, -10, 5_000_000)
V = RNG.normal(0, 3, (3, 6, 7, 8)).astype(np.float32)  # C, Z, Y, X
RAS = np.array([[2, 0, 0, -8], [0, 3, 0, 5], [0, 0, 4, 1], [0, 0, 0, 1.0]])
OVERRIDE = "Where a place is wrong, ignore_place=True (--ignore-place) compares sizes alone."


def tif(path, values, transform=NORTH, crs="EPSG:32633", **more):
    values = values if values.ndim == 3 else values[None]
    shape = dict(zip(("count", "height", "width"), values.shape, strict=True))
    with rasterio.open(
        path, "w", driver="GTiff", dtype=values.dtype, crs=crs, transform=transform, **shape, **more
    ) as file:
        file.write(values)
    return path


def nii(path, values, affine=RAS):
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(values.T), affine), path)
    return path


def labels_of(source, like, **options):
    out = source.parent / f"out{source.suffix}"
    notes = segment_file(source, out, like=like, overwrite=True, **options).notes
    if source.suffix == ".tif":
        with rasterio.open(out) as file:
            return file.read(1), notes
    return np.asarray(nibabel.load(out).dataobj).T, notes


def flipped(transform, rows, columns, height=40, width=50):
    """The transform of the same region with rows or columns the other way."""
    if rows:
        transform = transform @ Affine.translation(0, height) @ Affine.scale(1, -1)
    if columns:
        transform = transform @ Affine.translation(width, 0) @ Affine.scale(-1, 1)
    return transform


FLIPS = [(True, False), (False, True), (True, True)]


@pytest.mark.parametrize(("rows", "columns"), FLIPS)
@pytest.mark.parametrize("tiled", [False, True])
def test_rasters_are_turned_exactly(tmp_path, rows, columns, tiled):
    step = slice(None, None, -1 if rows else 1), slice(None, None, -1 if columns else 1)
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
    logits = tif(tmp_path / "z.tif", Z, nodata=float(Z[2, 3, 4]), **blocks)
    place = flipped(NORTH, rows, columns)
    truth = tif(tmp_path / "t.tif", TRUTH[step], place, **blocks)
    plain = tif(tmp_path / "plain.tif", TRUTH)
    assert evaluate_files(logits, truth) == evaluate_files(logits, plain)
    assert evaluate_files(logits, truth) != evaluate_files(logits, truth, ignore_place=True)
    expected = s2d.segment(Z).labels
    expected[3, 4] = 255  # nodata in a class
    found, notes = labels_of(logits, truth)
    np.testing.assert_array_equal(found, expected[step])
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.transform.almost_equals(place)
    assert "turned from north up to" in notes[0]
    assert notes[0].endswith(f"as {truth} lies.")
    probs = tmp_path / "p.tif"
    softmax2d_file(logits, probs, like=truth, nodata=-1e30)
    with rasterio.open(probs) as file:
        np.testing.assert_array_equal(file.read(), s2d.softmax2d(Z)[:, step[0], step[1]])


def test_fits_see_the_truth_as_the_logits_lie(tmp_path):
    truth = s2d.segment(Z + RNG.normal(0, 2, Z.shape).astype(np.float32)).labels
    logits = tif(tmp_path / "z.tif", Z)
    south = tif(tmp_path / "t.tif", truth[::-1], flipped(NORTH, True, False))
    assert calibrate.fit(logits, south).temperature == calibrate.fit(Z, truth).temperature
    assert calibrate.fit([logits], [south]).temperature == calibrate.fit(Z, truth).temperature
    ignored = calibrate.fit(logits, south, ignore_place=True).temperature
    assert ignored == calibrate.fit(Z, truth[::-1]).temperature
    found = balance.tune_bias(logits, south).bias
    np.testing.assert_array_equal(found, balance.tune_bias(Z, truth).bias)
    away = tif(tmp_path / "away.tif", truth, NORTH @ Affine.translation(50, 0))
    for count in (calibrate.fit, calibrate.fit_local, balance.tune_bias, evaluate_files):
        with pytest.raises(Refused, match="lies elsewhere than"):
            count(logits, away)
    with pytest.raises(Refused, match="lies elsewhere than"):
        calibrate.assess([logits], [away], calibration=calibrate.fit(Z, truth))


def test_rasters_whose_rows_run_along_x(tmp_path):
    logits = tif(tmp_path / "z.tif", Z)
    place = Affine(0, 10, 500000, -10, 0, 5_000_000)
    truth = tif(tmp_path / "t.tif", np.ascontiguousarray(TRUTH.T), place)
    assert evaluate_files(logits, truth) == s2d.evaluate(Z, TRUTH)
    found, notes = labels_of(logits, truth)
    np.testing.assert_array_equal(found, s2d.segment(Z).labels.T)
    assert notes == [f"{logits}: turned from north up to rows along x, as {truth} lies."]


def spun(values, axes, flips):
    """Values (…, Z, Y, X) with their spatial axes in another order and direction."""
    lead = values.ndim - 3
    order = (*range(lead), *(lead + a for a in axes))
    step = (slice(None),) * lead + tuple(slice(None, None, -1 if f else 1) for f in flips)
    return values.transpose(order)[step]


def spun_affine(affine, size, axes, flips):
    """The affine of such values; axes and flips count from Z, its columns from X."""
    matrix = affine.copy()
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        column = affine[:3, 2 - old]
        matrix[:3, 2 - new] = -column if flip else column
        if flip:
            matrix[:3, 3] += column * (size[old] - 1)
    return matrix


OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = np.linalg.qr(np.array([[1, 0.2, 0.1], [-0.2, 1, 0.3], [0, -0.3, 1.0]]))[0]


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(False, True, True), (True, False, False), (False,) * 3])
@pytest.mark.parametrize("affine", [RAS, OBLIQUE @ RAS], ids=["straight", "oblique"])
def test_volumes_are_turned_exactly(tmp_path, axes, flips, affine):
    truth = RNG.integers(0, 3, V.shape[1:]).astype(np.uint8)
    logits = nii(tmp_path / "z.nii", V, affine)
    turned = spun_affine(affine, V.shape[1:], axes, flips)
    other = nii(tmp_path / "t.nii.gz", spun(truth, axes, flips), turned)
    assert evaluate_files(logits, other) == s2d.evaluate(V, truth, axis=0)
    found, notes = labels_of(logits, other)
    expected = s2d.segment(V, axis=0).labels
    np.testing.assert_array_equal(found, spun(expected, axes, flips))
    np.testing.assert_allclose(nibabel.load(tmp_path / "out.nii").affine, turned, atol=1e-5)
    assert bool(notes) == (axes != (0, 1, 2) or any(flips))


def test_notes_name_the_orientations(tmp_path):
    truth = np.zeros(V.shape[1:], np.uint8)
    logits = nii(tmp_path / "z.nii", V)
    flips = (False, True, True)
    lps = spun_affine(RAS, truth.shape, (0, 1, 2), flips)
    target = nii(tmp_path / "t.nii", truth, lps)
    summaries = []
    evaluate_files(logits, target, account=summaries.append)
    note = f"{target}: turned from LPS to RAS, as {logits} lies."
    assert summaries[0].notes == [note]
    assert segment_file(logits, tmp_path / "o.nii", like=target).notes == [
        f"{logits}: turned from RAS to LPS, as {target} lies."
    ]


def test_qform_and_sform(tmp_path):
    """The sform counts where it has a code, else the qform; without codes there is no place."""
    truth = np.zeros(V.shape[1:], np.uint8)
    logits = nii(tmp_path / "z.nii", V)
    away = RAS.copy()
    away[0, 3] += 40
    image = nibabel.Nifti1Image(truth.T, None)
    target = tmp_path / "t.nii"
    for sform, qform, refused in [
        ((RAS, 1), (away, 1), False),
        ((away, 1), (RAS, 1), True),
        ((away, 0), (RAS, 1), False),
        ((RAS, 0), (away, 1), True),
        ((away, 0), (away, 0), False),
    ]:
        image.header.set_sform(*sform)
        image.header.set_qform(*qform)
        image = nibabel.Nifti1Image(truth.T, None, image.header)
        nibabel.save(image, target)
        if refused:
            with pytest.raises(Refused, match=r"t\.nii: .*first voxel at \(32, 5, 1\) mm"):
                evaluate_files(logits, target)
        else:
            evaluate_files(logits, target)


def spelled(version):
    return CRS.from_wkt(CRS.from_epsg(32633).to_wkt(version=version)).to_wkt()


FINE = TRUTH.repeat(3, 0).repeat(3, 1)
PLACES = {
    "same": (TRUTH, {}, None),
    "half a pixel off": (TRUTH, {"transform": NORTH @ Affine.translation(0.5, -0.5)}, None),
    "without a system": (TRUTH, {"crs": None}, None),
    "without a place": (TRUTH, {"crs": None, "transform": None}, None),
    "WKT 1": (TRUTH, {"crs": spelled("WKT1_ESRI")}, None),
    "WKT 2": (TRUTH, {"crs": spelled("WKT2_2019")}, None),
    "with heights": (TRUTH, {"crs": "EPSG:32633+5773"}, None),
    "a finer grid": (FINE, {"transform": NORTH @ Affine.scale(1 / 3)}, None),
    "a pixel off": (TRUTH, {"transform": NORTH @ Affine.translation(0, 1)}, "reaches beyond"),
    "next tile": (TRUTH, {"transform": NORTH @ Affine.translation(50, 0)}, "lies elsewhere than"),
    "a quarter": (TRUTH, {"transform": NORTH @ Affine.scale(0.5)}, "covers a part of"),
    "more": (TRUTH, {"transform": NORTH @ Affine.scale(2)}, "reaches beyond"),
    "another zone": (TRUTH, {"crs": "EPSG:32733"}, "is in another coordinate system than"),
    "another datum": (TRUTH, {"crs": "EPSG:25833"}, "is in another coordinate system than"),
    "turned": (TRUTH, {"transform": NORTH @ Affine.rotation(5, (25, 20))}, "is turned against"),
}


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("name", PLACES)
def test_places_of_rasters(tmp_path, name):
    values, place, refusal = PLACES[name]
    logits = tif(tmp_path / "z.tif", Z)
    truth = tif(tmp_path / "t.tif", values, **place)
    if refusal is None:
        expected = s2d.evaluate(Z, values, size=values.shape)
        assert evaluate_files(logits, truth) == expected
        labels_of(logits, truth)
    else:
        with pytest.raises(Refused) as caught:
            evaluate_files(logits, truth)
        said = str(caught.value)
        assert said.startswith(f"{truth}: {refusal} {logits}: ")
        assert said.endswith(OVERRIDE)
        assert ("softmax2d segment or probs with --like" in said) == (name == "a quarter")
        assert (
            "WGS 84 / UTM zone 33N (EPSG:32633), north up, first corner (500000, 5000000), " in said
        )
        assert "last corner (500500, 4999600), pixels of 10 × 10, 40 × 50 of them" in said
        if name != "a quarter":
            with pytest.raises(Refused, match=refusal):
                labels_of(logits, truth)
    alone = evaluate_files(logits, truth, ignore_place=True)
    assert alone == s2d.evaluate(Z, values, size=values.shape)
    assert labels_of(logits, truth, ignore_place=True)[0].shape == values.shape


def test_texts_that_are_no_system(capfd):
    text = CRS.from_epsg(32633).to_wkt()
    assert same_system("rubbish[", "rubbish[")
    assert not same_system("rubbish[", text)
    assert name_system("rubbish[") == "a system without a name"
    assert capfd.readouterr() == ("", "")


def test_places_of_volumes_in_words(tmp_path):
    logits = nii(tmp_path / "z.nii", V)
    truth = nii(tmp_path / "t.nii", np.zeros(V.shape[1:], np.uint8), RAS + np.eye(4)[:, ::-1] * 90)
    with pytest.raises(Refused) as caught:
        evaluate_files(logits, truth)
    place = "axes RAS, first voxel at (-8, 5, 1) mm, voxels of 2 × 3 × 4 mm, 6 × 7 × 8 of them"
    assert f"{logits}: {place}. {OVERRIDE}" in str(caught.value)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (7, 12), (20, 25)])
def test_crops_at_the_same_resolution(tmp_path, top, left):
    logits = tif(tmp_path / "z.tif", Z, tiled=True, blockxsize=16, blockysize=16)
    part = TRUTH[top : top + 20, left : left + 25]
    like = tif(
        tmp_path / "like.tif", part, NORTH @ Affine.translation(left + 0.4, top - 0.4 * (top > 0))
    )
    found, notes = labels_of(logits, like)
    np.testing.assert_array_equal(found, s2d.segment(Z).labels[top : top + 20, left : left + 25])
    assert notes == [f"{logits}: cropped to {like}."]
    with rasterio.open(tmp_path / "out.tif") as file, rasterio.open(like) as reference:
        assert file.transform == reference.transform
        assert file.shape == reference.shape


@pytest.mark.parametrize("ratio", [2, 3, 8])
@pytest.mark.parametrize("south", [False, True])
def test_crops_at_a_finer_resolution_are_those_of_the_whole(tmp_path, ratio, south):
    """Pixels at the edge of the part see their neighbours beyond it."""
    logits = tif(tmp_path / "z.tif", Z, tiled=True, blockxsize=16, blockysize=16)
    place = NORTH @ Affine.scale(1 / ratio) @ Affine.translation(11, 13)
    size = 40, 50  # that of all logits, by chance
    place = flipped(place, True, False) if south else place
    like = tif(tmp_path / "like.tif", np.zeros(size, np.uint8), place)
    whole = s2d.segment(Z, size=(40 * ratio, 50 * ratio)).labels
    part = whole[13:53, 11:61]
    found, notes = labels_of(logits, like, memory="1MB", workers=2)
    if south:  # interpolated from south to north
        part = s2d.segment(Z[:, ::-1], size=whole.shape).labels[::-1][13:53, 11:61][::-1]
        assert len(notes) == 2
    np.testing.assert_array_equal(found, part)


def test_crops_at_a_coarser_resolution(tmp_path):
    logits = tif(tmp_path / "z.tif", Z)
    place = NORTH @ Affine.translation(10, 4) @ Affine.scale(4)
    like = tif(tmp_path / "like.tif", np.zeros((5, 6), np.uint8), place)
    found, _ = labels_of(logits, like)
    expected = s2d.segment(Z[:, 4:24, 10:34], size=(5, 6)).labels
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("exact", [False, True])
def test_cells_of_a_network(tmp_path, exact):
    """13 × 13 cells over 100 × 100 pixels: stretched over them, or of 8 pixels and overhanging."""
    coarse = RNG.normal(0, 3, (3, 13, 13)).astype(np.float32)
    truth = RNG.integers(0, 3, (100, 100)).astype(np.uint8)
    cell = 100 / 13 if exact else 8
    logits = tif(tmp_path / "z.tif", coarse, NORTH @ Affine.scale(cell))
    target = tif(tmp_path / "t.tif", truth)
    size = 100 if exact else 104
    part = {"size": (size, size), "window": (slice(0, 100), slice(0, 100))}
    assert evaluate_files(logits, target) == s2d.evaluate(coarse, truth, **part)
    found, _ = labels_of(logits, target)
    np.testing.assert_array_equal(found, s2d.segment(coarse, **part).labels)
    other = Affine(10, 0, 500000, 0, 10, 5_000_000 - 1000)
    south = tif(tmp_path / "south.tif", truth[::-1], other)
    assert evaluate_files(logits, south) == evaluate_files(logits, target)
    smaller = tif(tmp_path / "s.tif", truth[:90])
    with pytest.raises(Refused, match="covers a part of"):
        evaluate_files(logits, smaller)


def test_control_points(tmp_path):
    corners = [(0, 0, 13.0, 45.0), (0, 50, 13.1, 45.0), (40, 0, 13.0, 44.9), (40, 50, 13.1, 44.9)]
    points = [GroundControlPoint(*p) for p in corners]
    fine = [GroundControlPoint(p[0] * 2, p[1] * 2, *p[2:]) for p in corners]
    moved = [GroundControlPoint(p[0], p[1], p[2] + 1, p[3]) for p in corners]
    place = {"transform": None, "crs": "EPSG:4326"}
    logits = tif(tmp_path / "z.tif", Z, gcps=points, **place)
    double = TRUTH.repeat(2, 0).repeat(2, 1)
    evaluate_files(logits, tif(tmp_path / "a.tif", double, gcps=fine[::-1], **place))
    bare = {"transform": None, "crs": None}
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        evaluate_files(logits, tif(tmp_path / "b.tif", TRUTH, **bare))  # which has no place
    elsewhere = tif(tmp_path / "c.tif", TRUTH, gcps=moved, **place)
    with pytest.raises(Refused, match=r"c\.tif: lies elsewhere than .*z\.tif: .*"
                                      r"4 ground control points, 40 × 50 pixels"):  # fmt: skip
        evaluate_files(logits, elsewhere)


def test_control_points_on_a_grid_beside_a_transform(tmp_path):
    corners = [(0, 0), (0, 50), (40, 0), (40, 50), (20, 25)]
    points = [GroundControlPoint(r, c, *(NORTH @ (c, r))) for r, c in corners]
    logits = tif(tmp_path / "z.tif", Z, None, gcps=points)
    known = evaluate_files(logits, tif(tmp_path / "t.tif", TRUTH))
    assert known.accuracy == (Z.argmax(0) == TRUTH).mean()
    south = tif(tmp_path / "s.tif", TRUTH[::-1], flipped(NORTH, True, False))
    assert evaluate_files(logits, south) == known
    assert (
        evaluate_files(
            tif(tmp_path / "y.tif", Z), tif(tmp_path / "u.tif", TRUTH, None, gcps=points[:3])
        )
        == known
    )
    assert evaluate_files(logits, tmp_path / "u.tif") == known  # other points of the same grid
    away = tif(tmp_path / "a.tif", TRUTH, NORTH @ Affine.translation(100, 0))
    with pytest.raises(Refused, match=r"a\.tif: lies elsewhere than .*z\.tif: .*5 ground control"):
        evaluate_files(logits, away)
    with pytest.raises(Refused, match=r"a\.tif: is in another coordinate system"):
        evaluate_files(logits, tif(tmp_path / "a.tif", TRUTH, crs="EPSG:32733"))
    points[4] = GroundControlPoint(20, 25, *(NORTH @ (29, 20)))  # no grid
    bent = tif(tmp_path / "b.tif", Z, None, gcps=points)
    text = r"t\.tif: has a transform, which cannot be compared with .*b\.tif: .*--ignore-place"
    with pytest.raises(Refused, match=text):
        evaluate_files(bent, tmp_path / "t.tif")
    assert evaluate_files(bent, tmp_path / "t.tif", ignore_place=True) == known


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_rational_polynomials(tmp_path):
    def told(shape, row=20.0, latitude=45.0):
        rows, columns = shape[0] / 40, shape[1] / 50
        terms = [1.0, 0.5, -0.25, *[0.0] * 17]
        return RPC(
            height_off=100.0, height_scale=500.0, lat_off=latitude, lat_scale=0.1, long_off=13.0,
            long_scale=0.1, line_off=(row + 0.5) * rows - 0.5, line_scale=20.0 * rows,
            samp_off=25.5 * columns - 0.5, samp_scale=25.0 * columns, line_num_coeff=terms,
            line_den_coeff=terms, samp_num_coeff=terms, samp_den_coeff=terms,
            err_bias=0.0, err_rand=0.0,
        )  # fmt: skip

    place = {"transform": None, "crs": None}
    logits = tif(tmp_path / "z.tif", Z, rpcs=told(TRUTH.shape), **place)
    evaluate_files(logits, tif(tmp_path / "a.tif", FINE, rpcs=told(FINE.shape), **place))
    near = told(TRUTH.shape, row=20.4)
    evaluate_files(logits, tif(tmp_path / "b.tif", TRUTH, rpcs=near, **place))
    evaluate_files(logits, tif(tmp_path / "c.tif", TRUTH, **place))
    with pytest.raises(Refused, match=r"c\.tif: has a transform, which cannot be compared with"):
        evaluate_files(logits, tif(tmp_path / "c.tif", TRUTH))
    words = "rational polynomials about longitude and latitude 13.0, 45.0, 40 × 50 pixels"
    for name, other in (("d", {"row": 21.0}), ("e", {"latitude": 45.1})):
        away = tif(tmp_path / f"{name}.tif", TRUTH, rpcs=told(TRUTH.shape, **other), **place)
        with pytest.raises(Refused) as caught:
            evaluate_files(logits, away)
        assert str(caught.value).startswith(
            f"{away}: has other rational polynomials than {logits}:"
        )
        assert f"{logits}: {words}. {OVERRIDE}" in str(caught.value)


def test_arrays_say_no_place(tmp_path):
    target = tif(tmp_path / "t.tif", TRUTH[::-1], flipped(NORTH, True, False))
    np.save(tmp_path / "z.npy", Z)
    assert evaluate_files(tmp_path / "z.npy", target) == s2d.evaluate(Z, TRUTH[::-1])
    assert evaluate_files(Z, target) == s2d.evaluate(Z, TRUTH[::-1])
    assert evaluate_files(tif(tmp_path / "z.tif", Z), TRUTH) == s2d.evaluate(Z, TRUTH)


def labelled(values, rows, columns, crs=32633):
    """A DataArray with the coordinates of its pixels."""
    axes = {"y": rows, "x": columns}
    held = xr.DataArray(values, axes, ("class", "y", "x")[-values.ndim :], name="held")
    text = CRS.from_epsg(crs).to_wkt()
    return held.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": text}))


ROWS, COLUMNS = 5_000_000 - 10 * (np.arange(40) + 0.5), 500_000 + 10 * (np.arange(50) + 0.5)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("stored", [False, True])
def test_coordinates(tmp_path, stored):
    """Of DataArrays and of Zarr, among each other and beside a GeoTIFF."""

    def place(held, name):
        if not stored:
            return held
        held.to_dataset().to_zarr(tmp_path / name)
        return tmp_path / name

    logits = place(labelled(Z, ROWS, COLUMNS), "z.zarr")
    south = place(labelled(TRUTH[::-1], ROWS[::-1], COLUMNS), "south.zarr")
    raster = tif(tmp_path / "t.tif", TRUTH[:, ::-1], flipped(NORTH, False, True))
    expected = s2d.evaluate(Z, TRUTH)
    keys = {"key": "held", "target_key": "held"} if stored else {}
    assert evaluate_files(logits, south, **keys) == expected
    assert evaluate_files(logits, raster, key=keys.get("key")) == expected
    options = {**keys, "ignore_place": True}
    assert evaluate_files(logits, south, **options) == s2d.evaluate(Z, TRUTH[::-1])
    out = np.empty(TRUTH.shape, np.uint8)
    segment_file(logits, out, like=raster, key=keys.get("key"))
    np.testing.assert_array_equal(out, s2d.segment(Z).labels[:, ::-1])
    away = place(labelled(TRUTH, ROWS - 400, COLUMNS), "away.zarr")
    with pytest.raises(Refused, match="lies elsewhere than .*first corner"):
        evaluate_files(logits, away, **keys)
    zone = place(labelled(TRUTH, ROWS, COLUMNS, 32634), "zone.zarr")
    with pytest.raises(
        Refused, match=r"is in another coordinate system than .*zone 34N \(EPSG:32634"
    ):
        evaluate_files(logits, zone, **keys)


def hdf5(path, values, rows, columns, crs=32633):
    """A dataset with dimension scales and a grid mapping, as netCDF-4 has them."""
    with h5py.File(path, "w") as file:
        held = file.create_dataset("held", data=values)
        for axis, (name, steps) in enumerate((("y", rows), ("x", columns)), values.ndim - 2):
            file[name] = steps
            file[name].make_scale(name)
            held.dims[axis].attach_scale(file[name])
        if values.ndim == 3:
            held.dims[0].label = "class"
        file["spatial_ref"] = 0
        file["spatial_ref"].attrs["crs_wkt"] = CRS.from_epsg(crs).to_wkt()
        held.attrs["grid_mapping"] = "spatial_ref"
    return path


def test_coordinates_in_hdf5(tmp_path):
    logits = hdf5(tmp_path / "z.h5", Z, ROWS, COLUMNS)
    south = hdf5(tmp_path / "s.h5", TRUTH[::-1], ROWS[::-1], COLUMNS)
    raster = tif(tmp_path / "t.tif", TRUTH)
    keys = {"key": "held", "target_key": "held"}
    assert evaluate_files(logits, south, **keys) == s2d.evaluate(Z, TRUTH)
    assert evaluate_files(logits, raster, key="held") == s2d.evaluate(Z, TRUTH)
    away = hdf5(tmp_path / "a.h5", TRUTH, ROWS, COLUMNS + 30)
    with pytest.raises(Refused, match="reaches beyond"):
        evaluate_files(logits, away, **keys)
    zone = hdf5(tmp_path / "o.h5", TRUTH, ROWS, COLUMNS, 32634)
    with pytest.raises(Refused, match="is in another coordinate system than"):
        evaluate_files(logits, zone, **keys)
    with h5py.File(logits, "r+") as file:  # a link out of the file is not followed
        del file["spatial_ref"]
        file["spatial_ref"] = h5py.ExternalLink("o.h5", "spatial_ref")
    assert evaluate_files(logits, raster, key="held") == s2d.evaluate(Z, TRUTH)


def test_arrays_as_references():
    out = np.empty((20, 50), np.uint8)
    like = labelled(TRUTH[5:25][::-1], ROWS[5:25][::-1], COLUMNS)
    found = segment_file(labelled(Z, ROWS, COLUMNS), out, like=like)
    np.testing.assert_array_equal(out, s2d.segment(Z).labels[5:25][::-1])
    assert found.notes == [
        "source: turned from north up to south up, as like lies.",
        "source: cropped to like.",
    ]
    with pytest.raises(Refused, match="like: lies elsewhere than source: "):
        segment_file(labelled(Z, ROWS + 900, COLUMNS), out, like=like)


def test_coordinates_without_a_system():
    """Three axes in any order; uneven ones are the same, reversed, or others."""
    truth = RNG.integers(0, 3, V.shape[1:])
    axes = {"z": np.array([0, 1, 3, 4, 5, 9.0]), "y": np.arange(7) * 2.0, "x": np.arange(8) * 3.0}
    logits = xr.DataArray(V, axes, ("class", "z", "y", "x"))
    target = xr.DataArray(truth, axes, ("z", "y", "x"))
    expected = s2d.evaluate(V, truth, axis=0)
    for turned in (target, target[::-1, :, ::-1], target.transpose("x", "z", "y")[:, ::-1]):
        assert evaluate_files(logits, turned) == expected
    with pytest.raises(Refused) as caught:
        evaluate_files(logits, target.assign_coords(z=np.arange(6.0)))
    assert str(caught.value) == (
        "target: has other coordinates along z than logits: z from 0 to 5 (6), y from 0 to 12 (7), "
        "x from 0 to 21 (8); logits: z from 0 to 9 (6), y from 0 to 12 (7), x from 0 to 21 (8). "
        f"{OVERRIDE}"
    )
    coarse = xr.DataArray(Z, {"y": np.arange(40), "x": np.arange(50)}, ("class", "y", "x"))
    fine = xr.DataArray(FINE, {"y": np.arange(120), "x": np.arange(150)}, ("y", "x"))
    assert evaluate_files(coarse, fine) == s2d.evaluate(Z, FINE, size=FINE.shape)
    with pytest.raises(Refused, match="target: covers a part of logits: "):
        evaluate_files(logits, target[:, 2:5])


def test_sizes_of_microscopy(tmp_path):
    """Without a place, extents are compared, to a pixel of the coarser grid."""

    def ome(name, values, spacing, unit="µm"):
        sizes = {"PhysicalSizeX": spacing, "PhysicalSizeY": spacing}
        units = {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
        axes = {"axes": "CYX"[-values.ndim :]}
        path = tmp_path / f"{name}.ome.tif"
        tifffile.imwrite(path, values, metadata=axes | sizes | units, photometric="minisblack")
        return path

    logits = ome("z", Z[:, :13, :13], 4.0)
    fine = RNG.integers(0, 4, (50, 50)).astype(np.uint8)
    evaluate_files(logits, ome("ceil", fine, 1.0))
    evaluate_files(logits, ome("nm", fine, 1000.0, "nm"))
    evaluate_files(logits, ome("pixels", fine, 1.0, "pixel"))
    other = ome("other", fine, 2.0)
    with pytest.raises(Refused) as caught:
        evaluate_files(logits, other)
    assert str(caught.value) == (
        f"{other}: covers another extent than {logits}: pixels of 2 µm × 2 µm, 50 × 50 of them; "
        f"{logits}: pixels of 4 µm × 4 µm, 13 × 13 of them. {OVERRIDE}"
    )
    evaluate_files(logits, other, ignore_place=True)


def test_label_maps(tmp_path):
    labels = RNG.integers(0, 4, (40, 50)).astype(np.uint8)
    south = tif(tmp_path / "s.tif", labels[::-1], flipped(NORTH, True, False))
    with Input(south) as moving, Input(tif(tmp_path / "t.tif", TRUTH)) as fixed:
        notes = show_alike(moving, fixed)
        np.testing.assert_array_equal(moving.source[:][0], labels)
        assert len(notes) == 1
        with moving.opening().open() as again:
            np.testing.assert_array_equal(again[:, 3:9, 5:7], moving.source[:, 3:9, 5:7])
    part = tif(tmp_path / "p.tif", labels[:30])
    for one, other in ((part, south), (south, part)):
        with Input(one) as moving, Input(other) as fixed, pytest.raises(Refused) as caught:
            show_alike(moving, fixed)
        assert str(caught.value).startswith(f"{south}: reaches beyond {part}: ")


def test_resumed_runs_and_workers_see_the_same(tmp_path):
    """A turned and cropped run on a cluster; another place is another input for --resume."""
    logits = tif(tmp_path / "z.tif", Z, tiled=True, blockxsize=16, blockysize=16)
    place = flipped(NORTH @ Affine.translation(8, 4), True, True, 20, 30)
    like = tif(tmp_path / "like.tif", np.zeros((20, 30), np.uint8), place)
    expected = s2d.segment(Z).labels[4:24, 8:38][::-1, ::-1]
    segment_file(logits, tmp_path / "o.npy", like=like, scheduler=2)
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), expected)
    truth = tif(tmp_path / "t.tif", TRUTH[::-1], flipped(NORTH, True, False))
    assert evaluate_files(logits, truth, scheduler=2) == s2d.evaluate(Z, TRUTH)

    def stop(done, total, seconds):
        raise KeyboardInterrupt

    run = {"memory": "1MB", "workers": 1}
    with pytest.raises(KeyboardInterrupt):
        segment_file(logits, tmp_path / "r.npy", like=like, progress=stop, **run)
    with pytest.raises(Refused, match="input"):
        size = {"like": like, "ignore_place": True}
        segment_file(logits, tmp_path / "r.npy", resume=True, **size, **run)
    segment_file(logits, tmp_path / "r.npy", like=like, resume=True, **run)
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), expected)


def test_commands(tmp_path):
    logits = tif(tmp_path / "z.tif", Z)
    south = tif(tmp_path / "t.tif", TRUTH[::-1], flipped(NORTH, True, False))
    away = tif(tmp_path / "a.tif", TRUTH, NORTH @ Affine.translation(50, 0))
    out = str(tmp_path / "o.tif")
    for command in (
        ["segment", logits, "-o", out, "--overwrite", "--like"],
        ["probs", logits, "-o", out, "--overwrite", "--like"],
        ["evaluate", logits],
        ["calibrate", logits],
        ["tune", logits],
    ):
        words = [str(word) for word in command]
        more = ["-o", str(tmp_path / "c.json"), "--overwrite"]
        more = more if words[0] in ("calibrate", "tune") else []
        found = CliRunner().invoke(app, [*words, str(south), *more])
        assert found.exit_code == 0, found.output
        if words[0] in ("segment", "probs", "evaluate"):
            assert "turned from" in found.stderr
        found = CliRunner().invoke(app, [*words, str(away), *more])
        assert found.exit_code == 2
        assert "lies elsewhere than" in found.stderr
        found = CliRunner().invoke(app, [*words, str(away), *more, "--ignore-place"])
        assert found.exit_code == 0, found.output


def netcdf(path, values, rows):
    """A file as netCDF writes it: coordinates are datasets, scales of the axes."""
    with h5py.File(path, "w") as file:
        found = file.create_dataset("held", data=values)
        sizes = {"class": np.arange(4), "y": rows, "x": np.arange(50.0)}
        for d, name in enumerate(list(sizes)[-values.ndim :]):
            file[name] = sizes[name]
            file[name].make_scale(name)
            found.dims[d].attach_scale(file[name])
        file["spatial_ref"] = 0
    return path


@pytest.mark.parametrize("come", ["paths", "datasets", "zarr"])
def test_coordinates_of_files_and_objects(tmp_path, come):
    y = np.arange(40.0)
    paths = netcdf(tmp_path / "z.h5", Z, y), netcdf(tmp_path / "t.h5", TRUTH[::-1], y[::-1])
    moved = netcdf(tmp_path / "m.h5", TRUTH, y + 7)
    if come == "zarr":
        group = zarr.open_group(tmp_path / "g.zarr", mode="w")
        group.create_array("y", data=y + 7, dimension_names=("y",))
        group.create_array("held", data=TRUTH, dimension_names=("y", "x"))
        moved = group["held"]
    far = h5py.File(tmp_path / "m.h5")
    with far, h5py.File(paths[0]) as one, h5py.File(paths[1]) as two:
        logits, target = paths
        if come == "datasets":
            logits, target, moved = one["held"], two["held"], far["held"]
        assert evaluate_files(logits, target).accuracy == (Z.argmax(0) == TRUTH).mean()
        segment_file(logits, out := np.empty((40, 50), np.uint8), like=target)
        np.testing.assert_array_equal(out, Z.argmax(0)[::-1])
        with pytest.raises(Refused, match=r"reaches beyond .*y from 0 to 39"):
            evaluate_files(logits, moved)
        evaluate_files(logits, moved, ignore_place=True)
