"""Writing results: whole under the final name, or not at all.

Every file is written under a temporary name in the same folder, brought to the disk, and renamed
only when all of them are complete. Data goes through write(), never through a writable memory map,
where a full disk would kill the process instead of raising an error.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softmax2d._files._errors import Refused, failing, needed

Array = NDArray[Any]


def _same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return os.path.realpath(a) == os.path.realpath(b)


class Results:
    """The files of one command: all complete when the block ends well, none of them otherwise.

    Parameters
    ----------
    paths : sequence of path
        The final names.
    inputs : sequence of path
        Files that must stay as they are.
    overwrite : bool
        Whether existing files may be replaced.
    """

    def __init__(self, paths: Sequence[Path], inputs: Sequence[Path], overwrite: bool) -> None:
        self._overwrite = overwrite
        self._open: dict[Path, tuple[Path, IO[bytes]]] = {}
        self._temporary: list[Path] = []
        for i, path in enumerate(paths):
            self._check(path, inputs, paths[:i])

    def _check(self, path: Path, inputs: Sequence[Path], earlier: Sequence[Path]) -> None:
        for source in inputs:
            if _same(path, source):
                raise Refused(path, f"is the input {source} itself; choose another name.")
        if any(_same(path, other) for other in earlier):
            raise Refused(path, "would be written twice; give each result its own name.")
        if path.is_dir():
            raise Refused(path, "is a directory; name a file.")
        if path.exists() and not path.is_file():
            raise Refused(path, "is not a regular file.")
        self._check_new(path)
        if not path.parent.is_dir():
            raise Refused(path, f"there is no folder {path.parent}.")

    def _check_new(self, path: Path) -> None:
        if os.path.lexists(path) and not self._overwrite:
            raise Refused(path, "exists; add --overwrite to replace it.")

    def create(self, path: Path) -> IO[bytes]:
        """Open the file that will become ``path``."""
        # Through a symbolic link, the file it points to is replaced, not the link.
        final = Path(os.path.realpath(path))
        temporary = final.with_name(f".softmax2d-{secrets.token_hex(8)}.tmp")
        self._temporary.append(temporary)
        with failing(path):
            file = open(temporary, "x+b")  # noqa: SIM115 - closed in __exit__
        self._open[path] = (temporary, file)
        return file

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            for _, file in self._open.values():
                with suppress(OSError):
                    file.close()
            for temporary in self._temporary:
                with suppress(OSError):
                    temporary.unlink()

    def _commit(self) -> None:
        for path, (_, file) in self._open.items():
            with failing(path):
                file.flush()
                os.fsync(file.fileno())
        for path in self._open:
            self._check_new(path)
        for path, (temporary, _) in self._open.items():
            with failing(path):
                os.replace(temporary, os.path.realpath(path))
        for folder in {Path(os.path.realpath(path)).parent for path in self._open}:
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Bring the new names to the disk, where the system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


class Sink(Protocol):
    """Takes an array piece by piece, in C order."""

    def write(self, band: Array) -> None:
        """Take the next piece."""

    def finish(self) -> None:
        """Complete the file."""


class _Stream:
    """Bytes one after the other."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file

    def write(self, band: Array) -> None:
        with failing(self._path):
            self._file.write(np.ascontiguousarray(band).reshape(-1).view(np.uint8).data)

    def finish(self) -> None:
        with failing(self._path):
            self._file.flush()


class NpySink(_Stream):
    """A .npy file."""

    def __init__(
        self, path: Path, file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        super().__init__(path, file)
        descr = np.lib.format.dtype_to_descr(dtype)
        fields = {"descr": descr, "fortran_order": False, "shape": shape}
        with failing(path):
            np.lib.format.write_array_header_1_0(file, fields)


class TiffSink(_Stream):
    """An uncompressed TIFF file, one page an image; BigTIFF from 4 GB on."""

    def __init__(
        self,
        path: Path,
        file: IO[bytes],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        palette: Array | None = None,
    ) -> None:
        super().__init__(path, file)
        look: dict[str, Any] = {"photometric": "minisblack"}
        if palette is not None:
            colours = np.zeros((3, 256), np.uint16)
            colours[:, : len(palette)] = palette.T.astype(np.uint16) * 257
            look = {"photometric": "palette", "colormap": colours}
        size = prod(shape) * dtype.itemsize
        tifffile = needed("tifffile", "cli")
        with failing(path):
            # Lays out the pages; their bytes lie together and are filled in by write().
            tifffile.imwrite(file, shape=shape, dtype=dtype, bigtiff=size > 2**32 - 2**26, **look)
            file.seek(0)
            laid_out = tifffile.TiffFile(file).series[0]
            if laid_out.dataoffset is None or laid_out.nbytes != size:
                raise OSError("tifffile did not lay out the pages one after the other")
            file.seek(laid_out.dataoffset)


class PngSink:
    """A PNG file of 8 or 16 bits, or with a palette; the image is held until it is complete."""

    def __init__(
        self,
        path: Path,
        file: IO[bytes],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        palette: Array | None = None,
    ) -> None:
        self._image = needed("PIL.Image", "cli")
        self._path, self._file, self._palette = path, file, palette
        self._pixels = np.empty(shape, dtype)
        self._filled = 0

    def write(self, band: Array) -> None:
        end = self._filled + band.size
        self._pixels.reshape(-1)[self._filled : end] = band.reshape(-1)
        self._filled = end

    def finish(self) -> None:
        image = self._image.fromarray(self._pixels)
        if self._palette is not None:
            image.putpalette(self._palette.tobytes())
        write_png(self._path, self._file, image)


def write_png(path: Path, file: IO[bytes], image: Any) -> None:
    """Encode a Pillow image into an open file."""
    with failing(path):
        image.save(file, format="PNG")
        file.flush()
