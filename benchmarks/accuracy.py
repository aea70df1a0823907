"""Measure the accuracy of softmax2d, PyTorch and SciPy on the same inputs; print a Markdown table.

    python -m benchmarks.accuracy            # prints the table
    python -m benchmarks.accuracy --write    # and puts it into the documents
    python -m benchmarks.accuracy --quick    # fewer pixels, for a look or for CI

The truth is the formula in ``numpy.longdouble`` (on x86-64 64 bits of mantissa, 40 more than
float32 has). Errors are the largest seen, in units in the last place (ulp) of the true value.
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.special
import torch

import softmax2d as s2d
from benchmarks import chinese, machine

SEED = 20261123
LIBRARIES = (
    "softmax2d",
    f"PyTorch {torch.__version__.split('+')[0]}",
    f"SciPy {scipy.__version__}",
)
LONG = (2, 4)  # rows that the README leaves out: those of small logits
Function = Callable[[np.ndarray], np.ndarray]
SOFTMAX: tuple[Function, ...] = (
    s2d.softmax2d,
    lambda z: torch.softmax(torch.from_numpy(z), -3).numpy(),
    lambda z: scipy.special.softmax(z, -3),
)
LOG_SOFTMAX: tuple[Function, ...] = (
    s2d.log_softmax2d,
    lambda z: torch.log_softmax(torch.from_numpy(z), -3).numpy(),
    lambda z: scipy.special.log_softmax(z, -3),
)


def true_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the formula's value, the largest logit subtracted exactly."""
    z = logits.astype(np.longdouble)
    e = np.exp(z - z.max(-3, keepdims=True))
    return e / e.sum(-3, keepdims=True)


def largest_ulp(value: np.ndarray, truth: np.ndarray) -> float:
    """Return the largest distance in units in the last place of the truth."""
    ulp = np.spacing(np.abs(truth).astype(value.dtype)).astype(np.longdouble)
    return float((np.abs(value.astype(np.longdouble) - truth) / ulp).max())


def random_row(spread: float, classes: int, side: int) -> list[str]:
    """One row: softmax of normally distributed float32 logits."""
    logits = np.random.default_rng(SEED).normal(0, spread, (classes, side, side))
    logits = logits.astype(np.float32)
    truth = true_softmax(logits)
    errors = [f"{largest_ulp(softmax(logits), truth):.1f} ulp" for softmax in SOFTMAX]
    return [f"softmax, N(0, {spread:g}), C = {classes}", *errors]


def confident_row(lead: float) -> list[str]:
    """One row: log-probability of a winner that leads by ``lead``; truth -log1p(exp(-lead))."""
    logits = np.array([lead, 0], np.float32).reshape(2, 1, 1)
    truth = float(-np.log1p(np.exp(-np.longdouble(lead))))
    values = [float(log_softmax(logits)[0, 0, 0]) for log_softmax in LOG_SOFTMAX]
    off = [float(f"{100 * abs(v / truth - 1):.1g}") for v in values]
    name = f"log-softmax of (z + {lead:g}, z): {truth:.4g}"
    return [name, *(f"{v:.4g} ({p:g} % off)" for v, p in zip(values, off, strict=True))]


def table(*, quick: bool) -> list[str]:
    """Return the head and all rows as lines of Markdown."""
    rows = [
        ["float32", *LIBRARIES],
        ["---", *["---:"] * len(LIBRARIES)],
        *(
            random_row(s, c, n // (4 if quick else 1))
            for c, n in ((19, 512), (1000, 64))
            for s in (1, 5)
        ),
        *(confident_row(lead) for lead in (10, 15, 18)),
    ]
    return ["| " + " | ".join(row) + " |" for row in rows]


def write(path: Path, lines: list[str]) -> None:
    """Put the table between the markers of a document."""
    text = "\n".join(lines)
    text = chinese.translate(text) if path.name.endswith(".zh.md") else text
    old = path.read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- accuracy:begin -->\n).*?(<!-- accuracy:end -->)", re.DOTALL)
    new, count = marked.subn(lambda m: f"{m[1]}{text}\n{m[2]}", old)
    if count != 1:
        raise SystemExit(f"{path}: expected the markers accuracy:begin and accuracy:end once")
    path.write_text(new, encoding="utf-8")


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer pixels")
    parser.add_argument("--write", action="store_true", help="update the documents")
    arguments = parser.parse_args()
    lines = table(quick=arguments.quick)
    print(*lines, sep="\n")
    if arguments.write:
        for end in (".md", ".zh.md"):
            write(machine.ROOT / f"docs/benchmarks{end}", lines)
            short = [line for i, line in enumerate(lines) if i not in LONG]
            write(machine.ROOT / f"README{end}", short)


if __name__ == "__main__":
    main()
