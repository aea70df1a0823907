"""Values of options: parsed from text, and joined into arguments of the library's functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from softmax2d.calibrate import Calibration
from softmax2d.stream import Refused, Unusable


def parse_size(context: Any, option: Any, text: str | None) -> tuple[int, ...] | None:
    """``HxW`` or ``DxHxW``."""
    if text is None:
        return None
    if not re.fullmatch(r"\s*[0-9]{1,9}(\s*[x×X]\s*[0-9]{1,9}){1,2}\s*", text, re.ASCII):
        raise Unusable(f"--size {text[:60]}: expected HxW or DxHxW, as in 1024x2048.")
    return tuple(int(n) for n in re.findall(r"[0-9]+", text))


def parse_kinds(context: Any, option: Any, text: str) -> str | tuple[str, ...]:
    """A name, or several where there is a comma."""
    names = tuple(name.strip() for name in text.split(","))
    return names[0] if len(names) == 1 else names


def parse_window(context: Any, option: Any, text: str | None) -> int | tuple[int, ...] | None:
    """``512`` or ``384x512``."""
    if text is None:
        return None
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter("expected a number of pixels, or HxW, as in 384x512.")
    sizes = tuple(int(part) for part in parts)
    return sizes[0] if len(sizes) == 1 else sizes


def parse_numbers(context: Any, option: Any, value: str | None) -> list[float] | None:
    """``1,2,0.5``."""
    try:
        return None if value is None else [float(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter("expected numbers with commas between them.") from None


def parse_integers(context: Any, option: Any, value: str | None) -> list[int] | None:
    """``4,3,2``."""
    try:
        return None if value is None else [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter("expected whole numbers with commas between them.") from None


def parse_scale(context: Any, option: Any, value: str) -> Any:
    """``auto``, or numbers and fractions with commas between them: ``1/10000``."""
    parts = value.split(",")
    return parts[0].strip() if len(parts) == 1 else parts


def parse_goal(context: Any, option: Any, value: str) -> Any:
    """``mean_iou``, ``mean_accuracy``, or ``recall:car,3``."""
    name, colon, classes = value.partition(":")
    if name == "recall" and colon:
        listed = [c.strip() for c in classes.split(",") if c.strip()]
        return "recall", [int(c) if c.isdecimal() else c for c in listed]
    if value in ("mean_iou", "mean_accuracy"):
        return value
    raise click.BadParameter("expected mean_iou, mean_accuracy, or recall:CLASS,CLASS.")


def check_positive(context: Any, option: Any, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise click.BadParameter("must be at least 1.")
    return value


def count_or_names(text: str | None) -> tuple[int | None, str | None]:
    """A number of classes, or their names."""
    if text is not None and text.isdecimal():
        return int(text), None
    return None, text


def parse_names(context: Any, option: Any, text: str) -> list[str]:
    """Names with commas between them, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def parse_encoding(context: Any, option: Any, name: str) -> str:
    return "uint8" if name == "8bit" else name


def check_account(context: Any, option: Any, path: Path | None) -> Path | None:
    """A path of an account, which is a .json in a folder that exists."""
    if path is None:
        return None
    if path.suffix.lower() != ".json":
        raise Refused(path, f"has the suffix {path.suffix!r}; the account is a .json.")
    if not path.parent.is_dir():
        raise Refused(path, f"there is no folder {path.parent}.")
    return path


def check_scores(context: Any, option: Any, path: Path | None) -> Path | None:
    """A path of a table of scores, which is a .csv."""
    if path is not None and path.suffix.lower() != ".csv":
        raise Refused(path, f"has the suffix {path.suffix!r}; the scores of each image are a .csv.")
    return path


def take_map(options: dict[str, Any]) -> None:
    """Put one map, a temperature or a calibration, in the place of both options.

    Raises
    ------
    Unusable
        Both given, or a file that holds no calibration.
    """
    calibration = options.pop("calibration")
    if calibration is None:
        options["temperature"] = 1.0 if options["temperature"] is None else options["temperature"]
    elif options["temperature"] is not None:
        raise Unusable("give --temperature or --calibration, not both.")
    else:
        options["temperature"] = Calibration.load(calibration)


def take_scheduler(options: dict[str, Any]) -> None:
    """Put one scheduler, an address or a number of processes, in the place of both options.

    Raises
    ------
    Unusable
        Both were given.
    """
    workers = options.pop("workers")
    if options["scheduler"] is not None and workers is not None:
        raise Unusable("give --scheduler or --workers, not both.")
    options["scheduler"] = options["scheduler"] or workers


@contextmanager
def option_words(words: Mapping[str, str]) -> Iterator[None]:
    """Begin the library's refusals with an option where they begin with an argument.

    Parameters
    ----------
    words : mapping of str to str
        What a refusal begins with, and what takes its place.
    """
    try:
        yield
    except Unusable as error:
        for argument, option in words.items():
            if error.message.startswith(argument):
                error.message = option + error.message.removeprefix(argument)
                break
        raise
