"""``softmax2d info``: versions, instruction sets and threads."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import click
import numpy as np

import softmax2d

# Package, and what it is for here.
_OPTIONAL = (
    ("click", "command line"),
    ("pillow", "PNG"),
    ("tifffile", "TIFF"),
    ("ml_dtypes", "bfloat16"),
    ("scikit-image", "demo"),
    ("matplotlib", "demo"),
    ("scipy", "compared with in the demo"),
    ("torch", "compared with in the demo"),
)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _threads_from() -> str:
    for name in ("SOFTMAX2D_NUM_THREADS", "OMP_NUM_THREADS"):
        if value := os.environ.get(name, "").strip():
            return f"{name}={value}"
    return "processors that this process may use"


@click.command()
def info() -> None:
    """Print versions, instruction sets, threads.

    The lines that a bug report needs.

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
    rows += [(name, f"{_version(name) or 'not installed'} ({use})") for name, use in _OPTIONAL]
    for name, text in rows:
        click.echo(f"{name:<18}{text}")
