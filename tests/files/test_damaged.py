"""Damage that a format can tell of: checksums, ends, numbers of a header; and arrays of nothing."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest

from softmax2d._files import formats, npz, png
from softmax2d.stream import Refused, StreamError, evaluate_files, segment_file, softmax2d_file
from softmax2d.stream.plan.inputs import open_any

nibabel = pytest.importorskip("nibabel")
rasterio = pytest.importorskip("rasterio")
tifffile = pytest.importorskip("tifffile")
images = pytest.importorskip("PIL.Image")

RNG = np.random.default_rng(8)
LOGITS = RNG.normal(size=(3, 20, 24)).astype(np.float32)
LABELS = LOGITS.argmax(0).astype(np.uint8)


def whole(path):
    with open_any(path) as source:
        return source.read(tuple(slice(0, n) for n in source.shape))


def refused(path, text):
    """Reading a file is refused, by itself and in a run, twice in the same words."""
    said = []
    for _ in range(2):
        with pytest.raises(Refused, match=text) as error:
            whole(path)
        said.append(str(error.value))
    assert said[0] == said[1] and "\n" not in said[0]


SUFFIXES = ["npy", "npz", "zarr", "tif", "h5", "nii", "safetensors", "png"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(3, 0, 5), (3, 5, 0), (4, 8, 0, 6), (3, 0)])
def test_logits_without_pixels(tmp_path, suffix, shape):
    source, out = tmp_path / "in.npy", tmp_path / f"out.{suffix}"
    np.save(source, np.zeros(shape, np.float32))
    for run in (segment_file, softmax2d_file):
        try:
            summary = run(source, out, axis=0, overwrite=True)
        except StreamError as error:
            assert suffix in ("tif", "nii", "png") and "Use " in str(error)  # noqa: PT017
        else:
            assert (summary.status, summary.counts.pixels) == ("done", 0)
            assert out.exists()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"False", b"0    ", "its .npy header says fortran_order 0, neither True nor False"),
        (b"False", b"None ", "fortran_order None"),
        (b"False", b"'yes'", "fortran_order 'yes'"),
        (b"'fortran_order'", b"'fortran-order'", "its .npy header cannot be read"),
        (b"}", b"'a':1}", "its .npy header cannot be read"),
        (b" \n", b" \v", "its .npy header cannot be read"),
        (b"NUMPY\1\0", b"NUMPY\1\3", "has version 1.3 of the .npy format"),
    ],
)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_headers_that_numpy_refuses(tmp_path, suffix, old, new, text):
    data = io.BytesIO()
    np.save(data, LOGITS)
    end = b" " * max(0, len(new) - len(old))
    data = data.getvalue().replace(old + end, new.ljust(len(old + end)), 1)
    with pytest.raises(ValueError, match="eader|ersion|ortran|array"):
        np.load(io.BytesIO(data))
    path = tmp_path / f"in.{suffix}"
    if suffix == "npy":
        path.write_bytes(data)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("logits.npy", data)
    refused(path, text)


def nifti(path, *changes):
    """A volume, in whose header are these numbers: struct's code, place, value."""
    nibabel.save(nibabel.Nifti1Image(np.asarray(LOGITS.T[:, :, None]), np.eye(4)), path)
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rb") as file:
        data = bytearray(file.read())
    for code, place, value in changes:
        struct.pack_into(f"<{code}", data, place, value)
    with opened(path, "wb") as file:
        file.write(data)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ([("f", 108, 351.0)], "vox offset 351 too low for single file nifti1"),
        ([("f", 108, float("nan"))], "its NIfTI header cannot be read"),
        ([("h", 70, 7777)], "its NIfTI header cannot be read"),
        ([("h", 42, -4)], "gives no valid shape|cannot be read"),
        ([("h", 40, 9)], "cannot be read"),
        ([("4s", 344, b"n+3\0")], "half of a .hdr/.img pair|magic"),
    ],
)
def test_headers_that_nibabel_refuses(tmp_path, suffix, changes, text, capfd):
    path = tmp_path / f"in.{suffix}"
    nifti(path)
    np.testing.assert_array_equal(whole(path)[:, 0], LOGITS)
    nifti(path, *changes)
    refused(path, text)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("changes", [[("h", 72, 99)], [("f", 76, 0.25)], [("h", 252, 77)]])
def test_headers_that_nibabel_mends(tmp_path, changes, capfd):
    """Bits that do not fit the type, a handedness and a code that do not exist."""
    path = tmp_path / "in.nii"
    nifti(path, *changes)
    np.testing.assert_array_equal(whole(path)[:, 0], LOGITS)
    assert capfd.readouterr() == ("", "")


def stored(path, place, change):
    np.savez(path, logits=LOGITS)
    data = bytearray(path.read_bytes())
    data[data.find(LOGITS.tobytes()) + place] ^= change
    path.write_bytes(data)


def test_stored_members_have_the_checksum_of_zip(tmp_path):
    path = tmp_path / "in.npz"
    for place in (0, 3, LOGITS.nbytes - 1):
        stored(path, place, 0x80)
        refused(path, "its numbers do not have zip's checksum")
        with pytest.raises(Refused, match="its numbers do not have zip's checksum"):
            segment_file(path, tmp_path / "out.npy")
        assert [p.name for p in tmp_path.iterdir()] == ["in.npz"]
    stored(path, 0, 0)
    with open_any(path) as source:
        assert isinstance(source, npz.StoredSource)
        source.prepare()
        np.testing.assert_array_equal(source.read((slice(1, 2), slice(0, 20), slice(3, 5)))[0],
                                      LOGITS[1, :, 3:5])  # fmt: skip


def member(path, data, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("logits.npy", data)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_bytes_after_the_numbers_of_a_member_count_for_the_checksum(tmp_path, method):
    path, data = tmp_path / "in.npz", io.BytesIO()
    np.save(data, LOGITS)
    member(path, data.getvalue() + b"tail", method)
    np.testing.assert_array_equal(whole(path), LOGITS)
    damaged = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[0]
    if method == zipfile.ZIP_STORED:
        damaged[damaged.find(b"tail")] ^= 1
        path.write_bytes(damaged)
        refused(path, "zip's checksum")
        return
    damaged[damaged.rfind(struct.pack("<I", info.CRC))] ^= 1
    path.write_bytes(damaged)
    refused(path, "Bad CRC-32")
    member(path, data.getvalue() + bytes(npz._TAIL + 1))
    refused(path, "holds more than its .npy header claims")


def tensors(path, text, held):
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(held))


def entry(first, last):
    return {"dtype": "F32", "shape": [(last - first) // 4], "data_offsets": [first, last]}


@pytest.mark.parametrize(
    ("header", "held", "text"),
    [
        ({"a": entry(0, 16), "b": entry(20, 24)}, 24, "bytes that belong to none of its tensors"),
        ({"a": entry(4, 16)}, 16, "bytes that belong to none of its tensors"),
        ({"a": entry(0, 16)}, 17, "bytes that belong to none of its tensors"),
        ({"a": entry(0, 16), "b": {"dtype": "F32", "shape": []}}, 16, "a tensor has no place"),
        ({"a": entry(0, 16), "b": 3}, 16, "a tensor has no place"),
        ({"a": entry(0, 16), "b": entry(16, 20)}, 16, "is truncated: 20 bytes of tensors"),
        ({"a": entry(0, 16), "__metadata__": {"b": 3}}, 16, "its header cannot be read"),
        ({"a": entry(0, 16), "__metadata__": []}, 16, "its header cannot be read"),
        (json.dumps({"a": entry(0, 16)}).encode("utf-16"), 16, "its header cannot be read"),
        (b'{"a": NaN}', 16, "its header cannot be read"),
    ],
)
def test_headers_that_safetensors_refuses(tmp_path, header, held, text):
    path = tmp_path / "in.safetensors"
    tensors(path, header, held)
    with pytest.raises(Refused, match=text):
        open_any(path, "a")
    peer = pytest.importorskip("safetensors")
    with pytest.raises(peer.SafetensorError):
        peer.safe_open(path, "np")


def picture(path, rows=20, columns=24, *, interlaced=False, change=None, kept=None):
    """A PNG of grey rows, whose stream is cut after ``kept`` bytes of rows, or changed."""
    values = RNG.integers(0, 250, (rows, columns)).astype(np.uint8)
    passes = png_passes() if interlaced else [(0, 0, 1, 1)]
    raw = b""
    for row, column, down, across in passes:
        part = values[row::down, column::across]
        raw += b"".join(b"\0" + line.tobytes() for line in part) if part.size else b""
    stream = bytearray(zlib.compress(raw[:kept]))
    if change is not None:
        stream[change] ^= 1
    head = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, interlaced)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        half = len(stream) // 2
        for kind, data in (b"IHDR", head), (b"IDAT", stream[:half]), (b"IDAT", stream[half:]):
            png._chunk(file, kind, bytes(data))
        png._chunk(file, b"IEND", b"")
    return values


def png_passes():
    from softmax2d._files.source.png_rows import _PASSES

    return _PASSES


@pytest.mark.parametrize("size", [(1, 1), (20, 24), (3, 17), (9, 2)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_pictures_with_all_their_rows(tmp_path, size, interlaced):
    path = tmp_path / "in.png"
    values = picture(path, *size, interlaced=interlaced)
    np.testing.assert_array_equal(whole(path), values)
    picture(path, *size, interlaced=interlaced, kept=-1)
    refused(path, "the last of its rows are missing")


def test_rows_of_a_picture_that_are_damaged(tmp_path):
    path = tmp_path / "in.png"
    picture(path, kept=200)
    refused(path, "the last of its rows are missing")
    picture(path, change=-1)  # the checksum of the stream, within a piece with the right one
    refused(path, "its rows cannot be decoded")
    picture(path)
    data = bytearray(path.read_bytes())
    data[data.rfind(b"IEND") - 5] ^= 1
    path.write_bytes(data)
    refused(path, "a piece of its rows has another checksum")
    path.write_bytes(data[: len(data) - 30])
    refused(path, "checksum|missing|truncated")
    with pytest.raises(Refused, match="checksum|missing|truncated"):
        evaluate_files(LOGITS, path)


def geotiff(path, values=LABELS[None], **options):
    made = {"driver": "GTiff", "dtype": values.dtype, "count": len(values)}
    made |= {"height": values.shape[1], "width": values.shape[2], "crs": "EPSG:32633"}
    where = rasterio.Affine(1, 0, 5, 0, -1, 9)
    with rasterio.open(path, "w", **made, transform=where, **options) as file:
        file.write(values)


def plain_tiff(path, values=LABELS[None], **options):
    options = {"compression": "zlib" if options.pop("compress", None) else None} | options
    tifffile.imwrite(path, values, photometric="minisblack", metadata=None, **options)


def with_stream(path, change, segment=0):
    """Put another stream into the place of a strip's."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        start, length = page.dataoffsets[segment], page.databytecounts[segment]
    data = bytearray(path.read_bytes())
    data[start : start + length] = change(bytes(data[start : start + length])).ljust(length, b"\0")
    path.write_bytes(data)


def other_sum(stream):
    return stream[:-1] + bytes([stream[-1] ^ 1])


DAMAGE = {
    "longer": (lambda s: zlib.compress(b"\1" * 900, 9), "more than 480 bytes instead of 480"),
    "shorter": (lambda s: zlib.compress(b"\1" * 479, 9), "479 bytes instead of 480|cannot be"),
    "no end": (lambda s: zlib.compress(b"\1" * 480, 9)[:-5], "before its checksum|cannot be"),
    "another checksum": (other_sum, "cannot be"),
    "no stream": (lambda s: b"\x78\x9c" + b"\xff" * 20, "cannot be"),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("write", [geotiff, plain_tiff])
def test_strips_whose_stream_is_another(tmp_path, write, kind, capfd):
    path = tmp_path / "in.tif"
    write(path, compress="deflate")
    change, text = DAMAGE[kind]
    with_stream(path, change)
    refused(path, f"{text}|corrupted|is not a usable")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("options", [{"predictor": 2}, {"tiled": True, "blockxsize": 16,
                         "blockysize": 16}, {"interleave": "band"}, {"predictor": 3},
                         {"blockysize": 3}, {"endianness": "big"}])  # fmt: skip
@pytest.mark.parametrize("dtype", ["f4", "u1", "i2"])
def test_deflate_of_every_kind_is_read_and_checked(tmp_path, options, dtype):
    path, values = tmp_path / "in.tif", (LOGITS * 30).astype(dtype)
    if options.get("predictor") == 3 and dtype != "f4":
        pytest.skip("a predictor of floats")
    geotiff(path, values, compress="deflate", **options)
    np.testing.assert_array_equal(whole(path), values)
    with open_any(path) as source:  # in pieces, none of which is a whole block
        found = [source.read((slice(0, 3), slice(i, i + 5), slice(0, 24))) for i in (0, 5, 10, 15)]
    np.testing.assert_array_equal(np.concatenate(found, 1), values)
    with_stream(path, other_sum)
    refused(path, "cannot be")


@pytest.mark.parametrize("code", [279, 278, 273])
@pytest.mark.parametrize("write", [geotiff, plain_tiff])
def test_pages_without_the_places_of_their_strips(tmp_path, write, code):
    path = tmp_path / "in.tif"
    write(path, compress="deflate", **({"rowsperstrip": 5} if write is plain_tiff else {}))
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags.get(code)
    with open(path, "r+b") as file:
        file.seek(tag.offset)
        file.write(struct.pack("<H", 50999))  # no tag that is known
    try:
        found = whole(path)
    except StreamError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(found.reshape(LABELS.shape), LABELS)


def test_strips_beyond_the_end_of_a_geotiff(tmp_path):
    path = tmp_path / "in.tif"
    geotiff(path, np.zeros((1, 200, 100), np.uint8), blockysize=20)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(size - 100)
    refused(path, r"is truncated: block \d+ lies beyond its end|not a usable")
    with pytest.raises(Refused, match="truncated"):
        segment_file(path, tmp_path / "out.npy", axis=0, missing_as_fill=True)


def link(path, change):
    """Change the place of the next page at the end of a directory; ``change`` gives it."""
    with tifffile.TiffFile(path) as file:
        pages, big, order = [p.offset for p in file.pages], file.is_bigtiff, file.byteorder
        below = [list(p.subifds or ()) for p in file.pages]
    data = bytearray(path.read_bytes())
    at, target = change(pages, below)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)
    end = at + (8 if big else 2) + count * (20 if big else 12)
    struct.pack_into(f"{order}{'Q' if big else 'I'}", data, end, target)
    path.write_bytes(data)


CIRCLES = {
    "the last to the first": lambda pages, below: (pages[-1], pages[0]),
    "one to itself": lambda pages, below: (pages[1], pages[1]),
    "below, to itself": lambda pages, below: (below[0][0], below[0][0]),
    "below, to the one above": lambda pages, below: (below[0][0], pages[0]),
}


@pytest.mark.parametrize("kind", CIRCLES)
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("told", [None, b'<OME><Pixelz SizeC="3"/></OME>', b"ImageJ=1.0\nimages=3"])
def test_pages_in_a_circle(tmp_path, kind, big, order, told):
    path = tmp_path / "in.tif"
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as file:
        for i in range(3):
            file.write(LABELS, subifds=1, description=told if not i else None, metadata=None)
            file.write(LABELS[::2, ::2], metadata=None)
    if told is None or b"OME" not in told:
        assert whole(path).shape[-2:] == LABELS.shape
    link(path, CIRCLES[kind])
    for what in (open_any, formats.format_of(path, "open_source").size_of):
        with pytest.raises(Refused, match="the chain of its pages is a circle"):
            what(path)


def test_places_of_strips_that_are_no_numbers(tmp_path):
    """A tag of texts, and one of fewer numbers than there are strips."""
    for code, count in ((2, None), (None, 1)):
        path = tmp_path / "in.tif"
        plain_tiff(path, compress="deflate", rowsperstrip=5)
        with tifffile.TiffFile(path) as file:
            tag = file.pages[0].tags[273]
        with open(path, "r+b") as file:
            file.seek(tag.offset + (2 if code else 4))
            file.write(struct.pack("<H", code) if code else struct.pack("<I", count))
        with pytest.raises(Refused, match="is missing|is not a usable TIFF"):
            whole(path)


def test_tiles_through_several_planes_are_said_to_be_no_input(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.zeros((8, 32, 32), np.uint8), tile=(4, 16, 16), volumetric=True,
                     photometric="minisblack", compression="zlib")  # fmt: skip
    with pytest.raises(Refused, match="has tiles of several planes, which are not read"):
        whole(path)


@pytest.mark.parametrize("factor", [1e300, -1e30, 1e-300])
def test_factors_that_lead_out_of_float32(tmp_path, factor):
    path = tmp_path / "in.nii"
    image = nibabel.Nifti2Image(np.asarray(LOGITS.T[:, :, None]), np.eye(4))
    nibabel.save(image, path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<dd", data, 176, factor, 0.0)  # scl_slope, scl_inter
    path.write_bytes(data)
    np.testing.assert_allclose(whole(path)[:, 0], LOGITS * np.float64(factor), 1e-12)
