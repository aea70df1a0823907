"""Stopped while the command starts: every entry, at every import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

SCRIPT = Path(sysconfig.get_path("scripts")) / "softmax2d"
ENTRIES = {"script": [str(SCRIPT)], "module": [sys.executable, "-m", "softmax2d"]}
# NumPy, or what else is named, sends the signal when its import begins and again a little later.
SENDER = """
import os, signal, sys, time

class Sender:
    def find_spec(self, name, path=None, target=None):
        if name == {at!r}:
            os.kill(os.getpid(), {number})
            time.sleep(0.2)

sys.meta_path.insert(0, Sender())
"""


def started(entry: str, tmp_path: Path, at: str, number: int) -> subprocess.CompletedProcess[str]:
    """``softmax2d info`` that gets a signal when it imports ``at``."""
    (tmp_path / "sitecustomize.py").write_text(SENDER.format(at=at, number=int(number)))
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [*ENTRIES[entry], "info"]
    handled = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

    def reset() -> None:  # as from a terminal, whatever runs the tests
        for each in handled:
            signal.signal(each, signal.SIG_DFL)

    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        preexec_fn=reset,
    )


@pytest.mark.skipif(not SCRIPT.exists(), reason="the package is not installed")
@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("numpy", signal.SIGINT),
        ("click", signal.SIGTERM),
        ("softmax2d._core", signal.SIGHUP),
        ("softmax2d.cli._predict", signal.SIGINT),
    ],
)
def test_stopped_during_an_import(entry: str, tmp_path: Path, at: str, number: int) -> None:
    done = started(entry, tmp_path, at, number)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


def test_the_probe_can_fail(tmp_path: Path) -> None:
    """What is not imported sends nothing."""
    done = started("module", tmp_path, "no_such_module", signal.SIGINT)
    assert done.returncode == 0
    assert done.stdout.startswith("softmax2d ")


@pytest.mark.parametrize("how", ["-c", "-m"])
def test_the_library_leaves_signals_alone(tmp_path: Path, how: str) -> None:
    """Also in a program that is itself run by ``python -m``."""
    look = "import signal, softmax2d; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "__init__.py").write_text(look)
    (tmp_path / "trainer" / "__main__.py").write_text("")
    command = [sys.executable, how, look if how == "-c" else "trainer"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_ignored_signals_stay_ignored() -> None:
    code = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from softmax2d_start import watch; watch()\n"
        "os.kill(os.getpid(), signal.SIGHUP); print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "goes on\n")


def test_lost_in_a_callback_it_comes_again() -> None:
    """An exception of a weak reference's callback has no caller, and Python goes on."""
    code = """
import os, signal, time, weakref
from softmax2d.cli._app import App, _stop_signals, Stopped
signal.signal(signal.SIGINT, signal.default_int_handler)
class Thing: pass
thing = Thing()
watched = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT) or sum(range(9)))
try:
    with _stop_signals():
        del thing
        time.sleep(30)
except Stopped as stop:
    print("stopped", stop.number)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("stopped 2\n", "")
    assert time.monotonic() - began < 20
