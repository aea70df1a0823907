"""A GIS user: a network over an orthophoto, judged, and opened again as GIS programs do."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from tests.newcomers.conftest import Shell

NAMES = ["road", "field", "water"]
PLACE: Any = {"crs": "EPSG:32632", "transform": Affine(0.2, 0, 500000, 0, -0.2, 5300000)}
COG_SIZE = 700, 1100


def network(path: str, channels: int) -> None:
    """Save a network that sees class c where channel c is bright."""
    weight = np.zeros((3, channels, 1, 1), np.float32)
    weight[range(3), range(3)] = 20
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", count, "h", "w"])
        for name, count in (("image", channels), ("logits", 3))
    ]
    node = helper.make_node("Conv", ["image", "weight"], ["logits"])
    held = [numpy_helper.from_array(weight, "weight")]
    graph = helper.make_graph([node], "net", ends[:1], ends[1:], held)
    operators = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=operators, ir_version=9), path)


def raster(path: str, bands: Any, **how: Any) -> None:
    """Save a GeoTIFF at the place."""
    count, height, width = bands.shape
    kind = bands.dtype.name
    form = {"count": count, "height": height, "width": width, "dtype": kind, "tiled": True}
    with rasterio.open(path, "w", driver="GTiff", compress="deflate", **form, **PLACE, **how) as f:
        f.write(bands)


def scene(size: tuple[int, int]) -> tuple[Any, Any]:
    """The classes of a scene, and three bands in 0…1 that show them; a corner was not flown."""
    rng = np.random.default_rng(5)
    truth = np.zeros(size, np.uint8)
    truth[size[0] // 3 : 2 * size[0] // 3] = 1
    truth[:, 3 * size[1] // 4 :] = 2
    bright = np.where(np.arange(3)[:, None, None] == truth, 0.8, 0.2)
    truth[:20, :30] = 255
    return truth, bright + rng.uniform(0, 0.1, bright.shape)


@pytest.fixture
def photo(folder: Path) -> Any:
    """ortho.tif, RGBA of 8 bits; ms.tif, four bands of 16; two networks; truth.tif."""
    truth, bright = scene((150, 200))
    colours = (255 * bright).astype(np.uint8)
    alpha = np.where(truth == 255, 0, 255).astype(np.uint8)
    raster("ortho.tif", np.concatenate([colours, alpha[None]]), photometric="RGB", alpha="yes")
    infrared = np.full((1, *truth.shape), 0.3)
    ms = (10000 * np.concatenate([bright, infrared])).astype(np.uint16)
    ms[:, truth == 255] = 0
    raster("ms.tif", ms, nodata=0)
    raster("truth.tif", truth[None], nodata=255)
    network("rgb.onnx", 3)
    network("ms.onnx", 4)
    return truth


def check_opened(path: str, truth: Any, palette: bool) -> None:
    """What GDAL, and so QGIS, sees of labels."""
    with rasterio.open(path) as file:
        assert file.crs == PLACE["crs"] and file.transform == PLACE["transform"]
        assert (file.count, file.dtypes, file.nodata) == (1, ("uint8",), 255)
        assert file.descriptions == ("labels",)
        assert np.array_equal(file.read(1), truth)
        assert not file.read_masks(1)[truth == 255].any()
        assert file.read_masks(1)[truth != 255].all()
        if palette:
            assert file.colorinterp == (ColorInterp.palette,)
            table = file.colormap(1)
    entries = ET.parse(f"{path}.aux.xml").getroot().findall(".//CategoryNames/Category")
    assert [e.text for e in entries] == NAMES
    attributes = ET.parse(f"{path}.aux.xml").getroot().find(".//GDALRasterAttributeTable")
    assert attributes is not None
    fields = [e.findtext("Name") for e in attributes.findall("FieldDefn")]
    rows = [[f.text for f in row.findall("F")] for row in attributes.findall("Row")]
    assert fields == ["Value", "Class", "Red", "Green", "Blue", "Alpha"]
    assert [(row[0], row[1]) for row in rows] == [(str(i), n) for i, n in enumerate(NAMES)]
    style = ET.parse(Path(path).with_suffix(".qml")).getroot().findall(".//paletteEntry")
    assert [(e.get("value"), e.get("label")) for e in style] == [
        (str(i), n) for i, n in enumerate(NAMES)
    ]
    for row, entry in zip(rows, style, strict=True):
        red, green, blue = (int(v or "") for v in row[2:5])
        assert entry.get("color") == f"#{red:02x}{green:02x}{blue:02x}"
        assert not palette or table[int(row[0] or "")][:3] == (red, green, blue)
    if find_spec("osgeo"):
        check_with_osgeo(path)


def check_with_osgeo(path: str) -> None:
    """The names and the table by GDAL itself."""
    from osgeo import gdal  # where it is installed

    band = gdal.Open(path).GetRasterBand(1)
    assert list(band.GetCategoryNames()) == NAMES
    table = band.GetDefaultRAT()
    assert [table.GetValueAsString(row, 1) for row in range(table.GetRowCount())] == NAMES


def test_orthophoto_with_alpha(photo: Any, shell: Shell) -> None:
    line = "softmax2d predict rgb.onnx ortho.tif -o labels.tif --classes road,field,water"
    out, err = shell(line)
    assert err == ""
    assert out.startswith("ortho.tif: 150 × 200 pixels, 3 classes\n  labels      labels.tif\n")
    assert "600 pixels without data" in out
    check_opened("labels.tif", photo, palette=False)
    with rasterio.open("labels.confidence.tif") as file:
        confidence = file.read(1)
        assert np.isnan(file.nodata) and np.isnan(confidence[photo == 255]).all()
        assert (confidence[photo != 255] > 0.9).all()

    out, err = shell("softmax2d evaluate labels.tif truth.tif")
    assert err == "softmax2d: truth.tif: its nodata, 255, is left out.\n"
    assert out.startswith("labels.tif: a label map, 150 × 200 pixels, uint8\n")
    assert "truth.tif: 29400 pixels in 1 image, 3 classes; labels alone, no probabilities" in out
    assert re.search(r"^mean IoU +1\.0000$", out, re.MULTILINE)
    for name in NAMES:  # known from labels.tif
        assert re.search(rf"^{name} +1\.0000 +1\.0000 ", out, re.MULTILINE)


def test_mask_in_the_file(photo: Any, shell: Shell) -> None:
    """An orthophoto as JPEG has no alpha: a mask in the file says where nothing was flown."""
    with rasterio.open("ortho.tif") as file:
        bands = file.read()
    size = {"height": 150, "width": 200, "count": 3, "dtype": "uint8", "blockysize": 64}
    form = {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "blockxsize": 64}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open("jpeg.tif", "w", driver="GTiff", **size, **form, **PLACE) as file,
    ):
        file.write(bands[:3])
        file.write_mask(bands[3])
    line = "softmax2d predict rgb.onnx jpeg.tif -o labels.tif --classes road,field,water"
    out, err = shell(f"{line} --window 64")
    assert err == "" and "600 pixels without data" in out
    check_opened("labels.tif", photo, palette=False)


def test_four_bands_of_16_bits(photo: Any, shell: Shell, refusal: Callable[[str], str]) -> None:
    assert refusal("softmax2d predict rgb.onnx ms.tif -o ms_labels.tif").endswith(
        "rgb.onnx takes 3 channels, the image has 4. Name 3 of them, counted from 1, as in --bands "
        "1,2,3 (bands=).\n"
    )
    line = "softmax2d predict ms.onnx ms.tif -o ms_labels.tif --classes road,field,water"
    _, err = shell(line)
    assert "went to the network as they are" in err and "as in --scale 1/10000." in err
    out, err = shell(f"{line} --scale 1/10000 --palette okabe-ito --overwrite")
    assert err == "" and "600 pixels without data" in out
    check_opened("ms_labels.tif", photo, palette=True)
    out, _ = shell("softmax2d evaluate ms_labels.tif truth.tif --report report.html")
    assert re.search(r"^mean IoU +1\.0000$", out, re.MULTILINE)
    assert "<html" in Path("report.html").read_text("utf-8").lower()
    line = "softmax2d predict rgb.onnx ms.tif -o some.tif --bands 1,2,3 --scale 1/10000"
    assert shell(line)[1] == ""
    with rasterio.open("some.tif") as file:
        assert np.array_equal(file.read(1), photo)


def test_cloud_optimised(folder: Path, shell: Shell) -> None:
    truth, bright = scene(COG_SIZE)
    ms = (10000 * bright).astype(np.uint16)
    ms[:, truth == 255] = 0
    raster("ms.tif", ms, nodata=0)
    network("net.onnx", 3)
    options = "--scale 1/10000 --classes road,field,water --palette okabe-ito --cog"
    out, err = shell(f"softmax2d predict net.onnx ms.tif -o labels.tif {options}")
    assert err == "" and "600 pixels without data" in out
    check_opened("labels.tif", truth, palette=True)
    with rasterio.open("labels.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1)[:1] == [2]
        half = file.read(1, out_shape=(COG_SIZE[0] // 2, COG_SIZE[1] // 2))
        assert set(np.unique(half)) <= {0, 1, 2, 255}  # of nearest pixels, no mean of classes
    raster("truth.tif", truth[None], nodata=255)
    out, _ = shell("softmax2d evaluate labels.tif truth.tif")
    assert re.search(r"^water +1\.0000", out, re.MULTILINE)


def test_mistakes_lead_on(photo: Any, shell: Shell, refusal: Callable[[str], str]) -> None:
    shell("softmax2d predict rgb.onnx ortho.tif -o labels.tif --quiet")
    Path("rgb.pt").write_bytes(b"weights")
    assert "give an .onnx file: torch.onnx.export writes one, and softmax2d.stream" in refusal(
        "softmax2d predict rgb.pt ortho.tif -o labels2.tif"
    )
    assert refusal("softmax2d predict ortho.tif rgb.onnx -o labels2.tif").endswith(
        " A network comes first: softmax2d predict MODEL IMAGE.\n"
    )
    assert "labels2: has no suffix; known are .npy," in refusal(
        "softmax2d predict rgb.onnx ortho.tif -o labels2"
    )
    assert "exists; add --overwrite to replace it" in refusal(
        "softmax2d predict rgb.onnx ortho.tif -o labels.tif"
    )
    moved = {**PLACE, "transform": Affine(0.2, 0, 500100, 0, -0.2, 5300000)}
    with rasterio.open(
        "elsewhere.tif", "w", driver="GTiff", count=1, height=150, width=200, dtype="uint8", **moved
    ) as file:
        file.write(photo[None])
    text = refusal("softmax2d evaluate labels.tif elsewhere.tif --ignore-index 255")
    assert "first corner (500000, 5300000)" in text and "(500100, 5300000)" in text
    assert "--ignore-place" in text
    with rasterio.open(
        "part.tif", "w", driver="GTiff", count=1, height=60, width=80, dtype="uint8", **PLACE
    ) as file:
        file.write(photo[None, :60, :80])
    text = refusal("softmax2d evaluate labels.tif part.tif --ignore-index 255")
    assert "labels.tif: reaches beyond part.tif: " in text and "gdal_translate -projwin" in text
    assert "softmax2d segment --like" in text
    assert "softmax2d predict" in refusal("softmax2d segment ortho.tif -o labels2.tif")
