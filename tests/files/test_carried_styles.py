"""Names and colours of labels where GIS programs look for them: in a GeoTIFF and beside it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

import softmax2d as s2d
from softmax2d.cli import app
from softmax2d.stream import Refused, predict, segment_file
from softmax2d.stream.recovery import unfinished

Z = np.random.default_rng(3).normal(0, 3, (4, 40, 50)).astype(np.float32)
UTM = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 4e5, 0, -10, 5e6)}
NAMES = ["water", 'grass & "reed"', "<Straße>", "rock\x01"]
COLOURS = np.array([[0, 0, 255], [0, 255, 0], [128, 128, 128], [7, 8, 9]], np.uint8)
BESIDE = ["out.qml", "out.tif", "out.tif.aux.xml"]


@pytest.fixture
def scene(tmp_path):
    (tmp_path / "in").mkdir()
    profile = {"driver": "GTiff", "height": 40, "width": 50, "count": 4, "dtype": "float32"}
    with rasterio.open(tmp_path / "in/scene.tif", "w", nodata=-9999, **profile, **UTM) as file:
        file.write(Z)
    return tmp_path / "in/scene.tif"


def files(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def style_of(path) -> list[tuple[str, ...]]:
    (renderer,) = ET.parse(path).getroot().iter("rasterrenderer")
    assert renderer.attrib["type"] == "paletted" and renderer.attrib["band"] == "1"
    keys = ("value", "color", "label")
    return [tuple(e.attrib[k] for k in keys) for e in renderer.iter("paletteEntry")]


def table_of(path) -> tuple[Any, Any]:
    (band,) = ET.parse(path).getroot().iter("PAMRasterBand")
    rows = [[cell.text for cell in row] for row in band.iter("Row")]
    return [c.text for c in band.iter("Category")], rows


@pytest.mark.parametrize("cog", [False, True])
def test_names_and_colours(tmp_path, scene, cog):
    out = tmp_path / "out.tif"
    outputs = ("labels", "confidence")
    done = segment_file(scene, out, outputs=outputs, names=NAMES, palette=COLOURS, cog=cog)
    assert sorted(files(tmp_path)) == sorted([*BESIDE, "out.confidence.tif"])
    assert done.results["qml"] == str(tmp_path / "out.qml")
    assert done.results["xml"] == str(tmp_path / "out.tif.aux.xml")
    assert style_of(tmp_path / "out.qml") == [
        ("0", "#0000ff", "water"), ("1", "#00ff00", 'grass & "reed"'),
        ("2", "#808080", "<Straße>"), ("3", "#070809", "rock\ufffd"),
    ]  # fmt: skip
    categories, rows = table_of(tmp_path / "out.tif.aux.xml")
    assert categories == [*NAMES[:3], "rock\ufffd"]
    assert rows[1] == ["1", 'grass & "reed"', "0", "255", "0", "255"]
    with rasterio.open(out) as found:
        assert found.descriptions == ("labels",) and found.nodata == 255
        assert {k: found.colormap(1)[k][:3] for k in range(4)} == {
            k: tuple(map(int, c)) for k, c in enumerate(COLOURS)
        }
        assert found.colormap(1)[255][3] == 0, "no data is transparent"
        np.testing.assert_array_equal(found.read(1), s2d.segment(Z).labels)


def test_gdal_reads_the_names(tmp_path, scene):
    """Through GDAL's own copy, which takes the auxiliary file along."""
    segment_file(scene, tmp_path / "out.tif", names=[*NAMES[:3], "rock"], palette=COLOURS)
    with rasterio.open(tmp_path / "out.tif") as found:
        assert sorted(found.files) == [str(tmp_path / name) for name in BESIDE[1:]]
    rasterio.shutil.copy(tmp_path / "out.tif", tmp_path / "copy.vrt", driver="VRT")
    text = (tmp_path / "copy.vrt").read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert [c.text for c in root.iter("Category")] == [*NAMES[:3], "rock"]


def test_names_alone_and_colours_alone(tmp_path, scene):
    segment_file(scene, tmp_path / "names.tif", names=NAMES)
    assert next(label for _, _, label in style_of(tmp_path / "names.qml")) == "water"
    assert len({colour for _, colour, _ in style_of(tmp_path / "names.qml")}) == 4
    segment_file(scene, tmp_path / "colours.tif", palette=COLOURS)
    assert style_of(tmp_path / "colours.qml")[3] == ("3", "#070809", "3")
    segment_file(scene, tmp_path / "neither.tif")
    assert not (tmp_path / "neither.qml").exists()
    np.save(tmp_path / "in.npy", Z)
    segment_file(tmp_path / "in.npy", tmp_path / "plain.tif", names=NAMES, palette=COLOURS)
    assert not (tmp_path / "plain.qml").exists(), "it lies nowhere on Earth"


def test_more_classes_than_bytes_count(tmp_path):
    z = np.zeros((300, 16, 16), np.float32)
    z[299, 3] = 1
    profile = {"driver": "GTiff", "height": 16, "width": 16, "count": 300, "dtype": "float32"}
    with rasterio.open(tmp_path / "in.tif", "w", **profile, **UTM) as file:
        file.write(z)
    names = [f"kind {k}" for k in range(300)]
    segment_file(tmp_path / "in.tif", tmp_path / "out.tif", names=names, palette="distinct")
    assert style_of(tmp_path / "out.qml")[299][2] == "kind 299"
    with rasterio.open(tmp_path / "out.tif") as found:
        assert found.dtypes == ("uint16",) and found.read(1)[3, 0] == 299
        shown = "#{:02x}{:02x}{:02x}".format(*found.colormap(1)[299])
    assert shown == style_of(tmp_path / "out.qml")[299][1]


def test_predictions_have_them_too(tmp_path, scene):
    found = predict(lambda b: b, scene, tmp_path / "out.tif", window=16, names=NAMES)
    assert sorted(files(tmp_path)) == BESIDE and "qml" in found.results


def test_what_is_there_already(tmp_path, scene):
    out, style = tmp_path / "out.tif", tmp_path / "out.qml"
    style.write_text("mine")
    with pytest.raises(Refused, match=r"out\.qml: exists; add --overwrite to replace it"):
        segment_file(scene, out, names=NAMES)
    assert sorted(files(tmp_path)) == ["out.qml"]
    segment_file(scene, out, names=NAMES, overwrite=True)
    made = files(tmp_path)
    assert sorted(made) == BESIDE and made["out.qml"] != b"mine"
    style.write_text("changed in QGIS")
    segment_file(scene, out, names=NAMES, resume=True)
    assert style.read_text() == "changed in QGIS", "a complete result is compared, not replaced"
    style.unlink()
    segment_file(scene, out, names=NAMES, resume=True)
    assert files(tmp_path) == made


def test_names_of_a_replaced_result(tmp_path, scene):
    out = tmp_path / "out.tif"
    segment_file(scene, out, names=NAMES)
    found = segment_file(scene, out, overwrite=True)
    assert sorted(files(tmp_path)) == ["out.tif"]
    assert f"{out}.aux.xml: belonged to the replaced result, and was removed." in found.notes
    (tmp_path / "out.qml").write_text("mine")
    segment_file(scene, out, overwrite=True)
    assert (tmp_path / "out.qml").read_text() == "mine"


@pytest.mark.parametrize("failing", ["style", "rename"])
def test_a_crash_between_the_names(tmp_path, scene, monkeypatch, failing):
    """All tiles are stored and the journal says so, but not every file has its name."""
    (tmp_path / "whole").mkdir()
    segment_file(scene, tmp_path / "whole/out.tif", names=NAMES)

    def fail(*asked):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(unfinished, "write_whole" if failing == "style" else "_rename", fail)
        segment_file(scene, tmp_path / "out.tif", names=NAMES)
    assert sorted(files(tmp_path)) == (["out.tif"] if failing == "style" else [])
    segment_file(scene, tmp_path / "out.tif", names=NAMES, resume=True)
    assert not (tmp_path / ".out.tif.softmax2d").exists()
    assert files(tmp_path) == files(tmp_path / "whole")


def test_names_that_a_run_needs_itself(tmp_path, scene):
    listed = tmp_path / "out.qml"
    listed.write_text("\n".join("abcd"))
    with pytest.raises(Refused, match=r"out\.qml: is the input .*out\.qml itself"):
        segment_file(scene, tmp_path / "out.tif", names=listed, overwrite=True)
    with pytest.raises(Refused, match="is no place for the account"):
        segment_file(scene, tmp_path / "b.tif", names=NAMES, summary=tmp_path / "b.tif.aux.xml")
    assert listed.read_text() == "a\nb\nc\nd" and not (tmp_path / "b.tif").exists()


def test_folders_of_labels_are_counted_without_them(tmp_path, scene):
    (tmp_path / "labels").mkdir()
    segment_file(scene, tmp_path / "labels/a.tif", names=NAMES)
    asked = ["counts", str(tmp_path / "labels"), "-o", str(tmp_path / "counts.json")]
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output
