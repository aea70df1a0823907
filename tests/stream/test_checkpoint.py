"""An evaluation that was killed, stopped or failed goes on, and ends with the same numbers."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.stream import Failed, Refused, Unusable, evaluate_files, segment_file
from softmax2d.stream.counting.evaluation import Evaluation, spans
from softmax2d.stream.plan import tiles
from softmax2d.stream.recovery import checkpoint
from tests.stream.tiles import Stop, cut, holder_of, in_step, stop_after, work_of

IGNORE = 255


@pytest.fixture
def files(tmp_path):
    """Scores of three images with NaN and pixels of nothing but -inf, and their truth."""
    rng = np.random.default_rng(3)
    scores = rng.normal(0, 4, (3, 5, 30, 60)).astype(np.float32)
    scores[1, 2, 7, 9] = np.nan
    scores[2, :, 25, 50:53] = -np.inf
    truth = rng.integers(0, 5, (3, 30, 60)).astype(np.uint8)
    truth[:, 10:12] = IGNORE
    np.save(tmp_path / "scores.npy", scores)
    np.save(tmp_path / "truth.npy", truth)
    return tmp_path / "scores.npy", tmp_path / "truth.npy"


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Small tiles, and a checkpoint after each."""
    cut(monkeypatch, 2400)
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    monkeypatch.setattr(checkpoint, "_SHARE", 0)


def whole(files, **options):
    return evaluate_files(*files, ignore_index=IGNORE, **options)


def interrupted(files, beside, after=7, **options):
    """Evaluate until some tiles are counted, and stop there."""
    calls, stop = stop_after(after)
    with pytest.raises(Stop):
        whole(files, checkpoint=beside, progress=stop, workers=1, **options)
    return calls


SLOW = """
import sys, time
from softmax2d.stream.counting import evaluation as _evaluation
from softmax2d.stream.plan import tiles as _tiles
from softmax2d.stream.recovery import checkpoint as _checkpoint
real = _evaluation.count_pixels
def slow(*args, **kwargs):
    time.sleep(0.01)
    return real(*args, **kwargs)
_evaluation.count_pixels = slow
_tiles.BAND_BYTES = _tiles.TILE_BYTES = _tiles.LEAST_BYTES = 1200
_checkpoint.SECONDS = 0.01
from softmax2d.__main__ import main
print("ready", flush=True)
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["json", "html"])
def test_killed_at_random_moments(files, tmp_path, suffix):
    folder = tmp_path / "results"
    folder.mkdir()
    report, account = folder / f"report.{suffix}", folder / "account.json"
    words = ["evaluate", *files, "--ignore-index", IGNORE, "--report", report, "--quiet"]
    arguments = [sys.executable, "-c", SLOW, *map(str, words), "--resume", "--summary", account]
    moments, kept = random.Random(suffix), work_of(report) / "checkpoint"
    for number in range(6):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0, 0.2))
            while number == 5 and not kept.exists():
                assert process.poll() is None
                time.sleep(0.01)  # a busy machine: at least one of them had begun
            process.kill()
            process.communicate()
        assert not report.exists()
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(folder.iterdir()) == sorted([account, report])
    told = json.loads(account.read_text())
    assert told["tiles"]["resumed"] > 0
    assert told["tiles"]["resumed"] + told["tiles"]["done"] == told["tiles"]["total"]
    plain = tmp_path / f"plain.{suffix}"
    words[words.index(report)] = plain
    quiet = [sys.executable, "-m", "softmax2d", *map(str, words), "--summary", tmp_path / "p.json"]
    subprocess.run(quiet, check=True, timeout=120)
    assert report.read_bytes() == plain.read_bytes()
    undisturbed = json.loads((tmp_path / "p.json").read_text())
    assert told["pixels"] == undisturbed["pixels"]
    assert told["areas"] == undisturbed["areas"]
    again = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert (again.returncode, again.stderr) == (0, "")  # as after a kill behind the naming
    assert report.read_bytes() == plain.read_bytes()


def test_only_the_tiles_that_are_missing_are_counted(files, tmp_path):
    account = tmp_path / "account.json"
    calls = interrupted(files, account)
    assert (work_of(account) / "checkpoint").exists()
    found = whole(files, summary=account, resume=True, workers=1)
    assert found == whole(files)
    assert found == s2d.evaluate(*map(np.load, files), ignore_index=IGNORE)
    told = json.loads(account.read_text())
    assert told["tiles"]["resumed"] >= len(calls)
    assert told["tiles"]["resumed"] + told["tiles"]["done"] == told["tiles"]["total"]
    assert told["pixels"] == {
        "total": 5400, "done": 5400, "nan": 1, "minus_inf": 3, "ignored": 3 * 2 * 60,
    }  # fmt: skip
    assert not work_of(account).exists()


@pytest.mark.parametrize("size", [(40, 45), (31, 60)])
def test_images_in_parts_and_another_size(files, tmp_path, size, monkeypatch):
    in_step(monkeypatch)
    np.save(files[1], np.random.default_rng(1).integers(0, 5, (3, *size)).astype(np.uint8))
    beside = tmp_path / "kept"
    for after in (1, 5, 3):
        interrupted(files, beside, after, resume=True, size=size)
    found = whole(files, checkpoint=beside, resume=True, size=size)
    assert found == s2d.evaluate(np.load(files[0]), np.load(files[1]), size=size)
    assert found.images == 3


def test_without_resume_it_begins_anew(files, tmp_path):
    account = tmp_path / "account.json"
    interrupted(files, account)
    assert whole(files, summary=account) == whole(files)
    assert json.loads(account.read_text())["tiles"]["resumed"] == 0
    assert not work_of(account).exists()


def test_nothing_is_kept_where_nobody_says_where(files, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Stop):
        whole(files, progress=lambda *_: (_ for _ in ()).throw(Stop()))
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(Unusable, match="resume=True needs checkpoint= or summary="):
        whole(files, resume=True)
    with pytest.raises(Refused, match="there is no folder"):
        whole(files, checkpoint=tmp_path / "no" / "where")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"temperature": 2.0}, "parameter temperature was 1.0, now it is 2.0"),
        ({"bias": [0, 0, 0, 0, 1]}, "parameter bias was null"),
        ({"ignore_index": 254}, "parameter ignore_index was 255, now it is 254"),
        ({"bins": 4}, "parameter bins was 15, now it is 4"),
        ({"nodata": 1.0}, "parameter nodata was"),
        ({"align_corners": True}, "parameter align_corners was false"),
        ({"interpolation": "nearest"}, "parameter interpolation was"),
        ({"missing_as_fill": True}, "parameter missing_as_fill was false"),
    ],
)
def test_a_changed_parameter_is_named(files, tmp_path, change, text):
    beside = tmp_path / "kept"
    interrupted(files, beside)
    asked = {"ignore_index": IGNORE, "checkpoint": beside, "resume": True}
    with pytest.raises(Refused, match=text) as error:
        evaluate_files(*files, **asked | change)
    assert "Start anew without resume" in str(error.value)
    assert evaluate_files(*files, **asked) == whole(files)


@pytest.mark.parametrize(("which", "name"), [(0, "input"), (1, "truth")])
def test_a_changed_input_is_named(files, tmp_path, which, name):
    interrupted(files, tmp_path / "kept")
    now = os.stat(files[which]).st_mtime_ns + 1
    os.utime(files[which], ns=(now, now))
    with pytest.raises(Refused, match=rf"{name} changed_ns was \d+, now it is \d+"):
        whole(files, checkpoint=tmp_path / "kept", resume=True)


def test_a_file_of_other_rights_is_gone_on_with(files, tmp_path):
    interrupted(files, tmp_path / "kept")
    files[1].chmod(0o600)
    assert whole(files, checkpoint=tmp_path / "kept", resume=True) == whole(files)


def test_a_changed_version_or_tiling_is_named(files, tmp_path, monkeypatch):
    interrupted(files, tmp_path / "kept")
    with monkeypatch.context() as patch:
        patch.setattr("softmax2d.stream.counting.evaluation.__version__", "9.9")
        with pytest.raises(Refused, match='version of softmax2d was ".*", now it is "9.9"'):
            whole(files, checkpoint=tmp_path / "kept", resume=True)
    cut(monkeypatch, 4800)
    with pytest.raises(Refused, match="tiling (extents|band) was"):
        whole(files, checkpoint=tmp_path / "kept", resume=True)


def test_the_budget_that_tiles_follow_from_is_named(files, tmp_path, monkeypatch):
    cut(monkeypatch, 1 << 22)
    monkeypatch.setattr(tiles, "LEAST_BYTES", 1)
    interrupted(files, tmp_path / "kept", after=5)
    with pytest.raises(Refused, match=r"tiles follow from the budget: workers was 1, now it is 3"):
        whole(files, checkpoint=tmp_path / "kept", resume=True, workers=3)


@pytest.mark.parametrize("damage", ["empty", "torn", "flipped", "longer", "one line"])
def test_a_damaged_checkpoint_is_not_trusted(files, tmp_path, damage):
    report = tmp_path / "report.json"
    interrupted(files, report)
    kept = work_of(report) / "checkpoint"
    data = kept.read_bytes()
    place = data.index(b'"minus_inf":') + len('"minus_inf":')
    kept.write_bytes(
        {
            "empty": b"",
            "torn": data[:-9],
            "flipped": data[:place] + b"7" + data[place + 1 :],
            "longer": data + b"0000",
            "one line": data.splitlines(keepends=True)[0],
        }[damage]
    )
    account = tmp_path / "account.json"
    found = whole(files, checkpoint=report, summary=account, resume=True)
    assert found == whole(files)
    assert json.loads(account.read_text())["tiles"]["resumed"] == 0


@pytest.mark.parametrize(
    "forged",
    [
        {"tiles": [[0, 10**6]]},
        {"tiles": [[-3, 2]]},
        {"tiles": []},
        {"tiles": None},
        {"found": {"statistics": s2d.Statistics.empty(4).to_dict(), "minus_inf": 0}},
        {"images": []},
        {"images": [1]},
        {"counts": {}},
        {"found": {"statistics": {"confusion": "AAAA"}, "minus_inf": 0}},
        {"found": {"statistics": None, "minus_inf": 0}},
    ],
)
def test_a_checkpoint_of_something_else_is_not_trusted(files, tmp_path, forged, monkeypatch):
    """Whoever can forge a checksum gains a count from the beginning."""
    beside, account = tmp_path / "kept", tmp_path / "account.json"
    take = Evaluation.take

    def stopping(self, tile, parts):
        if tile == 7:  # in the middle of an image
            raise Stop
        return take(self, tile, parts)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "take", stopping)
        with pytest.raises(Stop):
            whole(files, checkpoint=beside, workers=1)
    kept = work_of(beside) / "checkpoint"
    header, state = map(checkpoint.record_in, kept.read_bytes().splitlines(keepends=True))
    kept.write_bytes(checkpoint.line_of(header) + checkpoint.line_of(state | forged))
    assert whole(files, checkpoint=beside, summary=account, resume=True) == whole(files)
    assert json.loads(account.read_text())["tiles"]["resumed"] == 0


def test_a_second_process_is_refused_and_a_dead_one_is_not(files, tmp_path):
    account = tmp_path / "account.json"
    with holder_of(account) as process:
        who = f"is being written by process {process.pid} on {socket.gethostname()}"
        with pytest.raises(Refused, match=who):
            whole(files, summary=account, resume=True)
        process.kill()
    assert (work_of(account) / "lock").read_text() != ""
    assert whole(files, summary=account, resume=True) == whole(files)
    assert not work_of(account).exists()


def test_what_fails_is_kept_and_what_is_refused_is_not(files, tmp_path):
    scores, beside = np.load(files[0]), tmp_path / "kept"

    class Source:
        shape, dtype = scores.shape, scores.dtype

        def __init__(self, error):
            self.error = error

        def __getitem__(self, box):
            if self.error is not None and box[0].start == 2:
                raise self.error
            return scores[box]

    asked = {"ignore_index": IGNORE, "checkpoint": beside, "workers": 1}
    with pytest.raises(Refused) as error:
        evaluate_files(Source(Refused("scores", "chunk 7 is damaged.")), files[1], **asked)
    assert str(error.value) == "scores: chunk 7 is damaged."
    assert not work_of(beside).exists()
    with pytest.raises(Failed, match=r"Input/output error\. \d+ of \d+ tiles are kept: "):
        evaluate_files(Source(OSError(5, "Input/output error")), files[1], **asked)
    assert evaluate_files(Source(None), files[1], **asked, resume=True) == whole(files)
    assert not work_of(beside).exists()


def test_a_folder_that_is_taken_away_is_an_error(files, tmp_path):
    beside = tmp_path / "kept"

    def taken(done, total, seconds):
        if work_of(beside).exists():
            work_of(beside).rename(tmp_path / "elsewhere")

    with pytest.raises(Failed, match="was removed while the run went on"):
        whole(files, checkpoint=beside, progress=taken)


def test_a_full_disk_leaves_what_was_kept(files, tmp_path, monkeypatch):
    beside, real, calls = tmp_path / "kept", os.fsync, []

    def full(number):
        calls.append(number)
        if len(calls) > 5:
            raise OSError(28, "No space left on device")
        real(number)

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(Failed, match=r"No space left on device\. \d+ of \d+ tiles are kept"):
        whole(files, checkpoint=beside)
    assert sorted(p.name for p in work_of(beside).iterdir()) == ["checkpoint", "lock"]
    monkeypatch.setattr(checkpoint.os, "fsync", real)
    assert whole(files, checkpoint=beside, resume=True) == whole(files)


def test_a_stop_in_the_middle_of_a_tile_is_not_kept(files, tmp_path, monkeypatch):
    """On a cluster the calling thread adds up, where ^C may come at any point."""
    from softmax2d.stream.counting import counting

    beside, real, calls = tmp_path / "kept", counting.Counting._add, []

    def late(self, box, part):
        calls.append(box)
        if len(calls) == 9:
            raise KeyboardInterrupt
        real(self, box, part)

    monkeypatch.setattr(counting.Counting, "_add", late)
    with pytest.raises(KeyboardInterrupt):
        whole(files, checkpoint=beside, workers=1)
    monkeypatch.setattr(counting.Counting, "_add", real)
    assert whole(files, checkpoint=beside, resume=True, workers=1) == whole(files)


def test_it_is_kept_as_often_as_it_costs_little(files, tmp_path, monkeypatch):
    held, now, written = checkpoint.Checkpoint(tmp_path / "kept", {}), [0.0], []

    def state():
        written.append(now[0])
        now[0] += 0.5  # what it takes
        return {}

    monkeypatch.setattr(checkpoint, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "SECONDS", 1)
    monkeypatch.setattr(checkpoint, "_SHARE", 20)
    with held:
        for _ in range(100):
            held.keep(state)
            now[0] += 0.25
    assert written[:3] == [1, 11.5, 22]


def test_spans():
    assert spans([]) == []
    assert spans({5, 0, 1, 2, 7, 8}) == [[0, 3], [5, 6], [7, 9]]


def test_numbers_of_numpy_are_numbers(files, tmp_path):
    asked = {"ignore_index": np.uint8(IGNORE), "bins": np.int64(7), "align_corners": np.bool_(True)}
    found = evaluate_files(*files, summary=tmp_path / "account.json", **asked)
    assert found == evaluate_files(*files, ignore_index=IGNORE, bins=7, align_corners=True)


def test_a_header_that_cannot_be_kept_fails_at_once(tmp_path):
    held = checkpoint.Checkpoint(tmp_path / "kept", {"parameters": {"bins": np.int64(7)}})
    with pytest.raises(TypeError, match="not JSON serializable"), held:
        pytest.fail("entered")
    assert not work_of(tmp_path / "kept").exists()


def test_nothing_is_kept_of_a_run_without_a_tile(files, tmp_path):
    scores, beside = np.load(files[0]), tmp_path / "kept"

    class Broken:
        shape, dtype = scores.shape, scores.dtype

        def __getitem__(self, box):
            raise OSError(5, "Input/output error")

    with pytest.raises(Failed) as error:
        evaluate_files(Broken(), files[1], checkpoint=beside)
    assert str(error.value) == "source: Input/output error."
    assert not work_of(beside).exists()


def test_the_work_of_another_run_stays(files, tmp_path):
    result = tmp_path / "labels.npy"
    with pytest.raises(Stop):
        segment_file(files[0], result, progress=lambda *_: (_ for _ in ()).throw(Stop()), axis=1)
    held = {p.name: p.read_bytes() for p in work_of(result).iterdir()}
    with pytest.raises(Refused, match="holds an unfinished run of something else; choose another"):
        whole(files, checkpoint=result)
    assert {p.name: p.read_bytes() for p in work_of(result).iterdir()} == held
    segment_file(files[0], result, resume=True, axis=1)
    with pytest.raises(Refused, match=r"is no place for the checkpoint; choose another name"):
        whole(files, checkpoint=tmp_path)
