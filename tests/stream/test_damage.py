"""Unfinished runs that somebody else's hand went over: damaged, replaced, laid as a trap."""

from __future__ import annotations

import json
import os
import shutil
import socket
import zlib

import numpy as np
import pytest

from softmax2d.stream import Refused, evaluate_files, predict, segment_file
from softmax2d.stream.recovery import lock
from tests.stream.tiles import Stop, cut, stop_after, work_of

SUFFIXES = [".npy", ".zarr", ".tif"]


@pytest.fixture
def scores(tmp_path):
    """Zeros first: a chunk of them is what zarr makes of one that is missing."""
    path = tmp_path / "scores.npy"
    values = np.random.default_rng(5).normal(0, 4, (5, 64, 96)).astype(np.float32)
    values[0, :32] = 50
    np.save(path, values)
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch):
    cut(monkeypatch, 4800)
    monkeypatch.setattr("softmax2d.stream.plan.tiles.CHUNK", 16)


def interrupted(scores, out, after=9):
    _, stop = stop_after(after)
    with pytest.raises(Stop):
        segment_file(scores, out, outputs=("labels",), progress=stop, workers=1)
    return work_of(out)


def bytes_of(path):
    if path.is_file():
        return path.read_bytes()
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def undisturbed(scores, out):
    other = out.parent / "other" / out.name
    other.parent.mkdir()
    segment_file(scores, other, outputs=("labels",))
    return bytes_of(other)


def resumed(scores, out):
    summary = segment_file(scores, out, outputs=("labels",), resume=True)
    assert not work_of(out).exists()
    return summary


def gone(stage):
    shutil.rmtree(stage) if stage.is_dir() else stage.unlink()


def without_head(stage):
    head = stage / "zarr.json" if stage.is_dir() else stage
    with open(head, "r+b") as file:
        file.write(b"\0" * 60)


def short(stage):
    for path in [p for p in stage.rglob("*") if p.is_file()] if stage.is_dir() else [stage]:
        os.truncate(path, 20)


def longer(stage):
    if stage.is_dir():
        (stage / "labels/zarr.json").unlink()
    else:
        with open(stage, "ab") as file:
            file.write(b"more")


def without_chunks(stage):
    """What a file system may leave where the power failed: the journal, but no data."""
    if stage.is_dir():
        shutil.rmtree(stage / "labels/c")
    else:
        os.truncate(stage, 128)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("damage", [gone, without_head, short, longer, without_chunks])
def test_stages_that_are_damaged_are_mended(scores, tmp_path, suffix, damage):
    out = tmp_path / f"out{suffix}"
    work = interrupted(scores, out)
    damage(work / ("stage.zarr" if suffix == ".zarr" else "stage.npy"))
    resumed(scores, out)
    assert bytes_of(out) == undisturbed(scores, out)


def test_what_a_network_made_is_mended(tmp_path):
    image, out = np.random.default_rng(0).random((3, 60, 50), np.float32), tmp_path / "out.npy"

    def network(batch):
        return batch

    _, stop = stop_after(2)
    with pytest.raises(Stop):
        predict(network, image, out, window=16, outputs=("labels",), progress=stop)
    os.truncate(work_of(out) / "stage.npy", 30)
    assert predict(network, image, out, window=16, outputs=("labels",), resume=True).tiles_done
    np.testing.assert_array_equal(np.load(out), image.argmax(0))


def line(said):
    data = said if isinstance(said, bytes) else json.dumps(said).encode()
    return b"%08x %s\n" % (zlib.crc32(data), data)


def changed(before, **what):
    return line(json.loads(before[9:]) | what)


ODD = {
    "no JSON": lambda first, *rest: [first, line(b"{{{"), *rest],
    "deep": lambda first, *rest: [first, line(b"[" * 100_000), *rest],
    "a list": lambda first, *rest: [line([1]), first, *rest],
    "no header": lambda first, *rest: rest,
    "two headers": lambda first, *rest: [first, first, *rest],
    "no such tile": lambda first, tile, *rest: [first, changed(tile, tile=10**9), *rest],
    "a tile before the first": lambda first, tile, *rest: [first, changed(tile, tile=-1), *rest],
    "a tile of another kind": lambda first, tile, *rest: [first, changed(tile, tile="0"), *rest],
    "no checksum": lambda first, tile, *rest: [first, line({"tile": 0}), *rest],
    "areas of nothing": lambda first, tile, *rest: [first, changed(tile, areas={"x": 1}), *rest],
    "pixels in words": lambda first, tile, *rest: [first, changed(tile, pixels="many"), *rest],
    "out of order": lambda first, *rest: [first, *rest[::-1]],
    "blocks of zeros": lambda first, *rest: [first, *rest[:3], b"\0" * 4096, *rest[3:]],
}


@pytest.mark.parametrize("name", ODD)
def test_lines_of_a_journal_that_say_nothing(scores, tmp_path, name):
    out = tmp_path / "out.npy"
    journal = interrupted(scores, out) / "journal"
    journal.write_bytes(b"".join(ODD[name](*journal.read_bytes().splitlines(keepends=True))))
    summary = resumed(scores, out)
    assert summary.tiles_resumed + summary.tiles_done == summary.tiles
    assert summary.counts.pixels == 64 * 96
    assert out.read_bytes() == undisturbed(scores, out)


@pytest.mark.parametrize("name", ["journal", "lock"])
@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_in_the_way(scores, tmp_path, name, kind):
    out = tmp_path / "out.npy"
    path = interrupted(scores, out) / name
    path.unlink()
    os.mkfifo(path) if kind == "fifo" else path.mkdir()
    with pytest.raises(Refused, match=f"{name} is in the way: it is no regular file"):
        segment_file(scores, out, outputs=("labels",), resume=True)


def test_a_checkpoint_that_is_no_file_is_not_trusted(scores, tmp_path):
    truth, kept = np.zeros((64, 96), np.uint8), tmp_path / "kept"
    _, stop = stop_after(3)
    with pytest.raises(Stop):
        evaluate_files(scores, truth, checkpoint=kept, progress=stop, workers=1)
    (work_of(kept) / "checkpoint").unlink()
    os.mkfifo(work_of(kept) / "checkpoint")
    again = evaluate_files(scores, truth, checkpoint=kept, resume=True)
    assert again.to_dict() == evaluate_files(scores, truth).to_dict()


def test_a_lock_of_any_bytes_is_nobodys(scores, tmp_path):
    out = tmp_path / "out.npy"
    (interrupted(scores, out) / "lock").write_bytes(b"\xff\xfe\0" * 2000)
    assert resumed(scores, out).status == "done"


@pytest.mark.parametrize("name", ["", "lock", "stage.npy", "journal"])
def test_links_are_not_followed(scores, tmp_path, name):
    """In a folder that others may write to, they would lead to files of ours."""
    out, mine = tmp_path / "out.npy", tmp_path / "mine"
    if name:
        path = interrupted(scores, out) / name
        path.rename(mine)
    else:
        path = work_of(out)
        mine.mkdir()
        (mine / "precious").write_text("ours")
    before = bytes_of(mine)
    path.symlink_to(mine)
    for resume in (False, True):
        with pytest.raises(Refused, match="is in the way: it is a symbolic link"):
            segment_file(scores, out, outputs=("labels",), resume=resume)
    assert bytes_of(mine) == before
    assert not out.exists()


def test_a_link_that_is_laid_meanwhile_is_not_followed(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.write_text("ours")
    work = work_of(tmp_path / "out")
    work.mkdir()
    (work / "lock").symlink_to(mine)
    monkeypatch.setattr(lock.Place, "_check_kind", lambda *looked: None)
    with pytest.raises(OSError, match="symbolic links"):
        lock.Place(tmp_path / "out")
    assert mine.read_text() == "ours"
    assert socket.gethostname() not in mine.read_text()


def test_a_file_in_the_place_of_the_folder(scores, tmp_path):
    work_of(tmp_path / "out.npy").write_text("somebody's")
    with pytest.raises(Refused, match="is in the way: it is no folder"):
        segment_file(scores, tmp_path / "out.npy")
    assert work_of(tmp_path / "out.npy").read_text() == "somebody's"


def _bind(path):
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(os.fspath(path))


KINDS = {
    "FIFO": os.mkfifo,
    "link": lambda path: path.symlink_to(path.parent),
    "socket": _bind,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deep", [False, True])
def test_a_stage_in_which_something_is_no_file(scores, tmp_path, monkeypatch, kind, deep):
    out = tmp_path / "o.zarr"
    stage = interrupted(scores, out) / "stage.zarr"
    name = (
        next(p for p in (stage / "labels/c").rglob("*") if p.is_file())
        if deep
        else stage / "zarr.json"
    )
    name.unlink()
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    KINDS[kind](name.relative_to(tmp_path))
    with pytest.raises(Refused, match=f"{name.name} is in the way: it is .*; delete it"):
        segment_file(scores, out, outputs=("labels",), resume=True)
    name.unlink()
    resumed(scores, out)
    assert bytes_of(out) == undisturbed(scores, out)


def test_a_folder_where_numbers_should_be(scores, tmp_path):
    out = tmp_path / "out.npy"
    stage = interrupted(scores, out) / "stage.npy"
    stage.unlink()
    stage.mkdir()
    with pytest.raises(Refused, match=r"stage\.npy is in the way: it is no regular file"):
        segment_file(scores, out, outputs=("labels",), resume=True)


HUGE = {
    "pixels": lambda tile: changed(tile, pixels=10**400),
    "an area": lambda tile: changed(tile, areas={"0": 2**64}),
    "a label": lambda tile: changed(tile, areas={"9" * 5000: 1}),
    "not finite": lambda tile: line(b'{"tile":NaN,"pixels":1e999}'),
}


@pytest.mark.parametrize("name", HUGE)
def test_lines_of_a_journal_with_numbers_past_all_bounds(scores, tmp_path, name):
    out = tmp_path / "out.npy"
    journal = interrupted(scores, out) / "journal"
    first, tile, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([first, HUGE[name](tile), *rest]))
    summary = resumed(scores, out)
    assert (summary.counts.pixels, summary.tiles_resumed) == (64 * 96, 0)
    assert out.read_bytes() == undisturbed(scores, out)


def test_a_request_in_a_journal_that_is_nested_too_deeply(scores, tmp_path):
    out = tmp_path / "out.npy"
    journal = interrupted(scores, out) / "journal"
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    said = json.loads(first[9:]) | {"version": 0}
    deep = json.dumps(said).replace('"version": 0', '"version": ' + "[" * 800 + "]" * 800)
    journal.write_bytes(b"".join([line(deep.encode()), *rest]))
    with pytest.raises(Refused, match="version of softmax2d was (something nested|.{77})"):
        segment_file(scores, out, outputs=("labels",), resume=True)


@pytest.mark.parametrize("change", [{"minus_inf": float("inf")}, {"counts": {"pixels": 10**400}}])
def test_a_checkpoint_with_numbers_past_all_bounds(scores, tmp_path, change):
    truth, kept = np.zeros((64, 96), np.uint8), tmp_path / "kept"
    _, stop = stop_after(3)
    with pytest.raises(Stop):
        evaluate_files(scores, truth, checkpoint=kept, progress=stop, workers=1)
    checkpoint = work_of(kept) / "checkpoint"
    first, state = checkpoint.read_bytes().splitlines(keepends=True)
    said = json.loads(state[9:])
    (said["found"] if "minus_inf" in change else said).update(change)
    checkpoint.write_bytes(first + line(said))
    again = evaluate_files(scores, truth, checkpoint=kept, resume=True)
    assert again.to_dict() == evaluate_files(scores, truth).to_dict()


@pytest.mark.parametrize("pid", ["1e999", str(10**30), "-1", "0", "[" * 900])
def test_a_lock_of_no_process_is_nobodys(scores, tmp_path, pid):
    out = tmp_path / "out.npy"
    (interrupted(scores, out) / "lock").write_text(f'{{"pid": {pid}, "host": "h"}}')
    assert resumed(scores, out).status == "done"
