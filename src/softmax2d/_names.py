"""Modules that load when first touched, and the names in them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_PROGRAMS = ("cli", "demo")  # nothing to import
# Public names that few touch, and where they are.
_LATER = {
    "Boundaries": "_boundaries.measures",
    "Curves": "_statistics.curves",
    "ImageScores": "_statistics.image_scores",
    "evaluate_boundaries": "_boundaries.evaluate",
}


def modules() -> list[str]:
    """The public modules beside this one."""
    return sorted(filter(_is_module, {path.stem for path in _FOLDER.iterdir()} - {*_PROGRAMS}))


def _is_module(name: str) -> bool:
    """Whether the package has a public module of that name."""
    paths = _FOLDER / name / "__init__.py", _FOLDER / f"{name}.py"
    return name.isidentifier() and name[0] != "_" and any(path.is_file() for path in paths)


def _names_in(name: str) -> list[str]:
    """What a module lists in ``__all__``, read without importing it."""
    path = _FOLDER / name / "__init__.py"
    path = path if path.exists() else _FOLDER / f"{name}.py"
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _alike(name: str, names: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """At most two names that look like it."""
    from difflib import get_close_matches  # asked after mistakes only

    return get_close_matches(name, [*names], n=2, cutoff=cutoff)


def _places(name: str, own: list[str]) -> Iterator[str]:
    """Dotted places of a name, or of names that look like it."""
    beside = modules()
    known = [("softmax2d", each) for each in (*own, *beside)]
    known += [(f"softmax2d.{module}", each) for module in beside for each in _names_in(module)]
    exact = [f"{place}.{each}" for place, each in known if each == name]
    yield from exact
    if not exact:
        near = _alike(name, {each for _, each in known}, 0.75)
        yield from (f"{place}.{each}" for each in near for place, found in known if found == each)


def _absent(name: str, own: list[str]) -> str:
    """Say that there is no such name, and where it is or what is like it."""
    text = f"softmax2d has no name {name!r}"
    if not (places := list(_places(name, own))):
        return f"{text}; dir(softmax2d) lists those that it has."
    module, _, last = places[0].rpartition(".")
    where = " or ".join(places[:3])
    if last != name:
        return f"{text}. Did you mean {where}?"
    return f"{text}: it is {where}. Write `from {module} import {name}`."


def find_in_torch(name: str) -> Any:
    """Say what in ``softmax2d.torch`` is like a name of PyTorch, for its ``__getattr__``.

    Raises
    ------
    AttributeError, ImportError
        Always: the module holds all its names.
    """
    place = "softmax2d.torch"
    near = [] if name.startswith("_") else _alike(name, _names_in("torch"))
    text = f"{place} has no name {name!r}"
    if near:
        text += f". Did you mean {' or '.join(f'{place}.{each}' for each in near)}?"
    imported = sys._getframe(1).f_code.co_name == "_handle_fromlist"  # noqa: SLF001
    raise ImportError(text, name=place) if imported and near else AttributeError(text)


def find_adapter(name: str) -> Any:
    """The module of that name in ``softmax2d.adapters``, for its ``__getattr__``.

    Raises
    ------
    AttributeError
        No such module, or one that needs a package that is missing: the message names the command
        that installs it.
    """
    place = "softmax2d.adapters"
    known = sorted(path.stem for path in (_FOLDER / "adapters").glob("[!_]*.py"))
    if name not in known:
        listed = "" if name.startswith("_") else f"; it has {', '.join(known)}"
        raise AttributeError(f"{place} has no module {name!r}{listed}")
    try:
        return import_module(f"{place}.{name}")
    except ImportError as error:
        raise AttributeError(str(error)) from error


def find(name: str) -> Any:
    """The module or the later name, for ``softmax2d.__getattr__``.

    Raises
    ------
    AttributeError
        No such name, or a module that needs a package that is missing, so that ``hasattr`` is
        False; the message names the place, or the command that installs the package.
    ImportError
        The same for ``from softmax2d import name``, of which Python would drop the message.
    """
    if name.startswith("_"):
        raise AttributeError(f"module 'softmax2d' has no attribute {name!r}")
    if name in _LATER:
        found = getattr(import_module(f"softmax2d.{_LATER[name]}"), name)
        vars(sys.modules["softmax2d"])[name] = found
        return found
    # from softmax2d import name: the import system asks whether there is an attribute.
    imported = sys._getframe(1).f_code.co_name == "_handle_fromlist"  # noqa: SLF001
    if _is_module(name):
        try:
            return import_module(f"softmax2d.{name}")
        except ImportError as error:
            if imported:
                raise
            raise AttributeError(str(error)) from error
    text = _absent(name, sys.modules["softmax2d"].__all__)
    raise ImportError(text, name="softmax2d") if imported else AttributeError(text)
