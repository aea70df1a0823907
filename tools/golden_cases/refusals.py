"""The words of refusals, of NumPy, PyTorch and Dask."""

from __future__ import annotations

from typing import Any

import numpy as np

import softmax2d as s2d
from golden_cases.inputs import (
    FORWARD,
)

BAD_GRID = {
    "size": (0, -1, (3,), (3, 0), "big", 2.5, (1, 2, 3)),
    "interpolation": ("cubic", 3, ("linear",), ("linear", "x")),
    "align_corners": (1, "yes", None),
    "temperature": (0, -1.0, "2", None, True, [1.0, 2.0], float("nan"), np.ones((2, 2))),
    "bias": (1.0, [1.0], [0, 0, 0, 0, float("nan")], [0, 0, 0, 0, float("inf")], "b", [1j] * 5),
    "spatial_dims": (1, 3, "2", True),
    "window": (3, (slice(0, 2),), (slice(0, 99), slice(0, 1)), (slice(0, 4, 2), slice(0, 1)),
               (slice(2, 2), slice(0, 1)), (0, 1)),
    "axis": (3, -4, 1.0, "0", None, True),
    "dim": (3, -4, 1.0, "0", None, True),
    "outputs": ("probs", (), 3, None, ("labels", "top_labels")),
    "top_k": (0, -1, 6, 1.5, "1", True),
    "threshold": (0.0, 1.5, "x"),
    "decode": ("best", None, 3),
    "weight": ([1.0], [1, 2, 3, 4, -1.0], "w", [0.0] * 5, [float("nan")] * 5),
    "ignore_index": (1.5, "255", True, 2**70),
    "label_smoothing": (-0.1, 1.5, "x", float("nan")),
    "focal_gamma": (-1.0, "x", float("inf")),
    "reduction": ("median", None, 3),
    "smooth": (-1.0, "x", float("nan")),
    "alpha": (-1.0, "x"),
    "beta": (-1.0, "x"),
    "classes": ("some", None),
    "bins": (0, -1, 1.5, "x"),
    "out": ([], np.zeros((5, 7, 8), np.float64), np.zeros((4, 7, 9), np.float32)),
}  # fmt: skip
COMMON = ("size", "interpolation", "align_corners", "temperature", "bias", "spatial_dims")
BAD_OPTIONS = {
    "softmax2d": (*COMMON, "window", "out"),
    "log_softmax2d": (*COMMON, "window", "out"),
    "segment": (*COMMON, "window", "outputs", "top_k", "decode"),
    "evaluate": (*COMMON, "window", "ignore_index", "bins"),
    "cross_entropy2d": (*COMMON, "weight", "ignore_index", "label_smoothing", "focal_gamma",
                        "reduction", "top_k", "threshold"),
    "dice_loss2d": (*COMMON, "weight", "ignore_index", "smooth"),
    "jaccard_loss2d": (*COMMON, "weight", "ignore_index", "smooth"),
    "tversky_loss2d": (*COMMON, "alpha", "beta", "weight", "ignore_index", "smooth"),
    "lovasz_softmax_loss2d": (*COMMON, "classes", "ignore_index"),
}  # fmt: skip


def record_errors(r: Any) -> None:
    """The words of refusals, of NumPy, PyTorch and Dask."""
    import dask.array as da
    import torch

    import softmax2d.dask as s2a
    import softmax2d.torch as s2t

    z, t = np.zeros((5, 7, 9), np.float32), np.zeros((7, 9), np.uint8)
    logits = {
        "bool": z > 0, "complex": z.astype(complex), "2 axes": z[0], "1 axis": z[0, 0], "0 axes": z[0, 0, 0],
        "no class": z[:0], "string": "logits", "none": None, "ragged": [[1.0], [1.0, 2.0]],
        "masked": np.ma.masked_array(z, z == 0), "object": z.astype(object),
        "long": z.astype(np.longdouble), "empty": z[:, :0],
    }  # fmt: skip
    targets = {
        "float": t.astype(float), "bool": t > 0, "shape": t[:3], "axes": t[None], "large": t + 5,
        "negative": t.astype(np.int64) - 7, "none": None, "string": "t", "masked": np.ma.masked_array(t),
        "list": t.tolist(), "uint64": t.astype(np.uint64),
    }  # fmt: skip
    kinds = {
        "numpy": (s2d, "axis", lambda a: a),
        "torch": (s2t, "dim", lambda a: torch.from_numpy(a.copy()) if type(a) is np.ndarray
                  and a.dtype.kind != "O" and a.dtype != np.longdouble else a),
        "dask": (s2a, "axis", lambda a: da.from_array(a, a.shape) if type(a) is np.ndarray else a),
    }  # fmt: skip
    for kind, (module, axis, made) in kinds.items():
        for name, options in BAD_OPTIONS.items():
            if not hasattr(module, name):
                continue
            way = getattr(module, name)
            target = () if name in FORWARD else (made(t),)
            for option, value in ((o, v) for o in (*options, axis) for v in BAD_GRID[o]):
                tensor = kind == "torch" and option in ("bias", "weight") and type(value) is list
                given = torch.tensor(value) if tensor else made(value)
                text = f"array {value.shape}" if isinstance(value, np.ndarray) else repr(value)
                key = f"errors/{kind}.{name}/{option}={text}"
                r.case(key, way, made(z), *target, **{option: given})
            for word, bad in logits.items():
                r.case(f"errors/{kind}.{name}/logits {word}", way, made(bad), *target)
            for word, bad in targets.items() if target else ():
                r.case(f"errors/{kind}.{name}/target {word}", way, made(z), made(bad))
    for name in ("softmax2d_vjp", "log_softmax2d_vjp", "softmax2d_jvp"):
        for kind in ("numpy", "torch"):
            module, _, made = kinds[kind]
            for word, a, b in (("shape", z, z[:4]), ("axes", z[0], z[0]), ("dtype", z, z > 0),
                               ("mixed", z, z.astype(np.float64)), ("first", z > 0, z)):  # fmt: skip
                r.case(f"errors/{kind}.{name}/{word}", getattr(module, name), made(a), made(b))
    for value in (0, -1, 1.5, "2", True):
        r.case(f"errors/numpy.set_num_threads/{value!r}", s2d.set_num_threads, value)
