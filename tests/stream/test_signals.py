"""Stopped at the wrong moment: a signal may come wherever Python is."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from softmax2d.cli._app import Stopped, _stop_signals
from softmax2d.stream.workers import threads
from softmax2d.stream.workers.threads import hold_back

NAMES = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of a program in a terminal, whatever runs the tests."""
    before = {name: signal.getsignal(getattr(signal, name)) for name in NAMES}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def test_held_back_until_the_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), hold_back():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("all of it")
    assert done


def test_held_back_where_something_fails() -> None:
    with pytest.raises(KeyboardInterrupt) as stopped, hold_back():
        os.kill(os.getpid(), signal.SIGINT)
        raise RuntimeError("first")
    assert str(stopped.value.__context__) == "first"


def test_held_back_leaves_what_is_not_ours() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with hold_back():
        os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    entered: list[bool] = []

    def beside() -> None:
        with hold_back():
            entered.append(True)

    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    assert entered


class Waiting:
    """A task that ends when it may."""

    def __init__(self) -> None:
        self.go, self.done = threading.Event(), list[int]()

    def prepare(self) -> None:
        pass

    def __call__(self, tile: int) -> dict[str, int]:
        self.go.wait(60)
        self.done.append(tile)
        return {"tile": tile}


def test_stopped_while_threads_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiles in hand are finished and said, and no thread goes on by itself."""
    task, said = Waiting(), list[int]()
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        os.kill(os.getpid(), signal.SIGINT)
        if thread.name == "softmax2d-1":  # the last
            task.go.set()

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        threads.run(task, itertools.count(), lambda record: said.append(record["tile"]), 2)
    assert sorted(said) == sorted(task.done)
    assert said
    assert not [t for t in threading.enumerate() if t.name.startswith("softmax2d-")]


@pytest.mark.parametrize("name", NAMES)
def test_stopped_is_stopped_whatever_comes_of_it(name: str) -> None:
    """As `with condition:` fails where its wait was interrupted."""
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)  # not ignored, as under nohup
    try:
        with pytest.raises(Stopped) as stopped, _stop_signals():
            try:
                os.kill(os.getpid(), number)
            finally:
                raise RuntimeError("release unlocked lock")
    finally:
        signal.signal(number, before)
    assert stopped.value.number == number
    with pytest.raises(RuntimeError, match="no signal"), _stop_signals():
        raise RuntimeError("no signal")
