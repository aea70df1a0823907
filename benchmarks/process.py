"""A library in a process of its own, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

from benchmarks import machine

NEEDED = {"torch": ("torch",), "copy-torch": ("torch",), "scipy": ("scipy",),
          "onnxruntime": ("onnxruntime", "onnx"), "torchmetrics": ("torch", "torchmetrics"),
          "skimage": ("skimage",)}  # fmt: skip
COPIES = ("copy-torch", "copy-memcpy", "copy-streaming")
STREAMING = "glibc.cpu.x86_non_temporal_threshold=0x10000"


class Process:
    """A worker: a library in a process of its own."""

    def __init__(self, library: str, threads: int, build: str = "") -> None:
        self.library, self.build, self.threads = library, build, threads
        environment = os.environ | {
            name: str(threads)
            for name in ("SOFTMAX2D_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        }
        environment.pop("SOFTMAX2D_ISA", None)
        if build:
            environment["SOFTMAX2D_ISA"] = build
        if library == "copy-streaming":
            environment["GLIBC_TUNABLES"] = STREAMING
        command = [sys.executable, "-m", "benchmarks.worker", library, str(threads)]
        self._process = subprocess.Popen(
            command, cwd=machine.ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.facts: dict[str, Any] = {}

    def answer(self) -> dict[str, Any]:
        """Read one reply."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"benchmarks: the {self.name} process ended; see above.")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send one request and wait for its reply."""
        assert self._process.stdin is not None
        print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        return self.answer()

    def greet(self) -> None:
        """Wait until the library is imported."""
        self.facts = self.answer()
        if "failed" in self.facts:
            raise SystemExit(f"benchmarks: {self.name} cannot be used: {self.facts['failed']}")

    @property
    def name(self) -> str:
        return f"{self.library} {self.build}".strip()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def absent(library: str) -> str:
    """Why ``library`` cannot take part, or nothing."""
    if library == "copy-streaming" and (sys.platform != "linux" or os.uname().machine != "x86_64"):
        return "needs the C library of Linux on x86-64"
    missing = [name for name in NEEDED.get(library, ()) if find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""
