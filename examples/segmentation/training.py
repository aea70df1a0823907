"""One training run, with what its losses cost."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from contextlib import suppress
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
        Highest memory during loss and gradient, above what was in use before; once an
        epoch, in a call of its own that no time counts.
    judged : list of (int, float, list of float)
        Step, mean IoU and IoU of each class on the scenes held out.
    """

    losses: list[float] = field(default_factory=list)
    loss_seconds: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    extra_bytes: list[int] = field(default_factory=list)
    judged: list[tuple[int, float, list[float]]] = field(default_factory=list)

    @property
    def mean_iou(self) -> float:
        """The last."""
        return self.judged[-1][1]

    @property
    def class_iou(self) -> list[float]:
        """The last of each class."""
        return self.judged[-1][2]


class Gauge:
    """The most memory that a piece of work takes on a device, beside what was in use before."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def _resident(self, name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)

    def measure(self, work: Callable[[], Any]) -> int:
        """Bytes; 0 where the system does not say."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            before = torch.cuda.memory_allocated(self._device)
            work()
            return torch.cuda.max_memory_allocated(self._device) - before
        if not Path("/proc/self/clear_refs").exists():  # Linux has it
            work()
            return 0
        _give_back()
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest so far
        before = self._resident("VmRSS")
        work()
        return max(0, self._resident("VmHWM") - before)


def _give_back() -> None:
    """Have the C library give freed memory back: taken again unseen, it would cost nothing."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


class Clock:
    """How long all steps of all runs will take, by those that are done."""

    def __init__(self, steps: int) -> None:
        self._steps, self._done, self._began = steps, 0, time.perf_counter()

    def tick(self) -> None:
        """Count a step."""
        self._done += 1

    def __str__(self) -> str:
        """Seconds gone and seconds left."""
        gone = time.perf_counter() - self._began
        return f"{gone:4.0f} s gone, about {gone * (self._steps / self._done - 1):4.0f} s left"


def batches(scenes: Any, count: int, steps: int, seed: int) -> Any:
    """Scenes in a new order each epoch; the same batches for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = []
    for _ in range(steps):
        while len(order) < count:
            order += torch.randperm(len(scenes), generator=generator).tolist()
        images, targets = zip(*(scenes[i] for i in order[:count]), strict=True)
        del order[:count]
        yield torch.stack(images), torch.stack(targets)


def train(
    network: nn.Module, name: str, scenes: Any, held_out: Any, settings: Any, clock: Clock
) -> Run:
    """Train in place with the loss of that name; ``settings`` are the command line's.

    After each epoch, and after the last step, the scenes held out are judged and a line is printed;
    in epochs that take long, a line every ten seconds.
    """
    device, run = torch.device(settings.device), Run()
    form = torch.channels_last if settings.channels_last else torch.contiguous_format
    network.to(device, memory_format=form).train()
    work = Step(network, LOSSES[name](), device, settings)
    epoch, said = max(1, len(scenes) // settings.batch), time.perf_counter()
    given = batches(scenes, settings.batch, settings.steps, settings.seed)
    for step, (pictures, masks) in enumerate(given, 1):
        images, targets = pictures.to(device, memory_format=form), masks.to(device)
        work(images, targets, run)
        clock.tick()
        due = step % epoch == 0 or step == settings.steps
        if due:
            run.judged.append((step, *judge(network, held_out, settings.device)))
            run.extra_bytes.append(work.memory(images, targets))
        if due or time.perf_counter() - said > 10:
            mean = f"mean IoU {run.mean_iou:.3f}, " if due else " " * 16
            loss = f"loss {run.losses[-1]:.4f}, "
            print(f"{name:>9}  step {step:>4}/{settings.steps}: {loss}{mean}{clock}", flush=True)
            said = time.perf_counter()
    return run


class Step:
    """One step of training: the network, a loss, its gradient, the optimiser."""

    def __init__(self, network: nn.Module, loss: Any, device: torch.device, settings: Any) -> None:
        self._network, self._loss, self._device = network, loss, device
        self._optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate)
        self._half = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}[settings.mixed]
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.mixed == "fp16")

    def _wait(self) -> float:
        """The time, when the device has nothing more to do."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def _logits(self, images: Tensor) -> Tensor:
        with torch.autocast(self._device.type, dtype=self._half, enabled=self._half is not None):
            return self._network(images)

    def _backward(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and its gradient at the logits."""
        at = logits.detach().requires_grad_()
        with torch.autocast(self._device.type, dtype=self._half, enabled=self._half is not None):
            value = self._loss(at, targets)
        self._scaler.scale(value).backward()
        return value.detach(), at.grad

    def __call__(self, images: Tensor, targets: Tensor, run: Run) -> None:
        """Do it, and note its loss and time in ``run``."""
        began = self._wait()
        logits = self._logits(images)
        middle = self._wait()
        value, grad = self._backward(logits, targets)
        run.loss_seconds.append(self._wait() - middle)
        logits.backward(grad)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._optimiser.zero_grad(set_to_none=True)
        run.losses.append(value.item())
        run.step_seconds.append(self._wait() - began)

    @torch.no_grad()
    def memory(self, images: Tensor, targets: Tensor) -> int:
        """The most that the loss and its gradient hold beside the logits, bytes."""
        logits = self._logits(images)
        with torch.enable_grad():
            return Gauge(self._device).measure(lambda: self._backward(logits, targets))


@torch.inference_mode()
def judge(network: nn.Module, scenes: Any, device: str) -> tuple[float, list[float]]:
    """Mean intersection over union and that of each class, of labels at the masks' size.

    A class that neither occurs nor is predicted is NaN, and not in the mean.
    """
    counts = s2t.Evaluate(ignore_index=VOID)
    network.eval()
    for image, target in (scenes[i] for i in range(len(scenes))):
        counts(network(image[None].to(device)).float(), target[None].to(device))
    network.train()
    found = counts.compute()
    return float(found.mean_iou), found.iou.tolist()
