"""Which other files an ONNX file wants to be read: found without loading it.

Weights may lie beside the model in files that its tensors name ("external data"). They are looked
up here in the serialised message itself, so that names that lead elsewhere are refused before
anything follows them. Only the fields on the way to a tensor are descended into [1]_.

References
----------
.. [1] Protocol Buffers, "Encoding", https://protobuf.dev/programming-guides/encoding/; field
   numbers from the ONNX specification, onnx/onnx.proto3.
"""

from __future__ import annotations

import os

from softmax2d._errors import Path, Refused, failing
from softmax2d._files.source.regular import open_regular

# Message: number of a field -> message that it holds, or "key" and "value" of an entry.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}
_LARGEST = (1 << 31) - 1  # bytes of a message
_FIXED = {1: 8, 5: 4}  # bytes of the wire types of fixed length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = 0
    for count in range(10):
        byte = data[at + count]
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, at + count + 1
    raise ValueError("a number of more than ten bytes")


def _locations(data: memoryview) -> set[str]:
    """The values of all entries "location" of all tensors."""
    found = set()
    left: list[tuple[str, memoryview]] = [("model", data)]
    while left:
        message, part = left.pop()
        fields, entry, at = _FIELDS[message], {}, 0
        while at < len(part):
            tag, at = _varint(part, at)
            field, wire = tag >> 3, tag & 7
            if wire == 2:
                length, at = _varint(part, at)
                if length > len(part) - at:
                    raise ValueError("a field that is longer than its message")
                kind, value = fields.get(field), part[at : at + length]
                at += length
                if message == "entry" and kind:
                    entry[kind] = bytes(value)
                elif kind:
                    left.append((kind, value))
            elif wire == 0:
                _, at = _varint(part, at)
            elif wire in _FIXED:
                at += _FIXED[wire]
            else:
                raise ValueError(f"wire type {wire}")
        if entry.get("key") == b"location":
            found.add(entry.get("value", b"").decode("utf-8"))
    return found


def _check(path: Path, location: str) -> None:
    """Refuse external data that are no regular file in the model's own folder."""
    shown = location[:80]
    parts = location.replace("\\", "/").split("/")
    folder = os.path.dirname(os.path.realpath(path))
    wanted = os.path.join(folder, location)
    outside = os.path.isabs(location) or ":" in location or ".." in parts or "\0" in location
    if outside or os.path.commonpath([folder, os.path.realpath(wanted)]) != folder:
        raise Refused(path, f"keeps weights outside its folder, in {shown!r}, which is not read.")
    if not os.path.isfile(wanted):
        raise Refused(path, f"keeps weights in the file {shown!r}, which is not there.")


def read_onnx(path: Path) -> tuple[bytes | None, list[str]]:
    """The bytes of an ONNX file that holds all its weights, or None and the files that hold some.

    Raises
    ------
    Refused
        No regular file; no serialised message; weights in a file that is missing or lies elsewhere.
    """
    with open_regular(path) as file, failing(path):
        if os.fstat(file.fileno()).st_size > _LARGEST:
            raise Refused(path, f"is larger than {_LARGEST} bytes, which no ONNX file is.")
        data = file.read()
    try:
        found = _locations(memoryview(data))
    except (IndexError, ValueError) as error:
        raise Refused(path, f"is no ONNX file or a damaged one: {error}.") from None
    if not data:
        raise Refused(path, "is empty.")
    for location in sorted(found):
        _check(path, location)
    folder = os.path.dirname(os.path.realpath(path))
    return None if found else data, [os.path.join(folder, name) for name in sorted(found)]
