"""Dask without types: most of its functions have none."""

from __future__ import annotations

from importlib import import_module
from typing import Any

da: Any = import_module("dask.array")
Delayed: Any = import_module("dask.delayed").Delayed
HighLevelGraph: Any = import_module("dask.highlevelgraph").HighLevelGraph
optimize: Any = import_module("dask").optimize

Lazy = Any  # a dask array
