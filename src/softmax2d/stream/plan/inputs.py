"""What a run over files was asked, checked, and turned into sources, results and tiles."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from softmax2d import __version__, _runtime
from softmax2d._errors import Refused, Unusable
from softmax2d._files._mapped import in_memory, place_of_array, same_array
from softmax2d._files.formats import format_of, open_any, suffix_of
from softmax2d._files.source.presentation import Look, Space
from softmax2d._files.source.source import Source
from softmax2d.stream.plan.geometry import Geometry, Resampling, size_of
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.plan.tiles import Tiling, chunk_extents
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.unfinished import Target, Work, same_file

COLOURS = (1, 3, 4)  # values of a pixel of a picture whose file names no axes
_VOLUME = 3
Writable = Any  # a path, or anything with __setitem__


@dataclass(frozen=True)
class Style:
    """How results are presented."""

    names: tuple[str, ...] | None = None
    palette: Any = None
    cog: bool = False


def checked(style: Style, classes: int) -> Style:
    """A style with as many names and colours as there are classes.

    Raises
    ------
    Unusable
        It has more or fewer, or they are none.
    """
    if style.names is not None:
        if not all(isinstance(name, str) for name in style.names):
            raise Unusable("names must be texts, one a class.")
        if len(style.names) != classes:
            raise Unusable(f"names has {len(style.names)} names for {classes} classes.")
    if style.palette is None:
        return style
    colours: Any = np.asarray(style.palette)
    if colours.shape != (classes, 3) or colours.dtype.kind not in "iu":
        got = f"got shape {colours.shape} and dtype {colours.dtype}"
        raise Unusable(f"palette must have shape ({classes}, 3), integers from 0 to 255; {got}.")
    if colours.size and not 0 <= int(colours.min()) <= int(colours.max()) <= 255:
        raise Unusable("palette must hold integers from 0 to 255.")
    return replace(style, palette=colours.astype(np.uint8))


def is_path(value: Any) -> bool:
    """Whether somebody gave a file's name."""
    return isinstance(value, str | os.PathLike)


def given(*inputs: Any) -> list[Path]:
    """The files that must stay as they are: those named, and those in which arrays lie."""
    found = []
    for held in inputs:
        if is_path(held):
            found.append(Path(held))
        elif (place := place_of_array(held)) is not None:
            found.append(Path(place))
    return found


def account_path(
    path: Any, held: Sequence[Any], work: Work | None = None, what: str = "account"
) -> Path | None:
    """Where the account goes: a file that is neither read nor written by the run itself.

    ``held`` are paths and arrays that stay as they are, or become something else; ``what`` the
    message says belongs there.

    Raises
    ------
    Refused
        It is one of them or a folder, or its own folder is missing.
    """
    if path is None:
        return None
    account = Path(path)
    if not account.parent.is_dir():
        raise Refused(account, f"there is no folder {account.parent}.")
    results = [] if work is None else [t.path for t in work.targets]
    others = (*given(*held), *results)
    if account.is_dir() or any(same_file(account, other) for other in others):
        raise Refused(account, f"is no place for the {what}; choose another name.")
    return account


def opened(source: Any, key: str | None, fill: bool) -> Source:
    """The source, from a path or from an array of any library."""
    if isinstance(source, Source):
        return source
    return open_any(source, key, fill=fill)


def beside(path: Path, name: str) -> Path:
    """Where a second result goes: ``out.confidence.npy`` beside ``out.npy``."""
    suffix = path.name[-len(suffix_of(path)) :] if suffix_of(path) else ""
    stem = path.name[: len(path.name) - len(suffix)]
    if suffix.lower() == ".png" and name in ("confidence", "margin", "entropy"):
        suffix = ".tif"
    return path.with_name(f"{stem}.{name}{suffix}")


def places(result: Any, outputs: Sequence[str]) -> dict[str, Writable]:
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
        return {n: beside(path, n) if i else path for i, n in enumerate(outputs)}
    if len(outputs) != 1:
        raise Unusable(
            "result is one array, but there are several outputs; give a mapping of output to array."
        )
    return {outputs[0]: _place(result, outputs[0])}


def _place(held: Any, name: str) -> Writable:
    return Path(held) if is_path(held) else in_memory(held, f"result[{name!r}]")


def reference(like: Any, geometry: Geometry) -> tuple[tuple[int, ...], Space | None]:
    """The spatial size of a reference, and where its pixels lie: a path, or an array.

    Raises
    ------
    Refused
        Not a picture, or one of another number of axes.
    """
    spatial = len(geometry.shape) - geometry.batch
    if not is_path(like):
        return tuple(int(n) for n in getattr(like, "shape", like)), None
    module = format_of(like, "open_source")
    if hasattr(module, "size_of"):
        size, space = module.size_of(like), module.space_of(like)
    else:
        with module.open_source(like, None, fill=True) as source:
            size, space = source.shape, source.space
            counting = source.class_axis
        if counting is not None:
            size = size[:counting] + size[counting + 1 :]
        elif len(size) == spatial + 1 and size[-1] in COLOURS:
            size = size[:-1]
    if len(size) != spatial and not (geometry.last and len(size) == _VOLUME):
        shown = " × ".join(map(str, size))
        raise Refused(like, f"has size {shown}; the logits have {spatial} spatial axes.")
    return tuple(size), space


def resampling(
    size: Any, like: Any, interpolation: Any, align_corners: bool, geometry: Geometry
) -> tuple[Resampling, Space | None]:
    """To what size, how, and where that lies in the world; ``geometry`` without resampling."""
    if size is not None and like is not None:
        raise Unusable("give size or like (--size or --like), not both.")
    space = None
    if like is not None:
        size, space = reference(like, geometry)
    kinds = interpolation if isinstance(interpolation, str) else tuple(interpolation)
    return Resampling(size_of(size), kinds, align_corners), space


def looks(
    operation: Operation, source: Source, space: Space | None, style: Style
) -> dict[str, Look]:
    """How each result is presented."""
    geometry = operation.geometry
    if space is None and source.space is not None:
        own = geometry.shape[geometry.batch :]
        if source.space.kind == "ome" and len(source.space.size) == len(geometry.shape):
            own = geometry.shape  # the images of a batch are its slices
        fits = len(source.space.size) == len(own)
        space = source.space.resize(own) if fits else None
    names = source.names  # of whatever the file says: of another axis, or of fewer classes
    if len(names or ()) != geometry.classes:
        names = None
    chunk = chunk_extents(source, geometry)
    common = Look(
        classes=geometry.classes,
        names=style.names or names,
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
            nodata=operation.empty if label else None,
            class_axis=None if operation.depth(name) is None else geometry.axis,
            scale=top / 255 if eight else None,
        )
    return found


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


def header(source: Source, operation: Operation, tiling: Tiling, made: list[Target]) -> Record:
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
            "temperature": numbers(operation.temperature),
            "bias": numbers(operation.bias),
            "outputs": list(operation.outputs),
            "top_k": operation.top_k,
            "encoding": operation.encoding,
            "nodata": repr(operation.nodata),
            "decode": operation.decode,
            "results": {t.name: str(t.path.absolute()) for t in made},
            "presentation": {t.name: _presented(t.look) for t in made},
            "instruction_set": _runtime.instruction_set(),
        },
        "tiling": tiling.described(),
    }


def numbers(value: Any) -> Any:
    """A temperature or bias as a journal keeps it."""
    return None if value is None else np.asarray(value, np.float64).tolist()


def plain(value: Any) -> Any:
    """A temperature or bias that travels to other processes: a number, a tuple, or None."""
    return value if value is None or isinstance(value, int | float) else tuple(map(float, value))


def _presented(look: Look) -> Record:
    palette = None if look.palette is None else np.asarray(look.palette).tolist()
    space = None if look.space is None else [look.space.kind, look.space.fields]
    return {
        "names": None if look.names is None else list(look.names),
        "palette": palette,
        "space": space,
        "cog": look.cog,
    }


def check_apart(name: str, held: Any, source: Any) -> None:
    """Refuse to write what is being read."""
    place = place_of_array(held)
    if is_path(source):
        same = place is not None and same_file(Path(place), Path(source))
    else:
        same = same_array(held, source)
    if same:
        raise Unusable(f"the result for {name} is the source itself; give another array.")


def check_array(
    name: str, held: Any, geometry: Geometry, shape: tuple[int, ...], dtype: Any
) -> None:
    """Refuse an array that cannot take a result."""
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
        np.iinfo(takes).max >= geometry.classes - 1 and takes.kind in "iu"
        if dtype.kind in "iu" and takes.kind in "iu"
        else takes.kind == dtype.kind == "f"
    )
    if not holds:
        raise Unusable(
            f"the result for {name} has dtype {takes}, which does not hold the {dtype} of "
            f"{geometry.classes} classes."
        )
