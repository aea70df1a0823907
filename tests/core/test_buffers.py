"""Memory of large results: kept for the next one, never shared by two that live."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import softmax2d as s2d

LARGE = (19, 256, 512)  # 9.5 MiB of float32


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_a_dropped_result_leaves_its_memory_to_the_next() -> None:
    logits = np.zeros(LARGE, np.float32)
    first = s2d.softmax2d(logits)
    place = address(first)
    del first
    gc.collect()
    assert address(s2d.softmax2d(logits)) == place


def test_results_that_live_share_nothing() -> None:
    logits = np.random.default_rng(0).normal(size=LARGE).astype(np.float32)
    results = [s2d.softmax2d(logits, temperature=1 + i) for i in range(5)]
    for i, one in enumerate(results):
        assert np.array_equal(one, s2d.softmax2d(logits.copy(), temperature=1 + i))
        assert not any(np.shares_memory(one, other) for other in results[:i])


def test_a_view_keeps_the_memory() -> None:
    logits = np.zeros(LARGE, np.float32)
    row = s2d.softmax2d(logits)[0, 0]
    others = [s2d.softmax2d(logits + np.arange(19.0, dtype=np.float32)[:, None, None])]
    assert (row == np.float32(1 / 19)).all() and not np.shares_memory(row, others[0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_large_results_are_ordinary_arrays(dtype: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    for logits in (np.zeros((5, 1024, 1024), kind), np.zeros((1024, 1024, 5), kind).T):
        probs = s2d.softmax2d(logits)
        assert probs.dtype == kind and probs.shape == logits.shape
        assert probs.strides == logits.strides
        assert probs.flags.writeable and probs.flags.aligned
        assert probs[0, 0, 0] == np.float64(0.2).astype(kind)


def test_many_threads_take_and_give_back() -> None:
    logits = np.random.default_rng(1).normal(size=LARGE).astype(np.float32)
    want = s2d.softmax2d(logits).copy()
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(i for i in range(20) if not np.array_equal(s2d.softmax2d(logits), want))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_has_memory_of_its_own() -> None:
    code = """
import os, numpy as np, softmax2d as s2d
logits = np.zeros((19, 256, 512), np.float32)
kept = s2d.softmax2d(logits); s2d.softmax2d(logits)
child = os.fork()
if child == 0:
    mine = s2d.softmax2d(logits + np.arange(19, dtype=np.float32)[:, None, None])
    os._exit(0 if (kept == np.float32(1 / 19)).all() and mine[18, 0, 0] > 0.5 else 1)
assert os.waitpid(child, 0)[1] == 0
assert (s2d.softmax2d(logits) == np.float32(1 / 19)).all()
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert done.returncode == 0
