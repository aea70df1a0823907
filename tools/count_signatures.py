"""Count what a house of code costs: repeated options, long functions, modules, names.

    python tools/count_signatures.py [--list] [FOLDER]

FOLDER is the tree with the package, ``src`` by default; ``--list`` names each find.

A function counts as one that spells options over again if its parameters include

- at least three of the grid's: size, interpolation, align_corners, window, spatial_dims;
- or one of the map's, temperature or bias, with one of the grid's or the class axis, axis or dim;
- or at least five of those of files: key, memory, workers, resume, overwrite, nodata, nodata_label,
  missing_as_fill, names, palette, cog, progress, scheduler, summary, encoding.

Methods and nested functions count; a signature's lines go from ``def`` to the line whose colon ends
it. At commit eda2a23 this gives 71 functions with 955 lines. Fields of dataclasses and TypedDicts
that spell the same options stand in a row of their own. ``bias``, ``temperature`` and
``align_corners`` are counted as parameters of any function.

Lines of a function leave out its docstring. A name reads as a participle or an adverb if its first
word ends in -ed or -en or stands in ``IRREGULAR``, and if nothing but such words or prepositions
follows (``laid``, ``kept_beside``); what comes before a noun (``held_bytes``) has a row of its own.
Properties are values and left out.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

GRID = {"size", "interpolation", "align_corners", "window", "spatial_dims"}
MAP = {"temperature", "bias"}
AXIS = {"axis", "dim"}
FILES = {
    "key", "memory", "workers", "resume", "overwrite", "nodata", "nodata_label", "missing_as_fill",
    "names", "palette", "cog", "progress", "scheduler", "summary", "encoding",
}  # fmt: skip
COUNTED = ("bias", "temperature", "align_corners")
ROOMS = ("", "stream", "_files")
# Participles without -ed or -en, and adverbs.
IRREGULAR = {
    "above", "apart", "away", "begun", "behind", "below", "beside", "between", "bound", "brought",
    "built", "cast", "caught", "done", "drawn", "felt", "found", "gone", "grown", "held", "here",
    "inside", "kept", "known", "laid", "led", "left", "lent", "lost", "made", "meant", "met",
    "near", "outside", "paid", "said", "sent", "shown", "sought", "spent", "taught", "there",
    "thrown", "together", "told", "torn", "understood", "unknown", "unseen", "untold",
    "within", "worn",
}  # fmt: skip
# Verbs and nouns that end in -ed or -en.
NOT = {
    "embed", "even", "exceed", "feed", "flatten", "golden", "harden", "indeed", "lengthen",
    "listen", "need", "open", "proceed", "screen", "seed", "shorten", "speed", "spread", "then",
    "token", "tighten", "when", "widen",
}  # fmt: skip
AFTER = {"about", "as", "at", "back", "beside", "by", "from", "in", "of", "off", "on", "out", "to"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Find(NamedTuple):
    """A definition, where it is, and its lines."""

    where: str
    name: str
    lines: int


def parameters(function: Function) -> list[str]:
    """The names of a function's parameters."""
    a = function.args
    return [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]


def repeats(names: list[str]) -> bool:
    """Whether these are options that are spelled over again."""
    given = set(names)
    mapped = given & MAP and given & (GRID | AXIS)
    return bool(len(given & GRID) >= 3 or mapped or len(given & FILES) >= 5)


def signature_lines(function: Function, lines: list[str]) -> int:
    """From ``def`` to the line whose colon ends the signature."""
    last = function.lineno
    for part in (*ast.walk(function.args), function.returns):
        last = max(last, getattr(part, "end_lineno", None) or 0)
    while not lines[last - 1].partition("#")[0].rstrip().endswith((":", "...")):
        last += 1
    return last - function.lineno + 1


def body_lines(function: Function) -> int:
    """The lines of a function outside its docstring."""
    whole = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is None:
        return whole
    return whole - ((first.end_lineno or 0) - first.lineno + 1)


def is_property(function: Function) -> bool:
    """Whether the name is that of a value."""
    return any("property" in ast.unparse(d) for d in function.decorator_list)


def is_participle(word: str) -> bool:
    """Whether a word reads as a participle or an adverb."""
    return word in IRREGULAR or (len(word) > 3 and word.endswith(("ed", "en")) and word not in NOT)


def naming(name: str) -> str:
    """The kind of a function's name: ``names``, ``phrases`` or nothing."""
    first, *rest = name.strip("_").split("_")
    if not is_participle(first):
        return ""
    return "names" if all(word in AFTER or is_participle(word) for word in rest) else "phrases"


def functions(tree: ast.Module) -> Iterator[Function]:
    """All functions of a module, methods and nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def option_classes(tree: ast.Module) -> Iterator[tuple[ast.ClassDef, int]]:
    """Classes whose fields are such options, with the number of fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            held = [f.target for f in node.body if isinstance(f, ast.AnnAssign)]
            names = [t.id for t in held if isinstance(t, ast.Name)]
            if repeats(names):
                yield node, len(names)


def modules_in(folder: Path, private: bool) -> int:
    """Modules that lie in a folder itself; only private ones where asked."""
    names = [p.stem for p in folder.glob("*.py") if not p.stem.startswith("__")]
    return sum(n.startswith("_") for n in names) if private else len(names)


def count(root: Path) -> tuple[dict[str, list[Find]], Counter[str], int]:
    """The finds by their kind, occurrences of parameters, and lines in all."""
    finds: dict[str, list[Find]] = {
        "signatures": [], "option classes": [], "functions": [], "modules": [], "names": [],
        "phrases": [],
    }  # fmt: skip
    occurrences: Counter[str] = Counter()
    total = 0
    for path in sorted(root.rglob("*.py")):
        lines = path.read_text("utf-8").splitlines()
        tree, where = ast.parse("\n".join(lines)), str(path.relative_to(root))
        total += len(lines)
        if len(lines) > 400:
            finds["modules"].append(Find(where, "", len(lines)))
        for node, fields in option_classes(tree):
            finds["option classes"].append(Find(f"{where}:{node.lineno}", node.name, fields))
        for function in functions(tree):
            place, names = f"{where}:{function.lineno}", parameters(function)
            occurrences.update(names)
            if repeats(names):
                found = signature_lines(function, lines)
                finds["signatures"].append(Find(place, function.name, found))
            if (length := body_lines(function)) > 50:
                finds["functions"].append(Find(place, function.name, length))
            if (kind := naming(function.name)) and not is_property(function):
                finds[kind].append(Find(place, function.name, length))
    return finds, occurrences, total


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("src"))
    parser.add_argument("--list", action="store_true", help="name each find")
    arguments = parser.parse_args()
    finds, occurrences, total = count(arguments.folder)
    package = next(p.parent for p in sorted(arguments.folder.glob("*/__init__.py")))
    flat = [modules_in(package / room, private=not room) for room in ROOMS]
    words = {
        "signatures": "functions that spell options over again",
        "option classes": "dataclasses and TypedDicts of such options",
        "functions": "functions of more than 50 lines outside docstrings",
        "modules": "modules of more than 400 lines",
        "names": "functions named by a participle or an adverb",
        "phrases": "functions named by a participle before a noun",
    }
    for kind, text in words.items():
        found = finds[kind]
        lines = f", {sum(f.lines for f in found)} lines" if kind == "signatures" else ""
        lines += f", {sum(f.lines for f in found)} fields" if kind == "option classes" else ""
        print(f"{len(found):6}  {text}{lines}")
        for each in found if arguments.list else ():
            print(f"        {each.where}  {each.name}  {each.lines}")
    print(f"{' / '.join(str(occurrences[n]) for n in COUNTED)}  times {', '.join(COUNTED)}")
    print(
        f"{' · '.join(map(str, flat))}  modules flat at the top (private) · in stream · in _files"
    )
    print(f"{total:6}  lines of Python")


if __name__ == "__main__":
    main()
