"""Zarr: versions, shards, names of axes; what is missing, damaged or hostile is named."""

from __future__ import annotations

import json
import os
import shutil
import time

import numcodecs.zstd
import numpy as np
import pytest
import xarray
import zarr

import softmax2d as s2d
from softmax2d._files.source.bombs import HEAD, declared_size
from softmax2d.stream import Failed, Refused, Unusable, evaluate_files, segment_file, softmax2d_file
from tests.stream.tiles import after_each_tile, cut

Z = np.random.default_rng(1).normal(0, 4, (6, 70, 90)).astype(np.float32)
WHOLE = s2d.segment(Z)
KINDS = {
    "2": {"zarr_format": 2},
    "2 bare": {"zarr_format": 2, "compressors": None},
    "3": {"zarr_format": 3},
    "3 bare": {"zarr_format": 3, "compressors": None},
    "3 gzip": {"zarr_format": 3, "compressors": zarr.codecs.GzipCodec()},
    "3 sharded": {"zarr_format": 3, "shards": (6, 32, 64)},
}


def stored(path, values=Z, chunks=(6, 16, 32), **options):
    array = zarr.create_array(
        path, shape=values.shape, dtype=values.dtype, chunks=chunks,
        config={"write_empty_chunks": True}, **options,
    )  # fmt: skip
    array[:] = values
    return array


def labels_of(path, **options):
    found = np.empty(WHOLE.labels.shape, np.uint8)
    summary = segment_file(path, found, **options)
    return found, summary


@pytest.mark.parametrize("kind", KINDS)
def test_what_zarr_wrote_is_read(tmp_path, kind):
    path = tmp_path / "in.zarr"
    stored(path, **KINDS[kind])
    found, _ = labels_of(path, memory="1MB", workers=2)
    np.testing.assert_array_equal(found, WHOLE.labels)


@pytest.mark.parametrize("dtype", [">f4", np.float16, np.float64, np.int16, np.uint8])
def test_every_kind_of_number(tmp_path, dtype):
    values = (Z * 10).clip(0, 250).astype(dtype)
    stored(tmp_path / "in.zarr", values, zarr_format=2)
    found, _ = labels_of(tmp_path / "in.zarr")
    np.testing.assert_array_equal(found, s2d.segment(values).labels)


@pytest.mark.parametrize("names", [("y", "x", "class"), ("Y", "X", "channel")])
def test_the_class_axis_is_the_one_named_so(tmp_path, names):
    turned = np.ascontiguousarray(np.moveaxis(Z, 0, -1))
    stored(tmp_path / "in.zarr", turned, chunks=(16, 32, 6), dimension_names=names)
    found, _ = labels_of(tmp_path / "in.zarr")
    np.testing.assert_array_equal(found, WHOLE.labels)


def test_the_class_axis_of_version_2_and_of_xarray(tmp_path):
    turned = np.ascontiguousarray(np.moveaxis(Z, 0, 1))
    array = stored(tmp_path / "in.zarr", turned, chunks=(16, 6, 32), zarr_format=2)
    array.attrs["_ARRAY_DIMENSIONS"] = ["n", "class", "y"]
    found = np.empty((70, 90), np.uint8)
    segment_file(tmp_path / "in.zarr", found)
    np.testing.assert_array_equal(found, WHOLE.labels)


def test_the_class_axis_of_ome_zarr(tmp_path):
    root = zarr.create_group(tmp_path / "in.zarr")
    axes = [{"name": "y"}, {"name": "q", "type": "channel"}, {"name": "x"}]
    root.attrs["ome"] = {"multiscales": [{"axes": axes}]}
    values = np.ascontiguousarray(np.moveaxis(Z, 0, 1))
    array = root.create_array("0", shape=values.shape, dtype="f4", chunks=(16, 6, 32))
    array[:] = values
    found, _ = labels_of(tmp_path / "in.zarr", key="0")
    np.testing.assert_array_equal(found, WHOLE.labels)


def test_axes_without_classes_are_an_error_that_says_what_to_add(tmp_path):
    stored(tmp_path / "in.zarr", dimension_names=("t", "y", "x"))
    with pytest.raises(Refused, match=r"none of its axes, t, y, x, counts classes; say .*--axis"):
        labels_of(tmp_path / "in.zarr")
    found, _ = labels_of(tmp_path / "in.zarr", axis=0)
    np.testing.assert_array_equal(found, WHOLE.labels)


def test_an_array_of_a_group(tmp_path):
    path = tmp_path / "in.zarr"
    root = zarr.create_group(path)
    with pytest.raises(Refused, match="holds no array"):
        labels_of(path)
    for name in ("a", "b"):
        array = root.create_array(name, shape=Z.shape, dtype="f4", chunks=(6, 16, 32))
        array[:] = Z
    with pytest.raises(Refused, match=r"holds 2 arrays \(a, b\); choose one with --key"):
        labels_of(path)
    with pytest.raises(Refused, match="holds no array 'c'; it holds a, b"):
        labels_of(path, key="c")
    for key in ("../x", "/etc", "a/../../x", "./a"):
        with pytest.raises(Refused, match="leads out of the store"):
            labels_of(path, key=key)
    np.testing.assert_array_equal(labels_of(path, key="b")[0], WHOLE.labels)


def test_an_array_of_a_group_of_a_group(tmp_path):
    path = tmp_path / "in.zarr"
    for version in (2, 3):
        root = zarr.create_group(path, zarr_format=version, overwrite=True)
        root.create_group("empty")
        root.create_array("model/logits", data=Z, chunks=(6, 16, 32))
        np.testing.assert_array_equal(labels_of(path)[0], WHOLE.labels)
        root.create_array("model/other", data=Z[:2])
        with pytest.raises(Refused, match=r"holds 2 arrays \(model/logits, model/other\)"):
            labels_of(path)
        with pytest.raises(Refused, match=r"a part of the store .*in\.zarr; .* --key model/logits"):
            labels_of(path / "model" / "logits")
        assert labels_of(path, key="model/logits")[1].classes == 6


@pytest.mark.parametrize("version", [2, 3])
def test_labels_beside_an_array(tmp_path, version):
    path = tmp_path / "in.zarr"
    root = zarr.create_group(path, zarr_format=version)
    root.create_array("0", data=Z, chunks=(6, 16, 32))
    root.create_array("labels/seg/0", data=np.zeros(Z.shape[1:], np.uint8))
    np.testing.assert_array_equal(labels_of(path)[0], WHOLE.labels)
    np.testing.assert_array_equal(labels_of(path, key="0")[0], WHOLE.labels)
    with pytest.raises(Refused, match="holds no array '1'; it holds 0, labels/seg/0"):
        labels_of(path, key="1")
    root.create_array("1", data=Z[:, ::2, ::2])
    with pytest.raises(Refused, match=r"holds 2 arrays \(0, 1\); choose one with --key"):
        labels_of(path)
    deep = zarr.create_group(tmp_path / "deep.zarr", zarr_format=version)
    deep.create_array("image/0", data=Z, chunks=(6, 16, 32))
    deep.create_array("image/labels/seg/0", data=np.zeros(Z.shape[1:], np.uint8))
    np.testing.assert_array_equal(labels_of(tmp_path / "deep.zarr")[0], WHOLE.labels)


def test_an_index_of_the_other_byte_order(tmp_path):
    big = [zarr.codecs.BytesCodec(endian="big"), zarr.codecs.Crc32cCodec()]
    shards = zarr.codecs.ShardingCodec(
        chunk_shape=(6, 16, 32), index_codecs=big, index_location="start"
    )
    stored(tmp_path / "in.zarr", chunks=(6, 32, 64), serializer=shards, compressors=None)
    np.testing.assert_array_equal(labels_of(tmp_path / "in.zarr")[0], WHOLE.labels)


@pytest.mark.parametrize("version", [2, 3])
def test_what_xarray_says_of_packed_numbers(tmp_path, version):
    values = Z.copy()
    values[2, 3, 4] = np.nan
    held = xarray.Dataset({"logits": (("class", "y", "x"), values)})
    held.to_zarr(tmp_path / "plain.zarr", zarr_format=version, consolidated=False)
    summary = segment_file(tmp_path / "plain.zarr", np.empty(Z.shape[1:], np.uint8))
    assert (summary.counts.nan, summary.counts.ignored) == (1, 0)
    packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 2.0, "_FillValue": -32768}
    for name, encoding in (("packed", packed), ("filled", {"_FillValue": -9999.0})):
        path = tmp_path / f"{name}.zarr"
        held.to_zarr(path, zarr_format=version, consolidated=False, encoding={"logits": encoding})
        confidence = np.empty(Z.shape[1:], np.float32)
        summary = segment_file(path, confidence, outputs="confidence")
        assert (summary.counts.nan, summary.counts.ignored) == (0, 1)
        meant = xarray.open_zarr(path, consolidated=False).logits.values.astype(np.float32)
        close = {"rtol": 2e-6} if name == "packed" else {"rtol": 0}
        np.testing.assert_allclose(confidence, s2d.segment(meant).confidence, **close)


def missing(name):
    os.unlink(name)


def empty(name):
    open(name, "w").close()


def short(name):
    os.truncate(name, os.path.getsize(name) - 1)


def flipped(name):
    with open(name, "r+b") as file:
        file.seek(os.path.getsize(name) // 2)
        file.write(os.urandom(40))


def moved_out(name):
    outside = f"{name.split('in.zarr')[0]}outside"
    os.replace(name, outside)
    os.symlink(outside, name)


@pytest.mark.parametrize("kind", ["2 bare", "3", "3 bare", "3 sharded"])
@pytest.mark.parametrize("budget", [500, 5000, 50_000])
def test_pieces_of_chunks_and_many_chunks(tmp_path, monkeypatch, kind, budget):
    stored(tmp_path / "in.zarr", **KINDS[kind])
    cut(monkeypatch, budget)
    for out in ("labels.npy", "labels.zarr"):
        segment_file(tmp_path / "in.zarr", tmp_path / out, workers=2)
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), WHOLE.labels)
    found = zarr.open_array(tmp_path / "labels.zarr/labels", mode="r")
    np.testing.assert_array_equal(found[:], WHOLE.labels)


@pytest.mark.parametrize("axis", [0, 2])
def test_classes_in_chunks_of_their_own(tmp_path, axis):
    values = np.ascontiguousarray(np.moveaxis(Z, 0, axis))
    chunks = tuple(1 if d == axis else 40 for d in range(3))
    for kind in ("3", "3 bare"):
        stored(tmp_path / f"{kind}.zarr", values, chunks, **KINDS[kind])
        found = np.empty(WHOLE.labels.shape, np.uint8)
        segment_file(tmp_path / f"{kind}.zarr", found, axis=axis)
        np.testing.assert_array_equal(found, WHOLE.labels)


def test_zstd_frames_that_say_nothing(tmp_path):
    path = tmp_path / "in.zarr"
    stored(path, **KINDS["3"])
    name = path / "c/0/2/1"
    data = numcodecs.zstd.decompress(name.read_bytes())
    # A frame of one raw block, without its content's size (RFC 8878, 3.1.1): window of 128 KiB.
    block = (len(data) << 3 | 1).to_bytes(3, "little")
    name.write_bytes(b"\x28\xb5\x2f\xfd\x00\x38" + block + data)
    assert declared_size("zstd", name.read_bytes()[:HEAD]) is None
    found, _ = labels_of(path)
    np.testing.assert_array_equal(found, WHOLE.labels)


def test_zstd_frames_of_another_size(tmp_path):
    path = tmp_path / "in.zarr"
    stored(path, **KINDS["3"])
    for length in (100, 1 << 26):
        (path / "c/0/2/1").write_bytes(numcodecs.zstd.compress(bytes(length), 1))
        with pytest.raises(Refused, match=r"chunk c/0/2/1 (is damaged: |expands from )"):
            labels_of(path)


@pytest.mark.parametrize(
    ("kind", "damage", "text"),
    [
        ("2", missing, r"chunk 0\.2\.1 is missing; --missing-as-fill"),
        ("2", empty, r"chunk 0\.2\.1 is empty"),
        ("2", short, r"chunk 0\.2\.1 is damaged: "),
        ("2 bare", short, r"chunk 0\.2\.1 has 12287 bytes instead of 12288"),
        ("3", missing, "chunk c/0/2/1 is missing"),
        ("3", empty, "chunk c/0/2/1 is empty"),
        ("3", short, "chunk c/0/2/1 is damaged: "),
        ("3 gzip", flipped, "chunk c/0/2/1 is damaged: "),
        ("3 bare", short, "chunk c/0/2/1 has 12287 bytes instead of 12288"),
        ("3", moved_out, "chunk c/0/2/1 is a link that leads out of the store"),
        ("3 sharded", missing, "chunk c/0/1/0 is missing"),
        ("3 sharded", short, "chunk c/0/1/0 "),
    ],
)
def test_a_damaged_chunk_is_named(tmp_path, kind, damage, text):
    path = tmp_path / "in.zarr"
    stored(path, **KINDS[kind])
    name = {"2": "0.2.1", "3": "c/0/2/1"}[kind[0]] if "sharded" not in kind else "c/0/1/0"
    damage(str(path / name))
    with pytest.raises(Refused, match=rf"in\.zarr: {text}"):
        labels_of(path)


def test_a_shard_that_lacks_an_inner_chunk(tmp_path):
    path = tmp_path / "in.zarr"
    array = zarr.create_array(
        path, shape=(6, 64, 64), dtype="f4", chunks=(6, 16, 32), shards=(6, 32, 64)
    )
    array[:, :, :32] = 1
    with pytest.raises(Refused, match="chunk c/0/0/0 lacks one of its inner chunks"):
        segment_file(path, np.empty((64, 64), np.uint8))
    segment_file(path, np.empty((64, 64), np.uint8), missing_as_fill=True)


def test_missing_chunks_as_fill_on_request(tmp_path):
    path = tmp_path / "in.zarr"
    stored(path)
    (path / "c/0/2/1").unlink()
    found, _ = labels_of(path, missing_as_fill=True)
    filled = Z.copy()
    filled[:, 32:48, 32:64] = 0
    np.testing.assert_array_equal(found, s2d.segment(filled).labels)


def meta(**changes):
    """Metadata of version 3, some of it changed."""
    said = {
        "zarr_format": 3, "node_type": "array", "shape": [6, 70, 90], "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [6, 16, 32]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0, "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {},
    }  # fmt: skip
    return said | changes


def grid(*chunks):
    return {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}


HOSTILE = {
    "2^40 elements": (meta(shape=[6, 1 << 20, 1 << 20]), "is missing"),
    "2^120 elements": (meta(shape=[1 << 40, 1 << 40, 1 << 40]), "is missing|no array has shape"),
    "2^90 along an axis": (meta(shape=[6, 1 << 90, 4]), "give no valid shape"),
    "chunks of 2^40": (meta(chunk_grid=grid(6, 1 << 20, 1 << 20)), "which no tile holds"),
    "empty chunks": (meta(chunk_grid=grid(6, 0, 4)), "its chunks are empty"),
    "negative": (meta(shape=[6, -70, 90]), "give no valid shape"),
    "a pickle": (meta(codecs=[{"name": "numcodecs.pickle"}]), "is encoded with 'numcodecs.pickle'"),
    "strings": (meta(data_type="string"), "holds string; numbers"),
    "an irregular grid": (meta(chunk_grid={"name": "rectilinear"}), "rectilinear chunk grid"),
    "no codecs": ({k: v for k, v in meta().items() if k != "codecs"}, "cannot be understood"),
    "no text": (b"\xff\xfe", "zarr.json is no small JSON object"),
    "a list": (b"[]", "zarr.json is no small JSON object"),
    "deep": (b"[" * 100_000, "zarr.json is no small JSON object"),
    "long": (b" " * (5 << 20), "zarr.json is no small JSON object"),
    "a group in a group": (meta(node_type="group"), "holds no array"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_metadata(tmp_path, name):
    path, (said, text) = tmp_path / "in.zarr", HOSTILE[name]
    path.mkdir()
    data = said if isinstance(said, bytes) else json.dumps(said).encode()
    (path / "zarr.json").write_bytes(data)
    started = time.perf_counter()
    with pytest.raises(Unusable, match=text):
        segment_file(path, tmp_path / "out.npy")
    assert time.perf_counter() - started < 2
    assert [p.name for p in tmp_path.iterdir()] == ["in.zarr"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"compressor": {"id": "pickle"}}, "is encoded with 'pickle'"),
        ({"filters": [{"id": "vlen-utf8"}]}, "is encoded with 'vlen-utf8'"),
        ({"dtype": "|O"}, r"holds \|O; numbers"),
        ({"dtype": [["a", "<f4"]]}, "numbers of 8 to 64 bits are needed"),
        ({"shape": None}, "cannot be understood"),
    ],
)
def test_hostile_metadata_of_version_2(tmp_path, change, text):
    path = tmp_path / "in.zarr"
    stored(path, zarr_format=2)
    said = json.loads((path / ".zarray").read_text())
    (path / ".zarray").write_text(json.dumps(said | change))
    with pytest.raises(Refused, match=text):
        labels_of(path)


def test_what_is_no_store(tmp_path):
    folder, file = tmp_path / "folder.zarr", tmp_path / "file.zarr"
    folder.mkdir()
    file.write_text("x")
    with pytest.raises(Refused, match="is a folder without Zarr metadata"):
        labels_of(folder)
    with pytest.raises(Refused, match="is a file; a Zarr store is a folder"):
        labels_of(file)
    with pytest.raises(Refused, match="no such file"):
        labels_of(tmp_path / "none.zarr")


def test_metadata_that_lie_elsewhere(tmp_path):
    stored(tmp_path / "real.zarr")
    path = tmp_path / "in.zarr"
    path.mkdir()
    (path / "zarr.json").symlink_to(tmp_path / "real.zarr/zarr.json")
    with pytest.raises(Refused, match="zarr.json is a link that leads out of the store"):
        labels_of(path)


def files(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_results_are_chunked_as_the_source_and_say_what_they_are(tmp_path):
    stored(tmp_path / "in.zarr", dimension_names=("class", "y", "x"))
    out, names = tmp_path / "out.zarr", list("abcdef")
    palette = np.arange(18, dtype=np.uint8).reshape(6, 3)
    segment_file(
        tmp_path / "in.zarr", out, outputs=("labels", "confidence"), memory="1MB",
        names=names, palette=palette,
    )  # fmt: skip
    found = zarr.open_array(out / "labels")
    second = zarr.open_array(tmp_path / "out.confidence.zarr/confidence")
    np.testing.assert_array_equal(found[:], WHOLE.labels)
    np.testing.assert_array_equal(second[:], WHOLE.confidence)
    each = zip(found.chunks, (16, 32), found.shape, strict=True)
    assert all(c % s == 0 or c == n for c, s, n in each)
    assert found.metadata.dimension_names == ("y", "x")
    assert found.attrs["class_names"] == names
    assert found.attrs["palette"] == palette.tolist()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "in.zarr", "out.confidence.zarr", "out.zarr",
    ]  # fmt: skip


def test_large_tiles_are_shards(tmp_path):
    z = np.zeros((3, 1536, 1536), np.float32)
    z[1, 700:] = 2
    stored(tmp_path / "in.zarr", z, chunks=(3, 1536, 1536))
    softmax2d_file(tmp_path / "in.zarr", tmp_path / "out.zarr", memory="300MB")
    found = zarr.open_array(tmp_path / "out.zarr/probs")
    assert found.shards == (3, 1536, 1536)
    assert found.chunks == (3, 384, 768)
    np.testing.assert_array_equal(found[:], s2d.softmax2d(z))


def test_chunks_of_nothing_but_zeros_are_stored(tmp_path):
    stored(tmp_path / "in.zarr", np.zeros((3, 64, 64), np.float32), chunks=(3, 32, 32))
    segment_file(tmp_path / "in.zarr", tmp_path / "out.zarr", memory="1MB")
    assert len(list((tmp_path / "out.zarr/labels/c").rglob("*"))) >= 2


class Stop(Exception):  # noqa: N818 - no error
    pass


def test_a_resumed_store_has_the_bytes_of_an_undisturbed_one(tmp_path, monkeypatch):
    cut(monkeypatch, 1 << 14)
    stored(tmp_path / "in.zarr")
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
    segment_file(tmp_path / "in.zarr", folders[0] / "out.zarr", workers=1)
    done = []

    def stop(*progress):
        done.append(progress)
        if len(done) == 3:
            raise Stop

    with pytest.raises(Stop):
        segment_file(tmp_path / "in.zarr", folders[1] / "out.zarr", progress=stop, workers=1)
    assert not (folders[1] / "out.zarr").exists()
    summary = segment_file(tmp_path / "in.zarr", folders[1] / "out.zarr", resume=True)
    assert summary.tiles_resumed >= 3
    assert files(folders[0]) == files(folders[1])


def test_an_existing_store_is_replaced_only_on_request(tmp_path):
    stored(tmp_path / "in.zarr")
    out = tmp_path / "out.zarr"
    stored(out, Z[0], chunks=(35, 45))
    before = files(out)
    with pytest.raises(Refused, match="exists; add --overwrite"):
        segment_file(tmp_path / "in.zarr", out)
    assert files(out) == before
    segment_file(tmp_path / "in.zarr", out, overwrite=True)
    np.testing.assert_array_equal(zarr.open_array(out / "labels")[:], WHOLE.labels)


@pytest.mark.parametrize("kind", ["folder", "file", "source"])
def test_what_a_store_must_not_replace(tmp_path, kind):
    stored(tmp_path / "in.zarr")
    out = tmp_path / "out.zarr"
    text = {"folder": "is a directory, but no Zarr store", "file": "is no folder",
            "source": "is the input"}[kind]  # fmt: skip
    if kind == "folder":
        out.mkdir()
        (out / "thesis.doc").write_text("x")
    elif kind == "file":
        out.write_text("x")
    else:
        out.symlink_to(tmp_path / "in.zarr")
    with pytest.raises(Refused, match=text):
        segment_file(tmp_path / "in.zarr", out, overwrite=True)
    assert os.path.lexists(out)


def test_truth_in_a_store(tmp_path):
    truth = np.random.default_rng(2).integers(0, 6, (70, 90)).astype(np.uint8)
    stored(tmp_path / "in.zarr")
    stored(tmp_path / "truth.zarr", truth, chunks=(32, 32))
    found = evaluate_files(tmp_path / "in.zarr", tmp_path / "truth.zarr", memory="1MB")
    assert found == s2d.evaluate(Z, truth)


def test_a_store_that_vanishes_meanwhile(tmp_path, monkeypatch):
    cut(monkeypatch, 1 << 14)
    stored(tmp_path / "in.zarr")

    def vanish():
        shutil.rmtree(tmp_path / "in.zarr/c", ignore_errors=True)

    after_each_tile(monkeypatch, vanish)
    with pytest.raises((Refused, Failed), match="is missing"):
        segment_file(tmp_path / "in.zarr", tmp_path / "o.npy", workers=1)
