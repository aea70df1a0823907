"""The header of a journal: what a run was asked, which a resumed run must be asked again."""

from __future__ import annotations

import numpy as np

from softmax2d import __version__, _runtime
from softmax2d._files.source.presentation import Look
from softmax2d._files.source.source import Source
from softmax2d.stream.plan.results import Target
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.plan.tiles import Tiling
from softmax2d.stream.recovery.journal import Record


def run_header(source: Source, operation: Operation, tiling: Tiling, made: list[Target]) -> Record:
    """What a resumed run compares; JSON values."""
    geometry = operation.geometry
    return {
        "version": __version__,
        "input": source.identity(),
        "parameters": {
            "axis": geometry.axis,
            "size": list(geometry.shape),
            "interpolation": list(geometry.interpolation),
            "align_corners": bool(geometry.align_corners),
            **operation.map.numbers(),
            "outputs": list(operation.outputs),
            "top_k": operation.top_k,
            "encoding": operation.encoding,
            "nodata": repr(operation.nodata),
            "decode": operation.decode,
            "results": {t.name: str(t.path.absolute()) for t in made},
            "presentation": {t.name: _presentation(t.look) for t in made},
            "instruction_set": _runtime.instruction_set(),
        },
        "tiling": tiling.to_json(),
    }


def _presentation(look: Look) -> Record:
    palette = None if look.palette is None else np.asarray(look.palette).tolist()
    space = None if look.space is None else [look.space.kind, look.space.fields]
    return {
        "names": None if look.names is None else list(look.names),
        "palette": palette,
        "space": space,
        "cog": look.cog,
    }
