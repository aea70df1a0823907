"""Pictures as a network sees them: few and many bits, transparent colours, masks, CMYK."""

import struct
import zlib

import numpy as np
import pytest

import softmax2d.stream as stream

PIL = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (12, 17), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)


def seen(path, channels, **options):
    """What a network of that many channels is shown, the labels, and the notes."""
    shown = []

    def network(batch):
        if batch.shape[1] != channels:
            raise ValueError(f"{channels} channels")
        shown.append(batch.copy())
        return np.concatenate([batch[:, :1] - 0.5, 0.5 - batch[:, :1]], axis=1)

    labels = np.empty((12, 17), np.uint8)
    options = {"window": (12, 17), "overlap": 0.0, "outputs": "labels"} | options
    found = stream.predict(network, str(path), labels, **options)
    return shown[-1][0], labels, found.notes


def save_png(path, pixels, kind):
    """A PNG of 16 bits a channel; Pillow writes none with colours."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    size = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, kind, 0, 0, 0)
    data = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits(tmp_path, kind, channels):
    """All 16 bits of colours are read, not the upper eight; a range of 12 is not divided."""
    pixels = RNG.integers(1, 4096, (12, 17, channels)).astype(np.uint16)
    pixels[0] = 4095
    save_png(tmp_path / "a.png", pixels, kind)
    image, _, notes = seen(tmp_path / "a.png", channels)
    assert np.array_equal(image, np.moveaxis(pixels, -1, 0).astype(np.float32))
    assert "uint16 numbers, up to 4095 where it was looked at, went to the" in notes[0]
    save_png(tmp_path / "b.png", pixels * 16, kind)
    image, _, notes = seen(tmp_path / "b.png", channels)
    np.testing.assert_allclose(image, np.moveaxis(pixels * 16, -1, 0) / 65535, rtol=1e-6)
    assert "they were divided by 65535" in notes[0]


def test_few_bits(tmp_path):
    """1 is white in a picture of one bit; of n bits the largest number is."""
    PIL.fromarray(GREY > 127).save(tmp_path / "one.png")
    image, _, notes = seen(tmp_path / "one.png", 1)
    assert np.array_equal(image[0], GREY > 127)
    assert not notes
    rasterio = pytest.importorskip("rasterio")
    for bits in (2, 4, 7):
        path = tmp_path / f"{bits}.tif"
        profile = {"height": 12, "width": 17, "count": 1, "dtype": "uint8", "NBITS": bits}
        place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)}
        with rasterio.open(path, "w", driver="GTiff", **profile, **place) as file:
            file.write(GREY >> (8 - bits), 1)
        image, _, notes = seen(path, 1)
        np.testing.assert_allclose(image[0], (GREY >> (8 - bits)) / (2**bits - 1), rtol=1e-6)
        assert notes == [f"the image has {bits} bits: its numbers were divided by {2**bits - 1}."]


def test_a_transparent_colour(tmp_path):
    """Pixels of a PNG's transparent colour are no data; of that number in one band they are."""
    PIL.fromarray(GREY).save(tmp_path / "grey.png", transparency=int(GREY[2, 3]))
    _, labels, _ = seen(tmp_path / "grey.png", 1)
    assert np.array_equal(labels == 255, GREY[2, 3] == GREY)
    pixels = COLOURS.copy()
    pixels[4:6] = 10, 20, 30
    pixels[7:9] = 10, 20, 31
    PIL.fromarray(pixels).save(tmp_path / "colours.png", transparency=(10, 20, 30))
    for options in ({}, {"bands": (2, 1, 1)}):
        _, labels, _ = seen(tmp_path / "colours.png", 3, **options)
        assert np.array_equal(labels == 255, (pixels == (10, 20, 30)).all(-1))


def test_a_mask_in_the_file(tmp_path):
    """Pixels that a GeoTIFF's own mask hides are no data, also of scaled numbers."""
    rasterio = pytest.importorskip("rasterio")
    hidden = np.zeros((12, 17), bool)
    hidden[3:7, :9] = True
    for scale in (1.0, 0.5):
        profile = {"height": 12, "width": 17, "count": 3, "dtype": "uint8"}
        place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)}
        path, inside = tmp_path / "a.tif", rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
        with inside, rasterio.open(path, "w", driver="GTiff", **profile, **place) as file:
            file.write(np.moveaxis(COLOURS, -1, 0))
            file.scales = (scale,) * 3
            file.write_mask(~hidden)
        image, labels, _ = seen(tmp_path / "a.tif", 3)
        assert np.array_equal(labels == 255, hidden)
        assert not image[:, hidden].any()


def test_bands_in_another_order(tmp_path):
    """Blue, green, red is noted; with the bands named it is not."""
    rasterio = pytest.importorskip("rasterio")
    from rasterio.enums import ColorInterp

    profile = {"height": 12, "width": 17, "count": 3, "dtype": "uint8", "photometric": "MINISBLACK"}
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **profile, **place) as file:
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
        file.write(np.moveaxis(COLOURS, -1, 0))
    _, _, notes = seen(tmp_path / "a.tif", 3)
    assert notes == [
        "the image's bands are blue, green, red, and went to the network in this order; another is "
        "given with --bands (bands=)."
    ]
    image, _, notes = seen(tmp_path / "a.tif", 3, bands=(3, 2, 1))
    np.testing.assert_allclose(image, np.moveaxis(COLOURS, -1, 0)[::-1] / 255, rtol=1e-6)
    assert not notes


def test_other_colours(tmp_path):
    """CMYK and CIELAB are noted; of grey whose 0 is white the network sees what viewers show."""
    tifffile = pytest.importorskip("tifffile")
    four = np.concatenate([COLOURS, COLOURS[..., :1]], axis=-1)
    tifffile.imwrite(tmp_path / "cmyk.tif", four, photometric="separated")
    _, _, notes = seen(tmp_path / "cmyk.tif", 4)
    assert notes == ["the image's numbers are CMYK, and went to the network as they are."]
    PIL.fromarray(COLOURS).convert("LAB").save(tmp_path / "lab.tif")
    assert "are CIELAB, and" in seen(tmp_path / "lab.tif", 3)[2][0]
    tifffile.imwrite(tmp_path / "white.tif", GREY, photometric="miniswhite")
    image, _, notes = seen(tmp_path / "white.tif", 3)
    np.testing.assert_allclose(image, np.repeat(255.0 - GREY[None], 3, 0) / 255, rtol=1e-6)
    assert not notes
    deep = GREY.astype(np.uint16) * 100
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="miniswhite")
    notes = seen(tmp_path / "deep.tif", 1)[2]
    assert notes[0] == (
        "the image's numbers are grey whose 0 is white, and went to the network as they are."
    )


def test_a_file_that_is_no_picture(tmp_path):
    """The message names the formats, not a handle of ours."""
    (tmp_path / "a.jpg").write_text("no picture")
    text = "a.jpg: is not a usable picture: it is neither PNG, JPEG nor WebP."
    with pytest.raises(stream.Refused, match=text):
        seen(tmp_path / "a.jpg", 3)
