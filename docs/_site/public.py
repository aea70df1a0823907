"""The public names, read from the sources: what the reference has a page for.

Nothing is imported, so that a test may ask cheaply.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parents[2] / "src"
_PROGRAMS = ("cli", "demo", "language")  # the command line, whose commands have pages
ON_ONE_PAGE = ("softmax2d.reference",)  # a few lines each, source included
# Names by which documents call a module.
ALIASES = {
    "s2d": "softmax2d",
    "s2t": "softmax2d.torch",
    "balance": "softmax2d.balance",
    "calibrate": "softmax2d.calibrate",
    "stream": "softmax2d.stream",
    "reference": "softmax2d.reference",
    "extras": "softmax2d.extras",
    "threadpools": "softmax2d.threadpools",
}


class Name(NamedTuple):
    """One public name: the module that documents call it by, and what is written there."""

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """The name as it is imported."""
        return f"{self.module}.{self.name}"

    @property
    def page(self) -> str:
        """Its page; on file systems without case a class must not take a function's."""
        if self.module in ON_ONE_PAGE:
            return f"reference/{self.module}"
        twin = self.name != self.name.lower() and any(
            each != self.name and each.lower() == self.name.lower() for each in names(self.module)
        )
        return f"reference/{self.dotted}{'-class' if twin else ''}"


def _file(module: str) -> Path:
    folder = SOURCES.joinpath(*module.split("."))
    package = folder / "__init__.py"
    return package if package.exists() else folder.with_suffix(".py")


@cache
def modules() -> tuple[str, ...]:
    """The public modules, as they are imported, the package itself first."""
    package = SOURCES / "softmax2d"
    found = [path for path in package.iterdir() if path.name[0] != "_"]
    beside = [
        f"softmax2d.{path.stem}"
        for path in found
        if path.stem not in _PROGRAMS and (path.suffix == ".py" or (path / "__init__.py").exists())
    ]
    tools = [f"softmax2d.adapters.{path.stem}" for path in (package / "adapters").glob("[!_]*.py")]
    return ("softmax2d", *sorted([*beside, *tools]))


@cache
def names(module: str) -> tuple[str, ...]:
    """What a module lists in ``__all__``; without it, what is defined there."""
    body = ast.parse(_file(module).read_text("utf-8")).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return tuple(ast.literal_eval(node.value))
    defined = [n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    return tuple(each for each in defined if each[0] != "_")


@cache
def commands() -> tuple[str, ...]:
    """The commands of the command line, in the order of its help."""
    body = ast.parse((SOURCES / "softmax2d/cli/__init__.py").read_text("utf-8")).body
    loop = next(node for node in body if isinstance(node, ast.For))
    return tuple(ast.unparse(each) for each in getattr(loop.iter, "elts", []))


@cache
def everything() -> tuple[Name, ...]:
    """All public names."""
    return tuple(Name(module, name) for module in modules() for name in names(module))


@cache
def dotted() -> dict[str, Name]:
    """The public names by how they are imported."""
    return {each.dotted: each for each in everything()}


def has_page(name: Name) -> bool:
    """Whether a name has a page of its own."""
    return name.module not in ON_ONE_PAGE
