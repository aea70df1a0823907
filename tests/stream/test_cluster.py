"""Tiles on dask.distributed: the bytes of one machine, also when a worker is killed."""

from __future__ import annotations

import json
import os
import signal

import distributed
import numpy as np
import pytest
import zarr

import softmax2d as s2d
from softmax2d.cli import app
from softmax2d.stream import Failed, Refused, Unusable, evaluate_files, segment_file
from softmax2d.stream.recovery import checkpoint
from tests.stream.tiles import cut

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

Z = np.random.default_rng(3).normal(0, 4, (5, 160, 120)).astype(np.float32)
OUTPUTS = ("labels", "confidence")


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    ) as found:
        yield found


def files(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture
def source(tmp_path, monkeypatch):
    cut(monkeypatch, 4800)
    array = zarr.create_array(
        tmp_path / "in.zarr", shape=Z.shape, dtype="f4", chunks=(5, 20, 30),
        dimension_names=("class", "y", "x"),
    )  # fmt: skip
    array[:] = Z
    return tmp_path / "in.zarr"


@pytest.mark.parametrize("suffix", ["npy", "zarr", "tif"])
@pytest.mark.parametrize("size", [None, (200, 130)])
def test_the_bytes_of_one_machine(cluster, source, tmp_path, suffix, size):
    folders = tmp_path / "one", tmp_path / "many"
    for folder, address in zip(folders, (None, cluster.scheduler_address), strict=True):
        folder.mkdir()
        out = folder / f"out.{suffix}"
        summary = segment_file(source, out, outputs=OUTPUTS, scheduler=address, size=size)
        assert summary.tiles_done == summary.tiles > 1
        assert summary.counts.pixels == summary.pixels
    assert files(folders[0]) == files(folders[1])


@pytest.mark.parametrize("size", [None, (160, 240), (20, 15)])
def test_the_bytes_whatever_the_workers(tmp_path, size, monkeypatch):
    monkeypatch.setattr("softmax2d.stream.plan.tiles.CHUNK", 64)
    chunk, z = (19, 32, 32), np.ones((19, 640, 640), np.float32)
    z[7, 100:300, 200:] = 2
    array = zarr.create_array(tmp_path / "in.zarr", shape=z.shape, dtype="f4", chunks=chunk)
    array[:] = z
    found = []
    for workers, memory in ((1, "512MB"), (2, "256MB"), (7, "2GB")):
        out = tmp_path / f"{workers}" / "out.zarr"
        out.parent.mkdir()
        run = {"workers": workers, "memory": memory, "size": size}
        summary = segment_file(tmp_path / "in.zarr", out, **run)
        found.append((summary.tiles, files(out.parent)))
    assert found[0][1] == found[1][1] == found[2][1]
    made = zarr.open_array(out / "labels")
    if size is None:
        assert found[0][0] < found[2][0]
        assert made.chunks == (64, 64)
    assert np.prod(made.chunks) >= 60  # not a file a pixel, as (20, 15) would be of such chunks


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["npy", "zarr"])
def test_a_killed_worker_is_replaced(source, tmp_path, suffix):
    killed = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
        silence_logs="CRITICAL",
    ) as cluster:  # fmt: skip

        def kill(done, total, seconds):
            if not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        (tmp_path / "many").mkdir()
        summary = segment_file(
            source,
            tmp_path / f"many/out.{suffix}",
            outputs=OUTPUTS,
            scheduler=cluster.scheduler_address,
            progress=kill,
        )
    assert killed
    assert summary.status == "done"
    (tmp_path / "one").mkdir()
    segment_file(source, tmp_path / f"one/out.{suffix}", outputs=OUTPUTS)
    assert files(tmp_path / "one") == files(tmp_path / "many")


class Stop(Exception):  # noqa: N818 - no error
    pass


def test_one_machine_goes_on_where_a_cluster_stopped(cluster, source, tmp_path):
    done = []

    def stop(*progress):
        done.append(progress)
        if len(done) == 5:
            raise Stop

    with pytest.raises(Stop):
        segment_file(
            source, tmp_path / "out.npy", scheduler=cluster.scheduler_address, progress=stop
        )
    summary = segment_file(source, tmp_path / "out.npy", resume=True, workers=1)
    assert summary.tiles_resumed >= 5


def test_a_damaged_chunk_is_named_by_the_worker(cluster, source, tmp_path):
    (source / "c/0/3/2").write_bytes(b"")
    with pytest.raises(Refused, match="chunk c/0/3/2 is empty"):
        segment_file(source, tmp_path / "out.npy", scheduler=cluster.scheduler_address)


def test_what_a_cluster_cannot_do(cluster, source, tmp_path):
    with pytest.raises(Unusable, match="a cluster reads and writes files; give paths"):
        segment_file(Z, tmp_path / "out.npy", scheduler=cluster.scheduler_address)
    with pytest.raises(Unusable, match="a cluster reads and writes files; give paths"):
        segment_file(source, np.empty((160, 120), np.uint8), scheduler=cluster.scheduler_address)


@pytest.fixture
def truth(tmp_path):
    labels = np.random.default_rng(8).integers(0, 5, Z.shape[1:]).astype(np.uint8)
    labels[30:50, 10:90] = 255
    np.save(tmp_path / "truth.npy", labels)
    return tmp_path / "truth.npy"


@pytest.mark.parametrize("size", [None, (200, 130)])
def test_an_evaluation_counts_what_one_machine_counts(cluster, source, truth, tmp_path, size):
    if size is not None:
        np.save(truth, np.random.default_rng(9).integers(0, 5, size))
    options = {"ignore_index": 255, "temperature": 1.5, "bias": [0, 1, 0, -1, 0.5], "bins": 7}
    here = evaluate_files(source, truth, **options, summary=tmp_path / "here.json")
    options["scheduler"] = cluster.scheduler_address
    there = evaluate_files(source, truth, **options, summary=tmp_path / "there.json")
    assert here == there
    told = [json.loads((tmp_path / name).read_text()) for name in ("here.json", "there.json")]
    for account in told:
        account.pop("seconds")
        account.pop("bytes_read")
        account["tiles"] = account["tiles"]["not_started"], account["tiles"]["failed"]
    assert told[0] == told[1]


@pytest.mark.slow
def test_an_evaluation_outlives_a_killed_worker(source, truth):
    killed = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
        silence_logs="CRITICAL",
    ) as cluster:  # fmt: skip

        def kill(done, total, seconds):
            if not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        address = cluster.scheduler_address
        found = evaluate_files(source, truth, ignore_index=255, scheduler=address, progress=kill)
    assert killed
    assert found == evaluate_files(source, truth, ignore_index=255)


def test_an_evaluation_goes_on_after_a_stop(cluster, source, truth, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    monkeypatch.setattr(checkpoint, "_SHARE", 0)
    calls, account = [], tmp_path / "account.json"
    asked = {"ignore_index": 255, "summary": account, "scheduler": cluster.scheduler_address}

    class Stop(Exception):  # noqa: N818 - no error
        pass

    def stop(done, total, seconds):
        calls.append(done)
        if len(calls) == 5:
            raise Stop

    with pytest.raises(Stop):
        evaluate_files(source, truth, **asked, progress=stop)
    found = evaluate_files(source, truth, **asked, resume=True)
    assert found == evaluate_files(source, truth, ignore_index=255)
    told = json.loads(account.read_text())["tiles"]
    assert told["resumed"] >= 5
    assert told["resumed"] + told["done"] == told["total"]


def test_images_of_an_evaluation_are_in_order(cluster, tmp_path, monkeypatch):
    cut(monkeypatch, 2400)
    z = np.random.default_rng(5).normal(0, 2, (2, 3, 4, 24, 30)).astype(np.float32)
    labels = np.random.default_rng(6).integers(0, 4, (2, 3, 24, 30)).astype(np.uint8)
    array = zarr.create_array(
        tmp_path / "scan.zarr", shape=z.shape, dtype="f4", chunks=(1, 2, 4, 12, 30)
    )
    array[:] = z
    np.save(tmp_path / "truth.npy", labels)
    asked = {"axis": 2, "scheduler": cluster.scheduler_address}
    details = {"per_image": True, "curves": True}
    paths = tmp_path / "scan.zarr", tmp_path / "truth.npy"
    found, want = evaluate_files(*paths, **asked, **details), s2d.evaluate(z, labels, **details)
    names = [f"scan[{i},{j}]" for i in range(2) for j in range(3)]
    assert found.per_image == want.per_image.with_names(names)
    assert found.curves == want.curves


def test_an_evaluation_on_a_cluster_needs_files_and_names_a_wrong_truth(cluster, source, truth):
    address = cluster.scheduler_address
    with pytest.raises(Unusable, match="a cluster reads files; give paths"):
        evaluate_files(source, np.load(truth), ignore_index=255, scheduler=address)
    with pytest.raises(Refused, match=r"must be in \[0, 5\); got 255 at"):
        evaluate_files(source, truth, scheduler=address)


def run(*args):
    with pytest.raises(SystemExit) as stop:
        app.main([str(a) for a in args])
    return stop.value.code


def test_the_command_line(cluster, source, tmp_path, capsys):
    names = {"one.npy": [], "many.npy": ["--workers", "2"]}
    names["far.npy"] = ["--scheduler", cluster.scheduler_address]
    for name, options in names.items():
        assert run("segment", source, "-o", tmp_path / name, "--quiet", *options) == 0
        assert (tmp_path / name).read_bytes() == (tmp_path / "one.npy").read_bytes()
    assert capsys.readouterr() == ("", "")
    both = ["--workers", 2, "--scheduler", "tcp://localhost:1"]
    assert run("segment", source, "-o", tmp_path / "b.npy", *both) == 2
    assert "give --scheduler or --workers, not both" in capsys.readouterr().err
    assert run("segment", source, "-o", tmp_path / "b.npy", "--workers", "0") == 2
    assert "must be at least 1" in capsys.readouterr().err
    assert run("segment", source, "-o", tmp_path / "b.npy", "--scheduler", "no://where") == 2
    assert "no scheduler answers at no://where" in capsys.readouterr().err


def test_the_command_line_evaluates(cluster, source, truth, tmp_path, capsys):
    reports = {"one.json": [], "many.json": ["--workers", "2"]}
    reports["far.json"] = ["--scheduler", cluster.scheduler_address]
    for name, options in reports.items():
        asked = ["--ignore-index", 255, "--quiet", "--report", tmp_path / name, *options]
        asked += ["--summary", tmp_path / f"account.{name}"]
        assert run("evaluate", source, truth, *asked) == 0
        assert (tmp_path / name).read_bytes() == (tmp_path / "one.json").read_bytes()
        told = json.loads((tmp_path / f"account.{name}").read_text())
        assert told["status"] == "done"
        assert told["pixels"]["done"] == told["pixels"]["total"] == 160 * 120
        assert told["pixels"]["ignored"] == 20 * 80
    assert capsys.readouterr() == ("", "")
    both = ["--workers", 2, "--scheduler", "tcp://localhost:1"]
    assert run("evaluate", source, truth, *both) == 2
    assert "give --scheduler or --workers, not both" in capsys.readouterr().err


@pytest.mark.slow
def test_a_task_uses_one_thread():
    from softmax2d import get_num_threads
    from softmax2d.stream.workers import cluster as _cluster

    before = get_num_threads()
    assert _cluster.do_tile(lambda tile: (tile, get_num_threads()), 7) == (7, 1)
    assert get_num_threads() == before


@pytest.mark.slow
def test_workers_that_always_die_are_reported(cluster, monkeypatch):
    from softmax2d.stream.plan.inputs import Opening
    from softmax2d.stream.workers import cluster as _cluster
    from softmax2d.stream.workers import threads

    class Dead:
        def result(self):
            raise distributed.scheduler.KilledWorker("tile", None, 3)

    job = _cluster.StoringJob(Opening("in.zarr"), None, None, ())
    with pytest.raises(threads.TileError) as error:
        _cluster.Cluster._collect(None, Dead(), 4, job, None)
    assert isinstance(error.value.__cause__, Failed)
    assert "every worker that took tile 4 died" in str(error.value.__cause__)


@pytest.mark.parametrize("binary", [False, True])
def test_workers_see_the_same_numbers(cluster, tmp_path, monkeypatch, binary):
    cut(monkeypatch, 4800)
    p = np.exp(Z.astype(np.float64))
    p = (p / p.sum(0)).astype(np.float32)[: 1 if binary else None]
    truth = (p[0] > 0.5).astype(np.uint8) if binary else Z.argmax(0).astype(np.uint8)
    np.save(tmp_path / "in.npy", p)
    np.save(tmp_path / "t.npy", truth)
    how = {"input": "probabilities", "binary": binary}
    folders = tmp_path / "one", tmp_path / "many"
    counts = []
    for folder, address in zip(folders, (None, cluster.scheduler_address), strict=True):
        folder.mkdir()
        asked = how | {"scheduler": address}
        segment_file(
            tmp_path / "in.npy", folder / "o.npy", outputs=OUTPUTS, size=(200, 130), **asked
        )
        counts.append(evaluate_files(tmp_path / "in.npy", tmp_path / "t.npy", **asked))
    assert files(folders[0]) == files(folders[1])
    assert counts[0] == counts[1]
    assert counts[0].accuracy == 1
