"""One library in one process: answers requests, one JSON object a line, until its input ends.

``python -m benchmarks.worker LIBRARY THREADS``. Between two requests it sleeps in a read, so that
its thread pool disturbs nobody.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.inputs import Inputs
from benchmarks.ways import WAYS

MODULES = {
    "softmax2d": "softmax2d",
    "torch": "torch",
    "copy-torch": "torch",
    "scipy": "scipy.special",
    "onnxruntime": "onnxruntime",
    "torchmetrics": "torchmetrics",
    "skimage": "skimage.transform",
    "copy-memcpy": "numpy",
    "copy-streaming": "numpy",
}


def _as_tensor(array: Any) -> Any:
    """A tensor over a NumPy array's memory."""
    import torch

    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _status(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def _result_bytes(result: Any, given: Any) -> int:
    """Size of the arrays in ``result`` that were not given as ``out``."""
    parts = result if isinstance(result, tuple) else (result,)
    return sum(int(part.nbytes) for part in parts if part is not None and part is not given)


class Worker:
    """What one library knows and holds."""

    def __init__(self, library: str, threads: int) -> None:
        self.library, self.threads = library, threads
        self.lib = importlib.import_module(MODULES[library])
        self.view = lambda array: array
        self.inputs: dict[str, Inputs] = {}
        if MODULES[library] in ("torch", "torchmetrics"):
            import torch

            self.view = _as_tensor
            torch.set_num_threads(threads)
            torch.set_grad_enabled(False)
        elif library == "softmax2d":
            self.lib.set_num_threads(threads)

    def hello(self) -> dict[str, Any]:
        """Name and version of the library, and what it was built for."""
        package = MODULES[self.library].partition(".")[0]
        name = {"skimage": "scikit-image"}.get(package, package)
        facts: dict[str, Any] = {"version": version(name), "numpy": np.__version__}
        if package == "torch":
            facts["cpu"] = self.lib.backends.cpu.get_cpu_capability()
        elif package == "softmax2d":
            facts["build"] = self.lib.instruction_set()
            facts["builds"] = list(self.lib._core.runnable_builds())
        return facts

    def prepare(self, case: dict[str, Any]) -> dict[str, Any]:
        """Take up a case; its arrays are made when a job first needs them."""
        known = Case.from_dict(case)
        self.inputs[known.name] = Inputs(known, self.lib, self.threads, self.view)
        return {}

    def forget(self) -> dict[str, Any]:
        """Free the arrays of all cases."""
        self.inputs.clear()
        return {}

    def first(self, case: str, job: str, how: str) -> dict[str, Any]:
        """Do a job for the first time: makes its arguments, compiles, or says why it cannot."""
        function, inputs = WAYS[self.library][job][how], self.inputs[case]
        try:
            inputs.make_ready(job)
            start = time.perf_counter()
            function(inputs)
            seconds = time.perf_counter() - start
        except Exception as error:  # whatever a library raises for what it does not support
            lines = str(error).strip().splitlines() or [""]
            return {"skipped": f"{type(error).__name__}: {lines[0][:200]}"}
        return {"seconds": seconds} if seconds > 1 else self.time(case, job, how, 1, warm=False)

    def time(self, case: str, job: str, how: str, number: int, warm: bool) -> dict[str, Any]:
        """Seconds a call, over ``number`` calls; ``warm`` makes one before the clock starts."""
        function, inputs = WAYS[self.library][job][how], self.inputs[case]
        gc.disable()
        if warm:
            function(inputs)
        start = time.perf_counter()
        for _ in range(number):
            function(inputs)
        seconds = (time.perf_counter() - start) / number
        gc.enable()
        return {"seconds": seconds}

    def memory(self, case: str, job: str, how: str) -> dict[str, Any]:
        """Bytes of the results, and the most that was held beside arguments and results.

        Meant for the first call in a fresh process. A call on hardly any pixels goes before, so
        that the library's code, loaded on demand, is not counted; its threads are.
        """
        function, inputs = WAYS[self.library][job][how], self.inputs[case]
        try:
            inputs.make_ready(job)
            function(Inputs(inputs.case.tiny, self.lib, self.threads, self.view))
            gc.collect()
            before = _status("VmRSS")
            Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back to VmRSS
            result = function(inputs)
            peak = _status("VmHWM")
        except OSError as error:
            return {"skipped": f"no peak memory here: {error}"}
        size = _result_bytes(result, inputs.__dict__.get("out"))
        return {"result": size, "beside": max(peak - before - size, 0)}


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not look like an answer
    try:
        worker = Worker(sys.argv[1], int(sys.argv[2]))
        reply: dict[str, Any] = worker.hello()
    except Exception as error:
        reply = {"failed": f"{type(error).__name__}: {error}"}
    with suppress(BrokenPipeError):
        print(json.dumps(reply), file=answers, flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            reply = getattr(worker, request.pop("do"))(**request)
            print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
