"""Pictures: labels as .png; .png, .jpg and .webp as sources and as sizes, upright as seen."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from math import prod
from typing import IO, Any

import numpy as np

from softmax2d._errors import Path, Refused, failing, require
from softmax2d._files.source.orientation import turn, turn_sizes
from softmax2d._files.source.pictures import decoding_error, open_image, orientation_of
from softmax2d._files.source.png_rows import check_rows
from softmax2d._files.source.presentation import Look, check_palette
from softmax2d._files.source.regular import open_regular
from softmax2d._files.source.source import Array, Box, Source

_LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
# Pillow's bytes a pixel, where they are not 4.
_DECODED = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 2, "I;16B": 2, "I;16L": 2}
_COEFFICIENTS = 6  # bytes a pixel that libjpeg keeps of a progressive picture, two a sample
# PNGs of 16 bits a channel, of which Pillow keeps the upper eight: the upper bytes are read and
# then the lower ones, or both at once as channels of their own.
_DEEP = {
    "RGB;16B": ("RGB;16B", "RGB;16L"),
    "RGBA;16B": ("RGBA;16B", "RGBA;16L"),
    "LA;16B": ("RGBA",),
}
_FEW = ("L;2", "L;4")  # grey of few bits, which Pillow brings to eight
_STRIP = 1 << 24  # bytes of rows copied at a time
_LEVEL = 6  # compression level of deflate
_BLOCK = 1 << 24  # bytes of rows compressed at a time


class PictureSource(Source):
    """A picture; the first reading decodes it as a whole, since its format has no pieces.

    Before that only the header is read, so that the declared size can be compared with the budget.
    """

    def __init__(self, path: Path, image: Any) -> None:
        if image.format == "WEBP" and image.n_frames > 1:
            raise Refused(path, f"is an animation of {image.n_frames} pictures; save one of them.")
        self.path, self._lock = path, threading.Lock()
        self._pixels: Array | None = None
        self._orientation = orientation_of(image)
        self._declared = image.mode, image.size, self._orientation
        self._passes = _DEEP.get(_raw_mode(image), ())
        sample = _numbers(require("PIL.Image", "cli").new(image.mode, (1, 1)))
        if self._passes:
            sample = np.zeros((1, 1, 2 if len(self._passes) == 1 else sample.shape[2]), np.uint16)
        self._stored = (image.height, image.width, *sample.shape[2:])
        self.shape = turn_sizes(self._stored, self._orientation)
        self.dtype = sample.dtype
        self.bits = 1 if image.mode == "1" else None
        self.axes = ("y", "x", "sample")[: len(self.shape)]
        self.class_axis = None
        self.lossy = "JPEG" if image.format in ("JPEG", "MPO") else None
        if image.mode in ("LA", "RGBA"):
            self.alpha = self.shape[-1] - 1
        if image.mode == "P":
            self.palette, self.transparent = _palette(image)
        else:
            self.clear = _clear(image)
        self.packed_bytes = os.path.getsize(path)
        progressive = image.format != "PNG" and bool(image.info.get("progressive"))
        decoder = _DECODED.get(image.mode, 4) + _COEFFICIENTS * progressive
        self.whole_bytes = image.height * image.width * (decoder + sample.nbytes)

    def prepare(self) -> None:
        """Decode the picture."""
        self._whole()

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        return np.ascontiguousarray(turn(self._whole(), self._orientation)[box])

    def _whole(self) -> Array:
        with self._lock:
            if self._pixels is None:
                self._pixels = self._decode()
            return self._pixels

    def _decode(self) -> Array:
        """Return all stored pixels, copied from the decoder in strips: no second whole copy."""
        found = np.empty(self._stored, self.dtype)
        for number, raw in enumerate(self._passes or (None,)):
            with open_image(self.path) as image:
                if (image.mode, image.size, orientation_of(image)) != self._declared:
                    raise Refused(self.path, "changed while it was open.")
                if image.format == "PNG" and number == 0:
                    with open_regular(self.path) as file:
                        check_rows(self.path, file)
                if raw is not None:
                    image.tile = [(*image.tile[0][:3], raw)]
                self._copy(image, found, number)
        return found

    def _copy(self, image: Any, found: Array, number: int) -> None:
        """Copy an image's numbers; of 16 bits the upper bytes first, or both at once."""
        step = max(1, _STRIP // max(1, found[:1].nbytes))
        try:
            for top in range(0, image.height, step):
                bottom = min(top + step, image.height)
                rows = _numbers(image.crop((0, top, image.width, bottom)))
                if len(self._passes) == 1:
                    found[top:bottom] = np.ascontiguousarray(rows).view(">u2")
                elif number == 1:
                    found[top:bottom] |= rows
                elif self._passes:
                    found[top:bottom] = rows.astype(np.uint16) << 8
                else:
                    found[top:bottom] = rows
        except Exception as error:  # any type: a decoder on a damaged file
            raise decoding_error(self.path, "picture", error) from error


def _raw_mode(image: Any) -> str:
    """Return how a PNG stores its pixels, in Pillow's word; of other formats nothing."""
    mode = image.tile[0][3] if image.format == "PNG" and image.tile else None
    return mode if isinstance(mode, str) else ""


def _numbers(image: Any) -> Array:
    """Return an image's numbers, or its red, green and blue."""
    known = image.mode in (*_LABEL_MODES, "LA", "RGB", "RGBA")
    pixels = np.asarray(image if known else image.convert("RGB"))
    return pixels.astype(np.uint8) if pixels.dtype.kind == "b" else pixels


def _palette(image: Any) -> tuple[Array | None, tuple[int, ...]]:
    """Return the colours of the numbers, and the numbers whose colour is transparent.

    From the header alone: Pillow's getpalette decodes all pixels first.
    """
    held = b"" if image.palette is None else bytes(image.palette.getdata()[1])
    colours = np.frombuffer(held[: len(held) // 3 * 3], np.uint8).reshape(-1, 3)
    clear = image.info.get("transparency", b"")
    clear = [clear] if isinstance(clear, int) else [i for i, a in enumerate(clear) if a == 0]
    return (colours, tuple(clear)) if len(colours) else (None, ())


def _clear(image: Any) -> tuple[int, ...] | None:
    """Return the one colour of a .png that stands for transparent; None without one."""
    said = image.info.get("transparency") if image.format == "PNG" else None
    if image.mode in ("L", "I;16") and isinstance(said, int) and _raw_mode(image) not in _FEW:
        return (said,)
    if image.mode == "RGB" and isinstance(said, tuple) and len(said) == 3:
        return tuple(map(int, said))
    return None


def open_source(path: Path, key: str | None, *, fill: bool = False) -> PictureSource:  # noqa: ARG001
    """Open a picture without decoding its pixels.

    Raises
    ------
    Refused
        Not a picture, or one of too many pixels.
    """
    if key is not None:
        raise Refused(path, "is a single array; key (--key) is for files with several.")
    with open_image(path) as image:
        return PictureSource(path, image)


def size_of(path: Path) -> tuple[int, ...]:
    """Return rows and columns, without decoding a pixel."""
    with open_image(path) as image:
        return turn_sizes((image.height, image.width), orientation_of(image))


def space_of(path: Path) -> None:  # noqa: ARG001
    """Return None: a picture says nothing of its place in the world."""
    return


def check_result(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> None:
    """Refuse what no .png holds."""
    if os.path.splitext(path)[1].lower() != ".png":
        raise Refused(path, "labels must not be blurred: use .png.")
    if len(shape) != 2 or not prod(shape) or max(shape) >= 1 << 31:
        size = " × ".join(map(str, shape))
        hint = "multi-page .tif or .npy" if prod(shape) and len(shape) > 2 else ".npy"
        raise Refused(path, f"a PNG holds one image of rows × columns; got {size}. Use {hint}.")
    if dtype.kind != "u":
        raise Refused(path, f"a PNG holds no {dtype}; use .tif or .npy, or 8 bits.")
    if look.palette is not None and dtype.itemsize > 1:
        got = f"{look.classes} classes and the label of pixels without data"
        raise Refused(path, f"a PNG with a palette holds 256 labels; got {got}. Use .tif or .npy.")
    if dtype.itemsize > 2:
        got = f"got {look.classes} classes"
        raise Refused(path, f"a PNG holds 65536 labels; {got}. Use .tif or .npy.")
    check_palette(path, look)


def _chunk(file: IO[bytes], kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def assemble(path: Path, target: Path, staged: Any, look: Look) -> None:
    """Write the complete file ``target`` from staged labels, a few rows at a time."""
    rows, columns = staged.shape
    size = staged.dtype.itemsize
    colour = 0 if look.palette is None else 3
    packer = zlib.compressobj(_LEVEL)
    step = max(1, _BLOCK // (columns * size))
    with failing(path), open(target, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8 * size, colour, 0, 0, 0))
        if look.palette is not None:
            _chunk(file, b"PLTE", np.asarray(look.palette, np.uint8).tobytes())
        for start in range(0, rows, step):
            block = staged[start : min(start + step, rows), 0:columns]
            lines = np.zeros((len(block), 1 + columns * size), np.uint8)  # 0: no filter
            lines[:, 1:] = block.astype(f">u{size}").view(np.uint8).reshape(len(block), -1)
            if data := packer.compress(lines.data):
                _chunk(file, b"IDAT", data)
        _chunk(file, b"IDAT", packer.flush())
        _chunk(file, b"IEND", b"")
