"""Compiles every variant of the Triton kernels for sm_90 with the arguments of a launch.

The launchers run on tensors of the CPU; each launch stops once its kernel is compiled.
``python tools/compile_kernels.py CACHE_DIRECTORY`` prints a line for each kernel.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)
os.environ["TRITON_CACHE_DIR"] = sys.argv[1]

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from softmax2d.torch.triton import cross_entropy, probs, segment, vjp
from softmax2d.torch.triton.loss_forward import forward_kernel


class NoDevice:
    """What Triton asks its driver before a launch."""

    def get_current_target(self) -> GPUTarget:
        """Compile for this."""
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def get_current_stream(self, device: int = 0) -> int:  # noqa: ARG002  # Triton's signature
        """None of its own."""
        return 0


launch = JITFunction.run


def usage(cubin: bytes) -> str:
    """What of a processor a kernel needs."""
    path = Path(sys.argv[1]) / "kernel.cubin"
    path.write_bytes(cubin)
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    return subprocess.run(
        [tool, "-res-usage", path], capture_output=True, text=True, check=True
    ).stdout


def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:  # noqa: ARG001  # Triton's signature
    """Compile, and look at what came out."""
    kernel = launch(self, *args, grid=grid, warmup=True, **options)
    ptx = kernel.asm["ptx"]
    assert ".target sm_90" in ptx
    registers = re.search(r"REG:\d+ STACK:(0|8) SHARED:\d+ LOCAL:0", usage(kernel.asm["cubin"]))
    assert registers, f"{self.__name__} spills registers: {usage(kernel.asm['cubin'])}"
    assert not re.search(r"\b(atom|red)\.", ptx), f"{self.__name__} has atomic operations"
    print(self.__name__, registers[0], {k: v for k, v in options.items() if k.isupper()})
    return kernel


def run(classes: int, dtype: torch.dtype, last: bool, resampled: bool, full: bool) -> None:
    """One forward and one backward; ``full``: with all options, else with none."""
    logits = torch.zeros(2, classes, 40, 48, dtype=dtype)
    logits = logits.to(memory_format=torch.channels_last) if last else logits
    height, width = (160, 192) if resampled else (40, 48)
    target = torch.zeros(2, height, width, dtype=torch.uint8 if full else torch.int64)
    each = torch.ones(classes, dtype=torch.float64) if full else None
    tables = [
        (torch.zeros(n, dtype=torch.int32), torch.zeros(n, dtype=torch.float64))
        for n in (height, width)
    ]
    rows, columns = tables if resampled else (None, None)
    options: dict[str, Any] = {"weight": each, "temperature": each, "bias": each}
    options |= {"smoothing": 0.1 if full else 0.0, "ignore_index": 255, "rows": rows}
    losses, kept = torch.zeros(target.shape), torch.zeros(2, *target.shape)
    upstream = torch.ones(target.shape) if full else torch.ones(1)
    grad = torch.zeros_like(logits)
    options["columns"] = columns
    cross_entropy.forward(logits, target, losses=losses, normaliser=kept, **options)
    cross_entropy.backward(logits, target, kept, upstream, grad, **options)
    pixels(logits, full, {k: options[k] for k in ("temperature", "bias", "rows", "columns")})


def pixels(logits: torch.Tensor, full: bool, options: dict[str, Any]) -> None:
    """Probabilities, their derivatives and segmentation of the same logits."""
    size = (160, 192) if options["rows"] is not None else (40, 48)
    out = torch.zeros(*logits.shape[:2], *size, dtype=logits.dtype)
    out = out.to(memory_format=torch.channels_last) if logits.stride(1) == 1 else out
    values: list[Any] = [torch.zeros(2, *size) for _ in range(3)] if full else [None] * 3
    values[0] = torch.zeros(2, *size)
    labels = torch.zeros(2, *size, dtype=torch.uint8)
    names = dict(zip(("confidence", "margin", "entropy"), values, strict=True))
    segment.segment(logits, labels=labels, **names, **options)
    for logs in (False, True):
        probs.probs(logits, out, logs=logs, **options)
        vjp.vjp(out, out, out, logs=logs)


driver.set_active(NoDevice())
JITFunction.run = compile_only
for resampled, full in product((False, True), (False, True)):
    run(19, torch.float32, False, resampled, full)
run(21, torch.bfloat16, True, False, False)
run(150, torch.bfloat16, True, True, True)
run(150, torch.float16, False, False, True)
variants = len(forward_kernel.device_caches[0][0])
for height, smoothing in ((40, 0.3), (36, 0.2)):
    shape = (2, height, 48)
    arguments: dict[str, Any] = dict.fromkeys(("temperature", "bias", "rows", "columns"))
    arguments |= {"weight": torch.ones(19, dtype=torch.float64), "ignore_index": 255}
    logits, truth = torch.zeros(2, 19, *shape[1:]), torch.zeros(shape, dtype=torch.int64)
    results = {"losses": torch.zeros(shape), "normaliser": torch.zeros(2, *shape)}
    cross_entropy.forward(logits, truth, smoothing=smoothing, **arguments, **results)
assert len(forward_kernel.device_caches[0][0]) <= variants + 1, "a variant for each number"
