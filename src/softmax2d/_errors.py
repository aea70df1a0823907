"""Errors of files and installations: one line that names the file and the cause."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from softmax2d.extras import install_command, package_of

Path = str | os.PathLike[str]


def one_line(text: str) -> str:
    """``text`` with every control character, line ends included, as one blank."""
    return "".join(c if c.isprintable() else " " for c in text)


def brief(value: Any, most: int = 60) -> str:
    """A value as it is shown in a message: one line of at most ``most`` characters."""
    try:
        shown = one_line(repr(value))
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists in lists
        return f"a very long {type(value).__name__}"
    return shown if len(shown) <= most else f"{shown[: most - 3]}…"


_LONGEST = 1000  # characters of another library's words; none that is known says more


def words_of(error: object) -> str:
    """What another library says, in one line and whole, without the stop at its end.

    What a damaged file makes endless ends with a sentence, or at least a word.
    """
    text = " ".join(one_line(str(error)).split()).rstrip(". ") or type(error).__name__
    if len(text) <= _LONGEST:
        return text
    start = text[:_LONGEST]
    return start[: start.rfind(". ")] if ". " in start else f"{start.rpartition(' ')[0] or start} …"


def name_of(path: Path) -> str:
    """A file's name as it can be printed: bytes that are no Unicode are replaced."""
    return os.fsdecode(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def unicode(text: str) -> str:
    """``text`` as it can be stored: halves of characters, which JSON may hold, are replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


class StreamError(Exception):
    """The root of all errors of files and streams; the message is one line."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        message = one_line(message)  # texts of libraries and of files stand in it
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Unusable(StreamError, ValueError):  # noqa: N818 - a statement, as Refused
    """Arguments or an installation that cannot be used: nothing was done."""

    exit_code = 2


class Refused(Unusable):
    """A file that cannot be used: nothing was done."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"{name_of(path)}: {cause}")


class Missing(Refused, FileNotFoundError):  # noqa: N818
    """A file that is not there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "no such file.")


class Failed(StreamError, OSError):  # noqa: N818
    """The operating system failed to read or write a file."""

    exit_code = 3

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"{name_of(path)}: {cause}")


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """Name ``path`` in every failure of the operating system inside the block."""
    try:
        yield
    except StreamError:
        raise
    except OSError as error:
        raise Failed(path, f"{error.strerror or error}.") from error


def require(module: str, extra: str) -> Any:
    """Import an optional module, or name the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = package_of(module)
        missing = isinstance(error, ModuleNotFoundError) and error.name is not None
        if missing and package_of(str(error.name)) == package:
            text = f"this needs {package}: install it with `{install_command(extra, module)}`."
        else:  # a library that it needs, say
            text = f"{package} is installed but cannot be imported: {one_line(str(error))}."
        raise Unusable(text) from None
