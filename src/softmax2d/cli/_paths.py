"""Files as the command line names them: folders of files, pairs, results beside results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from softmax2d.stream import Failed, Refused

# Of what lies beside pictures and arrays, of systems, editors and other programs: never read.
_BESIDE = (
    "", ".aux", ".bak", ".cfg", ".clr", ".crdownload", ".csv", ".db", ".docx", ".html",
    ".identifier", ".ini", ".ipynb", ".j2w", ".jgw", ".jpgw", ".json", ".lnk", ".lock", ".log",
    ".md", ".ovr", ".part", ".pdf", ".pgw", ".pickle", ".pkl", ".pngw", ".pptx", ".prj", ".py",
    ".qml", ".rst", ".sh", ".tfw", ".tfwx", ".tmp", ".toml", ".txt", ".url", ".wld", ".xlsx",
    ".xml", ".yaml", ".yml",
)  # fmt: skip
_OF_SYSTEMS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx")
_STORES = ("zarr.json", ".zgroup", ".zarray")  # of Zarr, 3 and 2
_LISTED = 3
_SECOND = ("confidence", "margin", "entropy", "top_probs", "preview")
_FORMATS = (
    ".npy", ".npz", ".zarr", ".tif", ".tiff", ".nii", ".nii.gz", ".h5", ".hdf5", ".safetensors",
    ".png", ".jpg", ".jpeg", ".webp",
)  # fmt: skip
_FLOATS = ("confidence", "margin", "entropy")
_CLASSWISE = ("probs", "logits")


def suffix_of(path: Path) -> str:
    """The suffix as it is written; ``.nii.gz`` is one."""
    return path.name[-7:] if path.name.lower().endswith(".nii.gz") else path.suffix


def neighbour_of(out: Path, name: str, encoding: str = "float") -> Path:
    """The path of a second result: ``out.confidence.npy`` beside ``out.npy``."""
    if out.name in ("", ".."):
        raise Refused(out, "is a folder; give the name of a file, as in labels.png.")
    suffix = suffix_of(out)
    stem = out.name.removesuffix(suffix)
    if suffix.lower() == ".png" and name in (*_FLOATS, *_CLASSWISE):
        suffix = ".png" if encoding == "uint8" and name in _FLOATS else ".tif"
    return out.with_name(f"{stem}.{name}{suffix}")


def paths_of(out: Path, outputs: list[str], encoding: str) -> dict[str, Path]:
    """Where results go: labels to ``out``, everything else beside it.

    Without labels ``out`` takes probabilities, or else logits.
    """
    first = next((n for n in ("labels", *_CLASSWISE) if n in outputs), None)
    return {n: out if n == first else neighbour_of(out, n, encoding) for n in outputs}


def check_json(out: Path | None) -> None:
    """Refuse a result whose name says another format."""
    if out is not None and out.suffix.lower() != ".json":
        raise Refused(out, f"has the suffix {out.suffix!r}; the result is a .json.")


def check_apart(results: Iterable[Path | None], held: Path | None) -> None:
    """Refuse a result that is the calibration, which the library does not know as a file."""
    for path in results:
        both = path is not None and held is not None and path.exists() and held.exists()
        if path is not None and held is not None and both and os.path.samefile(path, held):
            raise Refused(path, f"is the input {held} itself; choose another name.")


def is_folder(path: Path) -> bool:
    """Whether it is a folder of files, and no Zarr store or a part of one.

    A folder that is named like a file, ``scores.npy``, is none: reading it as a file is refused.
    """
    if not path.is_dir() or is_format(path):
        return False
    return not any(os.path.lexists(path / name) for name in _STORES)


def is_format(path: Path) -> bool:
    """Whether the name says a format that is read or written."""
    return suffix_of(path).lower() in _FORMATS


def _is_beside(path: Path) -> bool:
    """Whether it is no file that a folder is given for, by its name."""
    name = path.name.lower()
    left = name in _OF_SYSTEMS or name.startswith((".", "~$")) or name.endswith("~")
    return left or suffix_of(path).lower() in _BESIDE


def _inside(folder: Path) -> list[Path]:
    """What is in a folder, in order."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise Failed(folder, f"{error.strerror or error}.") from error


def _no_files(folder: Path) -> Refused:
    """The refusal of a folder without files, with what it holds instead."""
    names = [path.name + "/" * is_folder(path) for path in _inside(folder)]
    listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
    held = f" of a format that is read; it holds {listed}" if names else ""
    return Refused(folder, f"has no files{held}.")


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the label files in them."""
    found: list[Path] = []
    for path in paths:
        inside = _labels_in(path) if is_folder(path) else [path]
        if not inside:
            raise _no_files(path)
        found += inside
    return found


def _labels_in(folder: Path) -> list[Path]:
    """The label files in a folder, or saved counts where there is nothing else."""
    every = [path for path in _inside(folder) if not path.name.startswith(".")]
    stems = {path.name.removesuffix(suffix_of(path)): path for path in every}
    found = [
        path
        for path in every
        if not _is_beside(path)
        and not is_folder(path)
        and not _is_second(path.name.removesuffix(suffix_of(path)), stems)
    ]
    return found or [path for path in every if path.suffix.lower() == ".json"]


def by_stem(folder: Path, scores: bool = False) -> dict[str, Path]:
    """The files of a folder by their names without suffix; what lies beside them left out.

    nnU-Net writes case.npz and case.pkl beside the labels: ``scores`` asks for the former.

    Raises
    ------
    Refused
        No files, or two of one stem.
    """
    found: dict[str, Path] = {}
    every = _inside(folder)
    exported = {path.stem for path in every if path.suffix == ".pkl"}
    exported &= {path.stem for path in every if path.suffix == ".npz"}
    for path in every:
        if _is_beside(path) or is_folder(path):
            continue
        suffix = suffix_of(path)
        stem = path.name.removesuffix(suffix)
        if stem in exported and stem in found and ".npz" in (suffix, found[stem].suffix):
            if (suffix == ".npz") == scores:
                found[stem] = path
            continue
        if stem in found:
            both = f"has two files for {stem}: {found[stem].name} and {path.name}"
            raise Refused(folder, f"{both}. Keep one kind there, and the other elsewhere.")
        found[stem] = path
    if not found:
        raise _no_files(folder)
    return {s: path for s, path in found.items() if not _is_second(s, found)}


def _is_second(stem: str, found: dict[str, Path]) -> bool:
    """Whether a file is the confidence or another result beside the labels of that stem."""
    base, dot, name = stem.rpartition(".")
    return bool(dot) and name in _SECOND and base in found


def pairs_of(logits: Path, truth: Path, scores: bool = True) -> tuple[Any, Any, list[Path]]:
    """Logits and truth, two files or two lists of them, and every file that is read.

    ``scores`` says that label maps will not do, where nnU-Net wrote both.

    Raises
    ------
    Refused
        A folder beside a file, an empty folder, or files without a partner of the same stem.
    """
    kinds = is_folder(logits), is_folder(truth)
    if not any(kinds):
        return logits, truth, [logits, truth]
    for path in (logits, truth):
        if not path.exists():
            raise Refused(path, "no such file.")
    if not all(kinds):
        raise Refused(truth if kinds[0] else logits, "is a file; LOGITS and TRUTH are two folders.")
    found, labels = by_stem(logits, scores), by_stem(truth)
    if missing := [path for stem, path in found.items() if stem not in labels]:
        folder = click.format_filename(truth)
        raise Refused(missing[0], f"has no file of that stem in {folder}.")
    if extra := [path for stem, path in labels.items() if stem not in found]:
        folder = click.format_filename(logits)
        raise Refused(extra[0], f"has no file of that stem in {folder}.")
    first, second = [*found.values()], [labels[stem] for stem in found]
    return first, second, [*first, *second]
