"""Where results, accounts and sources may lie: never in each other, and never half-written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.stream import Failed, Refused, Unusable, evaluate_files, segment_file, softmax2d_file
from softmax2d.stream.plan import places, tiles
from softmax2d.stream.plan.inputs import open_any
from softmax2d.stream.recovery import lock, unfinished
from tests.stream.tiles import Stop, after_each_tile, cut, stop_after

zarr = pytest.importorskip("zarr")
Z = np.random.default_rng(4).normal(0, 3, (5, 200, 120)).astype(np.float32)
LABELS = s2d.segment(Z).labels


@pytest.fixture
def scores(tmp_path):
    np.save(tmp_path / "scores.npy", Z)
    return tmp_path / "scores.npy"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    cut(monkeypatch, 4800)


def store(path, values=Z, chunks=(5, 50, 60)):
    zarr.create_array(path, shape=values.shape, chunks=chunks, dtype=values.dtype)[:] = values
    return path


def test_results_inside_the_source(tmp_path):
    source = store(tmp_path / "in.zarr")
    os.symlink(source, tmp_path / "link.zarr")
    for result in ("in.zarr/out.npy", "in.zarr/c/out.zarr", "link.zarr/out.npy"):
        with pytest.raises(Refused, match=r"lies inside the input .*in\.zarr; choose another name"):
            segment_file(source, tmp_path / result)


def test_a_source_inside_the_result(tmp_path, scores):
    result = store(tmp_path / "out.zarr", LABELS, (50, 60))
    shutil.move(scores, result / "scores.npy")
    with pytest.raises(Refused, match=r"holds the input .*scores\.npy; choose another name"):
        segment_file(result / "scores.npy", result, overwrite=True)
    array = zarr.open_array(store(tmp_path / "in.zarr"))
    with pytest.raises(Refused, match=r"is the input .*in\.zarr itself"):
        segment_file(array, tmp_path / "in.zarr", overwrite=True)
    assert (result / "scores.npy").exists()


def test_arrays_that_are_the_source(tmp_path, scores):
    mapped = np.load(scores, mmap_mode="r+")
    for source, result in ((scores, mapped), (mapped, mapped[:]), (Z, Z), (Z, Z[:])):
        with pytest.raises(Unusable, match="the result for probs is the source itself"):
            softmax2d_file(source, result)
    with pytest.raises(Refused, match="is the input"):
        segment_file(mapped, scores, overwrite=True)
    array = zarr.open_array(store(tmp_path / "in.zarr"), mode="r+")
    with pytest.raises(Unusable, match="the result for probs is the source itself"):
        softmax2d_file(tmp_path / "in.zarr", array)
    np.testing.assert_array_equal(np.load(scores), Z)


@pytest.mark.parametrize("name", ["scores.npy", "out.npy", "missing/account.json", "folder"])
def test_accounts_that_would_replace_something(tmp_path, scores, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(Refused, match="is no place for the account|there is no folder"):
        segment_file(scores, tmp_path / "out.npy", summary=tmp_path / name)
    np.testing.assert_array_equal(np.load(scores), Z)
    assert not (tmp_path / "out.npy").exists()


def test_an_account_that_cannot_be_written_hides_no_other_error(tmp_path, scores, monkeypatch):
    account = tmp_path / "folder/account.json"
    account.parent.mkdir()

    def broken():
        shutil.rmtree(account.parent, ignore_errors=True)
        os.truncate(scores, 20_000)

    with monkeypatch.context() as patch:
        after_each_tile(patch, broken)
        with pytest.raises(Failed, match="was truncated while it was read"):
            segment_file(scores, tmp_path / "out.npy", summary=account, workers=1)
    np.save(scores, Z)
    account.parent.mkdir()

    def gone(done, total, seconds):
        shutil.rmtree(account.parent, ignore_errors=True)

    with pytest.raises(Failed, match=r"account\.json: No such file"):
        segment_file(scores, tmp_path / "other.npy", summary=account, progress=gone)
    np.testing.assert_array_equal(np.load(tmp_path / "other.npy"), LABELS)


@pytest.mark.parametrize("suffix", ["npy", "zarr", "tif", "h5"])
def test_a_folder_that_is_deleted_meanwhile(tmp_path, scores, suffix, monkeypatch):
    folder = tmp_path / "results"
    folder.mkdir()
    after_each_tile(monkeypatch, lambda: shutil.rmtree(folder, ignore_errors=True))
    with pytest.raises(Failed) as error:
        segment_file(scores, folder / f"out.{suffix}", workers=1)
    assert "--resume" not in str(error.value)  # nothing is left to go on with
    assert not list(folder.glob("out*"))


@pytest.mark.parametrize(
    "view", [lambda a: a, lambda a: a[:, 10:], lambda a: a[:, ::2, 3:], lambda a: a.T]
)
@pytest.mark.parametrize("mode", ["r", "c"])
def test_mapped_arrays(tmp_path, scores, view, mode):
    array = view(np.load(scores, mmap_mode=mode))
    axis = -1 if array.shape[-1] == 5 else 0
    expected = s2d.segment(np.array(array), axis=axis).labels
    found = np.empty_like(expected)
    segment_file(array, found, axis=axis)
    np.testing.assert_array_equal(found, expected)


def test_a_mapped_array_is_known_by_its_file(tmp_path, scores):
    out = tmp_path / "out.npy"
    _, stop = stop_after(3)
    with pytest.raises(Stop):
        segment_file(np.load(scores, mmap_mode="r"), out, progress=stop, workers=1)
    found = segment_file(np.load(scores, mmap_mode="c")[:], out, resume=True)
    assert found.tiles_resumed >= 3
    np.testing.assert_array_equal(np.load(out), LABELS)
    with pytest.raises(Stop):
        segment_file(np.load(scores, mmap_mode="r"), tmp_path / "b.npy", progress=stop_after(3)[1])
    os.utime(scores, ns=(0, 0))
    with pytest.raises(Refused, match="input changed_ns was"):
        segment_file(np.load(scores, mmap_mode="r"), tmp_path / "b.npy", resume=True)


@pytest.mark.parametrize("chunks", [None, (5, 20, 120)])
def test_truncated_hdf5_is_no_zeros(tmp_path, chunks, monkeypatch):
    h5py = pytest.importorskip("h5py")
    path, found = tmp_path / "in.h5", np.empty(LABELS.shape, np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=Z, chunks=chunks)
    segment_file(path, found)
    np.testing.assert_array_equal(found, LABELS)
    after_each_tile(monkeypatch, lambda: os.truncate(path, 30_000))
    with pytest.raises(Failed, match=r"in\.h5: was truncated while it was read"):
        segment_file(path, found, workers=1)


HDF5 = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (121_000, 121_000))
from softmax2d.__main__ import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_disk_that_fills_under_hdf5_ends_in_one_line(tmp_path):
    """HDF5 that cannot write its last bytes crashes when the interpreter ends."""
    pytest.importorskip("h5py")
    values = np.random.default_rng(0).normal(0, 3, (256, 300, 400)).astype(np.float16)
    np.save(tmp_path / "in.npy", values)
    args = ["segment", tmp_path / "in.npy", "-o", tmp_path / "out.h5", "--outputs", "labels"]
    done = subprocess.run([sys.executable, "-c", HDF5, *args], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.startswith(f"softmax2d: {tmp_path}/out.h5: File too large. ")
    assert done.stderr.count("\n") == 1
    assert segment_file(tmp_path / "in.npy", tmp_path / "out.h5", overwrite=True).status == "done"


def test_a_store_that_cannot_be_renamed_stays(tmp_path, scores, monkeypatch):
    result = store(tmp_path / "out.zarr", LABELS, (50, 60))
    real = os.replace

    def broken(source, target):
        if str(target).endswith("out.zarr"):
            raise OSError(5, "Input/output error")
        real(source, target)

    with monkeypatch.context() as patch, pytest.raises(Failed, match="Input/output error"):
        patch.setattr(unfinished.os, "replace", broken)
        segment_file(scores, result, overwrite=True, temperature=2)
    np.testing.assert_array_equal(zarr.open_array(result)[:], LABELS)
    segment_file(scores, result, overwrite=True, temperature=2, resume=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.zarr", "scores.npy"]


def test_the_account_of_a_run_that_was_complete(tmp_path, scores, monkeypatch):
    out, account = tmp_path / "out.npy", tmp_path / "account.json"

    class Stop(Exception):  # noqa: N818
        pass

    def stop(part, place):
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(unfinished, "_rename", stop)
        segment_file(scores, out)
    summary = segment_file(scores, out, resume=True, summary=account)
    assert (
        summary.counts.pixels == summary.pixels == json.loads(account.read_text())["pixels"]["done"]
    )
    assert sum(summary.counts.areas.values()) == summary.pixels
    np.testing.assert_array_equal(np.load(out), LABELS)


def test_names_that_no_file_has(scores, tmp_path):
    for source, result in ((f"{scores}\0", tmp_path / "o.npy"), (scores, f"{tmp_path}/o\0.npy")):
        with pytest.raises(Refused, match="no file has such a name"):
            segment_file(source, result)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"names": ["a", "b"]}, "names has 2 names for 5 classes"),
        ({"names": [1, 2, 3, 4, 5]}, "names must be texts"),
        ({"palette": np.zeros((2, 3), np.uint8)}, r"palette must have shape \(5, 3\)"),
        ({"palette": np.zeros((5, 3))}, "integers from 0 to 255; got .*float64"),
        ({"palette": np.full((5, 3), 256)}, "palette must hold integers from 0 to 255"),
        ({"palette": "no such"}, "is neither a file nor one of the palettes okabe-ito"),
        ({"names": "a,b"}, "names a,b: 2 names for 5 classes"),
    ],
)
def test_styles_that_do_not_fit(scores, tmp_path, options, text):
    with pytest.raises(Unusable, match=text):
        segment_file(scores, tmp_path / "out.png", **options)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda box: Z[:, :2, :2], r"gave shape \(5, 2, 2\), dtype float32 instead of"),
        (lambda box: Z[box].astype(object), "dtype object instead of"),
        (lambda box: 1 / 0, "cannot be read at .*ZeroDivisionError: division by zero"),
    ],
)
def test_arrays_that_do_not_keep_their_word(answer, text):
    class Source:
        shape, dtype = Z.shape, Z.dtype

        def __getitem__(self, box):
            return answer(box)

    with pytest.raises(Failed, match=text):
        segment_file(Source(), np.empty(LABELS.shape, np.uint8))


def test_another_budget_is_named_where_it_changes_tiles(scores, tmp_path, monkeypatch):
    monkeypatch.setattr(tiles, "TILE_BYTES", 1 << 26)
    source = store(tmp_path / "in.zarr", np.tile(Z, (1, 4, 4)), (5, 50, 60))

    def stop(done, total, seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_file(source, tmp_path / "out.zarr", progress=stop, workers=1, memory="2MB")
    text = r"tiling extents was .*\(tiles follow from the budget: workers was 1, now it is 9"
    with pytest.raises(Refused, match=text):
        segment_file(source, tmp_path / "out.zarr", resume=True, workers=9, memory="2MB")
    segment_file(source, tmp_path / "out.zarr", resume=True, workers=1, memory="2MB")


def test_masked_arrays_are_refused(tmp_path):
    logits = np.zeros((2, 3, 3))
    truth = np.zeros((3, 3), np.uint8)

    class Masking:  # as netCDF4's variables
        shape, dtype = logits.shape, logits.dtype

        def __getitem__(self, box):
            return np.ma.masked_array(logits[box], logits[box] == 0)

    masked = np.ma.masked_array(logits, logits == 0)
    with pytest.raises(Refused, match="source: must not be a masked array"):
        segment_file(masked, tmp_path / "a.npy")
    with pytest.raises(Refused, match="must not be a masked array"):
        evaluate_files(logits, np.ma.masked_array(truth, truth == 0))
    with pytest.raises(Failed, match="is masked in .* Fill it first"):
        segment_file(Masking(), tmp_path / "a.npy")


@pytest.mark.parametrize("size", ["a", 2.5, (2.5, 3), True])
def test_sizes_that_are_no_integers_are_refused(tmp_path, size):
    with pytest.raises(Unusable, match="size must be an integer or one per spatial axis"):
        segment_file(np.zeros((2, 3, 3)), tmp_path / "a.npy", size=size)
    found = segment_file(np.zeros((2, 3, 5)), tmp_path / "a.npy", size=4)
    assert found.shape == (4, 4)


def test_a_place_that_cannot_be_looked_at_is_given_back(tmp_path, monkeypatch):
    def broken(folder):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(lock.Path, "iterdir", broken)
        with pytest.raises(Failed, match="Input/output error"):
            lock.Place(tmp_path / "out.npy")
    lock.Place(tmp_path / "out.npy").close(keep=False)  # not locked by this process itself
    with pytest.raises(Refused, match="is no place for the account"):
        places.account_path(tmp_path, [])


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_process_that_ends_while_another_looks(tmp_path, monkeypatch, number):
    result, looks, real = tmp_path / "out.npy", [], os.lstat
    folder = lock.place_of(result)
    folder.mkdir()
    (folder / "lock").touch()

    def looked(path, *args, **kwargs):
        found = real(path, *args, **kwargs)
        looks.append(path)
        if len(looks) == number:
            shutil.rmtree(folder)
        return found

    monkeypatch.setattr(os, "lstat", looked)
    held = lock.Place(result)
    monkeypatch.undo()
    held.close(keep=False)
    assert not folder.exists()


@pytest.mark.parametrize(
    "name", ["图" * 83 + "s.npy", "é" * 122 + ".zarr", "a" * 251 + ".tif", "b" * 241]
)
def test_names_as_long_as_names_may_be(tmp_path, scores, name):
    """The hidden folder of a long name is as long as names may be; runs are resumed beside it."""
    name += "" if "." in name else ".nii.gz"
    result = tmp_path / name
    assert 245 <= len(os.fsencode(name)) <= 255
    with pytest.raises(Stop):
        segment_file(scores, result, outputs="labels", progress=stop_after(1)[1])
    (hidden,) = (path for path in tmp_path.iterdir() if path.name.startswith("."))
    assert len(os.fsencode(hidden.name)) <= 255
    found = segment_file(scores, result, outputs="labels", resume=True)
    assert found.tiles_resumed
    with open_any(result) as source:
        assert (source[:].reshape(LABELS.shape) == LABELS).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "scores.npy"])


def test_long_names_of_one_beginning_grow_apart(tmp_path):
    first, second = (lock.place_of(tmp_path / ("a" * 250 + end)) for end in ("1.npy", "2.npy"))
    assert first != second
    assert lock.place_of(tmp_path / "a.npy").name == ".a.npy.softmax2d"


def test_names_that_no_file_system_takes(tmp_path, scores):
    for name, size in (("图" * 84 + ".npy", 256), ("x" * 4000 + ".npy", 4004)):
        for read in (
            lambda path: segment_file(scores, path, outputs="labels"),
            lambda path: evaluate_files(scores, LABELS, report=path.with_suffix(".json")),
            lambda path: evaluate_files(scores, LABELS, summary=path.with_suffix(".json")),
        ):
            with pytest.raises(Refused, match=rf"is a name of ({size}|{size + 1}) bytes, and file"):
                read(tmp_path / name)
    with pytest.raises(
        Refused, match="confidence.npy: is a name of .* or that of the result beside"
    ):
        segment_file(scores, tmp_path / ("a" * 245 + ".npy"), outputs=("labels", "confidence"))


def test_counts_are_kept_beside_a_long_name(tmp_path, scores):
    np.save(tmp_path / "truth.npy", LABELS)
    report = tmp_path / ("图" * 83 + ".json")
    evaluate_files(scores, tmp_path / "truth.npy", report=report)
    assert json.loads(report.read_text())["measures"]["pixels"] == LABELS.size
