"""The comparison: both losses, one after the other, from the same weights and batches."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

import torch

from segmentation import folders, networks, report, synthetic, training


def scenes_of(settings: argparse.Namespace) -> tuple[Any, Any, tuple[str, ...]]:
    """Scenes to train on, scenes held out, and the names of the classes."""
    size = tuple(settings.size)
    if settings.data is None:
        held_out = synthetic.Scenes(8, size, settings.seed + 1)
        return synthetic.Scenes(24, size, settings.seed), held_out, synthetic.CLASSES
    train = folders.Scenes.of(settings.data, "train", size, settings.classes)
    try:
        held_out = folders.Scenes.of(settings.data, "val", size, settings.classes)
    except folders.DataError as error:
        print(f"no pictures are held out, IoU is of those trained on: {error}", file=sys.stderr)
        held_out = train
    return train, held_out, folders.names_of(settings.data, settings.classes)


def run(settings: argparse.Namespace) -> None:
    """Train with each loss that was asked for, print what comes of it, write the files."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    settings.device = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    scenes, held_out, classes = scenes_of(settings)
    print(
        f"{len(scenes)} pictures to train on, {len(held_out)} held out, {len(classes)} classes; "
        f"{settings.network} on {settings.device}"
    )
    make = networks.Torchvision if settings.torchvision else networks.network
    names = ("plain", "softmax2d") if settings.loss == "both" else (settings.loss,)
    clock = training.Clock(settings.steps * len(names))
    runs = {}
    for name in names:
        torch.manual_seed(settings.seed)
        network = make(settings.network, len(classes))
        runs[name] = training.train(network, name, scenes, held_out, settings, clock)
    print(report.summary(runs, classes))
    settings.output.mkdir(parents=True, exist_ok=True)
    numbers = {name: asdict(run) for name, run in runs.items()}
    (settings.output / "training.json").write_text(json.dumps(numbers))
    report.draw(runs, classes, settings.output / "training.png")
    labels = settings.output / "training-labels.png"
    report.draw_labels(network, held_out[0], classes, settings.device, labels)
    print(f"curves: {settings.output / 'training.png'}; beside it a picture held out with its")
    print("labels, training-labels.png, and the numbers, training.json")
