"""Threads: many callers, the GIL, limits and settings, idleness, and life after fork."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import _core, _runtime
from tests import cases

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="affinity and fork of Linux"
)
LARGE = (19, 256, 512)  # 2.5 million logits: worth several threads


def large(seed: int = 0) -> Any:
    return np.random.default_rng([cases.SEED, seed]).normal(0, 5, LARGE).astype(np.float32)


def run(code: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python code in a fresh process; a hang is a failure."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SOFTMAX2D_", "OMP_"))}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=clean | environment,
    )


def output(code: str, timeout: float = 60, **environment: str) -> str:
    """What a process prints; it must end well."""
    done = run(code, timeout, **environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_many_python_threads_at_once(isa: str, threads: int) -> None:
    s2d.set_num_threads(threads)
    inputs = [large(i)[:, : 20 + 40 * i] for i in range(6)]
    want = [(s2d.softmax2d(z), s2d.segment(z, outputs=("labels", "entropy"))) for z in inputs]
    barrier = threading.Barrier(8)

    def work(seed: int) -> None:
        rng = np.random.default_rng([cases.SEED, seed])
        barrier.wait()
        for _ in range(6):
            i = int(rng.integers(len(inputs)))
            probs, segmentation = want[i]
            assert np.array_equal(s2d.softmax2d(inputs[i]), probs), f"seed {seed}"
            got = s2d.segment(inputs[i], outputs=("labels", "entropy"))
            assert np.array_equal(got.labels, segmentation.labels)
            assert np.array_equal(got.entropy, segmentation.entropy)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_the_setting_may_change_while_others_compute() -> None:
    logits = large()
    want, stop = s2d.softmax2d(logits), threading.Event()

    def change() -> None:
        n = 0
        while not stop.is_set():
            n = n % 4 + 1
            s2d.set_num_threads(n)
            _core.use_build(_core.runnable_builds()[-1])

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(20):
            assert np.array_equal(s2d.softmax2d(logits), want)
    finally:
        stop.set()
        changer.join()


def test_the_gil_is_released() -> None:
    """Another Python thread gets on while one long call runs."""
    logits = np.zeros((256, 1000, 400), np.float16)
    out, count, stop = np.empty_like(logits), [0], threading.Event()
    s2d.set_num_threads(1)

    def tick() -> None:
        while not stop.is_set():
            count[0] += 1
            time.sleep(0.0005)

    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        time.sleep(0.01)
        best = 0.0
        for _ in range(3):
            before, start = count[0], time.perf_counter()
            s2d.log_softmax2d(logits, out=out)
            took, ticks = time.perf_counter() - start, count[0] - before
            best = max(best, ticks / took)
    finally:
        stop.set()
        ticker.join()
    assert took > 0.01, "too short to tell"
    assert best > 100, f"{best:.0f} ticks a second during a call of {took:.2f} s"


def test_set_and_get() -> None:
    available = s2d.get_num_threads()
    assert available >= 1
    for n in (1, 3, 4096, np.int64(2)):
        s2d.set_num_threads(n)
        assert s2d.get_num_threads() == n
    s2d.set_num_threads(None)
    assert s2d.get_num_threads() == _core.available_processors()


GET = "import softmax2d; print(softmax2d.get_num_threads())"


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"SOFTMAX2D_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "5"}, "5"),
        ({"OMP_NUM_THREADS": "5,2"}, "5"),
        ({"SOFTMAX2D_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
        ({"SOFTMAX2D_NUM_THREADS": " 7 "}, "7"),
        ({"SOFTMAX2D_NUM_THREADS": ""}, None),
        ({"OMP_NUM_THREADS": "many"}, None),
        ({"OMP_NUM_THREADS": "0"}, None),
        ({}, None),
    ],
)
def test_environment(environment: dict[str, str], threads: str | None) -> None:
    expected = threads or output("from softmax2d import _core; print(_core.available_processors())")
    assert output(GET, **environment) == expected


@pytest.mark.parametrize("value", ["0", "-1", "many", "2.5", "4097", "1,2"])
def test_wrong_environment_is_said(value: str) -> None:
    done = run(GET, SOFTMAX2D_NUM_THREADS=value)
    text = f"softmax2d: SOFTMAX2D_NUM_THREADS must be a whole number from 1 to 4096; got '{value}'."
    assert done.returncode != 0 and text in done.stderr


@linux
def test_affinity_is_honoured() -> None:
    code = """
        import os, softmax2d
        every = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, every[:1])
        one = softmax2d.get_num_threads()
        os.sched_setaffinity(0, every)
        print(one, softmax2d.get_num_threads() <= len(every))
    """
    assert output(code) == "1 True"


def threads_of_this_process() -> str:
    """Code that counts the threads of the process it runs in."""
    return "len(os.listdir('/proc/self/task'))"


@linux
def test_small_calls_and_one_thread_start_none() -> None:
    code = f"""
        import os, numpy as np, softmax2d
        softmax2d.set_num_threads(4)
        before = {threads_of_this_process()}
        softmax2d.softmax2d(np.zeros((3, 10, 10)))
        small = {threads_of_this_process()} - before
        softmax2d.set_num_threads(1)
        softmax2d.softmax2d(np.zeros((19, 256, 512), np.float32))
        one = {threads_of_this_process()} - before
        softmax2d.set_num_threads(3)
        softmax2d.softmax2d(np.zeros((19, 256, 512), np.float32))
        print(small, one, {threads_of_this_process()} - before)
    """
    assert output(code, OPENBLAS_NUM_THREADS="1") == "0 0 2"


@linux
@pytest.mark.parametrize("room", [35, 43, 51, 60])  # MB
def test_a_system_without_more_threads_still_computes(room: int) -> None:
    code = """
        import os, resource, numpy as np, softmax2d
        logits = np.random.default_rng(0).normal(size=(19, 256, 512))
        softmax2d.set_num_threads(1)
        want, out = softmax2d.softmax2d(logits), np.zeros_like(logits)
        softmax2d.set_num_threads(64)
        used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
        # Room for the stacks of a few threads, which takes all of it but some pages.
        resource.setrlimit(resource.RLIMIT_AS, (used + (ROOM << 20), -1))
        for _ in range(3):
            softmax2d.softmax2d(logits, out=out)
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        started = len(os.listdir('/proc/self/task'))
        assert np.array_equal(out, want) and started < 64, started
        print('ok')
    """
    assert output(code.replace("ROOM", str(room)), OPENBLAS_NUM_THREADS="1") == "ok"


def test_no_busy_waiting_after_calls() -> None:
    """Workers sleep: processor time stands still while nothing is asked for."""
    s2d.set_num_threads(4)
    logits, least = large(), 1.0
    for _ in range(3):
        s2d.softmax2d(logits)
        before = time.process_time()
        time.sleep(0.2)
        least = min(least, time.process_time() - before)
    assert least < 0.02, f"{least:.3f} s of processor time in 0.2 s of sleep"


SETUP = """
    import os, signal, sys, threading, time, warnings
    import numpy as np, softmax2d as s2d
    warnings.simplefilter('ignore')  # Python 3.12 warns of fork among threads
    signal.alarm(50)
    logits = np.random.default_rng(0).normal(size=(19, 256, 256)).astype(np.float32)
    s2d.set_num_threads(1)
    want = s2d.softmax2d(logits)
    s2d.set_num_threads(3)

    def check():
        for _ in range(3):
            assert np.array_equal(s2d.softmax2d(logits), want)
            assert np.array_equal(s2d.segment(logits).labels, logits.argmax(0))

    def fork_and_check(depth=1):
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(40)
                check()
                if depth > 1:
                    fork_and_check(depth - 1)
                check()
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
"""


def forked(code: str) -> None:
    """Run ``code`` after ``SETUP`` and expect ok."""
    assert output(textwrap.dedent(SETUP) + textwrap.dedent(code) + "\nprint('ok')") == "ok"


@linux
def test_fork_before_and_after_use() -> None:
    forked("fork_and_check(); check(); fork_and_check(); check(); fork_and_check(3); check()")


@linux
def test_fork_while_another_thread_computes() -> None:
    forked("""
        stop = threading.Event()

        def busy():
            while not stop.is_set():
                s2d.softmax2d(logits)

        others = [threading.Thread(target=busy) for _ in range(2)]
        for t in others: t.start()
        try:
            for _ in range(12):
                fork_and_check()
        finally:
            stop.set()
            for t in others: t.join()
        check()
    """)


def labels_in_a_worker(seed: int) -> bool:
    """Work for a pool of processes."""
    logits = large(seed)
    s2d.set_num_threads(2)
    return bool(np.array_equal(s2d.segment(logits).labels, logits.argmax(0)))


@linux
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_multiprocessing(method: str) -> None:
    s2d.set_num_threads(2)
    assert labels_in_a_worker(0)  # the pool of threads exists before the processes do
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(labels_in_a_worker, range(4)).get(timeout=60) == [True] * 4
    assert labels_in_a_worker(0)


class Dataset:
    """Labels of random logits, computed in a DataLoader's worker."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> Any:
        logits = large(i)
        return s2d.segment(logits).labels.astype(np.int64), logits.argmax(0)


@linux
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
def test_pytorch_data_loader() -> None:
    from torch.utils.data import DataLoader

    s2d.set_num_threads(2)
    assert labels_in_a_worker(0)
    loader = DataLoader(Dataset(), batch_size=2, num_workers=2, timeout=60)  # type: ignore[arg-type]
    seen = 0
    for got, want in loader:
        assert bool((got == want).all())
        seen += len(got)
    assert seen == 6
    assert labels_in_a_worker(0)


@linux
def test_exit_while_threads_are_idle_or_busy() -> None:
    """Interpreter shutdown neither hangs nor crashes, a daemon thread in a kernel included."""
    code = """
        import threading, numpy as np, softmax2d as s2d
        logits = np.zeros((19, 256, 512), np.float32)
        s2d.set_num_threads(4)
        s2d.softmax2d(logits)
        def forever():
            while True:
                s2d.softmax2d(logits)
        threading.Thread(target=forever, daemon=True).start()
        print('ok')
    """
    for _ in range(3):
        assert output(code) == "ok"


def test_threadpoolctl_lists_and_limits_the_threads() -> None:
    code = """
        import threadpoolctl, softmax2d as s2d, softmax2d.threadpools as pools
        pools.register()
        pools.register()
        s2d.set_num_threads(3)
        own = [d for d in threadpoolctl.threadpool_info() if d["user_api"] == "softmax2d"]
        assert [d["num_threads"] for d in own] == [3], own
        assert own[0]["version"] == s2d.__version__
        with threadpoolctl.threadpool_limits(limits=1):
            assert s2d.get_num_threads() == 1
        print(s2d.get_num_threads())
    """
    assert output(code) == "3"


def test_a_thread_of_several_uses_its_own_number():
    seen = {}

    def work():
        _runtime.share_threads(3)
        seen["own"] = s2d.get_num_threads()
        _runtime.share_threads(0)
        seen["ended"] = s2d.get_num_threads()

    s2d.set_num_threads(5)
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert seen == {"own": 3, "ended": 5}
    assert s2d.get_num_threads() == 5
