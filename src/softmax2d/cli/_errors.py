"""What a person is told when something is wrong: one line, the file and the cause."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

Path = str | os.PathLike[str]


def one_line(text: str) -> str:
    """``text`` with every control character, line ends included, as one blank."""
    return "".join(c if c.isprintable() else " " for c in text)


class Unusable(click.ClickException):
    """Arguments or an installation that cannot be used: nothing was done."""

    exit_code = 2


class Refused(Unusable):
    """A file that cannot be used: nothing was done."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"{click.format_filename(os.fspath(path))}: {cause}")


class Failed(Refused):
    """The machine let us down while reading or writing."""

    exit_code = 3


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """Name ``path`` in every failure of the operating system inside the block."""
    try:
        yield
    except OSError as error:
        raise Failed(path, f"{error.strerror or error}.") from error


def needed(module: str, extra: str) -> Any:
    """Import an optional module, or name the command that installs it."""
    try:
        return import_module(module)
    except ImportError:
        package = {"PIL": "pillow", "skimage": "scikit-image"}.get(module.split(".", 1)[0], module)
        raise Unusable(
            f'this needs {package}: install it with `pip install "softmax2d[{extra}]"`.'
        ) from None
