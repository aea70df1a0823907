"""OME-TIFF: how large pixels are goes from source to result, and is scaled with it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from softmax2d._files.tiff import ome
from softmax2d.stream import segment_file, softmax2d_file

tifffile = pytest.importorskip("tifffile")

SIZES = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25}
DEEP = {"PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm"}


def written(path, axes, shape, **metadata):
    values = np.random.default_rng(1).normal(0, 4, shape).astype(np.float32)
    metadata = {"axes": axes, **SIZES, **metadata}
    tifffile.imwrite(path, values, metadata=metadata, photometric="minisblack")


def told(path):
    """Axes of the image, and sizes as the file says them."""
    with tifffile.TiffFile(path) as file:
        assert file.series[0].kind == "ome"
        sizes = re.findall(r'PhysicalSize([XYZ](?:Unit)?)="([^"]*)"', file.ome_metadata)
        return file.series[0].axes, file.series[0].shape, dict(sizes)


PLANE = {"X": "0.5", "XUnit": "nm", "Y": "0.25", "YUnit": "µm"}


@pytest.mark.parametrize(
    ("axes", "shape", "labels"),
    [("CYX", (4, 40, 50), "YX"), ("CZYX", (4, 5, 40, 50), "ZYX"), ("ZCYX", (5, 4, 40, 50), "ZYX"),
     ("TCYX", (2, 4, 40, 50), "TYX")],
)  # fmt: skip
def test_sizes_are_carried_over(tmp_path, axes, shape, labels):
    source = tmp_path / "in.ome.tif"
    written(source, axes, shape, **(DEEP if "Z" in axes else {}))
    expected = PLANE | ({"Z": "2.0", "ZUnit": "µm"} if "Z" in axes else {})
    outputs = ("labels", "confidence")
    segment_file(source, tmp_path / "out.tif", outputs=outputs, names=["a", '"<&', "c", "d"])
    softmax2d_file(source, tmp_path / "probs.tif")
    own = tuple(n for a, n in zip(axes, shape, strict=True) if a != "C")
    for name in ("out.tif", "out.confidence.tif"):
        assert told(tmp_path / name) == (labels, own, expected)
    assert told(tmp_path / "probs.tif") == (axes, shape, expected)


def test_sizes_are_scaled(tmp_path):
    source = tmp_path / "in.ome.tif"
    written(source, "CYX", (4, 40, 50))
    segment_file(source, tmp_path / "out.tif", size=(80, 25))
    expected = {"X": "1.0", "XUnit": "nm", "Y": "0.125", "YUnit": "µm"}
    assert told(tmp_path / "out.tif") == ("YX", (80, 25), expected)
    written(tmp_path / "like.ome.tif", "YX", (20, 20), PhysicalSizeX=7)
    np.save(tmp_path / "in.npy", np.zeros((3, 10, 10), np.float32))
    segment_file(tmp_path / "in.npy", tmp_path / "as.tif", like=tmp_path / "like.ome.tif")
    assert told(tmp_path / "as.tif")[2] == PLANE | {"X": "7.0"}


def test_the_name_alone_asks_for_ome(tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((3, 10, 12), np.float32))
    segment_file(tmp_path / "in.npy", tmp_path / "out.ome.tif")
    assert told(tmp_path / "out.ome.tif") == ("YX", (10, 12), {})
    segment_file(tmp_path / "in.npy", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert not file.is_ome


def test_the_same_bytes_every_time(tmp_path):
    source = tmp_path / "in.ome.tif"
    written(source, "CYX", (4, 40, 50))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        softmax2d_file(source, tmp_path / name / "out.ome.tif", names=["a", "b", "c", "d"])
    one, two = (tmp_path / name / "out.ome.tif" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("xml", "spacing"),
    [
        (None, None),
        ("", None),
        ("<Pixels SizeX='3'>", None),
        ('<Pixels PhysicalSizeX="-1" PhysicalSizeY="nan">', None),
        ('<Pixels PhysicalSizeX="inf" PhysicalSizeY="1e-3">', [1e-3, None]),
        ('<ome:Pixels PhysicalSizeX="2"/><Pixels PhysicalSizeX="3"/>', [None, 2.0]),
        ('<Pixels PhysicalSizeX="' + "9" * 100_000 + '">', None),
    ],
)
def test_sizes_that_are_none(xml, spacing):
    found = ome.space_of(xml, "CYX", (4, 40, 50))
    assert (None if found is None else found.fields["spacing"]) == spacing
