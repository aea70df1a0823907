"""Headers of NIfTI results: their source's, with what is no longer true put right.

A header says in two ways where voxels lie, by quaternions (qform) and by a matrix (sform), each
with a code that is 0 where it says nothing [1]_. Both stay as they are; at another size those
that say something are scaled.

References
----------
.. [1] https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h
"""

from __future__ import annotations

import base64
import logging
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import require
from softmax2d._files.source.presentation import Look, Space

_ERROR = 40  # from this level on nibabel refuses a header ...
_SILENT = logging.Logger("nibabel", 100)  # noqa: LOG001 - ... and of others it says here
KINDS = {348: "Nifti1Header", 540: "Nifti2Header"}  # nibabel's names, by length in bytes
_NAMED = {"probs": "probabilities", "logits": "logits"}  # intent_name of such results
_LABEL, _ESTIMATE = 1002, 1001  # intent codes: an index into names; an estimate of intent_name
_COMMENT, _CIFTI = 6, 32  # codes of extensions: a text; axes that a result no longer has
_PACKED = 1 << 15  # extents that NIfTI-1 no longer holds
_FLAT = 3

Extensions = list[tuple[int, bytes]]


def extensions_in(data: bytes, order: str) -> Extensions:
    """Return the extensions in the bytes between a header and its numbers, up to a damaged one."""
    found: Extensions = []
    at = 4
    while data[:1] not in (b"", b"\0") and at + 8 <= len(data):
        size, code = struct.unpack(f"{order}ii", data[at : at + 8])
        if size < 8 or at + size > len(data):
            break
        found.append((code, data[at + 8 : at + size]))
        at += size
    return found


def _extension_bytes(extensions: Extensions) -> bytes:
    """Return what follows a header: the mark of extensions, and each in whole 16 bytes."""
    found = bytes([bool(extensions), 0, 0, 0])
    for code, content in extensions:
        size = -(-(8 + len(content)) // 16) * 16
        found += struct.pack("=ii", size, code) + content.ljust(size - 8, b"\0")
    return found


def header_in(raw: bytes) -> Any:
    """Return the header in its bytes, in this machine's byte order, with a qform that is read.

    nibabel refuses a qform whose quaternion is longer than 1 by rounding, whose voxels have
    negative sizes, or whose handedness is not 1 or -1; NIfTI's own library reads all of them.
    """
    nibabel = require("nibabel", "nifti")
    kind = getattr(nibabel, KINDS[len(raw)])
    header = kind(raw, check=False)
    order = nibabel.volumeutils.native_code
    if header.endianness != order:
        header = header.as_byteswapped(order)
    with np.errstate(all="ignore"):
        _mend_qform(header)
    return header


def check_loadable(header: Any) -> None:
    """Raise nibabel's error where it does not load a file with such a header."""
    header.copy().check_fix(logger=_SILENT, error_level=_ERROR)


def _mend_qform(header: Any) -> None:
    pixdim = header["pixdim"]
    if pixdim[0] not in (-1, 1):
        pixdim[0] = 1  # what NIfTI's library takes any other number for
    sizes = pixdim[1 : _FLAT + 1]
    sizes[sizes < 0] *= -1
    names = ("quatern_b", "quatern_c", "quatern_d")
    vector = np.array([header[name] for name in names], np.longdouble)
    # Of lengths within rounding of 1 nibabel takes all for 1.
    if vector @ vector - 1 >= abs(header.quaternion_threshold):
        vector /= np.sqrt(vector @ vector)
        for name, value in zip(names, vector, strict=True):
            header[name] = value


def affine_of(header: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the matrix from voxels to the world; without one, that of voxel sizes alone."""
    if header["sform_code"] != 0:
        found = header.get_sform()
    elif header["qform_code"] != 0:
        found = header.get_qform()
    else:
        sizes = np.array(header["pixdim"][1 : _FLAT + 1], np.float64)
        sizes[0] *= -1  # Analyze's left to right
        middle = [(n - 1) / 2 for n in (*shape, 1, 1)[:_FLAT]]
        found = np.diag([*sizes, 1.0])
        with np.errstate(invalid="ignore", over="ignore"):
            found[:_FLAT, _FLAT] = -sizes * middle
    return np.asarray(found, np.float64)


def result_header(shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> bytes:
    """Return the header of a result, up to its numbers.

    Parameters
    ----------
    shape : tuple of int
        In NIfTI's order, fastest axis first.
    """
    nibabel = require("nibabel", "nifti")
    space = look.space if look.space is not None and look.space.kind == "nifti" else None
    large = max(shape) >= _PACKED
    if space is None:
        header = getattr(nibabel, KINDS[540 if large else 348])()
        header.set_sform(np.eye(4), 1)
        extensions: Extensions = []
    else:
        header, extensions = _header_at(space)
        if large and isinstance(header, nibabel.Nifti1Header):
            header = _widen(nibabel.Nifti2Header(), header)
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header["scl_slope"], header["scl_inter"] = look.scale or 1.0, 0.0
    for name in ("cal_max", "cal_min", "glmax", "glmin"):
        if name in header:
            header[name] = 0
    _state_intent(header, look.what)
    if not bytes(header["descrip"]).strip(b" \0"):
        header["descrip"] = b"softmax2d " + look.what.encode()
    after = _extension_bytes(extensions)
    start = -(-(len(header.binaryblock) + len(after)) // 16) * 16
    header["vox_offset"] = start
    header["magic"] = header.single_magic
    if "eol_check" in header:  # the rest of NIfTI-2's mark
        header["eol_check"] = (13, 10, 26, 10)
    found: bytes = header.binaryblock + after
    return found.ljust(start, b"\0")


def _state_intent(header: Any, what: str) -> None:
    """Say what the numbers are."""
    header["intent_code"] = _LABEL if what in ("labels", "top_labels") else _ESTIMATE
    header["intent_name"] = (_NAMED.get(what) or what).encode()
    for name in ("intent_p1", "intent_p2", "intent_p3"):
        header[name] = 0


def meaning_said(header: Any) -> str | None:
    """Return what a header says, as our results do, that its numbers are; None of any other."""
    name = bytes(header["intent_name"]).strip(b" \0").decode("latin-1")
    known = int(header["intent_code"]) == _ESTIMATE and name in _NAMED.values()
    return name if known else None


def _header_at(space: Space) -> tuple[Any, Extensions]:
    """Return the header of a place at its size, and the extensions that are still true."""
    header = header_in(base64.b64decode(space.fields["header"]))
    rank = max(1, min(int(header["dim"][0]), _FLAT))
    before = tuple(int(n) for n in header["dim"][1 : rank + 1])
    now = space.size[::-1]
    known = [(code, base64.b64decode(text)) for code, text in space.fields.get("extensions", ())]
    extensions = [(code, content) for code, content in known if code != _CIFTI]
    old = (*before, 1, 1)[:_FLAT]
    with np.errstate(invalid="ignore", over="ignore"):
        if now != old:
            _scale(header, [a / b for a, b in zip(old, now, strict=True)])
            extensions = [(code, content) for code, content in extensions if code == _COMMENT]
        affine = np.array(space.fields["affine"], np.float64)
        most = np.max(np.abs(affine), initial=0, where=np.isfinite(affine))
        if not np.allclose(affine_of(header, now), affine, 1e-5, 1e-5 * most, equal_nan=True):
            _place(header, affine)
    return header, extensions


def _scale(header: Any, steps: list[float]) -> None:
    """Scale voxels by ``steps``, with the same outer edges; a form without a code says nothing."""
    half = (np.array(steps) - 1) / 2
    if header["qform_code"] != 0:
        form = header.get_qform()
        moved = form[:_FLAT, _FLAT] + form[:_FLAT, :_FLAT] @ half
        for name, value in zip("xyz", moved, strict=True):
            header[f"qoffset_{name}"] = value
    if header["sform_code"] != 0:
        form = np.asarray(header.get_sform(), np.float64)
        form[:_FLAT, _FLAT] += form[:_FLAT, :_FLAT] @ half
        form[:_FLAT, :_FLAT] *= steps
        for name, row in zip("xyz", form, strict=False):
            header[f"srow_{name}"] = row
    header["pixdim"][1 : _FLAT + 1] *= steps
    for name in ("slice_start", "slice_end", "slice_code", "slice_duration"):
        header[name] = 0


def _place(header: Any, affine: NDArray[np.float64]) -> None:
    """Put another matrix into a header, which then says nothing by quaternions."""
    code = int(header["sform_code"]) or int(header["qform_code"]) or 1
    header["qform_code"], header["sform_code"] = 0, code
    for name, row in zip("xyz", affine, strict=False):
        header[f"srow_{name}"] = row
    sizes = np.sqrt((affine[:_FLAT, :_FLAT] ** 2).sum(0))
    if np.isfinite(sizes).all():
        header["pixdim"][1 : _FLAT + 1] = sizes


def _widen(wide: Any, header: Any) -> Any:
    """Copy the fields of NIfTI-1 to NIfTI-2."""
    own = ("sizeof_hdr", "magic", "eol_check", "vox_offset", "dim", "unused_str")
    for name in wide:
        if name in header and name not in own:
            wide[name] = header[name]
    return wide
