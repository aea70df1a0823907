"""Places of xarray's DataArrays, from their coordinates and their grid mapping."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._files.source.presentation import Space
from softmax2d._files.zarr.coordinates import space_of


def space_of_array(held: Any, counting: int | None) -> Space | None:
    """Return where the pixels of a DataArray lie; None of other arrays.

    Parameters
    ----------
    held : DataArray, or anything else
        Its coordinates are read, its values are not.
    counting : int or None
        The axis that counts classes.
    """
    dims = getattr(held, "dims", None)
    coords: Any = getattr(held, "coords", None)
    if not isinstance(dims, tuple) or not hasattr(coords, "to_dataset"):
        return None

    def read(name: str) -> tuple[Any, dict[str, Any]] | None:
        if name not in coords or not hasattr(coords[name].variable, "dims"):
            return None
        values = np.asarray(coords[name].values)
        if values.dtype.kind not in "iufM":
            return None
        if values.dtype.kind == "M":  # times, as whole numbers
            values = values.view(np.int64)
        return values, _plain(coords[name].attrs)

    mapping = held.encoding.get("grid_mapping", held.attrs.get("grid_mapping"))
    shape = tuple(int(n) for n in held.shape)
    axes = tuple(str(d) for d in dims)
    return space_of(axes, counting, shape, {"grid_mapping": mapping}, "", read)


def _plain(attributes: Any) -> dict[str, Any]:
    """Return the attributes that JSON holds."""
    found = {}
    for name, value in attributes.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, str | int | float):
            found[str(name)] = plain
    return found
