"""One training run, with what its losses cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import softmax2d.torch as s2t

VOID = 255


def plain_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Logits resampled to the target's size, and PyTorch's loss of them."""
    fine = nn.functional.interpolate(
        logits.float(), target.shape[-2:], mode="bilinear", align_corners=False
    )
    # PyTorch's mean over no valid pixel is NaN; both losses are kept to one behaviour here.
    return nn.functional.cross_entropy(fine, target.long(), ignore_index=VOID)


LOSSES: dict[str, Callable[..., Any]] = {
    "plain": lambda: plain_loss,
    "softmax2d": lambda: s2t.CrossEntropy2d(ignore_index=VOID),
}


@dataclass
class Run:
    """What a run leaves behind.

    Attributes
    ----------
    losses : list of float
        Of each step.
    loss_seconds, step_seconds : list of float
        Of loss and its gradient at the logits; of the whole step.
    extra_bytes : list of int
        Highest memory during loss and gradient, above what was in use before.
    mean_iou : float
        On the scenes kept back, after the last step.
    """

    losses: list[float] = field(default_factory=list)
    loss_seconds: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    extra_bytes: list[int] = field(default_factory=list)
    mean_iou: float = float("nan")


class Gauge:
    """Time and memory of a piece of work on a device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def _resident(self, name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)

    def start(self) -> None:
        """Wait for the device, and begin to watch."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        elif Path("/proc/self/clear_refs").exists():  # Linux: forget the highest so far
            Path("/proc/self/clear_refs").write_text("5")
            self._before = self._resident("VmRSS")
        self._began = time.perf_counter()

    def stop(self) -> tuple[float, int]:
        """Seconds since the start, and bytes above what was in use then (0 where unknown)."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            extra = torch.cuda.max_memory_allocated(self._device) - self._before
            return time.perf_counter() - self._began, extra
        seconds = time.perf_counter() - self._began
        if not Path("/proc/self/clear_refs").exists():
            return seconds, 0
        return seconds, max(0, self._resident("VmHWM") - self._before)


def batches(scenes: Any, count: int, steps: int, seed: int) -> Any:
    """The same batches for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(scenes), (count,), generator=generator).tolist()
        images, targets = zip(*(scenes[i] for i in chosen), strict=True)
        yield torch.stack(images), torch.stack(targets)


def train(network: nn.Module, loss: Any, scenes: Any, settings: Any) -> Run:
    """Train in place; ``settings`` are the command line's."""
    device, run = torch.device(settings.device), Run()
    form = torch.channels_last if settings.channels_last else torch.contiguous_format
    network.to(device, memory_format=form).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate)
    half = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}[settings.mixed]
    scaler = torch.amp.GradScaler(device.type, enabled=settings.mixed == "fp16")
    gauge = Gauge(device)
    for pictures, masks in batches(scenes, settings.batch, settings.steps, settings.seed):
        began = time.perf_counter()
        images = pictures.to(device, memory_format=form)
        targets = masks.to(device)
        with torch.autocast(device.type, dtype=half, enabled=half is not None):
            logits = network(images)
            at = logits.detach().requires_grad_()
            gauge.start()
            value = loss(at, targets)
        scaler.scale(value).backward()
        seconds, extra = gauge.stop()
        run.loss_seconds.append(seconds)
        run.extra_bytes.append(extra)
        logits.backward(at.grad)
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad(set_to_none=True)
        run.losses.append(value.item())
        run.step_seconds.append(time.perf_counter() - began)
    return run


@torch.inference_mode()
def mean_iou(network: nn.Module, scenes: Any, device: str) -> float:
    """Mean intersection over union of the labels at the masks' size."""
    judge = s2t.Evaluate(ignore_index=VOID)
    network.eval()
    for image, target in (scenes[i] for i in range(len(scenes))):
        judge(network(image[None].to(device)).float(), target[None].to(device))
    return float(judge.compute().mean_iou)
