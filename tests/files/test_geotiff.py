"""GeoTIFF: what lies in the file is carried over, nothing beside it is opened."""

from __future__ import annotations

import os
from itertools import product

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.transform import Affine

import softmax2d as s2d
from softmax2d import balance
from softmax2d._files.tiff import geotiff_result
from softmax2d.stream import (
    Failed,
    Refused,
    evaluate_files,
    predict,
    segment_file,
    softmax2d_file,
)
from tests.stream.tiles import cut

Z = np.random.default_rng(1).normal(0, 4, (5, 150, 130)).astype(np.float32)
rng = np.random.default_rng(2)
PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_500_000)}
NAMES = ("water", "forest", "field", "town", "road")


def stored(path, values=Z, **options):
    profile = {
        "driver": "GTiff", "count": values.shape[0], "height": values.shape[1],
        "width": values.shape[2], "dtype": values.dtype.name, **PLACE,
    }  # fmt: skip
    with rasterio.open(path, "w", **(profile | options)) as file:
        file.write(values)
        if values.shape[0] == len(NAMES):
            file.descriptions = NAMES


def packed(path, values, factors, offsets, **options):
    """Integers with a factor and an offset for each band."""
    stored(path, values, **options)
    with rasterio.open(path, "r+") as file:
        file.scales = np.broadcast_to(factors, file.count).tolist()
        file.offsets = np.broadcast_to(offsets, file.count).tolist()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tiled": True, "blockxsize": 64, "blockysize": 32},
        {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "pixel"},
        {"compress": "deflate", "predictor": 3},
        {"compress": "lzw", "tiled": True, "blockxsize": 16, "blockysize": 16},
        {"BIGTIFF": "YES"},
    ],
)
def test_bands_are_classes(tmp_path, options):
    stored(tmp_path / "in.tif", **options)
    summary = segment_file(tmp_path / "in.tif", tmp_path / "out.tif", workers=3)
    with rasterio.open(tmp_path / "out.tif") as found:
        np.testing.assert_array_equal(found.read(1), s2d.segment(Z).labels)
        assert found.crs == rasterio.CRS.from_epsg(32633)
        assert found.transform == PLACE["transform"]
        assert found.tags()["softmax2d_class_names"].split("\n") == list(NAMES)
    assert summary.classes == 5


def test_no_data_is_carried_over_and_ignored(tmp_path):
    z = Z.copy()
    z[:, 20:40, 30:50] = -9999
    stored(tmp_path / "in.tif", z, nodata=-9999)
    summary = segment_file(
        tmp_path / "in.tif", tmp_path / "out.tif", outputs=("labels", "confidence")
    )
    assert summary.counts.ignored == 400
    with rasterio.open(tmp_path / "out.tif") as found:
        assert found.nodata == 255
        labels = found.read(1)
    assert (labels[20:40, 30:50] == 255).all()
    assert np.count_nonzero(labels == 255) == 400
    with rasterio.open(tmp_path / "out.confidence.tif") as found:
        assert np.count_nonzero(np.isnan(found.read(1))) == 400


def test_no_data_of_a_raster_without_a_place(tmp_path):
    z = Z.copy()
    z[:, 20:40, 30:50] = -9999
    nowhere = {"crs": None, "transform": None, "nodata": -9999}
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        stored(tmp_path / "in.tif", z, interleave="pixel", **nowhere)
    summary = segment_file(tmp_path / "in.tif", tmp_path / "out.tif")
    assert summary.shape == Z.shape[1:]
    assert summary.counts.ignored == 400
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        found = rasterio.open(tmp_path / "out.tif")
    with found:
        assert found.nodata == 255
        assert found.tags()["softmax2d_class_names"].split("\n") == list(NAMES)


def holed():
    z = Z.copy()
    z[:, 20:40, 30:50] = -9999
    return z


NOTHING = [(42113, "s", 0, "-9999", True)]
UPRIGHT = [(33550, "d", 3, (1.0, 1.0, 0.0), True), (33922, "d", 6, (0.0,) * 6, True)]
LATIN = '<GDALMetadata>\n  <Item name="AUTHOR">Universität</Item>\n%s</GDALMetadata>\n'


def latin(inside=""):
    """GDAL's metadata as older programs write them."""
    data = (LATIN % inside).encode("latin-1") + b"\0"
    return [(42112, "s", len(data), data, True)]


def pages(path, values, **options):
    with tifffile.TiffWriter(path) as file:
        for page in values:
            file.write(page, photometric="minisblack", metadata=None, **options)


@pytest.mark.parametrize(
    ("kind", "compression"),
    [*product(["one by one", "shaped", "ome"], [None, "zlib"]), ("behind one page", None)],
)
def test_pages_that_tell_gdal_of_no_data(tmp_path, kind, compression):
    path = tmp_path / ("in.ome.tif" if kind == "ome" else "in.tif")
    options = {"photometric": "minisblack", "extratags": NOTHING, "compression": compression}
    if kind == "behind one page":
        options["metadata"] = {"truncate": True}
        options.pop("compression")
    if kind == "ome":
        options["metadata"] = {"axes": "CYX", "PhysicalSizeX": 0.5}
    if kind == "one by one":
        options.pop("photometric")
        pages(path, holed(), **options)
    else:
        tifffile.imwrite(path, holed(), **options)
    summary = segment_file(path, tmp_path / "out.npy", axis=0)
    expected = s2d.segment(holed()).labels
    expected[20:40, 30:50] = 255
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)
    assert summary.counts.ignored == 400


@pytest.mark.parametrize("text", ["", "none", "1_0", "1 2"])
def test_no_data_that_is_no_number(tmp_path, text):
    pages(tmp_path / "in.tif", Z, extratags=[(42113, "s", 0, text, True)])
    summary = segment_file(tmp_path / "in.tif", tmp_path / "out.npy", axis=0)
    assert (summary.classes, summary.counts.ignored) == (5, 0)


@pytest.mark.parametrize("said", ['{"shape": [1]}', "ImageJ=1.11a\nimages=50\nslices=50\n"])
def test_a_description_that_was_copied_from_another_file(tmp_path, capfd, said):
    options = {"photometric": "minisblack", "planarconfig": "separate", "metadata": None}
    tags = [*UPRIGHT, (42113, "s", 0, b"-9999\xe4", True)]
    tifffile.imwrite(tmp_path / "in.tif", holed(), description=said, extratags=tags, **options)
    assert segment_file(tmp_path / "in.tif", tmp_path / "out.npy").counts.ignored == 400
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("truth", [False, True])
def test_several_pages_with_a_place(tmp_path, truth):
    """GDAL reads the first of them, and says nothing."""
    path, other = tmp_path / "in.tif", tmp_path / "z.npy"
    pages(path, np.zeros((2, 150, 130), np.uint8) if truth else Z, extratags=UPRIGHT)
    np.save(other, Z)
    with pytest.raises(Refused, match="several pages, .* store them as the bands of one page"):
        if truth:
            evaluate_files(other, path)
        else:
            segment_file(path, tmp_path / "out.npy")
    with pytest.raises(Refused, match="a GeoTIFF of several pages"):
        segment_file(other, tmp_path / "out.npy", like=path)


@pytest.mark.parametrize("place", [{}, {"crs": None, "transform": None, "nodata": -9999}])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_overviews_and_masks_are_no_pages(tmp_path, place):
    path = tmp_path / "in.tif"
    stored(path, **place)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(np.full(Z.shape[1:], 255, np.uint8))
        file.build_overviews([2, 4])
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) > 3
    assert segment_file(path, tmp_path / "out.npy").classes == 5
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), s2d.segment(Z).labels)


@pytest.mark.parametrize("place", [[], UPRIGHT])
@pytest.mark.parametrize(
    ("inside", "factor"),
    [
        ("", 1),
        ('<Item name="SCALE" sample="0" role="scale">0.5</Item>\n', 0.5),
        ('<Item name="DESCRIPTION" sample="0" role="description">Wälder</Item>\n', 1),
        ('<Item name="softmax2d_class_names">Wälder</Item>\n', 1),
    ],
)
def test_metadata_of_older_programs(tmp_path, capfd, place, inside, factor):
    path = tmp_path / "in.tif"
    options = {"photometric": "minisblack", "planarconfig": "separate", "metadata": None}
    tifffile.imwrite(path, Z, extratags=latin(inside) + place, **options)
    segment_file(path, tmp_path / "out.npy", like=path)
    scaled = Z * np.array([factor, 1, 1, 1, 1], np.float32)[:, None, None]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), s2d.segment(scaled).labels)
    tifffile.imwrite(path, np.ones(Z.shape[1:], np.uint8), extratags=latin() + place, metadata=None)
    np.save(tmp_path / "z.npy", Z)
    evaluate_files(tmp_path / "z.npy", path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("size", "cog"), [(None, False), ((300, 65), True)])
def test_control_points_are_carried_over(tmp_path, size, cog):
    corners = [(0, 0), (0, 130), (150, 0), (150, 130)]
    points = [
        rasterio.control.GroundControlPoint(row, column, 10 + column / 100, 50 - row / 100)
        for row, column in corners
    ]
    stored(tmp_path / "in.tif", transform=None, gcps=points, crs="EPSG:4326")
    segment_file(tmp_path / "in.tif", tmp_path / "out.tif", size=size, cog=cog)
    down, right = (2, 0.5) if size else (1, 1)
    with rasterio.open(tmp_path / "out.tif") as found:
        held, crs = found.gcps
        assert crs == rasterio.CRS.from_epsg(4326)
        assert [(p.row, p.col) for p in held] == [(r * down, c * right) for r, c in corners]
        assert [(p.x, p.y) for p in held] == [(p.x, p.y) for p in points]


def test_scales_and_offsets_are_applied(tmp_path):
    stored_as = np.round(Z * 100).astype(np.int16)
    stored_as[:, 3, 4] = -32768
    stored(tmp_path / "in.tif", stored_as, nodata=-32768)
    factors, offsets = (0.01, 0.02, 0.01, 0.01, 0.01), (0, 0, 1, 0, -1)
    with rasterio.open(tmp_path / "in.tif", "r+") as file:
        file.scales, file.offsets = factors, offsets
    found = {"labels": np.empty(Z.shape[1:], np.uint8), "confidence": np.empty(Z.shape[1:])}
    summary = segment_file(tmp_path / "in.tif", found, outputs=tuple(found), workers=2)
    meant = stored_as * np.reshape(factors, (5, 1, 1)) + np.reshape(offsets, (5, 1, 1))
    whole = s2d.segment(meant.astype(np.float32))
    has = stored_as[0] != -32768
    assert summary.counts.ignored == 1
    np.testing.assert_array_equal(found["labels"][has], whole.labels[has])
    np.testing.assert_array_equal(found["confidence"][has], whole.confidence[has])


@pytest.mark.parametrize("own", [None, -32768, 7])
@pytest.mark.parametrize("size", [None, (64, 48)])
def test_a_nodata_that_is_asked_for_is_the_stored_number(tmp_path, own, size):
    held = rng.integers(-3000, 3000, (5, 32, 24)).astype(np.int16)
    held[2, :8, :16] = -32768
    options = {"nodata": own, "tiled": True, "blockxsize": 16, "blockysize": 16}
    packed(tmp_path / "in.tif", held, 1e-3, 0, **options)
    packed(tmp_path / "declared.tif", held, 1e-3, 0, **(options | {"nodata": -32768}))
    asked = {"nodata": -32768, "memory": "1MB"}
    runs = []
    for name, how in (("in", asked), ("declared", {})):
        labels = np.empty(size or (32, 24), np.uint8)
        counts = segment_file(tmp_path / f"{name}.tif", labels, size=size, **how).counts
        runs.append((labels, counts.ignored))
    assert runs[0][1] == runs[1][1] >= 8 * 16
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    assert (runs[0][0] == 255).sum() == runs[0][1]
    found = evaluate_files(tmp_path / "in.tif", np.zeros(labels.shape, np.uint8), **asked)
    assert found.confusion.sum() == labels.size - runs[0][1]


@pytest.mark.parametrize("factor", [1, 1e-2])
@pytest.mark.parametrize("size", [None, (64, 48)])
def test_the_shares_of_classes_leave_out_what_is_no_data(tmp_path, factor, size):
    held = rng.integers(-300, 300, (5, 32, 24)).astype(np.int16)
    held[2, :8, :16] = -32768
    packed(tmp_path / "in.tif", held, factor, 0, nodata=-32768)
    labels = np.empty(size or (32, 24), np.uint8)
    counts = segment_file(tmp_path / "in.tif", labels, size=size).counts
    how = {"source_prior": np.full(5, 0.2), "max_passes": 3, "size": size}
    found = balance.estimate_prior(tmp_path / "in.tif", **how)
    assert found.pixels == labels.size - counts.ignored < labels.size
    meant = np.where(held == -32768, np.nan, held * factor)
    whole = balance.estimate_prior(meant.astype(np.float64 if factor == 1 else np.float32), **how)
    np.testing.assert_array_equal(found.prior, whole.prior)


@pytest.mark.parametrize("factors", [(1e-4, 1e-4), (1e-4, 3e-4)])
def test_a_network_sees_numbers_where_only_some_bands_have_no_data(tmp_path, factors):
    held = rng.integers(1, 60000, (2, 64, 64)).astype(np.uint16)
    held[:, :20, :20] = 0
    held[0, 40, 40] = 0
    packed(tmp_path / "in.tif", held, factors, 0.5, nodata=0)
    meant = (held * np.reshape(factors, (2, 1, 1)) + 0.5).astype(np.float32)
    gone = (held == 0).all(0)
    np.save(tmp_path / "plain.npy", np.where(gone, -1, meant).astype(np.float32))

    def average(batch):
        return np.broadcast_to(batch.mean((2, 3), keepdims=True), batch.shape).copy()

    results = []
    for name, nodata in (("in.tif", None), ("in.tif", 0), ("plain.npy", -1)):
        one = {"labels": np.empty((64, 64), np.uint8), "confidence": np.empty((64, 64), np.float32)}
        how = {"outputs": tuple(one), "window": 32, "nodata": nodata}
        counts = predict(average, tmp_path / name, one, **how).counts
        assert (counts.nan, counts.ignored) == (0, gone.sum())
        results.append(one)
    for one in results[:2]:
        np.testing.assert_array_equal(one["labels"], results[2]["labels"])
        np.testing.assert_array_equal(one["confidence"], results[2]["confidence"])


@pytest.mark.parametrize(
    ("dtype", "nodata", "factor", "offset", "ignored"),
    [
        (np.float16, -99999, 2, 0, 0),  # which float16 does not hold, and is no -inf
        (np.int16, -99999, 2, 0, 0),
        (np.int16, 0.5, 2, 0, 0),
        (np.int16, np.nan, 2, 0, 0),
        (np.float32, -3.4028234663852886e38, 3, 0, 1),  # beyond float32 once scaled; no -inf either
        (np.float32, -9999.9, 0.1, 1e-3, 1),
        (np.uint16, 40000, 1e-4, 1e4, 1),  # where float32 knows no step of a factor
        (np.float32, np.nan, 2, 0, 1),
    ],
)
def test_scaled_numbers_are_no_data_where_the_stored_ones_are(
    tmp_path, dtype, nodata, factor, offset, ignored
):
    h5py = pytest.importorskip("h5py")
    held = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(dtype)
    nan = minus_inf = 0
    if held.dtype.kind == "f":
        held[1, 2, 3], held[:, 0, 0] = np.nan, -np.inf
        nan, minus_inf = int(not np.isnan(nodata)), 1
    elif ignored:
        held[1, 2, 3] = nodata + 1
    if ignored and not np.isnan(nodata):
        held[0, 1, 1] = nodata
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["logits"] = held
        file["logits"].attrs.update(scale_factor=float(factor), add_offset=float(offset))
    labels = np.empty((4, 5), np.uint8)
    found = segment_file(tmp_path / "in.h5", labels, axis=0, nodata=nodata).counts
    assert (found.nan, found.minus_inf, found.ignored) == (nan, minus_inf, ignored)


def test_colours_and_probabilities(tmp_path):
    stored(tmp_path / "in.tif")
    palette = np.arange(15, dtype=np.uint8).reshape(5, 3)
    segment_file(tmp_path / "in.tif", tmp_path / "out.tif", palette=palette)
    with rasterio.open(tmp_path / "out.tif") as found:
        assert [found.colormap(1)[i][:3] for i in range(5)] == [tuple(c) for c in palette.tolist()]
    softmax2d_file(tmp_path / "in.tif", tmp_path / "probs.tif", encoding="uint8")
    with rasterio.open(tmp_path / "probs.tif") as found:
        assert found.descriptions == NAMES
        assert found.scales == (1 / 255,) * 5
        expected = np.rint(s2d.softmax2d(Z) * 255).astype(np.uint8)
        np.testing.assert_array_equal(found.read(), expected)


def test_another_size_keeps_the_region(tmp_path):
    stored(tmp_path / "in.tif")
    segment_file(tmp_path / "in.tif", tmp_path / "out.tif", size=(300, 260))
    with rasterio.open(tmp_path / "out.tif") as found:
        assert found.transform == Affine(5, 0, 500_000, 0, -5, 5_500_000)
        np.testing.assert_array_equal(found.read(1), s2d.segment(Z, size=(300, 260)).labels)


def test_like_another_raster(tmp_path):
    np.save(tmp_path / "in.npy", Z)
    reference = np.zeros((1, 450, 390), np.uint8)
    stored(tmp_path / "like.tif", reference, transform=Affine(3, 0, 7, 0, -3, 8))
    segment_file(tmp_path / "in.npy", tmp_path / "out.tif", like=tmp_path / "like.tif")
    with rasterio.open(tmp_path / "out.tif") as found:
        assert found.transform == Affine(3, 0, 7, 0, -3, 8)
        assert found.shape == (450, 390)


def test_cloud_optimized(tmp_path):
    z = np.zeros((3, 1100, 1300), np.float32)
    z[1, ::2] = 1
    z[1, :, :700] = 2
    stored(tmp_path / "in.tif", z)
    segment_file(tmp_path / "in.tif", tmp_path / "out.tif", cog=True)
    with rasterio.open(tmp_path / "out.tif") as found:
        assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert found.overviews(1)
        np.testing.assert_array_equal(found.read(1), s2d.segment(z).labels)
    with rasterio.open(tmp_path / "out.tif", overview_level=0) as small:
        assert set(np.unique(small.read(1))) <= {0, 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.tif", "out.tif"]


def test_a_block_of_an_overview_that_was_lost_is_noticed(tmp_path):
    z = np.zeros((3, 1100, 1300), np.float32)
    stored(tmp_path / "in.tif", z)
    out = tmp_path / "out.tif"
    segment_file(tmp_path / "in.tif", out, cog=True)
    geotiff_result._check_complete(out, str(out))
    with tifffile.TiffFile(out, mode="r+b") as file:
        tag = file.pages[1].tags["TileByteCounts"]
        tag.overwrite([0, *tag.value[1:]] if isinstance(tag.value, tuple | list) else 0)
    with pytest.raises(Failed, match="No space left on device"):
        geotiff_result._check_complete(out, str(out))


def test_cloud_optimized_needs_a_place(tmp_path):
    np.save(tmp_path / "in.npy", Z)
    with pytest.raises(Refused, match="needs a place in the world"):
        segment_file(tmp_path / "in.npy", tmp_path / "out.tif", cog=True)


def test_a_vrt_under_another_name(tmp_path):
    stored(tmp_path / "real.tif")
    vrt = f"""<VRTDataset rasterXSize="130" rasterYSize="150"><VRTRasterBand dataType="Float32"
    band="1"><SimpleSource><SourceFilename>{tmp_path}/real.tif</SourceFilename></SimpleSource>
    </VRTRasterBand></VRTDataset>"""
    (tmp_path / "in.tif").write_text(vrt)
    with pytest.raises(Refused, match="in.tif: is not a usable TIFF file"):
        segment_file(tmp_path / "in.tif", tmp_path / "out.tif")


@pytest.mark.parametrize(
    "name",
    ["/vsicurl/http://localhost:9/a.tif", "/vsizip/a.zip/a.tif", "/vsimem/a.tif", "http://h/a.tif"],
)
def test_no_network_and_no_virtual_files(tmp_path, name):
    with pytest.raises(Refused, match="no such file"):
        segment_file(name, tmp_path / "out.tif")


def test_files_beside_are_not_opened(tmp_path):
    stored(tmp_path / "in.tif")
    (tmp_path / "in.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>0</NoDataValue></PAMRasterBand>"
        "<GeoTransform>1,2,3,4,5,6</GeoTransform></PAMDataset>"
    )
    (tmp_path / "in.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    stored(tmp_path / "in.tif.ovr", Z[:, ::2, ::2])
    segment_file(tmp_path / "in.tif", tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as found:
        assert found.nodata is None
        assert found.transform == PLACE["transform"]


def test_a_missing_block_is_an_error_unless_it_may_be_missing(tmp_path):
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "SPARSE_OK": "TRUE"}
    profile = {"driver": "GTiff", "count": 5, "height": 150, "width": 130, "dtype": "float32"}
    with rasterio.open(tmp_path / "in.tif", "w", **profile, **PLACE, **tiles) as file:
        file.write(Z[:, :64, :64], window=rasterio.windows.Window(0, 0, 64, 64))
    with pytest.raises(Refused, match=r"block \d+ is missing, of 9; --missing-as-fill"):
        segment_file(tmp_path / "in.tif", tmp_path / "out.tif")
    segment_file(tmp_path / "in.tif", tmp_path / "out.tif", missing_as_fill=True)


@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw"])
def test_damaged_blocks_are_refused(tmp_path, compress, capfd):
    path = tmp_path / "in.tif"
    stored(path, compress=compress, tiled=True, blockxsize=64, blockysize=64)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        start, length = page.dataoffsets[3], page.databytecounts[3]
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(os.urandom(min(length, 2000)))
    with pytest.raises(Refused, match="cannot be read at rows|tile 3 cannot be decoded"):
        segment_file(path, tmp_path / "out.tif")
    assert capfd.readouterr().err == ""
    assert [p.name for p in tmp_path.iterdir()] == ["in.tif"]


def test_a_truncated_file(tmp_path):
    path = tmp_path / "in.tif"
    stored(path, tiled=True, blockxsize=64, blockysize=64)
    os.truncate(path, os.path.getsize(path) - 5000)
    with pytest.raises(Refused, match="in.tif: "):
        segment_file(path, tmp_path / "out.tif")


def test_the_same_bytes_every_time(tmp_path, monkeypatch):
    stored(tmp_path / "in.tif")
    for cog in (False, True):
        for name in ("a.tif", "b.tif"):
            segment_file(tmp_path / "in.tif", tmp_path / name, cog=cog, overwrite=True)
            cut(monkeypatch, 9000)
        assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_evaluation_against_a_raster(tmp_path):
    truth = np.random.default_rng(2).integers(0, 5, (150, 130)).astype(np.uint8)
    stored(tmp_path / "in.tif")
    stored(tmp_path / "truth.tif", truth[None])
    found = evaluate_files(tmp_path / "in.tif", tmp_path / "truth.tif")
    assert found == s2d.evaluate(Z, truth)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize(
    ("shape", "axes", "options"),
    [
        ((5, 60, 70), "CYX", {}),
        ((3, 5, 60, 70), "ZCYX", {}),
        ((60, 70, 5), "YXS", {"photometric": "minisblack", "planarconfig": "contig"}),
        ((5, 60, 70), "CYX", {"tile": (16, 32)}),
        ((3, 5, 60, 70), "ZCYX", {"rowsperstrip": 7}),
    ],
)
def test_ome_tiff(tmp_path, compression, shape, axes, options):
    values = np.random.default_rng(1).normal(0, 4, shape).astype(np.float32)
    path = tmp_path / "in.ome.tif"
    tifffile.imwrite(path, values, metadata={"axes": axes}, compression=compression, **options)
    axis = next(d for d, a in enumerate(axes) if a in "CS")
    expected = s2d.segment(values, axis=axis).labels
    found = np.empty_like(expected)
    segment_file(path, found, memory="1MB", workers=2)
    np.testing.assert_array_equal(found, expected)


def test_a_tiff_without_channels_says_what_to_add(tmp_path):
    path = tmp_path / "in.ome.tif"
    tifffile.imwrite(path, Z, metadata={"axes": "ZYX"})
    with pytest.raises(Refused, match="none of its axes, z, y, x, counts classes"):
        segment_file(path, tmp_path / "out.npy")


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_damaged_strips_are_named(tmp_path, damage):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, Z, compression="zlib", rowsperstrip=30, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        tag = file.pages[2].tags["StripByteCounts" if damage == "missing" else "StripOffsets"]
        values = list(tag.value)
    values[1] = 0 if damage == "missing" else os.path.getsize(path) - 3
    with tifffile.TiffFile(path, mode="r+b") as file:
        tag = file.pages[2].tags["StripByteCounts" if damage == "missing" else "StripOffsets"]
        tag.overwrite(values)
    text = {"missing": "page 2, strip 1 is missing", "cut": "page 2, strip 1 is cut short"}[damage]
    with pytest.raises(Refused, match=text):
        segment_file(path, tmp_path / "out.npy", axis=0)


def test_a_tiff_that_expands_as_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr("softmax2d._files.source.bombs.BOMB_BYTES", 10_000)
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.zeros((5, 500, 500), np.float32), compression="zlib")
    with pytest.raises(Refused, match="expands from .* as a bomb does"):
        segment_file(path, tmp_path / "out.npy", axis=0)
