"""The arrays of a Zarr store: the one that is meant, among groups, scales and coordinates."""

from __future__ import annotations

import json
import os
from typing import Any

from softmax2d._errors import Path, Refused, failing
from softmax2d._files.source.regular import open_regular

MAX_METADATA = 1 << 22  # bytes
_LISTED, _DEEP = 8, 8
STORES = ("zarr.json", ".zarray", ".zgroup")


def read_json(path: Path, name: str, root: str) -> dict[str, Any]:
    """Read a small JSON object of a store."""
    if os.path.commonpath([os.path.realpath(name), root]) != root:
        raise Refused(path, f"{os.path.basename(name)} is a link that leads out of the store.")
    with open_regular(name) as file, failing(path):
        data = file.read(MAX_METADATA + 1)
    try:
        found = json.loads(data) if len(data) <= MAX_METADATA else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(path, f"is damaged: {os.path.basename(name)} is no small JSON object.")
    return found


def has_file(folder: str, *names: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, name)) for name in names)


def _arrays(folder: str, within: str = "", *, every: bool = False) -> list[str]:
    """Return the paths of a group's first arrays; without any, those of its groups.

    With ``every``, those of its groups in any case. Groups beside an array hold things derived from
    the array, such as the labels of an OME-Zarr image.
    """
    with os.scandir(folder) as entries:
        folders = sorted((e for e in entries if e.is_dir()), key=lambda e: e.name)
    found: list[str] = []
    groups = []
    for entry in folders:
        if _is_array(entry.path):
            if every or not _is_coordinate(entry.path, entry.name):
                found.append(f"{within}{entry.name}")
        elif has_file(entry.path, "zarr.json", ".zgroup") and not entry.is_symlink():
            groups.append(entry)
        if len(found) > _LISTED:
            break
    if within.count("/") >= _DEEP or (found and not every):
        return found
    for entry in groups:
        if len(found) > _LISTED:
            break
        found += _arrays(entry.path, f"{within}{entry.name}/", every=every)
    return found


def _is_array(folder: str) -> bool:
    if has_file(folder, ".zarray"):
        return True
    name = os.path.join(folder, "zarr.json")
    return (
        os.path.isfile(name)
        and read_json(folder, name, os.path.realpath(folder)).get("node_type") != "group"
    )


def _read_statements(folder: str) -> tuple[Any, Any, dict[str, Any]]:
    """Return the shape, the names of the axes and the attributes of an array, as they are said."""
    root = os.path.realpath(folder)
    if has_file(folder, "zarr.json"):
        said = read_json(folder, os.path.join(folder, "zarr.json"), root)
        attributes = said.get("attributes")
        names = said.get("dimension_names")
    else:
        said = read_json(folder, os.path.join(folder, ".zarray"), root)
        attributes = {}
        if has_file(folder, ".zattrs"):
            attributes = read_json(folder, os.path.join(folder, ".zattrs"), root)
        names = attributes.get("_ARRAY_DIMENSIONS")
    return said.get("shape"), names, attributes if isinstance(attributes, dict) else {}


def _is_coordinate(folder: str, name: str) -> bool:
    """Return whether an array is what xarray calls a coordinate: of its own axis, or one number."""
    shape, names, _ = _read_statements(folder)
    return shape == [] or (isinstance(shape, list) and len(shape) == 1 and names == [name])


def _without_auxiliary(root: str, names: list[str]) -> list[str]:
    """Leave out the arrays that others name as their coordinates, bounds or grid mapping."""
    used: set[str] = set()
    for name in names:
        attributes = _read_statements(os.path.join(root, *name.split("/")))[2]
        for kind in ("coordinates", "bounds", "grid_mapping"):
            used.update(str(attributes.get(kind, "")).split())
    kept = [name for name in names if name.rpartition("/")[2] not in used]
    return kept or names


def find_array(path: Path, key: str | None) -> str:
    """Return the folder of the array that ``key`` names, or of the only one."""
    root = os.fspath(path)
    if not os.path.isdir(root):
        with open_regular(path):
            raise Refused(path, "is a file; a Zarr store is a folder.")
    if not has_file(root, *STORES):
        raise Refused(path, "is a folder without Zarr metadata.")
    if key is not None:
        parts = key.strip("/").split("/")
        if key.startswith("/") or any(part in ("", ".", "..") for part in parts):
            raise Refused(path, f"key {key!r} leads out of the store.")
        folder = os.path.join(root, *parts)
        if not has_file(folder, "zarr.json", ".zarray"):
            listed = ", ".join(_arrays(root, every=True)[:_LISTED]) or "none"
            raise Refused(path, f"holds no array {key!r}; it holds {listed}.")
        return folder
    if has_file(root, ".zarray"):
        return root
    if has_file(root, "zarr.json"):
        kind = read_json(path, os.path.join(root, "zarr.json"), os.path.realpath(root))
        if kind.get("node_type") == "array":
            return root
    names = _without_auxiliary(root, _arrays(root)) or _arrays(root, every=True)
    if len(names) != 1:
        more = len(names) > _LISTED
        listed = ", ".join(names[:_LISTED]) + (", …" if more else "")
        count = f"more than {_LISTED}" if more else len(names)
        several = f"holds {count} arrays ({listed}); choose one with --key NAME."
        raise Refused(path, several if names else "holds no array.")
    return os.path.join(root, *names[0].split("/"))
