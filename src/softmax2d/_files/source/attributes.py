"""What the attributes of an array say of its numbers, in Zarr, HDF5, netCDF, xarray and rioxarray.

A factor, an offset and numbers for no data, as CF names them [1]_; ours; GDAL's of each band, as
rioxarray passes them on. They are read here alone, whether the array comes as a file or as an
object.

References
----------
.. [1] "NetCDF Climate and Forecast (CF) Metadata Conventions", sections 2.5.1 and 8.1.
"""

from __future__ import annotations

import base64
import struct
import sys
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

import numpy as np

from softmax2d._errors import Path, Refused, unicode
from softmax2d._files.source.presentation import meaning_in
from softmax2d._files.source.source import ArraySource, class_axis_of

_OURS = ("probs", "confidence", "margin", "entropy", "top_probs")  # results that 8 bits may hold
RESULTS = (*_OURS, "labels", "top_labels")
_WORDS = ("nan", "inf", "-inf", "infinity", "-infinity")  # numbers that JSON spells as texts
# What attributes say of the numbers beside them: it is not true of what is computed from these.
OF_NUMBERS = frozenset((
    "_FillValue", "missing_value", "fill_value", "nodata", "nodatavals", "scale_factor",
    "add_offset", "scale", "scales", "offset", "offsets", "_Unsigned", "valid_min", "valid_max",
    "valid_range", "actual_range", "units", "units_metadata", "long_name", "standard_name",
    "short_name", "cell_methods", "ancillary_variables", "flag_values", "flag_masks",
    "flag_meanings", "descriptions", "palette", "meaning", "what", "dtype", "colormap",
    "calendar", "STATISTICS_MINIMUM", "STATISTICS_MAXIMUM", "STATISTICS_MEAN",
    "STATISTICS_STDDEV", "STATISTICS_VALID_PERCENT", "STATISTICS_APPROXIMATE",
))  # fmt: skip
OF_GRIDS = frozenset(("transform", "GeoTransform", "res", "bounds", "geotransform", "affine"))


@dataclass(frozen=True)
class Statements:
    """What attributes say; the defaults are what their absence means."""

    factor: Any = 1.0  # of stored numbers, or one a band: shape (C, 1, 1)
    offset: Any = 0.0  # what is added then, or one a band
    nodata: float | None = None  # the stored number for no data
    missing: tuple[float, ...] = ()  # further ones
    nan_is_nodata: bool = False  # whether NaN is among them
    names: tuple[str, ...] | None = None  # of the classes
    # Of integers, where netCDF's _Unsigned says that their bits are those of the other sign.
    bits_of: np.dtype[Any] | None = None
    step: float = 0.0  # between neighbours, of floats that were integers times this


def number_in(value: Any) -> float | None:
    """Return a number, alone, in an array of one or as Zarr spells it; None of anything else.

    xarray writes floats to Zarr 3 as their bytes in base64.
    """
    if isinstance(value, str):
        if value.lower() in _WORDS:
            return float(value)
        try:
            (value,) = struct.unpack("<d", base64.b64decode(value, validate=True))
        except (ValueError, struct.error):
            return None
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)  # an OverflowError of a number beyond floats
    held = np.asarray(value)
    return float(held.reshape(-1)[0]) if held.size == 1 and held.dtype.kind in "fiu" else None


def _numbers_in(value: Any) -> list[float]:
    """Return the numbers of an attribute that may hold several."""
    alone = number_in(value)
    if alone is not None:
        return [alone]
    held = np.asarray(() if isinstance(value, str | bytes) or value is None else value)
    return [float(v) for v in held.reshape(-1)] if held.dtype.kind in "fiu" else []


def texts_in(value: Any) -> tuple[str, ...] | None:
    """Return texts: of bytes or characters, of fixed or any length, in a list or between line ends.

    Fixed lengths are filled with blanks or zeros, which are no part of a name.
    """
    held = np.reshape(value, -1).tolist() if isinstance(value, np.ndarray) and value.ndim else value
    held = held.item() if isinstance(held, np.ndarray | np.generic) else held
    held = _text(held).split("\n") if isinstance(held, bytes | str) else held
    if not isinstance(held, list | tuple) or not all(isinstance(v, bytes | str) for v in held):
        return None
    return tuple(unicode(_text(name)).rstrip("\0 ") for name in held) or None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_attributes(given: Mapping[str, Any], *, fill: Any = None, dtype: Any = None) -> Statements:
    """Return what attributes say of the numbers of an array.

    Parameters
    ----------
    given : mapping
        The attributes.
    fill
        The ``fill_value`` of a Zarr 2 array: xarray keeps its ``_FillValue`` there. Its default,
        0, says nothing.
    dtype : dtype, optional
        Of the stored numbers.

    Notes
    -----
    Our ``nodata`` comes before CF's numbers, of which there may be several. NaN, xarray's default
    ``_FillValue``, is none of these: scores of NaN are counted as NaN.
    """
    each = [number_in(given.get("nodata"))] if "nodata" in given else _fills(given, fill)
    nan = "nodata" in given  # which then says it, and no library by itself
    known = [v for v in dict.fromkeys(each) if v is not None and (nan or not isnan(v))]
    factor, offset = (number_in(given.get(name)) for name in ("scale_factor", "add_offset"))
    bits_of = _other_sign(given.get("_Unsigned"), dtype)
    if bits_of is not None:
        known = [_with_sign(value, bits_of) for value in known]
    if factor is None and dtype == np.uint8 and given.get("what") in _OURS:
        factor = number_in(given.get("scale"))
    return Statements(
        1.0 if factor is None else factor,
        0.0 if offset is None else offset,
        known[0] if known else None,
        tuple(known[1:]),
        any(value is not None and isnan(value) for value in each),
        texts_in(given.get("class_names")),
        bits_of,
    )


def _other_sign(said: Any, dtype: Any) -> np.dtype[Any] | None:
    """Return the dtype of the other sign, where ``_Unsigned`` says that the numbers are of it."""
    dtype, said = np.dtype(dtype or np.void), _text(said).lower()
    if dtype.kind not in "iu" or said != {"i": "true", "u": "false"}[dtype.kind]:
        return None
    other: np.dtype[Any] = np.dtype(dtype.str.replace(*("iu" if dtype.kind == "i" else "ui")))
    return other


def _with_sign(value: float, dtype: np.dtype[Any]) -> float:
    """Return a number for no data as the bits mean it."""
    most = 2.0 ** (8 * dtype.itemsize)
    if dtype.kind == "u":
        return value + most if value < 0 else value
    return value - most if value >= most / 2 else value


def _fills(given: Mapping[str, Any], fill: Any) -> list[float | None]:
    """Return CF's numbers for no data, or GDAL's of each band."""
    if "_FillValue" not in given and "_ARRAY_DIMENSIONS" in given:
        first = number_in(fill) or None
    else:
        first = number_in(given.get("_FillValue"))
    bands = [] if "_FillValue" in given else _numbers_in(given.get("nodatavals"))
    return [first, *_numbers_in(given.get("missing_value")), *bands]


def statements_of(held: Any, path: Path = "array") -> Statements:
    """Return what an array object says: a zarr.Array, h5py.Dataset, DataArray or the like.

    Raises
    ------
    Refused
        Factors of bands that are no axis of three; a netCDF variable that decodes itself.
    """
    if hasattr(held, "set_auto_maskandscale") and hasattr(held, "ncattrs"):
        return _of_netcdf(held, path)
    given: Any = getattr(held, "attrs", None)
    if not isinstance(given, Mapping) and not hasattr(given, "keys"):
        return Statements()
    name = getattr(held, "name", None)  # of our HDF5 results: what they are
    what = name.rpartition("/")[2] if isinstance(name, str) else None
    given = ChainMap(given, {"what": what})
    version = getattr(getattr(held, "metadata", None), "zarr_format", None)
    fill = getattr(held, "fill_value", None) if version == 2 else None
    dtype = np.dtype(held.dtype)
    try:
        said = _of_bands(given, read_attributes(given, fill=fill, dtype=dtype), held, path)
    except OverflowError:
        raise Refused(path, "has an attribute of its numbers that no float holds.") from None
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(held, xarray.DataArray | xarray.Variable):
        return _of_encoding(said, held.encoding, dtype)
    return said


def _of_encoding(said: Statements, encoding: Mapping[str, Any], dtype: np.dtype[Any]) -> Statements:
    """Return what is said of numbers that xarray has decoded: a factor no more, and NaN.

    Numbers for no data have become NaN in floats; of integers nothing was decoded.
    """
    factor = number_in(encoding.get("scale_factor"))
    if factor is not None and dtype.kind == "f" and _is_whole(encoding.get("dtype")):
        said = replace(said, step=abs(factor))
    fills = [number_in(encoding.get("_FillValue")), *_numbers_in(encoding.get("missing_value"))]
    known = [value for value in fills if value is not None and not isnan(value)]
    if said.nodata is not None or not fills:
        return said
    if dtype.kind in "iu":
        return replace(said, nodata=known[0], missing=tuple(known[1:])) if known else said
    decoded = any(value is not None for value in fills)
    nan = float("nan") if known else None
    return replace(said, nodata=nan, nan_is_nodata=said.nan_is_nodata or decoded)


def _is_whole(dtype: Any) -> bool:
    """Whether an encoding's dtype, if it is one, is of integers."""
    try:
        return dtype is not None and np.dtype(dtype).kind in "iu"
    except TypeError:
        return False


def _of_bands(given: Mapping[str, Any], said: Statements, held: Any, path: Path) -> Statements:
    """Return what is said with GDAL's factor and offset of each band, where CF's are missing."""
    if "scale_factor" in given or "add_offset" in given:
        return said
    found = {}
    for name, default in (("scales", 1.0), ("offsets", 0.0)):
        each = _numbers_in(given.get(name)) or [default]
        if len(set(each)) > 1 and (len(held.shape) != 3 or held.shape[0] != len(each)):
            cause = f"has {name} of {len(each)} bands, which are not the first of three axes; got "
            raise Refused(path, f"{cause}shape {tuple(held.shape)}.")
        found[name] = each[0] if len(set(each)) == 1 else np.reshape(each, (-1, 1, 1))
    if "scales" not in given and "offsets" not in given:
        return said
    return replace(said, factor=found["scales"], offset=found["offsets"])


def _of_netcdf(held: Any, path: Path) -> Statements:
    """Return what a variable of netCDF4 says, if it gives the numbers as they are stored."""
    given = {name: held.getncattr(name) for name in held.ncattrs()}
    said = read_attributes(given, dtype=np.dtype(held.dtype))
    decodes = getattr(held, "scale", False) or getattr(held, "mask", False)
    if decodes and said != replace(Statements(), names=said.names):
        cause = "decodes factors and masks itself; call its set_auto_maskandscale(False) first"
        raise Refused(path, f"{cause}, and what its attributes say is applied here.")
    return said


def describe_axes(source: ArraySource) -> None:
    """Set what an array object says of its axes, and what its numbers are."""
    held = source.held
    given: Any = getattr(held, "attrs", None)
    if given is not None and hasattr(given, "get"):
        source.meaning = meaning_in(given)
    if source.axes is None and hasattr(held, "dims") and hasattr(given, "get_id"):
        source.axes = axis_names(held)  # h5py
    elif source.axes is None and given is not None and hasattr(given, "get"):
        names = given.get("_ARRAY_DIMENSIONS")
        if isinstance(names, list | tuple) and len(names) == len(source.shape) and all(names):
            source.axes = tuple(map(str, names))
    source.class_axis = class_axis_of(source.axes)


def axis_names(found: Any) -> tuple[str, ...] | None:
    """Return the names of an HDF5 dataset's axes, of labels or scales; None where one has none.

    The attributes are read here because HDF5's own functions allocate one entry an axis and fill in
    as many as the file stores.
    """
    names = [""] * len(found.shape)
    if _is_one_per_axis(found, "DIMENSION_LABELS"):
        names = [_text(label or "") for label in found.attrs["DIMENSION_LABELS"]]
    if _is_one_per_axis(found, "DIMENSION_LIST"):
        names = [name or _scale_of(found.dims[d]) for d, name in enumerate(names)]
    return tuple(names) if names and all(names) else None


def _is_one_per_axis(found: Any, name: str) -> bool:
    return name in found.attrs and found.attrs.get_id(name).shape == (len(found.shape),)


def _scale_of(dim: Any) -> str:
    """Return the name of the scale attached to an axis, as netCDF-4 names its dimensions."""
    held = dim.values()
    return (held[0].name or "").rpartition("/")[2] if held else ""
