"""What ``softmax2d segment`` was asked to do, checked before anything is written."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmax2d import _checks
from softmax2d._files._errors import Refused, Unusable
from softmax2d.cli._source import Source

Array = NDArray[Any]

_SUFFIXES = {".png": ".png", ".tif": ".tif", ".tiff": ".tif", ".npy": ".npy"}


class Task(NamedTuple):
    """The scores, what to make of them, and where it goes."""

    source: Source
    temperature: float
    outputs: tuple[str, ...]
    confidence_as: str
    names: list[str] | None
    palette: Array | None
    paths: dict[str, Path]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.source.classes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of each result."""
        return self.source.shape

    def dtype(self, output: str) -> np.dtype[Any]:
        """Dtype of a result as it is stored."""
        if output == "labels":
            return np.min_scalar_type(self.classes - 1)
        if self.confidence_as == "8bit":
            return np.dtype(np.uint8)
        stored = self.source.logits.dtype
        return np.dtype(np.float64 if stored.kind in "iu" or stored.itemsize == 8 else np.float32)


def output_names(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        return tuple(dict.fromkeys(_checks.output_names("segment", names, None)))
    except ValueError as error:
        raise Unusable(f"--outputs: {str(error).removeprefix('segment: ')}") from None


def result_paths(out: Path, outputs: tuple[str, ...], confidence_as: str) -> dict[str, Path]:
    suffix = _SUFFIXES.get(out.suffix.lower())
    if suffix is None:
        raise Refused(
            out, f"has the unknown suffix {out.suffix!r}; results go to .png, .tif or .npy."
        )
    beside = ".tif" if suffix == ".png" and confidence_as == "float" else suffix
    return {n: out if n == "labels" else out.with_name(f"{out.stem}.{n}{beside}") for n in outputs}


def check_fits(task: Task) -> None:
    """Refuse files that cannot hold the results."""
    size = " × ".join(map(str, task.shape))
    for name, path in task.paths.items():
        suffix = path.suffix.lower()
        if suffix == ".png" and (len(task.shape) != 2 or not prod(task.shape)):
            hint = "multi-page .tif or .npy" if prod(task.shape) and len(task.shape) > 2 else ".npy"
            use = "" if name == "preview" else f" Use {hint}."
            raise Refused(path, f"a PNG holds one image of rows × columns; got {size}.{use}")
        if suffix == ".png" and name == "labels" and task.classes > 65536:
            raise Refused(
                path, f"a PNG holds 65536 labels; got {task.classes} classes. Use .tif or .npy."
            )
        if suffix in (".tif", ".tiff") and (len(task.shape) < 2 or not prod(task.shape)):
            raise Refused(path, f"a TIFF holds images of rows × columns; got {size}. Use .npy.")
        if (
            suffix == ".npy"
            and task.palette is not None
            and name == "labels"
            and "preview" not in task.paths
        ):
            raise Refused(path, "a .npy file has no palette; use .png or .tif, or add --preview.")
    stored = task.paths.get("labels")
    if (
        task.palette is not None
        and task.classes > 256
        and stored
        and stored.suffix.lower() != ".npy"
    ):
        raise Refused(stored, f"a file with a palette holds 256 classes; got {task.classes}.")


def preview_path(path: Path, outputs: tuple[str, ...]) -> Path:
    if path.suffix.lower() != ".png":
        raise Refused(path, f"has the suffix {path.suffix!r}; a preview is a .png.")
    if "labels" not in outputs:
        raise Refused(path, "a preview shows the labels; add labels to --outputs.")
    return path
