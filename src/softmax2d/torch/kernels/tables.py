"""Tables of interpolations on their device: made once for each grid, and kept.

A copy to a device makes the host wait, and a CUDA graph that recorded one would read the host's
memory again in every replay. So a graph finds its tables here, and what it has found is kept for
good.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from softmax2d._gate import grids
from softmax2d.torch.gate.source import Source

Table = tuple[Tensor, Tensor]  # lower neighbours (int32) and weights of the upper ones (float64)

_MOST = 1024  # grids, of 12 bytes for each row and column
_kept: dict[Any, tuple[Table, ...]] = {}
_in_graphs: dict[Any, tuple[Table, ...]] = {}


def _is_recorded(device: torch.device) -> bool:
    """Whether a CUDA graph is being captured."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _make(shape: Any, source: Source, device: torch.device) -> tuple[Table, ...]:
    layout = source.layout("softmax2d", shape)
    whole = grids.tables(layout.own, layout.size, layout.interpolation, layout.align_corners)
    cut = [(n[part], w[part]) for (n, w), part in zip(whole, layout.window, strict=True)]
    return tuple(
        (
            torch.from_numpy(lower.astype(np.int32)).to(device),
            torch.from_numpy(weight.astype(np.float64)).to(device),
        )
        for lower, weight in cut
    )


def axis_tables(shape: Any, source: Source, device: torch.device) -> tuple[Table, ...]:
    """The table of each spatial dimension, for logits of a shape."""
    axis, count = len(shape) + source.dim, source.spatial_count(len(shape))
    own = tuple(int(n) for d, n in enumerate(shape) if d != axis)[-count:]
    size, window = (None if t is None else tuple(t) for t in (source.size, source.window))
    key = own, size, source.interpolation, source.align_corners, window, device
    recording = _is_recorded(device)
    found = _kept.get(key)
    if found is None:
        if recording:
            raise RuntimeError(
                f"softmax2d: a CUDA graph is being captured, but the tables from size {own} to "
                f"{size or own} are not on {device} yet. Run the same call once before the capture."
            )
        while len(_kept) >= _MOST:
            _kept.pop(next(iter(_kept)), None)
        found = _kept[key] = _make(shape, source, device)
    if recording:
        _in_graphs[key] = found
    return found
