"""Nothing is lost: killed, stopped, full, torn, changed, truncated, two at a time."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.stream import Failed, Refused, Summary, segment_file
from softmax2d.stream.plan import tiles as _tiles
from softmax2d.stream.plan.results import result_places
from softmax2d.stream.recovery import journal as _journal
from softmax2d.stream.recovery import lock as _place
from softmax2d.stream.recovery import unfinished
from tests.stream.tiles import Stop, after_each_tile, cut, holder_of, in_step, stop_after, work_of

OUTPUTS = ("labels", "confidence")


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "scores.npy"
    np.save(path, np.random.default_rng(3).normal(0, 4, (5, 200, 120)).astype(np.float32))
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch):
    cut(monkeypatch, 4800)  # two rows of scores


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def interrupted(scores, out, after=7, **options):
    """Run until some tiles are stored, and stop there."""
    calls, stop = stop_after(after)
    with pytest.raises(Stop):
        segment_file(scores, out, outputs=OUTPUTS, progress=stop, workers=1, **options)
    return calls


SLOW = """
import sys, time
from softmax2d._ops import segment as _ops
from softmax2d.stream.plan import tiles as _tiles
real = _ops.segment_logits
def slow(*args, **kwargs):
    time.sleep(0.01)
    return real(*args, **kwargs)
_ops.segment_logits = slow
_tiles.BAND_BYTES = _tiles.TILE_BYTES = _tiles.LEAST_BYTES = 1200
from softmax2d.__main__ import main
print("ready", flush=True)
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_killed_at_random_moments(scores, tmp_path, suffix):
    folder = tmp_path / "results"
    folder.mkdir()
    out = folder / f"out.{suffix}"
    account = folder / "account.json"
    arguments = [sys.executable, "-c", SLOW, "segment", scores, "-o", out, "--resume", "--quiet"]
    arguments += ["--summary", account]
    moments, journal = random.Random(suffix), work_of(out) / "journal"
    for number in range(10):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0, 0.25))
            while number == 9 and not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
                assert process.poll() is None
                time.sleep(0.01)  # a busy machine: at least one of them had begun
            process.kill()
            process.communicate()
        assert not out.exists()
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(account.read_text())
    assert told["tiles"]["resumed"] > 0
    assert told["tiles"]["resumed"] + told["tiles"]["done"] == told["tiles"]["total"]
    assert told["pixels"]["done"] == 200 * 120
    account.unlink()
    whole = tmp_path / "whole"
    whole.mkdir()
    segment_file(scores, whole / out.name, outputs=OUTPUTS)
    assert contents(folder) == contents(whole)
    assert sorted(folder.iterdir()) == sorted(folder / name for name in contents(whole))


def test_only_the_tiles_that_are_missing_are_made(scores, tmp_path):
    out = tmp_path / "out.npy"
    interrupted(scores, out)
    assert not out.exists()
    summary = segment_file(scores, out, outputs=OUTPUTS, resume=True)
    assert isinstance(summary, Summary)
    assert summary.tiles_resumed >= 7
    assert summary.tiles_done == summary.tiles - summary.tiles_resumed
    assert summary.counts.pixels == summary.pixels
    np.testing.assert_array_equal(np.load(out), s2d.segment(np.load(scores)).labels)
    assert not work_of(out).exists()


def test_without_resume_a_run_begins_anew(scores, tmp_path):
    out = tmp_path / "out.npy"
    interrupted(scores, out)
    summary = segment_file(scores, out, outputs=OUTPUTS)
    assert summary.tiles_resumed == 0
    np.testing.assert_array_equal(np.load(out), s2d.segment(np.load(scores)).labels)


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".zarr"])
def test_resuming_what_is_complete_keeps_it(scores, tmp_path, suffix):
    """As after a kill between the naming of the results and the end of the process."""
    out = tmp_path / f"out{suffix}"
    segment_file(scores, out, outputs=OUTPUTS)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files_of(tmp_path)}
    again = segment_file(scores, out, outputs=OUTPUTS, resume=True)
    assert again.counts.pixels == again.pixels
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files_of(tmp_path)} == before
    assert not work_of(out).exists()


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".zarr"])
def test_what_is_complete_stays_however_often_resuming_is_killed(
    scores, tmp_path, suffix, monkeypatch
):
    out = tmp_path / f"out{suffix}"
    tiles = segment_file(scores, out, outputs=OUTPUTS).tiles
    before = {p: p.read_bytes() for p in files_of(tmp_path)}
    with monkeypatch.context() as patch:
        in_step(patch)
        for _ in range(min(2, tiles)):
            interrupted(scores, out, after=1, resume=True)
    with monkeypatch.context() as patch:  # when the bytes were compared

        def killed(*args):
            raise Stop

        patch.setattr(unfinished, "remove", killed)
        with pytest.raises(Stop):
            segment_file(scores, out, outputs=OUTPUTS, resume=True)
    found = segment_file(scores, out, outputs=OUTPUTS, resume=True)
    assert found.tiles_resumed == found.tiles
    assert {p: p.read_bytes() for p in files_of(tmp_path)} == before
    assert not work_of(out).exists()


def test_what_a_killed_writer_left_is_not_part_of_the_result(scores, tmp_path, monkeypatch):
    out, whole = tmp_path / "out.zarr", tmp_path / "whole.zarr"
    segment_file(scores, whole)
    in_step(monkeypatch)
    with pytest.raises(Stop):
        segment_file(scores, out, progress=lambda *said: (_ for _ in ()).throw(Stop()))
    chunk = next(p for p in files_of(work_of(out) / "stage.zarr/labels/c"))
    chunk.with_suffix(".0123456789abcdef.partial").write_bytes(b"half of a chunk")
    segment_file(scores, out, resume=True)
    names = [{p.relative_to(top): p.read_bytes() for p in files_of(top)} for top in (out, whole)]
    assert names[0] == names[1]


@pytest.mark.parametrize("suffix", [".npy", ".zarr"])
def test_resuming_does_not_replace_another_result(scores, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    segment_file(scores, out, temperature=2, bias=[1, 0, 0, 0, 0])
    before = {p: p.read_bytes() for p in files_of(out)}
    with pytest.raises(Refused, match="exists and is not what this run makes; add --overwrite"):
        segment_file(scores, out, resume=True)
    assert {p: p.read_bytes() for p in files_of(out)} == before
    summary = segment_file(scores, out, resume=True, overwrite=True)  # the work was not lost
    assert summary.tiles_resumed == summary.tiles
    assert {p: p.read_bytes() for p in files_of(out)} != before


def files_of(top):
    return [top] if top.is_file() else [p for p in top.rglob("*") if p.is_file()]


def test_what_is_kept_is_said_and_what_is_not_is_not(scores, tmp_path):
    array = np.load(scores)

    class Source:
        shape, dtype = array.shape, array.dtype

        def __init__(self, error):
            self.error = error

        def __getitem__(self, box):
            if box[1].start >= 100:
                raise self.error
            return array[box]

    out = tmp_path / "out.npy"
    with pytest.raises(Refused) as error:
        segment_file(Source(Refused("scores", "chunk 7 is damaged.")), out, workers=1)
    assert str(error.value) == "scores: chunk 7 is damaged."
    assert not work_of(out).exists()
    with pytest.raises(Failed, match=r"Input/output error\. \d+ of \d+ tiles are kept: "):
        segment_file(Source(OSError(5, "Input/output error")), out, workers=1)
    assert work_of(out).exists()


def test_resuming_nothing_is_a_run(scores, tmp_path):
    summary = segment_file(scores, tmp_path / "out.npy", resume=True)
    assert (summary.tiles_resumed, summary.status) == (0, "done")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"temperature": 2.0}, "parameter temperature was 1.0, now it is 2.0"),
        ({"axis": 1, "outputs": OUTPUTS}, "cannot be resumed: "),
        ({"outputs": ("confidence", "labels")}, "parameter outputs was"),
        ({"encoding": "float16"}, "parameter encoding was"),
        ({"nodata": 1.0}, "parameter nodata was"),
        ({"names": list("abcde")}, "parameter presentation was"),
    ],
)
def test_a_changed_parameter_is_named(scores, tmp_path, change, text):
    out = tmp_path / "out.npy"
    interrupted(scores, out)
    with pytest.raises(Refused, match=text) as error:
        segment_file(scores, out, **{"outputs": OUTPUTS, "resume": True, **change})
    assert "Start anew without resume" in str(error.value)
    assert segment_file(scores, out, outputs=OUTPUTS, resume=True).tiles_resumed >= 7


def test_a_changed_input_is_named(scores, tmp_path):
    out = tmp_path / "out.npy"
    interrupted(scores, out)
    now = os.stat(scores).st_mtime_ns + 1
    os.utime(scores, ns=(now, now))
    with pytest.raises(Refused, match=r"input changed_ns was \d+, now it is \d+"):
        segment_file(scores, out, outputs=OUTPUTS, resume=True)


def assert_same(out, whole):
    for a, b in zip(*(result_places(path, OUTPUTS).values() for path in (out, whole)), strict=True):
        assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("how", ["chmod", "ln", "mv", "cp"])
def test_an_input_that_only_looks_changed(scores, tmp_path, how):
    out, other = tmp_path / "out.npy", tmp_path / "other.npy"
    interrupted(scores, out)
    if how == "chmod":
        scores.chmod(0o640)
    elif how == "ln":
        os.link(scores, other)
    elif how == "mv":
        os.replace(scores, other)
        os.replace(other, scores)
    else:
        shutil.copy2(scores, other)
        os.replace(other, scores)
    found = segment_file(scores, out, outputs=OUTPUTS, resume=True)
    assert found.tiles_resumed >= 7
    whole = out.with_name("whole.npy")
    segment_file(scores, whole, outputs=OUTPUTS)
    assert_same(out, whole)


def test_a_changed_version_is_named(scores, tmp_path, monkeypatch):
    out = tmp_path / "out.npy"
    interrupted(scores, out)
    monkeypatch.setattr("softmax2d.stream.recovery.unfinished.__version__", "9.9")
    with pytest.raises(Refused, match='version of softmax2d was ".*", now it is "9.9"'):
        segment_file(scores, out, outputs=OUTPUTS, resume=True)


def test_a_changed_tiling_is_named(scores, tmp_path, monkeypatch):
    out = tmp_path / "out.npy"
    interrupted(scores, out)
    monkeypatch.setattr(_tiles, "BAND_BYTES", 9600)
    with pytest.raises(Refused, match="tiling (extents|band) was"):
        segment_file(scores, out, outputs=OUTPUTS, resume=True)


@pytest.mark.parametrize("damage", ["torn", "flipped", "longer"])
def test_a_journal_ends_at_its_first_bad_line(scores, tmp_path, damage):
    out = tmp_path / "out.npy"
    interrupted(scores, out)
    journal = work_of(out) / "journal"
    data = journal.read_bytes()
    lines = data.splitlines(keepends=True)
    bad = {
        "torn": data[:-9],
        "flipped": b"".join([*lines[:4], lines[4].replace(b'"nan":0', b'"nan":1'), *lines[5:]]),
        "longer": data + b"0000",
    }[damage]
    journal.write_bytes(bad)
    summary = segment_file(scores, out, outputs=OUTPUTS, resume=True)
    whole = {"torn": len(lines) - 2, "flipped": 3, "longer": len(lines) - 1}[damage]
    assert summary.tiles_resumed == whole
    np.testing.assert_array_equal(np.load(out), s2d.segment(np.load(scores)).labels)


def test_data_that_are_not_what_the_journal_says_are_made_again(scores, tmp_path):
    out = tmp_path / "out.npy"
    calls = interrupted(scores, out)
    stage = work_of(out) / "stage.npy"
    with open(stage, "r+b") as file:
        file.seek(140)
        byte = file.read(1)
        file.seek(140)
        file.write(bytes([byte[0] ^ 1]))
    summary = segment_file(scores, out, outputs=OUTPUTS, resume=True)
    assert summary.tiles_resumed >= len(calls) - 1
    assert summary.tiles_resumed < summary.tiles - summary.tiles_done + 1
    np.testing.assert_array_equal(np.load(out), s2d.segment(np.load(scores)).labels)


def test_stopped_between_two_names(scores, tmp_path, monkeypatch):
    out, second = tmp_path / "out.npy", tmp_path / "out.confidence.npy"
    real, names = os.replace, []

    def replace(source, target):
        names.append(target)
        if len(names) == 2:
            raise Stop
        real(source, target)

    monkeypatch.setattr(unfinished.os, "replace", replace)
    with pytest.raises(Stop):
        segment_file(scores, out, outputs=OUTPUTS)
    assert out.exists()
    assert not second.exists()
    monkeypatch.setattr(unfinished.os, "replace", real)
    summary = segment_file(scores, out, outputs=OUTPUTS, resume=True)
    assert summary.tiles_resumed == summary.tiles
    whole = s2d.segment(np.load(scores))
    np.testing.assert_array_equal(np.load(out), whole.labels)
    np.testing.assert_array_equal(np.load(second), whole.confidence)
    assert not work_of(out).exists()
    assert not work_of(second).exists()


def all_bytes(path):
    if path.is_file():
        return path.read_bytes()
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("suffix", [".npy", ".zarr"])
def test_what_came_in_the_place_of_a_result_meanwhile_stays(scores, tmp_path, monkeypatch, suffix):
    out, real = tmp_path / f"out{suffix}", unfinished._rename

    def stopped(part, place):
        raise Stop

    segment_file(scores, out, outputs=OUTPUTS)
    whole = all_bytes(out)
    for path in (out, tmp_path / f"out.confidence{suffix}"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.setattr(unfinished, "_rename", stopped)  # complete, and not named yet
    with pytest.raises(Stop):
        segment_file(scores, out, outputs=OUTPUTS)
    monkeypatch.setattr(unfinished, "_rename", real)
    if suffix == ".zarr":
        out.mkdir()
        (out / "zarr.json").write_text("{}")
    else:
        out.write_text("somebody's")
    before = all_bytes(out)
    with pytest.raises(Refused, match="exists and is not what this run makes"):
        segment_file(scores, out, outputs=OUTPUTS, resume=True)
    assert all_bytes(out) == before
    segment_file(scores, out, outputs=OUTPUTS, resume=True, overwrite=True)
    assert all_bytes(out) == whole


def test_a_second_process_is_refused_and_a_dead_one_is_not(scores, tmp_path):
    out = tmp_path / "out.npy"
    with holder_of(out) as process:
        who = f"is being written by process {process.pid} on {socket.gethostname()}"
        with pytest.raises(Refused, match=who):
            segment_file(scores, out)
        process.kill()
    assert (work_of(out) / "lock").read_text() != ""
    assert segment_file(scores, out).status == "done"


def test_one_process_cannot_have_a_result_twice(scores, tmp_path):
    out = tmp_path / "out.npy"
    held = _place.Place(out)
    with pytest.raises(Refused, match=f"is being written by process {os.getpid()} on"):
        segment_file(scores, out)
    held.close(keep=False)
    assert segment_file(scores, out).status == "done"


def test_a_lock_whose_file_is_gone_is_no_lock(scores, tmp_path, monkeypatch):
    """Somebody ends between our opening of the lock and our taking of it."""
    out, real, opened = tmp_path / "out.npy", _place._try_lock, []

    def late(file):
        opened.append(file.name)
        if len(opened) == 1:
            os.unlink(file.name)
            os.rmdir(work_of(out))
        return real(file)

    monkeypatch.setattr(_place, "_try_lock", late)
    held = _place.Place(out)
    assert len(opened) == 2
    with pytest.raises(Refused, match="is being written by process"):
        _place.Place(out)
    held.close(keep=False)
    assert not work_of(out).exists()


@pytest.mark.parametrize("who", ["alive", "dead", "another program"])
def test_where_nothing_can_be_locked_the_text_decides(tmp_path, monkeypatch, who):
    monkeypatch.setattr(_place, "_try_lock", lambda file: None)
    out = tmp_path / "out.npy"
    work_of(out).mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        holder = _place.Holder(process.pid, socket.gethostname(), _place._start_of(process.pid))
        said = holder.to_json()
        if who == "dead":
            process.communicate()
        if who == "another program":
            said["started"] -= 1
        (work_of(out) / "lock").write_text(json.dumps(said))
        if who == "alive":
            with pytest.raises(Refused, match=f"is being written by process {process.pid} on"):
                _place.Place(out)
        else:
            _place.Place(out).close(keep=False)
        process.stdin.close()


START = """
import sys, time
from softmax2d.stream import StreamError, segment_file
for line in sys.stdin:
    out, moment = line.split()
    while time.time() < float(moment):
        pass
    try:
        print(segment_file(sys.argv[1], out).status, flush=True)
    except StreamError as error:
        print(error, flush=True)
"""


def test_of_processes_that_start_at_once_one_wins(scores, tmp_path):
    command = [sys.executable, "-c", START, str(scores)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    crew = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for number in range(20):
        moment = time.time() + (2 if number == 0 else 0.02)
        for process in crew:
            process.stdin.write(f"{tmp_path}/{number}.npy {moment}\n")
            process.stdin.flush()
        said = [process.stdout.readline().strip() for process in crew]
        assert said.count("done") == 1, said
        assert all("is being written by" in s or "exists" in s for s in said if s != "done"), said
        assert not work_of(tmp_path / f"{number}.npy").exists()
    for process in crew:
        process.communicate()


def test_a_lock_of_another_machine_names_the_file_to_delete(scores, tmp_path):
    out = tmp_path / "out.npy"
    work_of(out).mkdir()
    lock = work_of(out) / "lock"
    lock.write_text(json.dumps({"pid": 12, "host": "elsewhere"}))
    with pytest.raises(Refused, match="process 12 on elsewhere, which cannot be asked") as error:
        segment_file(scores, out)
    assert f"delete {lock}" in str(error.value)
    lock.unlink()
    assert segment_file(scores, out).status == "done"


def test_an_input_truncated_meanwhile(scores, tmp_path, monkeypatch):
    after_each_tile(monkeypatch, lambda: os.truncate(scores, 20_000))
    out = tmp_path / "out.npy"
    with pytest.raises(Failed, match=r"scores.npy: was truncated while it was read\."):
        segment_file(scores, out, workers=1)
    assert not out.exists()


def test_an_existing_result_stays_until_the_new_one_is_complete(scores, tmp_path):
    out = tmp_path / "out.npy"
    out.write_text("earlier")
    with pytest.raises(Refused, match="exists; add --overwrite"):
        segment_file(scores, out, outputs=OUTPUTS)
    interrupted(scores, out, overwrite=True)
    assert out.read_text() == "earlier"
    segment_file(scores, out, outputs=OUTPUTS, overwrite=True, resume=True)
    np.testing.assert_array_equal(np.load(out), s2d.segment(np.load(scores)).labels)


def test_the_input_is_never_the_result(scores, tmp_path):
    before = scores.read_bytes()
    for name in ("soft.npy", "hard.npy"):
        link = tmp_path / name
        (link.symlink_to if name == "soft.npy" else link.hardlink_to)(scores)
        with pytest.raises(Refused, match="is the input .* itself; choose another name"):
            segment_file(scores, link, overwrite=True)
    assert scores.read_bytes() == before


def test_a_refused_run_leaves_nothing(tmp_path):
    path = tmp_path / "bad.npy"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(Refused):
        segment_file(path, tmp_path / "out.npy")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.npy"]


def test_a_run_that_stored_nothing_leaves_nothing(tmp_path):
    class Broken:
        shape, dtype = (3, 8, 8), np.dtype(np.float32)

        def __getitem__(self, box):
            raise OSError(5, "Input/output error")

    with pytest.raises(Failed):
        segment_file(Broken(), tmp_path / "out.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_journal_takes_only_whole_lines(tmp_path):
    journal = _journal.Journal(tmp_path / "journal", tmp_path / "out")
    assert journal.read() == []
    journal.start({"version": "1"})
    tile = {"tile": 0, "crc": {}, "areas": {}} | dict.fromkeys(
        ("pixels", "nan", "minus_inf", "ignored"), 0
    )
    journal.append(tile)
    journal.close()
    again = _journal.Journal(tmp_path / "journal", tmp_path / "out")
    assert again.read() == [{"version": "1"}, tile]
