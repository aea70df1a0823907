"""Train a segmentation network with PyTorch's loss and with softmax2d's, and compare.

    python examples/train_segmentation.py                       # synthetic scenes, two minutes
    python examples/train_segmentation.py --data FOLDER --network deeplabv3 --steps 500

FOLDER holds images and masks as CamVid, Pascal VOC, Cityscapes or plain folders do
(segmentation/folders.py). Both runs start from the same weights and see the same batches: the
learning curves agree, memory and time of the loss do not. Writes training.json and training.png.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from segmentation import folders, networks, synthetic, training


def arguments(given: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of images and masks; synthetic scenes without it")
    add("--classes", type=int, help="number of classes; needed with --data")
    add("--network", choices=("fcn", "deeplabv3"), default="fcn")
    add("--torchvision", action="store_true", help="torchvision's ResNet-50 networks")
    add("--loss", choices=("plain", "softmax2d", "both"), default="both")
    add("--steps", type=int, default=60)
    add("--batch", type=int, default=4)
    add("--size", type=int, nargs=2, default=(256, 384), metavar=("HEIGHT", "WIDTH"))
    add("--rate", type=float, default=2e-3, help="learning rate")
    add("--mixed", choices=("no", "bf16", "fp16"), default="no", help="mixed precision")
    add("--channels-last", action="store_true")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--threads", type=int, help="of PyTorch on the CPU")
    add("--seed", type=int, default=0)
    add("--output", type=Path, default=Path(), help="folder for training.json and training.png")
    settings = parser.parse_args(given)
    if settings.data is not None and settings.classes is None:
        parser.error("--data needs --classes, the number of classes in its masks; got none.")
    if settings.steps < 1 or settings.batch < 1:
        parser.error(
            f"--steps and --batch must be at least 1; got {settings.steps}, {settings.batch}."
        )
    return settings


def scenes_of(settings: argparse.Namespace) -> tuple[Any, Any, int]:
    """Scenes to train on, scenes kept back, and the number of classes."""
    size = tuple(settings.size)
    if settings.data is None:
        kept = synthetic.Scenes(8, size, settings.seed + 1)
        return synthetic.Scenes(24, size, settings.seed), kept, len(synthetic.CLASSES)
    train = folders.Scenes.of(settings.data, "train", size)
    try:
        kept = folders.Scenes.of(settings.data, "val", size)
    except folders.DataError:
        kept = train
    return train, kept, settings.classes


def figure(runs: dict[str, training.Run], path: Path) -> None:
    """Learning curves, time and memory of the loss."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    fig, (curve, cost) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (name, run), style in zip(runs.items(), ("-", "--"), strict=False):
        curve.plot(run.losses, style, label=name, linewidth=2)
    curve.set(xlabel="step", ylabel="cross-entropy", title="Same learning curve")
    curve.legend()
    numbers = [
        [median(run.loss_seconds) * 1e3 for run in runs.values()],
        [median(run.extra_bytes) / 2**20 for run in runs.values()],
    ]
    for row, (values, name) in enumerate(zip(numbers, ("ms", "MiB"), strict=True)):
        for i, value in enumerate(values):
            at = row * (len(runs) + 1) + i
            cost.barh(at, value / max(*values, 1e-9), color=f"C{i}")
            cost.text(0.02, at, f"{list(runs)[i]}: {value:.3g} {name}", va="center")
    cost.set(title="Loss and its gradient: time, memory beside", xticks=[], yticks=[])
    cost.invert_yaxis()
    fig.savefig(path, dpi=120)
    plt.close(fig)


def report(runs: dict[str, training.Run]) -> str:
    """The comparison as text."""
    heads = ("last loss", "mean IoU", "loss ms", "step ms", "extra MiB")
    lines = [" " * 10 + "".join(f" {head:>9}" for head in heads)]
    lines += [
        f"{name:>10} {run.losses[-1]:>9.4f} {run.mean_iou:>9.3f} "
        f"{median(run.loss_seconds) * 1e3:>9.1f} {median(run.step_seconds) * 1e3:>9.1f} "
        f"{median(run.extra_bytes) / 2**20:>9.1f}"
        for name, run in runs.items()
    ]
    if len(runs) == 2:
        a, b = runs.values()
        apart = max(abs(x - y) / max(abs(x), 1e-9) for x, y in zip(a.losses, b.losses, strict=True))
        faster = median(a.loss_seconds) / median(b.loss_seconds)
        less = (median(a.extra_bytes) - median(b.extra_bytes)) / 2**20
        lines.append(
            f"largest difference of the two curves {apart:.2%}; loss and gradient {faster:.1f} "
            f"times faster, with {less:.1f} MiB less memory beside"
        )
    return "\n".join(lines)


def main(given: list[str] | None = None) -> int:
    """Train, print the comparison, write the files."""
    settings = arguments(given)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    try:
        train_scenes, kept, classes = scenes_of(settings)
    except folders.DataError as error:
        print(f"train_segmentation: {error}", file=sys.stderr)
        return 2
    make = networks.Torchvision if settings.torchvision else networks.network
    runs = {}
    for name in ("plain", "softmax2d") if settings.loss == "both" else (settings.loss,):
        torch.manual_seed(settings.seed)
        network = make(settings.network, classes)
        runs[name] = training.train(network, training.LOSSES[name](), train_scenes, settings)
        runs[name].mean_iou = training.mean_iou(network, kept, settings.device)
    print(report(runs))
    settings.output.mkdir(parents=True, exist_ok=True)
    numbers = {name: asdict(run) for name, run in runs.items()}
    (settings.output / "training.json").write_text(json.dumps(numbers))
    figure(runs, settings.output / "training.png")
    print(f"curves in {settings.output / 'training.png'}, numbers in training.json beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
