"""Coordinate reference systems in well-known text: whether two are the same, and their names."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from importlib import import_module
from typing import Any

# The first object inside is the system of the plane; the others are heights, or a way elsewhere.
_WRAPPED = re.compile(r"\s*(?:COMPD_CS|COMPOUNDCRS|COMPOUND_CRS|BOUNDCRS|SOURCECRS)\s*\[", re.I)
_CRS84 = ("OGC", "CRS84")  # EPSG:4326 with the longitude first, as rasters have it anyway
_EPSG_OF_CRS84 = 4326
MERCATOR = "metres of Mercator's projection, which are shorter on the ground"  # as a unit
_KEPT = 64  # texts whose systems are kept


def same_system(one: str, other: str) -> bool:
    """Return whether two texts mean the same system of the plane.

    The version of the text, names, the order of axes and heights are not compared. Without rasterio
    the codes in the texts are.
    """
    if one == other:
        return True
    first, second = (_system_in(text) for text in (one, other))
    if first is None or second is None:
        codes = _code_in(one), _code_in(other)
        return None not in codes and codes[0] == codes[1]
    if first == second:
        return True
    codes = _code_of(first), _code_of(second)
    return None not in codes and codes[0] == codes[1]


def name_system(text: str) -> str:
    """Return the name of a system for a message, with its EPSG code where it has one."""
    plane = _plane_of(text)
    named = re.search(r'\[\s*"([^"]*)"', plane)
    system = _system_in(text)
    code = _code_in(text) if system is None else _code_of(system)
    name = named[1][:60] if named and named[1] else "a system without a name"
    return name if code is None else f"{name} (EPSG:{code})"


@lru_cache(_KEPT)
def _system_in(text: str) -> Any:
    """Return rasterio's object of a system; None where there is no rasterio, or it refuses."""
    try:
        rasterio: Any = import_module("rasterio")
        logging.getLogger("rasterio").setLevel(logging.CRITICAL)
        with rasterio.Env(CPL_DEBUG="OFF"):
            return rasterio.crs.CRS.from_wkt(_plane_of(text))
    except Exception:  # noqa: BLE001 - any type: no rasterio, or PROJ on a damaged text
        return None


@lru_cache(_KEPT)
def _code_of(system: Any) -> int | None:
    try:
        if system.to_authority() == _CRS84:
            return _EPSG_OF_CRS84
        found: int | None = system.to_epsg()
    except Exception:  # noqa: BLE001 - any type: PROJ without its database
        return None
    return found


def _code_in(text: str) -> int | None:
    """Return the EPSG code with which a text ends."""
    ends = re.search(
        r'(?:AUTHORITY|ID)\["EPSG",\s*"?(\d+)"?\]\s*\]\s*$', _plane_of(text), re.IGNORECASE
    )
    return int(ends[1]) if ends else None


def _plane_of(text: str) -> str:
    """Return the part of a text that says how the plane is measured."""
    while _WRAPPED.match(text):
        if inner := re.search(r"[\[,]\s*([A-Za-z_0-9]+\s*\[)", text):
            text = _first_object(text[inner.start(1) :])
        else:
            break
    return text.strip()


def _first_object(text: str) -> str:
    """Return the text up to the bracket that closes its first one; quoted brackets do not count."""
    depth, quoted = 0, False
    for at, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif not quoted and letter == "[":
            depth += 1
        elif not quoted and letter == "]":
            depth -= 1
            if depth == 0:
                return text[: at + 1]
    return text


def unit_of(text: str) -> tuple[str, float | None]:
    """Return the unit of a system's axes, and its metres; None of angles and of Mercator's maps."""
    plane = _plane_of(text)
    if re.search(
        r'"(?:Popular Visualisation Pseudo )?Mercator(?:[_ (][^"]*)?"\s*[],]', plane, re.I
    ):
        return MERCATOR, None  # at 60° a metre of the map is half a metre on the ground
    if re.match(r"\s*GEO[GD]", plane, re.I):
        return "degrees", None
    said = re.findall(r'\b(?:LENGTH)?UNIT\s*\[\s*"([^"]*)"\s*,\s*([0-9.eE+-]+)', plane, re.I)
    if not said:
        return "", None
    name, metres = said[-1]
    return name[:40], float(metres)
