"""What decoding gains in expected Dice and IoU over argmax, and how near it comes to hill climbing.

    python -m benchmarks.decoding            1200 random fields (2 minutes)
    python -m benchmarks.decoding --docs     the same, into docs/rare-classes*.md

A field is an image of random probabilities: 2 to 19 classes, 9 to 900 pixels, from sharp to flat,
smooth or noisy, classes of equal or of very different sizes. Hill climbing starts from argmax and
gives one pixel after the other to the class with which the expected score is largest, until no
change of a single pixel helps; so it needs the image in memory, and many passes.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import softmax2d as s2d
from benchmarks import documents, machine
from benchmarks.report import markdown
from softmax2d import reference

Array = NDArray[Any]

CLASSES = (2, 3, 4, 5, 8, 12, 19)
ROWS = ((2, 4), (5, 8), (12, 19))  # of the table: from so many classes to so many
PAGES = ("rare-classes.md", "rare-classes.zh.md")


def field(random: np.random.Generator) -> Array:
    """The logarithms of an image's probabilities, shape (C, H, W)."""
    z = random.normal(size=(random.choice(CLASSES), *random.integers(3, 31, 2)))
    for _ in range(random.integers(0, 8)):
        for axis in (1, 2):
            z = (z + np.roll(z, 1, axis) + np.roll(z, -1, axis)) / 3
    z *= 10 ** random.uniform(-1, 1) / z.std()
    z += random.normal(size=(len(z), 1, 1)) * 10 ** random.uniform(-1, 0.6)
    if random.random() < 0.5:
        z += random.normal(size=z.shape) * 10 ** random.uniform(-1.5, 0.3)
    return reference.log_softmax2d(z)


def score(probs: Array, labels: Array, iou: bool) -> float:
    """The expected Dice or IoU of an image (C, pixels), the mean over all classes."""
    return float(reference.expected_scores(probs, labels, iou).mean())


def climb(probs: Array, labels: Array, iou: bool) -> Array:
    """The labels when no other label of a single pixel raises the expected score."""
    labels, every, total = labels.copy(), np.arange(len(probs))[:, None] == labels, probs.sum(1)
    n, s = every.sum(1).astype(float), (probs * every).sum(1)

    def scores(n: Array, s: Array) -> Array:
        below = np.maximum(n + total - s if iou else (n + total) / 2, 1e-300)
        return np.where(n > 0, s / below, 0)

    changed = True
    while changed:
        changed = False
        for x, own in enumerate(probs.T):
            old = labels[x]
            n[old], s[old] = n[old] - 1, s[old] - own[old]
            gain = scores(n + 1, s + own) - scores(n, s)
            new = int(gain.argmax())
            new = new if gain[new] > gain[old] + 1e-12 else int(old)
            changed |= new != old
            labels[x], n[new], s[new] = new, n[new] + 1, s[new] + own[new]
    return labels


class Found(NamedTuple):
    """The expected scores of one field."""

    classes: int
    argmax: float
    decoded: float
    climbed: float


def found_in(logits: Array, decode: str, climbed: bool = True) -> Found:
    """Those of argmax, of decoding and, if asked for, of hill climbing from argmax."""
    probs, iou = np.exp(logits).reshape(len(logits), -1), decode == "iou"
    plain = probs.argmax(0)
    labels: Any = s2d.segment(logits, outputs="labels", decode=decode).labels  # type: ignore[call-overload, arg-type, unused-ignore]
    argmax, own = score(probs, plain, iou), score(probs, labels.ravel(), iou)
    top = score(probs, climb(probs, plain, iou), iou) if climbed else np.nan
    return Found(len(probs), argmax, own, top)


def table(count: int, seed: int = 0) -> str:
    """Gains over argmax by measure and number of classes, in Markdown."""
    random, found = np.random.default_rng(seed), {"dice": list[Found](), "iou": list[Found]()}
    for _ in range(count):
        logits = field(random)
        for decode, each in found.items():
            each.append(found_in(logits, decode))
    head = ["expected score", "classes", "fields", "argmax", "decoded", "hill climbing",
            "part of its gain, %", "least gain of a field"]  # fmt: skip
    body = []
    for decode, each in found.items():
        for low, high in ROWS:
            rows = np.array([f for f in each if low <= f.classes <= high]).reshape(-1, 4)
            argmax, decoded, climbed = rows[:, 1:].mean(0)
            part = 100 * (decoded - argmax) / (climbed - argmax)
            least = (rows[:, 2] - rows[:, 1]).min()
            means = (f"{x:.3f}" for x in (argmax, decoded, climbed))
            name = {"dice": "Dice", "iou": "IoU"}[decode]
            ends = [f"{part:.0f}", f"{least:.5f}"]
            body.append([name, f"{low} to {high}", str(len(rows)), *means, *ends])
    return markdown(head, body)


def main() -> None:
    """Measure, print, and on request write the table into the documents."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decoding", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--fields", type=int, default=1200, help="how many (1200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--docs", action="store_true", help="write docs/rare-classes*.md")
    options = parser.parse_args()
    found = table(options.fields, options.seed)
    print(found)
    for page in PAGES if options.docs else ():
        documents.rewrite(machine.ROOT / "docs" / page, {"decoding": found}, partly=True)


if __name__ == "__main__":
    main()
