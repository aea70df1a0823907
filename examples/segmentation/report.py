"""What two runs leave behind, in words and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import softmax2d.torch as s2t
from segmentation.training import Run

HEADS = ("last loss", "mean IoU", "loss ms", "step ms", "extra MiB")
TITLES = {"plain": "F.interpolate + F.cross_entropy", "softmax2d": "CrossEntropy2d"}


def costs(run: Run) -> tuple[float, float, float]:
    """Medians over the steps: ms of the loss and its gradient, ms of a step, MiB of the loss."""
    return (
        median(run.loss_seconds) * 1e3,
        median(run.step_seconds) * 1e3,
        median(run.extra_bytes) / 2**20,
    )


def summary(runs: dict[str, Run], classes: Sequence[str]) -> str:
    """The comparison as text."""
    lines = [" " * 10 + "".join(f" {head:>9}" for head in HEADS)]
    for name, run in runs.items():
        loss, step, extra = costs(run)
        lines.append(
            f"{name:>10} {run.losses[-1]:>9.4f} {run.mean_iou:>9.3f} "
            f"{loss:>9.1f} {step:>9.1f} {extra:>9.1f}"
        )
    lines.append("IoU of each class, pictures held out:")
    for name, run in runs.items():
        each = (f"{c} {v:.2f}" for c, v in zip(classes, run.class_iou, strict=True))
        lines.append(f"{name:>10} " + ", ".join(each))
    if len(runs) == 2:
        lines.append(in_words(*runs.values()))
    return "\n".join(lines)


def in_words(plain: Run, ours: Run) -> str:
    """What the comparison says."""
    pairs = zip(plain.losses, ours.losses, strict=True)
    apart = max(abs(a - b) / max(abs(a), 1e-9) for a, b in pairs)
    times = costs(plain)[0] / costs(ours)[0]
    less = costs(plain)[2] - costs(ours)[2]
    saved = costs(plain)[0] - costs(ours)[0]
    return (
        f"The same training: largest difference of the two curves {apart:.2%},\n"
        f"mean IoU {plain.mean_iou:.3f} and {ours.mean_iou:.3f}.\n"
        f"The loss and its gradient: {times:.1f} times faster, {less:.1f} MiB less at the peak;\n"
        f"{saved:.0f} ms of a step of {costs(plain)[1]:.0f} ms.\n"
        "What is saved are the logits at the size of the picture, which softmax2d never builds:\n"
        "they grow with the batch, the picture and the classes."
    )


def draw(runs: dict[str, Run], classes: Sequence[str], path: Path) -> None:
    """Curves of loss and mean IoU; IoU of the classes; time and memory of the loss."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplot_mosaic(
        "AAAABBBB;CCCCDDEE", figsize=(11, 7.5), layout="constrained", height_ratios=(1.1, 1)
    )
    for (name, run), style in zip(runs.items(), ("-", "--"), strict=False):
        label = f"{name}: {TITLES[name]}"
        axes["A"].plot(range(1, len(run.losses) + 1), run.losses, style, label=label, linewidth=2)
        steps, means = zip(*((step, mean) for step, mean, *_ in run.judged), strict=True)
        axes["B"].plot(steps, means, style, marker="o", markersize=4, label=label)
    axes["A"].set(xlabel="training step", ylabel="cross-entropy (nats)", title="Loss of the batch")
    axes["B"].set(xlabel="training step", ylabel="mean IoU", ylim=(0, 1))
    axes["B"].set_title("Mean IoU of the pictures held out")
    axes["A"].legend()
    _classes(axes["C"], runs, classes)
    _bars(axes["D"], runs, 0, "time (ms, median)", "Loss and gradient: time")
    _bars(axes["E"], runs, 2, "peak memory (MiB, median)", "… and memory")
    fig.savefig(path, dpi=100)
    plt.close(fig)


@torch.inference_mode()
def draw_labels(
    network: torch.nn.Module, scene: Any, classes: Sequence[str], device: str, path: Path
) -> None:
    """A picture, its truth, its labels, and how sure of them the network is."""
    from matplotlib import pyplot as plt

    image, target = scene
    logits = network.eval()(image[None].to(device)).float()
    found = s2t.segment(logits, size=target.shape, outputs=("labels", "confidence"))
    fig, axes = plt.subplots(1, 4, figsize=(13, 2.7), layout="constrained")
    scale = {"cmap": "tab20" if len(classes) > 10 else "tab10", "interpolation": "nearest"}
    scale |= {"vmin": -0.5, "vmax": (19 if len(classes) > 10 else 9) + 0.5}
    truth = np.ma.masked_equal(target.numpy(), 255)
    axes[0].imshow(image.permute(1, 2, 0).numpy())
    axes[1].imshow(truth, **scale)
    axes[2].imshow(found.labels[0].cpu().numpy(), **scale)
    sure = axes[3].imshow(found.confidence[0].cpu().numpy(), vmin=0, vmax=1)
    fig.colorbar(sure, ax=axes[3], label="probability of the label")
    grid = " × ".join(map(str, logits.shape[-2:]))
    titles = ("picture held out", "truth", f"labels, from {grid} logits", "confidence")
    for axis, title in zip(axes, titles, strict=True):
        axis.set(title=title, xticks=[], yticks=[])
    fig.savefig(path, dpi=70)
    plt.close(fig)


def _classes(axis: Any, runs: dict[str, Run], classes: Sequence[str]) -> None:
    """IoU of each class after the last step, the runs side by side."""
    width = 0.8 / len(runs)
    for place, (name, run) in enumerate(runs.items()):
        at = [i + (place - (len(runs) - 1) / 2) * width for i in range(len(classes))]
        axis.bar(at, run.class_iou, width, label=name)
    axis.set(xlabel="class", ylabel="IoU", ylim=(0, 1), title="IoU after the last step")
    turned = {"rotation": 90} if len(classes) > 8 else {}
    axis.set_xticks(range(len(classes)), classes, **turned)


def _bars(axis: Any, runs: dict[str, Run], which: int, label: str, title: str) -> None:
    """One of the costs, a bar for each run."""
    values = [costs(run)[which] for run in runs.values()]
    bars = axis.bar(list(runs), values, color=[f"C{i}" for i in range(len(runs))])
    axis.bar_label(bars, fmt="%.1f")
    axis.set(ylabel=label, title=title, ylim=(0, max(*values, 0.1) * 1.15))
