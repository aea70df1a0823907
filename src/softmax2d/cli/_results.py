"""Refusals and output that ``calibrate``, ``counts``, ``weights`` and ``tune`` share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from softmax2d.stream import StreamError, Unusable

LISTED = 30


def quantity(count: int, noun: str) -> str:
    """``1 pixel``, ``2 pixels``, ``3 classes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' * noun.endswith('s') or 's'}"


def plainly(call: Callable[[], Any], where: str) -> Any:
    """Call a function of the library, and turn its TypeError and ValueError into Unusable."""
    try:
        return call()
    except StreamError:
        raise
    except (TypeError, ValueError) as error:
        raise Unusable(str(error).removeprefix(f"{where}: ")) from None


@contextmanager
def say_warnings(where: str, quiet: bool) -> Iterator[None]:
    """Print what a function of the library warns of on standard error, unless ``quiet``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    beware((str(warning.message).removeprefix(f"{where}: ") for warning in caught), quiet)


def beware(found: Iterable[str], quiet: bool) -> None:
    """Print the warnings of a result on standard error, unless ``quiet``."""
    for warning in () if quiet else found:
        click.echo(f"beware: {warning}", err=True)


def say_paths(*paths: Path | None) -> None:
    """Print the paths of results."""
    for path in paths:
        if path is not None:
            click.echo(click.format_filename(path))
