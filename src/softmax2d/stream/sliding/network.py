"""A network as a function, and what is known of it before it has seen an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from softmax2d._files.source.source import Array
from softmax2d.stream.sliding.metadata import Metadata

Model = Callable[[Array], Array]
_FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class Network:
    """A network: from a batch of windows to whatever it returns."""

    run: Callable[[Array], Any]
    identity: dict[str, Any]  # JSON values that a resumed run compares
    where: str = "the model"  # what messages call it
    takes: np.dtype[Any] = _FLOAT  # of the windows
    # Of the batches that a graph declares, None where any size passes; None where nothing is known.
    shape: tuple[int | None, ...] | None = None
    output: Any = None  # which output the caller named, where the run has not chosen it yet
    metadata: Metadata = field(default_factory=Metadata)
