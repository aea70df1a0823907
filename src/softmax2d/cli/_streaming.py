"""Options and words that the commands over files share: budget, resuming, the account."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from softmax2d._errors import Refused, Unusable
from softmax2d.stream.workers.cluster import Cluster


def number_of_workers(context: Any, option: Any, value: int | None) -> int | None:
    """At least one."""
    if value is not None and value < 1:
        raise click.BadParameter("must be at least 1.")
    return value


def bounded(command: Any) -> Any:
    """Add the options that say how much memory and how many workers."""
    options = (
        click.option(
            "--memory",
            default="512MB",
            show_default=True,
            metavar="SIZE",
            help="What the run may take beside the program itself.",
        ),
        click.option(
            "--nodata",
            type=float,
            metavar="V",
            help="Logits of this value, any class, are no data.",
        ),
        click.option(
            "--missing-as-fill", is_flag=True, help="Missing chunks are the fill value, no error."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def distributed(command: Any) -> Any:
    """Add the options that say who works, and where the account goes."""
    options = (
        click.option(
            "--workers",
            type=int,
            metavar="N",
            callback=number_of_workers,
            help="N processes of dask.distributed; threads of this one by default.",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Workers of this dask.distributed scheduler, tcp://HOST:PORT.",
        ),
        click.option(
            "--summary",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Account for every tile and pixel in FILE, as JSON.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def resumable(command: Any) -> Any:
    """Add the options of runs that can be gone on with."""
    option = click.option(
        "--resume", is_flag=True, help="Go on with a run that was stopped, killed or failed."
    )
    return option(distributed(command))


def cluster_of(scheduler: str | None, workers: int | None, stack: ExitStack) -> Cluster | None:
    """The cluster that the options ask for, closed with ``stack``; None for threads.

    Raises
    ------
    Unusable
        Both were given, or the cluster is not to be had.
    """
    if scheduler is not None and workers is not None:
        raise Unusable("give --scheduler or --workers, not both.")
    if scheduler is None and workers is None:
        return None
    return stack.enter_context(Cluster(scheduler, workers))


def account_path(path: Path | None) -> Path | None:
    """Where the account goes."""
    if path is None:
        return None
    if path.suffix.lower() != ".json":
        raise Refused(path, f"has the suffix {path.suffix!r}; the account is a .json.")
    if not path.parent.is_dir():
        raise Refused(path, f"there is no folder {path.parent}.")
    return path


def noted(notes: list[str]) -> None:
    """Say what somebody should know, beside the results."""
    for note in notes:
        click.echo(f"softmax2d: {note}", err=True)
