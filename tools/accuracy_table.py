"""Measure the accuracy of softmax2d, PyTorch and SciPy on the same inputs; print a Markdown table.

    python tools/accuracy_table.py            # prints the table
    python tools/accuracy_table.py --write    # and puts it into README.md and README.zh.md
    python tools/accuracy_table.py --quick    # fewer pixels, for a look or for CI

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

SEED = 20261123
LIBRARIES = (
    "softmax2d",
    f"PyTorch {torch.__version__.split('+')[0]}",
    f"SciPy {scipy.__version__}",
)
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


def table(*, quick: bool) -> str:
    """Return all rows as Markdown."""
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
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write(path: Path, text: str) -> None:
    """Put ``text`` between the markers of a document."""
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
    parser.add_argument("--write", action="store_true", help="update README.md and README.zh.md")
    arguments = parser.parse_args()
    text = table(quick=arguments.quick)
    print(text)
    if arguments.write:
        for name in ("README.md", "README.zh.md"):
            write(Path(__file__).parents[1] / name, text)


if __name__ == "__main__":
    main()
