"""What unpacks to far more than it should is refused before it is unpacked."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zipfile
import zlib

import numcodecs
import numpy as np
import pytest

from softmax2d._files import _inflate
from softmax2d.stream import Refused, Unusable, segment_file

h5py = pytest.importorskip("h5py")
tifffile = pytest.importorskip("tifffile")
zarr = pytest.importorskip("zarr")

ZEROS = bytes(1 << 26)
CODECS = {
    "zlib": numcodecs.Zlib(1), "gzip": numcodecs.GZip(1), "bz2": numcodecs.BZ2(1),
    "lzma": numcodecs.LZMA(preset=0), "lz4": numcodecs.LZ4(), "zstd": numcodecs.Zstd(1),
    "blosc": numcodecs.Blosc("zstd"),
}  # fmt: skip


def refused(path, text, **options):
    with pytest.raises(Refused, match=text):
        segment_file(path, path.with_name("out.npy"), **options)
    assert not path.with_name(".out.npy.softmax2d").exists()


@pytest.mark.parametrize("codec", CODECS)
def test_what_bytes_become_is_known_before(codec):
    packed, values = CODECS[codec], np.random.default_rng(0).bytes(100_000)
    bomb, honest = bytes(packed.encode(ZEROS)), bytes(packed.encode(values))
    assert _inflate.is_bomb(codec, bomb, 1000)
    assert not _inflate.is_bomb(codec, bomb, len(ZEROS))
    assert not _inflate.is_bomb(codec, honest, 100_000)
    for damaged in (b"", honest[:3], honest[:20], honest[:-9], b"\0" * 99):
        assert not _inflate.is_bomb(codec, damaged, 100_000)  # the decoder says what is wrong
    if codec in ("gzip", "bz2", "lzma"):  # one stream after the other
        assert _inflate.is_bomb(codec, honest + bomb, 1000)


def test_zstd_that_does_not_say_its_size():
    """Frames of RFC 8878 by hand: magic, descriptor, window, blocks of one repeated byte."""
    block = struct.pack("<I", (1 << 17) << 3 | 1 << 1)[:3] + b"\0"
    last = struct.pack("<I", 8 << 3 | 1 << 1 | 1)[:3] + b"\0"
    frame = struct.pack("<IBB", 0xFD2FB528, 0, 0x38)
    assert numcodecs.Zstd().decode(frame + last) == bytes(8)
    assert not _inflate.is_bomb("zstd", frame + last, 8)
    assert _inflate.is_bomb("zstd", frame + block * 5000 + last, 8)


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


def test_chunks_of_hdf5(tmp_path):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        found = file.create_dataset("a", (3, 64, 64), "f4", chunks=(3, 64, 64), compression="gzip")
        found.id.write_direct_chunk((0, 0, 0), zlib.compress(ZEROS * 2))
    refused(path, r"the chunk of /a at \(0, 0, 0\) expands to far more than its 49152 bytes")


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
