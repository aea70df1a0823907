"""Inputs of the cases: logits of every kind, layouts, samples of option combinations."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from softmax2d import calibrate

DTYPES = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float32": np.float32,
    "float64": np.float64,
}
OUTPUTS = ("labels", "confidence", "margin", "entropy")
FORWARD = ("softmax2d", "log_softmax2d", "segment")
LOSSES = ("cross_entropy2d", "dice_loss2d", "jaccard_loss2d", "tversky_loss2d",
          "lovasz_softmax_loss2d")  # fmt: skip


def values(classes: int, size: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    """Logits (C, *size): each pixel of another kind, from ordinary to NaN."""
    rng = np.random.default_rng([seed, classes, *size])
    pixels = int(np.prod(size))
    z = rng.normal(0, 1, (classes, pixels))
    scale = np.array([1, 5, 50, 1e4, 1e-3, 5, 5, 20, 3, 30])
    kind = np.arange(pixels) % len(scale) if pixels > 1 else np.zeros(1, int)
    z = z * scale[kind] + np.where(kind == 5, 1e4, 0) - np.where(kind == 6, 1e4, 0)
    z[:, kind == 7] = np.round(z[:, kind == 7] / 8)  # ties
    z[:, kind == 8] -= np.where(rng.random((classes, (kind == 8).sum())) < 0.5, np.inf, 0)
    z[:, kind == 9] = -np.abs(z[:, kind == 9]) - 85  # one leads by all that the type can tell
    z[0, kind == 9] = 0
    for place, value in ((11, np.nan), (23, np.inf), (37, -np.inf), (53, 1e-40), (71, -0.0)):
        z[rng.integers(classes) if value == value and value != -np.inf else slice(None),
          place % max(pixels, 12) : place % max(pixels, 12) + 1] = value  # fmt: skip
    with np.errstate(all="ignore"):
        return z.astype(DTYPES.get(dtype, dtype)).reshape(classes, *size)


def layouts(a: Any) -> Iterator[tuple[str, Any, int]]:
    """The same logits (C, H, W) in other layouts, with their class axis."""
    last = np.ascontiguousarray(np.moveaxis(a, 0, -1))
    big = np.zeros((a.shape[0] + 1, a.shape[1] + 3, a.shape[2] * 2 + 5), a.dtype)
    crop = big[1:, 1:-2, 3:-2:2]
    crop[...] = a
    back = np.ascontiguousarray(a[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
    odd = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    odd[...] = a
    yield "first", a, -3
    yield "last", last, -1
    yield "last, negative", last[::-1, ::-1].copy()[::-1, ::-1], -1
    yield "middle", np.ascontiguousarray(np.moveaxis(a, 0, 1)), 1
    yield "fortran", np.asfortranarray(a), 0
    yield "negative", back, -3
    yield "sliced", crop, -3
    yield "unaligned", odd, -3
    if a.dtype.kind == "f" and a.dtype != ml_dtypes.bfloat16:
        yield "swapped", a.astype(a.dtype.newbyteorder()), -3
    yield "batch", np.stack([a, back, a * 2]), 1
    yield "batch, last", np.stack([last, last[::-1]]), -1
    yield "volume", np.stack([a, a[:, ::-1], a[:, :, ::-1]], axis=1), -4
    yield "list", a.astype(float).tolist(), -3


def sampled(name: str, count: int, /, **choices: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """``count`` combinations of options, of which each is {option: (word, value), ...}."""
    every = list(itertools.product(*([(k, *c) for c in v.items()] for k, v in choices.items())))
    chosen = every if len(every) <= count else random.Random(name).sample(every, count)
    for combination in chosen:
        words = ", ".join(f"{k}={word}" for k, word, _ in combination)
        options: dict[str, Any] = {}
        for key, _, value in combination:
            options.update(value if isinstance(value, dict) else {key: value})
        yield words, {k: v for k, v in options.items() if v is not ...}


def named(*choices: Any) -> dict[str, Any]:
    """Values by their text; ``...`` leaves the option out."""
    return {str(c) if c is not ... else "-": c for c in choices}


C = 5
SIZE = (7, 9)
MAPS = {
    "none": {},
    "temperature": {"temperature": 1.7},
    "temperatures": {"temperature": [0.5, 1.0, 2.0, 3.0, 0.9]},
    "bias": {"bias": [0.1, -3.0, 0.0, 2.0, 0.5]},
    "both": {"temperature": np.float32(0.8), "bias": np.array([0, 0, -np.inf, 1, -1])},
    "calibration": {"temperature": calibrate.Calibration(2.0, None, "temperature", (9,) * C)},
}
SIZES = named(..., (13, 20), (4, 5), (7, 20), 8)
WAYS = {**named(..., "nearest", "nearest-exact"), "mixed": ("nearest", "linear")}
CORNERS = named(..., True)
WINDOWS = {"-": ..., "part": (slice(1, 4), slice(2, 5)), "row": (slice(3, 4), slice(0, 5))}
GRID = {"size": SIZES, "interpolation": WAYS, "align_corners": CORNERS, "map": MAPS}
TERMS = {
    "cross_entropy2d": {
        "weight": {"-": ..., "w": [1.0, 0.0, 2.0, 0.3, 1.0]},
        "ignore_index": named(..., 255, None, 0),
        "label_smoothing": named(..., 0.1),
        "focal_gamma": named(..., 2.0, 0.5),
        "reduction": named(..., "sum", "none"),
        "hard": {"-": {}, "top_k": {"top_k": 0.3}, "threshold": {"threshold": 0.6}},
    },
    "dice_loss2d": {
        "weight": {"-": ..., "w": [1.0, 0.0, 2.0, 0.3, 1.0]},
        "ignore_index": named(..., 255, 0),
        "smooth": named(..., 0.0),
    },
    "lovasz_softmax_loss2d": {
        "classes": named(..., "all"),
        "ignore_index": named(..., 255, 0),
    },
}
TERMS["jaccard_loss2d"] = TERMS["dice_loss2d"]
TERMS["tversky_loss2d"] = {"alpha": named(..., 0.3), "beta": named(0.9), **TERMS["dice_loss2d"]}
KINDS = {k: (k,) for k in DTYPES}


def labels(size: Any, seed: int = 1, ignored: int | None = None) -> Any:
    """Labels of the size that resampled logits have."""
    full = (size,) * 2 if isinstance(size, int) else SIZE if size in (None, ...) else tuple(size)
    found = np.random.default_rng([seed, *full]).integers(0, C, (2, *full)).astype(np.uint8)
    if ignored is not None and ignored > C:
        found[:, :2] = ignored
    return found


def finite(dtype: str, scale: float = 3) -> Any:
    """Logits (2, C, *SIZE) without anything special, for losses."""
    rng = np.random.default_rng(5)
    return rng.normal(0, scale, (2, C, *SIZE)).astype(DTYPES[dtype])


def file_text(path: Any) -> str:
    """A text file's text, other files' digest."""
    if not path.exists():
        return "none"
    data = path.read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError:
        import hashlib

        return hashlib.sha256(data).hexdigest()
