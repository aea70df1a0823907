"""``softmax2d info``: versions, instruction sets and threads."""

from __future__ import annotations

import os
import platform

import click
import numpy as np

import softmax2d
from softmax2d.cli import _help
from softmax2d.extras import requirements, version_of

# Extras that hold others, or that users do not need.
_LEFT_OUT = ("all", "test", "dev", "docs")
# What is used where it is there, and belongs to no extra that is listed.
_OTHERS = {"xarray": "DataArrays", "threadpoolctl": "threads"}


def _optional() -> list[tuple[str, str]]:
    """Every optional package: its version or ``missing``, and the extras that hold it."""
    holders: dict[str, list[str]] = {}
    for extra, packages in requirements().items():
        for package in packages if extra not in _LEFT_OUT else ():
            holders.setdefault(package, []).append(extra)
    known = {package: ", ".join(extras) for package, extras in holders.items()} | _OTHERS
    order = sorted(known, key=str.lower)
    return [(name, f"{version_of(name) or 'missing'} ({known[name]})") for name in order]


def _threads_from() -> str:
    for name in ("SOFTMAX2D_NUM_THREADS", "OMP_NUM_THREADS"):
        if value := os.environ.get(name, "").strip():
            return f"{name}={value}"
    return "processors that this process may use"


@click.command(cls=_help.Command)
def info() -> None:
    """Print versions, instruction sets, threads.

    The lines that a bug report needs; of each optional package its version or `missing`, and the
    extras that hold it.

    \b
    Examples:
      softmax2d info
      SOFTMAX2D_ISA=v2 softmax2d info     the build that a forced instruction set gives

    Exit codes: 0 done; 2 wrong usage.
    """
    forced = os.environ.get("SOFTMAX2D_ISA", "").strip()
    why = f"forced by SOFTMAX2D_ISA={forced}" if forced else "the best that this processor runs"
    builds = softmax2d.instruction_sets()
    rows = [
        ("softmax2d", softmax2d.__version__),
        ("instruction set", f"{softmax2d.instruction_set()} ({why})"),
        ("  this processor", ", ".join(name for name, runs in builds.items() if runs)),
        ("  built", ", ".join(builds)),
        ("threads", f"{softmax2d.get_num_threads()} ({_threads_from()})"),
        ("Python", f"{platform.python_version()} ({platform.system()}, {platform.machine()})"),
        ("NumPy", np.__version__),
    ]
    rows += _optional()
    for name, text in rows:
        click.echo(f"{name:<18}{text}")
