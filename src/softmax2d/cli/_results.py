"""What ``calibrate``, ``counts``, ``weights`` and ``tune`` share: labels, small results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from softmax2d._errors import Refused, StreamError, Unusable, failing, needed
from softmax2d._files.formats import suffix_of
from softmax2d._files.source.regular import read_lines
from softmax2d._report.figure import SUFFIXES, Figure
from softmax2d.balance import ClassCounts, class_counts
from softmax2d.cli import _colour
from softmax2d.cli._write import Results

LISTED = 30

report = click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write tables and charts to FILE: .html, .txt, .png or .json.",
)


def counting(command: Any) -> Any:
    """Add the options of what counts labels."""
    options = (
        click.option(
            "--ignore-index", type=int, metavar="N", help="Pixels whose label is N count nowhere."
        ),
        click.option(
            "--classes", metavar="NAMES", help="How many, or names: a,b,c or a file, one a line."
        ),
        click.option("--key", metavar="NAME", help="Which array of files with several."),
        click.option(
            "--spatial-dims", default=2, show_default=True, help="3 for volumes, 2 for pictures."
        ),
        click.option(
            "--memory",
            default="512MB",
            show_default=True,
            metavar="SIZE",
            help="What the run may take beside the program itself.",
        ),
        click.option("--overwrite", is_flag=True, help="Replace existing files."),
        click.option("--quiet", is_flag=True, help="Print nothing."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check_suffixes(out: Path | None, report: Path | None) -> list[Path]:
    """Refuse names of results that say another format; the results."""
    if out is not None and out.suffix.lower() != ".json":
        raise Refused(out, f"has the suffix {out.suffix!r}; the result is a .json.")
    if report is not None:
        if report.suffix.lower() not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            told = f"has the unknown suffix {report.suffix!r}; reports go to {known}."
            raise Refused(report, told)
        if report.suffix.lower() == ".png":
            needed("matplotlib", "demo")
    return [path for path in (out, report) if path is not None]


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the label files in them."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir() and not suffix_of(path):
            with failing(path):
                inside = sorted(p for p in path.iterdir() if not p.name.startswith("."))
            if not inside:
                raise Refused(path, "has no files.")
            found += inside
        else:
            found.append(path)
    return found


def plainly(call: Callable[[], Any], where: str) -> Any:
    """What a function of the library gives; its refusals as those of the command line."""
    try:
        return call()
    except StreamError:
        raise
    except (TypeError, ValueError) as error:
        raise Unusable(str(error).removeprefix(f"{where}: ")) from None


def counted(labels: Sequence[Path], classes: str | None, **asked: Any) -> ClassCounts:
    """Counts of the labels named on the command line."""
    plain = classes is not None and classes.isdecimal()
    count = int(classes) if plain and classes is not None else None
    if not plain and classes is not None:
        count = len(names_of(classes))
    names = None if plain or classes is None else names_of(classes)
    found: ClassCounts = plainly(
        lambda: class_counts(list(labels), classes=count, names=names, **asked), "class_counts"
    )
    return found


def names_of(spec: str) -> list[str]:
    """The names in ``spec``, however many."""
    lines = read_lines(spec) if Path(spec).exists() else spec.split(",")
    count = len([line for line in lines if line.strip()])
    return _colour.class_names(spec, count) or []


def write(results: Results, files: Sequence[tuple[Path | None, bytes]]) -> None:
    """Write small results, all or none."""
    with results:
        for path, data in files:
            if path is not None:
                file = results.create(path)
                with failing(path):
                    file.write(data)


def rendered(figure: Figure, path: Path | None) -> bytes:
    """The report's bytes, if there is to be one."""
    return b"" if path is None else figure.render(path.suffix)


def say(figure: Figure, paths: Sequence[Path]) -> None:
    """Print the tables, of many classes the first ones, and what was written."""
    click.echo(figure.text(LISTED))
    for path in paths:
        click.echo(click.format_filename(path))
