"""What unpacks to far more than it should is refused before it is unpacked."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import threading
import zipfile

import numcodecs
import numpy as np
import pytest

from softmax2d._files import npz, png
from softmax2d._files.nifti import nifti
from softmax2d._files.source import bombs
from softmax2d._files.source import unpacked as _unpacked
from softmax2d.balance import class_counts
from softmax2d.stream import Refused, Unusable, evaluate_files, predict, segment_file
from softmax2d.stream.plan.inputs import open_any
from tests.stream.tiles import cut

h5py = pytest.importorskip("h5py")
tifffile = pytest.importorskip("tifffile")
zarr = pytest.importorskip("zarr")

ZEROS = bytes(1 << 26)
CODECS = {
    "lz4": numcodecs.LZ4(), "zstd": numcodecs.Zstd(1), "blosc": numcodecs.Blosc("zstd")
}  # fmt: skip


def refused(path, text, **options):
    with pytest.raises(Refused, match=text):
        segment_file(path, path.with_name("out.npy"), **options)
    assert not path.with_name(".out.npy.softmax2d").exists()


@pytest.mark.parametrize("codec", CODECS)
def test_streams_declare_their_size(codec):
    packed, values = CODECS[codec], np.random.default_rng(0).bytes(100_000)
    bomb, honest = bytes(packed.encode(ZEROS)), bytes(packed.encode(values))
    assert bombs.declares_bomb(codec, bomb, 1000)
    assert not bombs.declares_bomb(codec, bomb, len(ZEROS))
    assert not bombs.declares_bomb(codec, honest, 100_000)
    for damaged in (b"", honest[:3], honest[:20], honest[:-9], b"\0" * 99):
        assert not bombs.declares_bomb(codec, damaged, 100_000)  # the decoder says what is wrong


@pytest.mark.parametrize("codec", CODECS)
def test_chunks_of_zarr_2(tmp_path, codec):
    path = tmp_path / "in.zarr"
    array = zarr.create_array(
        path, shape=(3, 64, 64), dtype="f4", chunks=(3, 32, 64), compressors=CODECS[codec],
        zarr_format=2,
    )  # fmt: skip
    array[:] = 1
    segment_file(path, tmp_path / "good.npy")
    (path / "0.1.0").write_bytes(CODECS[codec].encode(ZEROS))
    refused(
        path, r"chunk 0\.1\.0 expands from \d+ to far more than its 24576 bytes, as a bomb does"
    )


@pytest.mark.parametrize("sharded", [False, True])
def test_chunks_and_shards_of_zarr_3(tmp_path, sharded):
    path = tmp_path / "in.zarr"
    array = zarr.create_array(
        path, shape=(3, 64, 64), dtype="f4", chunks=(3, 32, 32) if sharded else (3, 64, 64),
        shards=(3, 64, 64) if sharded else None,
        compressors=[zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec()],
    )  # fmt: skip
    array[:] = 1
    segment_file(path, tmp_path / "good.npy")
    chunk = path / "c/0/0/0"
    bomb = bytes(CODECS["zstd"].encode(ZEROS))
    index = np.array([[0, len(bomb)]] * 4, "<u8").tobytes() + b"\0\0\0\0"
    chunk.write_bytes(bomb + (index if sharded else b""))
    refused(path, "chunk c/0/0/0 expands from")
    if sharded:
        beyond = np.array([[1 << 40, 9]] * 4, "<u8").tobytes() + b"\0\0\0\0"
        chunk.write_bytes(b"0" * 100 + beyond)
        refused(path, "chunk c/0/0/0 is damaged: its index points beyond its end")


def test_a_chunk_that_a_shard_at_the_edge_lacks(tmp_path):
    path = tmp_path / "in.zarr"
    array = zarr.create_array(
        path, shape=(3, 80, 80), dtype="f4", chunks=(3, 32, 32), shards=(3, 64, 64)
    )
    array[:] = 1
    segment_file(path, tmp_path / "good.npy")
    array = zarr.create_array(
        path, shape=(3, 80, 80), dtype="f4", chunks=(3, 32, 32), shards=(3, 64, 64), overwrite=True
    )
    array[:, :32] = 1
    array[:, 64:] = 1
    array[:, 32:64, :64] = 1  # and nothing at columns 64 to 80, rows 32 to 64
    refused(path, "chunk c/0/0/1 lacks one of its inner chunks")
    segment_file(path, tmp_path / "out.npy", missing_as_fill=True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"chunk_shape": [0, 32, 32]}, "its chunks are empty"),
        ({"chunk_shape": [3, 24, 32]}, "its shards are no whole chunks"),
        ({"chunk_shape": [3, 32]}, "cannot be understood"),
        ({"index_codecs": [{"name": "gzip"}]}, "has shards in shards, or encoded as a whole"),
        ({"codecs": [{"name": "bytes"}, {"name": "gzip"}, {"name": "zstd"}]}, "compressed twice"),
    ],
)
def test_hostile_shards(tmp_path, change, text):
    path = tmp_path / "in.zarr"
    zarr.create_array(path, shape=(3, 64, 64), dtype="f4", chunks=(3, 32, 32), shards=(3, 64, 64))
    said = json.loads((path / "zarr.json").read_text())
    said["codecs"][0]["configuration"] |= change
    (path / "zarr.json").write_text(json.dumps(said))
    refused(path, text)


def test_datasets_are_not_counted_for_ever(tmp_path):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        for i in range(30):
            file[f"group/{i}"] = np.zeros((3, 4, 4), np.float32)
        file["soft"] = h5py.SoftLink("/group")
        file["away"] = h5py.ExternalLink("other.h5", "a")
    refused(path, "holds more than 8 datasets .*; choose one with --key")
    for key in ("soft/3", "away", "group", "group/77", "../group/3"):
        refused(path, "holds no dataset", key=key)
    segment_file(path, tmp_path / "out.npy", key="/group/3")


@pytest.mark.parametrize("name", ["../a", "/etc/a", "b/../../a", "C:a"])
def test_members_named_out_of_an_archive(tmp_path, name):
    data = io.BytesIO()
    np.save(data, np.zeros((3, 4, 4), np.float32))
    path = tmp_path / "in.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.npy", data.getvalue())
    refused(path, "which leads out of the archive")
    refused(path, "which leads out of the archive", key=name)


def test_a_volume_that_goes_on(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "in.nii.gz"
    nibabel.Nifti1Image(np.zeros((8, 8, 1, 3), np.float32), np.eye(4)).to_filename(path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + ZEROS))
    refused(path, "holds more than its header claims")


def test_a_long_header_of_tensors(tmp_path):
    path = tmp_path / "in.safetensors"
    path.write_bytes(struct.pack("<Q", 5 << 20) + b" " * (5 << 20))
    refused(path, "has a header of 5242880 bytes; at most 4194304 are read")


def ome(path, change):
    tifffile.imwrite(path, np.zeros((4, 8, 8), np.float32), metadata={"axes": "CYX"},
                     photometric="minisblack")  # fmt: skip
    with tifffile.TiffFile(path) as file:
        said = change(file.ome_metadata).encode()
    tifffile.imwrite(path, np.zeros((4, 8, 8), np.float32), description=said, metadata=None,
                     photometric="minisblack")  # fmt: skip


def test_pages_that_cannot_be(tmp_path):
    path = tmp_path / "in.ome.tif"
    ome(path, lambda said: said.replace('SizeZ="1"', f'SizeZ="{1 << 40}"'))
    with pytest.raises(Unusable, match=r"in\.ome\.tif: is "):
        segment_file(path, tmp_path / "out.npy")


def test_pages_in_another_file(tmp_path):
    place = '<UUID FileName="other.ome.tif">urn:uuid:1</UUID>'
    path = tmp_path / "in.ome.tif"
    ome(tmp_path / "other.ome.tif", str)
    ome(path, lambda said: re.sub("<TiffData[^>]*>", f'<TiffData IFD="0">{place}', said))
    refused(path, "has OME metadata of pages in other files, which are not opened")


@pytest.fixture
def blank(tmp_path):
    """A picture of 36 million zeros in 35 KB, and what decodes it."""
    images, path = pytest.importorskip("PIL.Image"), tmp_path / "blank.png"
    images.new("L", (6000, 6000)).save(path)
    return path


@pytest.fixture
def undecoded(monkeypatch):
    """Nothing may be decoded."""

    def decoded(self):
        raise AssertionError("decoded")

    monkeypatch.setattr(png.PictureSource, "_decode", decoded)


@pytest.mark.usefixtures("undecoded")
def test_a_picture_far_larger_than_its_logits(blank):
    text = r"expands from \d+ to 36000000 bytes, as a bomb does, and is 750 times as large as the"
    with pytest.raises(Refused, match=text):
        evaluate_files(np.zeros((3, 8, 8), np.float32), blank)


@pytest.mark.usefixtures("undecoded")
def test_a_picture_larger_than_the_budget(blank, tmp_path):
    logits, image = np.zeros((3, 200, 200), np.float32), np.zeros((6000, 6000), np.uint8)
    text = "memory of 70 MB is too small: .*blank.png is decoded as a whole, which takes 72 MB; "
    with pytest.raises(Unusable, match=text + "give memory='73MB'"):
        evaluate_files(logits, blank, memory="70MB")
    with pytest.raises(Unusable, match=text):
        predict(lambda batch: batch, blank, image, memory="70MB")
    with pytest.raises(Unusable, match=text):
        segment_file(blank, tmp_path / "out.npy", axis=0, memory="70MB")
    with pytest.raises(Unusable, match="which takes 90 MB; give memory='91MB'"):
        class_counts(blank, memory="72MB")


@pytest.mark.parametrize(("progressive", "size"), [(False, 7), (True, 13)])
def test_only_progressive_pictures_keep_coefficients(tmp_path, progressive, size):
    images, path = pytest.importorskip("PIL.Image"), tmp_path / "in.jpg"
    images.new("RGB", (50, 40)).save(path, progressive=progressive)
    with png.open_source(path, None) as source:
        assert source.whole_bytes == 50 * 40 * size


def test_a_picture_within_the_budget(blank):
    logits = np.zeros((3, 100, 100), np.float32)
    assert evaluate_files(logits, blank, memory="100MB").pixels == 36_000_000
    assert class_counts([blank, blank], memory="100MB").pixels.tolist() == [72_000_000]


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "RGBA", "LA", "CMYK"])
def test_pictures_are_decoded_in_strips(tmp_path, monkeypatch, mode):
    images = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(png, "_STRIP", 100)
    rng, path = np.random.default_rng(0), tmp_path / ("in.jpg" if mode == "CMYK" else "in.png")
    image = images.fromarray(rng.integers(0, 2, (23, 17), np.uint8)).convert(mode)
    image.save(path)
    with images.open(path) as held:
        known = held.mode in (*png._LABEL_MODES, "LA", "RGB", "RGBA")
        want = np.asarray(held if known else held.convert("RGB"))
    with png.open_source(path, None) as source:
        found = source.read((slice(3, 20), slice(0, 17)))
        assert (source.shape, source.dtype) == (want.shape, found.dtype)
    np.testing.assert_array_equal(found, want[3:20])


def test_a_picture_that_changes_before_it_is_decoded(tmp_path):
    images, path = pytest.importorskip("PIL.Image"), tmp_path / "in.png"
    images.new("L", (5, 4)).save(path)
    with png.open_source(path, None) as source:
        images.new("L", (5000, 4)).save(path)
        with pytest.raises(Refused, match="changed while it was open"):
            source.read((slice(0, 4), slice(0, 5)))


def with_tile(path, compression, data):
    """A TIFF of one tile of 64 × 64 whose bytes are these."""
    tifffile.imwrite(
        path, np.zeros((64, 64), np.uint8), compression=compression, tile=(64, 64),
        photometric="minisblack",
    )  # fmt: skip
    with open(path, "r+b") as file:
        page, place = tifffile.TiffFile(file).pages[0], file.seek(0, 2)
        file.write(data)
        page.tags["TileOffsets"].overwrite(place)
        page.tags["TileByteCounts"].overwrite(len(data))


def test_tiles_of_tiff(tmp_path):
    path, logits = tmp_path / "truth.tif", np.zeros((3, 64, 64), np.float32)
    pytest.importorskip("imagecodecs")
    with_tile(path, "zstd", bytes(CODECS["zstd"].encode(ZEROS)))
    with pytest.raises(Refused, match="page 0, tile 0 expands to far more than it should, as a"):
        evaluate_files(logits, path)
    picture = io.BytesIO()
    pytest.importorskip("PIL.Image").new("L", (6000, 6000)).save(picture, "png")
    with_tile(path, "png", picture.getvalue())
    with pytest.raises(Refused, match="page 0, tile 0 expands to far more than it should, as a"):
        evaluate_files(logits, path)
    with_tile(path, "jpeg", b"\xff\xd8" + b"\xff" * 100)
    cause = "is damaged: page 0, tile 0 declares no size"
    with open_any(path) as source, pytest.raises(Refused, match=cause):
        source[:]
    with_tile(path, "lerc", b"")
    with pytest.raises(Refused, match="is compressed by LERC; store it with deflate"):
        evaluate_files(logits, path)


@pytest.mark.parametrize("codec", ["jpeg", "jpeg2000", "png"])
def test_what_tiles_that_are_pictures_declare(tmp_path, codec):
    pytest.importorskip("imagecodecs")
    array = np.random.default_rng(0).integers(0, 255, (40, 70, 3)).astype(np.uint8)
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, array, compression=codec, tile=(48, 80), photometric="rgb")
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        file.filehandle.seek(page.dataoffsets[0])
        data = file.filehandle.read(page.databytecounts[0])
    assert bombs.picture_size(data) == (48, 80)
    assert bombs.picture_size(data[:20]) is None
    assert bombs.picture_size(b"") is None
    if codec == "jpeg":
        filled = data[:2] + b"\xff" * 1000 + data[2:]
        assert bombs.picture_size(filled) == (48, 80)
        assert bombs.picture_size(data[:2] + b"\xff" * 10**7) is None
    found = np.empty((40, 70), np.uint8)
    predict(lambda batch: batch, path, found, window=32)


def test_chunks_of_a_truth_larger_than_the_budget(tmp_path):
    path = tmp_path / "truth.zarr"
    zarr.create_array(path, shape=(3000, 3000), dtype="u1", chunks=(3000, 3000), fill_value=0)[
        :
    ] = 1
    logits = np.zeros((3, 3000, 3000), np.float16)
    text = "is decoded in pieces of 3000 × 3000 numbers, which takes 18 MB; give memory='19MB'"
    with pytest.raises(Unusable, match=text):
        evaluate_files(logits, path, memory="17MB")
    assert evaluate_files(logits, path, memory="60MB").pixels == 9_000_000


@pytest.mark.parametrize("suffix", ["npz", "nii.gz"])
def test_a_truth_is_compared_with_its_logits_before_it_is_unpacked(tmp_path, monkeypatch, suffix):
    path, zeros = tmp_path / f"truth.{suffix}", np.zeros((1, 6000, 6000), np.uint8)
    if suffix == "npz":
        np.savez_compressed(path, zeros)
    else:
        nibabel = pytest.importorskip("nibabel")
        nibabel.Nifti1Image(zeros.T, np.eye(4)).to_filename(path)

    def unpacked(self):
        raise AssertionError("unpacked")

    with monkeypatch.context() as patch:
        patch.setattr(_unpacked.PackedSource, "_source", unpacked)
        text = r"expands from \d+ to 36000000 bytes, as a bomb does, and is 750 times as large as"
        with pytest.raises(Refused, match=text):
            evaluate_files(np.zeros((3, 1, 8, 8), np.float32), path, axis=0)
    found = evaluate_files(np.zeros((3, 1, 100, 100), np.float32), path, axis=0)
    assert found.pixels == 36_000_000


@pytest.mark.parametrize("suffix", ["npz", "nii.gz"])
def test_an_archive_that_changes_before_it_is_unpacked(tmp_path, suffix):
    path, logits = tmp_path / f"in.{suffix}", np.zeros((3, 1, 8, 8), np.float32)

    def write(shape):
        if suffix == "npz":
            np.savez_compressed(path, np.zeros(shape, np.uint8))
            return
        nibabel = pytest.importorskip("nibabel")
        nibabel.Nifti1Image(np.zeros(shape, np.uint8).T, np.eye(4)).to_filename(path)

    write((1, 8, 8))
    with open_any(path) as source:
        write((1, 9, 9))  # in place
        with pytest.raises(Refused, match="changed while it was open"):
            source.read((slice(0, 1), slice(0, 8), slice(0, 8)))
    write((1, 8, 8))
    assert evaluate_files(logits, path, axis=0).pixels == 64


@pytest.mark.parametrize("suffix", ["npz", "nii.gz", "png"])
def test_what_is_unpacked_as_a_whole_is_so_once_where_signals_come(tmp_path, monkeypatch, suffix):
    path, threads = tmp_path / f"truth.{suffix}", []
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 3, (1, 200, 300)).astype(np.uint8), np.zeros((3, 1, 200, 300))
    if suffix == "npz":
        np.savez_compressed(path, truth)
    elif suffix == "nii.gz":
        pytest.importorskip("nibabel").Nifti1Image(truth.T, np.eye(4)).to_filename(path)
    else:
        pytest.importorskip("PIL.Image").fromarray(truth[0]).save(path)
        scores = scores[:, 0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    owner, name = {
        "npz": (npz, "_unpack"),
        "nii.gz": (nifti, "_unpack"),
        "png": (png.PictureSource, "_decode"),
    }[suffix]
    real = getattr(owner, name)

    def noted(*args):
        threads.append(threading.current_thread())
        return real(*args)

    monkeypatch.setattr(owner, name, noted)
    cut(monkeypatch, 2400)
    assert evaluate_files(scores, path, axis=0, workers=3).pixels == 60_000
    path.write_bytes(data)
    with pytest.raises(Refused, match=rf"truth\.{suffix}"):
        evaluate_files(scores, path, axis=0, workers=3)
    assert threads == [threading.main_thread()] * 2
    if suffix != "png":
        with pytest.raises(Refused, match=rf"truth\.{suffix}"):
            segment_file(path, tmp_path / "out.npy", axis=1, input="logits", workers=3)
        assert threads == [threading.main_thread()] * 3
