"""Results of a run: where each goes, whether that can hold it, and how it is presented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from softmax2d._errors import Unusable
from softmax2d._files.formats import format_of
from softmax2d._files.source.presentation import Look, Space
from softmax2d._files.source.source import Source
from softmax2d._files.source.suffix import suffix_of
from softmax2d._pictures.classes import check_names, check_palette, palette
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.inputs import is_path, numpy_view
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.plan.tiles import Tiling, chunk_extents

Writable = Any  # a path, or anything with __setitem__


@dataclass(frozen=True)
class Target:
    """A result to be made as a file."""

    name: str  # "labels", "confidence" and so on
    path: Path  # its final name
    shape: tuple[int, ...]  # of its numbers
    dtype: np.dtype[Any]
    # What one task writes: the chunks of a result that is stored in such, in place. None where
    # tasks write something else: such a result, too, is assembled at the end.
    chunks: tuple[int, ...] | None
    look: Look  # how it is presented

    def companions(self) -> dict[Path, bytes]:
        """The small files beside it that say its names and colours, and what is in them."""
        made: dict[Path, bytes] = {}
        if suffix_of(self.path) in (".tif", ".tiff"):
            made = format_of(self.path, "companions").companions(self.path, self.look)
        return made

    def left_over(self) -> list[Path]:
        """Such files of an earlier result of this name, other than its own."""
        if suffix_of(self.path) not in (".tif", ".tiff"):
            return []
        found = format_of(self.path, "left_over").left_over(self.path)
        return [path for path in found if path not in self.companions()]


@dataclass(frozen=True)
class Style:
    """How results are presented; names and palette also by the name of a file or palette."""

    names: Any = None
    palette: Any = None
    cog: bool = False

    @property
    def files(self) -> list[Path]:
        """What may be a file that stays as it is."""
        return [Path(held) for held in (self.names, self.palette) if is_path(held)]


def check_style(style: Style, classes: int) -> Style:
    """A style with one name and one colour for each class, where it has names and colours."""
    names, palette = style.names, style.palette
    return Style(check_names(names, classes), check_palette(palette, classes), style.cog)


def neighbour_path(path: Path, name: str) -> Path:
    """Where a second result goes: ``out.confidence.npy`` beside ``out.npy``."""
    suffix = path.name[-len(suffix_of(path)) :] if suffix_of(path) else ""
    stem = path.name[: len(path.name) - len(suffix)]
    if suffix.lower() == ".png" and name not in ("labels", "top_labels"):
        suffix = ".tif"
    return path.with_name(f"{stem}.{name}{suffix}")


def result_places(result: Any, outputs: Sequence[str]) -> dict[str, Writable]:
    """Where each output goes: a mapping as it is, or the first one and its neighbours."""
    if isinstance(result, Mapping):
        missing = [n for n in outputs if n not in result]
        unknown = [n for n in result if n not in outputs]
        if missing or unknown:
            raise Unusable(
                f"result names {', '.join(map(str, result)) or 'nothing'}; "
                f"outputs are {', '.join(outputs)}."
            )
        return {n: _place(result[n], n) for n in outputs}
    if is_path(result):
        path = Path(result)
        return {n: neighbour_path(path, n) if i else path for i, n in enumerate(outputs)}
    if len(outputs) != 1:
        raise Unusable(
            "result is one array, but there are several outputs; give a mapping of output to array."
        )
    return {outputs[0]: _place(result, outputs[0])}


def _place(held: Any, name: str) -> Writable:
    return Path(held) if is_path(held) else numpy_view(held, f"result[{name!r}]")


def looks(
    operation: Operation, source: Source, space: Space | None, style: Style
) -> dict[str, Look]:
    """How each result is presented."""
    geometry = operation.geometry
    if space is None and source.space is not None:
        own = geometry.shape[geometry.batch :]
        if len(source.space.size) == len(geometry.shape):
            own = geometry.shape  # the images of a batch are its slices
        fits = len(source.space.size) == len(own)
        space = source.space.resize(own) if fits else None
    names = source.names  # of whatever the file says: of another axis, or of fewer classes
    if len(names or ()) != geometry.classes:
        names = None
    chunk = chunk_extents(source, geometry)
    axes = None  # names of a result's axes without the one of classes
    if source.axes is not None and len(source.axes) == len(geometry.source):
        axes = (*source.axes[: geometry.axis], *source.axes[geometry.axis + 1 :])
    names, colours = style.names or names, style.palette
    if colours is None and names is not None:
        colours = palette(None, geometry.classes)
    common = Look(
        axes=axes,
        classes=geometry.classes,
        names=names,
        space=space,
        block=chunk[-2:] if chunk else None,
        cog=style.cog,
    )
    found = {}
    for name in operation.outputs:
        label, stored = name in ("labels", "top_labels"), operation.result_dtype(name)
        eight = stored == np.uint8 and not label
        top = float(np.log(geometry.classes)) or 1.0 if name == "entropy" else 1.0
        found[name] = replace(
            common,
            what=name,
            palette=style.palette if name == "labels" else None,
            colours=colours if name == "labels" else None,
            nodata=operation.empty if label else _float_nodata(stored, operation.nodata),
            class_axis=None if operation.depth(name) is None else geometry.axis,
            scale=top / 255 if eight else None,
        )
    return found


def _float_nodata(stored: np.dtype[Any], nodata: float | None) -> float | None:
    """The number of pixels without data in a result that is no label: NaN where it holds one."""
    return float("nan") if nodata is not None and stored.kind == "f" else None


def targets(
    operation: Operation, paths: Mapping[str, Path], tiling: Tiling, styles: Mapping[str, Look]
) -> list[Target]:
    """The results that are files, checked against what their formats hold."""
    found = []
    whole = tuple(slice(0, n) for n in tiling.chunk or tiling.extents)
    for name, path in paths.items():
        shape, dtype = operation.result_shape(name), operation.result_dtype(name)
        chunks = tuple(s.stop for s in operation.result_box(name, whole))
        if suffix_of(path) != ".npy":  # which holds everything
            format_of(path, "check_result").check_result(path, shape, dtype, styles[name])
        found.append(Target(name, path, shape, dtype, chunks, styles[name]))
    return found


def check_array(name: str, held: Any, operation: Operation) -> None:
    """Refuse an array that cannot take a result."""
    geometry: Geometry = operation.geometry
    shape, dtype = operation.result_shape(name), operation.result_dtype(name)
    if not hasattr(held, "__setitem__"):
        raise Unusable(
            f"the result for {name} must be a path or have __setitem__; got {type(held).__name__}."
        )
    found = getattr(held, "shape", None)
    if found is not None and tuple(found) != shape:
        raise Unusable(f"the result for {name} must have shape {shape}; got {tuple(found)}.")
    takes = getattr(held, "dtype", None)
    if takes is None:
        return
    takes = np.dtype(takes)
    holds = takes == dtype or (
        np.iinfo(takes).max >= max(geometry.classes - 1, operation.empty or 0)
        and takes.kind in "iu"
        if dtype.kind in "iu" and takes.kind in "iu"
        else takes.kind == dtype.kind == "f"
    )
    if not holds:
        raise Unusable(
            f"the result for {name} has dtype {takes}, which does not hold the {dtype} of "
            f"{geometry.classes} classes."
        )
