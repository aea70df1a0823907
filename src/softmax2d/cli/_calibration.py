"""``--calibration FILE``: a fitted map in the place of a temperature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from softmax2d._errors import Unusable
from softmax2d.calibrate._calibration import Calibration


def mapped(command: Any) -> Any:
    """Add the options that say how logits are mapped; :func:`map_of` makes one of the two."""
    temperature = click.option(
        "--temperature",
        type=float,
        metavar="T",
        help="Divides the logits; positive.  [default: 1]",
    )
    calibration = click.option(
        "--calibration",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The map that `softmax2d calibrate` fitted, in place of a temperature.",
    )
    return temperature(calibration(command))


def map_of(temperature: float | None, calibration: Path | None) -> Any:
    """What ``temperature=`` takes.

    Raises
    ------
    Unusable
        Both given, or a file that holds no calibration.
    """
    if calibration is None:
        return 1.0 if temperature is None else temperature
    if temperature is not None:
        raise Unusable("give --temperature or --calibration, not both.")
    return Calibration.load(calibration)
