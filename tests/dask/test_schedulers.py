"""softmax2d.dask on Dask's schedulers: threads, processes, and a cluster of workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

import softmax2d as s2d
import softmax2d.dask as s2k
from tests.dask.test_dask import logits_of
from tests.dask.test_evaluate import truth_of


def results(lazy: da.Array, truth: Any) -> tuple[Any, ...]:
    found = s2k.segment(lazy, size=(40, 31), top_k=2, bias=np.arange(5.0))
    return found.labels, found.top_probs, s2k.softmax2d(lazy), s2k.evaluate(lazy, truth)


def check(computed: tuple[Any, ...], z: Any, truth: Any) -> None:
    found = s2d.segment(z, size=(40, 31), top_k=2, bias=np.arange(5.0))
    want = found.labels, found.top_probs, s2d.softmax2d(z)
    for one, other in zip(computed, want, strict=False):
        assert np.array_equal(one, other, equal_nan=True)
    assert computed[3] == s2d.evaluate(z, truth)


def test_tasks_at_once_share_the_threads_of_the_core() -> None:
    z, truth = logits_of((4, 5, 60, 70)), truth_of((4, 60, 70))
    lazy = da.from_array(z, chunks=(1, 5, 30, 35))
    for threads in (1, 3):
        s2d.set_num_threads(threads)
        check(dask.compute(*results(lazy, truth), scheduler="threads", num_workers=4), z, truth)


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    """Two processes without a page of their own, that leave nothing behind."""
    from distributed import Client, LocalCluster

    quiet = {
        "distributed.admin.system-monitor.disk": False,
        "distributed.worker.profile.enabled": False,
    }
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set(quiet),
        LocalCluster(processes=True, local_directory=str(tmp_path), **settings) as workers,
        Client(workers) as client,
    ):
        yield client


def test_processes() -> None:
    z, truth = logits_of(), truth_of((2, 20, 30))
    lazy = da.from_array(z, chunks=(1, 5, 20, 30))
    check(dask.compute(*results(lazy, truth), scheduler="processes", num_workers=2), z, truth)


def test_a_cluster_of_processes(cluster: Any) -> None:
    processes = set(cluster.run(os.getpid).values())
    assert len(processes | {os.getpid()}) == 3
    z, truth = logits_of(), truth_of((2, 20, 30))
    lazy = da.from_array(z, chunks=(1, 2, 10, 11))
    check(tuple(cluster.gather(cluster.compute(list(results(lazy, truth))))), z, truth)
    truth[1, 3, 4] = 77
    with pytest.raises(ValueError, match=r"^evaluate: target must be in \[0, 5\); got 77 at \(1,"):
        cluster.compute(s2k.evaluate(lazy, truth)).result()
