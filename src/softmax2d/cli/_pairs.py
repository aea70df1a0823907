"""Logits and their truth as the command line names them: two files, or two folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from softmax2d._errors import Refused, failing, shown
from softmax2d._files.formats import suffix_of


def stem_of(path: Path) -> str:
    """A file's name without its suffix, ``.nii.gz`` as one."""
    suffix = suffix_of(path)
    return path.name[: len(path.name) - len(suffix)] if suffix else path.stem


def _files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their stem; hidden ones left out."""
    found: dict[str, Path] = {}
    with failing(folder):
        paths = sorted(folder.iterdir())
    for path in paths:
        if path.name.startswith(".") or (path.is_dir() and not suffix_of(path)):
            continue
        stem = stem_of(path)
        if stem in found:
            raise Refused(folder, f"has two files for {stem}: {found[stem].name} and {path.name}.")
        found[stem] = path
    return found


def _is_folder(path: Path) -> bool:
    """A folder of files, and no store such as .zarr."""
    return path.is_dir() and not suffix_of(path)


def pairs_of(logits: Path, truth: Path) -> tuple[Any, Any, list[Path]]:
    """What ``Samples`` takes, and every file that is read.

    Raises
    ------
    Refused
        A folder beside a file, an empty folder, or files without a partner of the same stem.
    """
    kinds = _is_folder(logits), _is_folder(truth)
    if not any(kinds):
        return logits, truth, [logits, truth]
    for path in (logits, truth):
        if not path.exists():
            raise Refused(path, "no such file.")
    if not all(kinds):
        raise Refused(truth if kinds[0] else logits, "is a file; LOGITS and TRUTH are two folders.")
    scores, labels = _files(logits), _files(truth)
    if not scores:
        raise Refused(logits, "has no files.")
    if missing := [path for stem, path in scores.items() if stem not in labels]:
        raise Refused(missing[0], f"has no file of that stem in {shown(truth)}.")
    if extra := [path for stem, path in labels.items() if stem not in scores]:
        raise Refused(extra[0], f"has no file of that stem in {shown(logits)}.")
    first, second = [*scores.values()], [labels[stem] for stem in scores]
    return first, second, [*first, *second]
