"""What libtiff says of failed writes: kept for our one line, where it would go to the terminal.

GDAL hands libtiff a function for each file that takes its errors [1]_, but reports of the system's
own calls (``_tiffWriteProc: No space left on device.``) go to the one for all files, which prints.
Only while a file of ours is written does another take its place; what libtiff says meanwhile of
files that other libraries of the process write lands there as well.

References
----------
.. [1] LibTIFF, "TIFFError and TIFFWarning", TIFFSetErrorHandler; "TIFFOpenOptions".
.. [2] "System V Application Binary Interface, AMD64", section 3.5.7.
.. [3] "Procedure Call Standard for the Arm 64-bit Architecture".
.. [4] Apple, "Writing ARM64 code for Apple platforms".
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from softmax2d._errors import needed

_NAMES = ("TIFFSetErrorHandler", "gdal_TIFFSetErrorHandler")  # libtiff's, or GDAL's own copy
_MOST = 200  # bytes of a message
# Module, format, and the arguments. A va_list is passed as a pointer on x86-64, where this is
# tested (an array [2]_), and by the documents of AArch64 (a structure of 32 bytes, by reference
# [3]_) and of Apple's arm64 (a char * [4]_).
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)

_lock = threading.Lock()
_listening: list[list[str]] = []
_before: list[int | None] = []


def _setter() -> Any:
    """The function that exchanges libtiff's handler; None where rasterio's libtiff is not found."""
    if os.name != "posix":
        return None
    library = ctypes.CDLL(needed("rasterio._base", "geotiff").__file__)  # and what it is linked to
    found = next((getattr(library, name) for name in _NAMES if hasattr(library, name)), None)
    if found is not None:
        found.restype, found.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    return found


def _take(module: bytes | None, form: bytes | None, arguments: int | None) -> None:
    text = ctypes.create_string_buffer(_MOST)
    ctypes.CDLL(None).vsnprintf(
        text, ctypes.c_size_t(_MOST), ctypes.c_char_p(form), ctypes.c_void_p(arguments)
    )
    for said in _listening:
        said.append(
            f"{(module or b'').decode(errors='replace')}: {text.value.decode(errors='replace')}"
        )


_HANDLED = _HANDLER(_take)
_OURS = ctypes.cast(_HANDLED, ctypes.c_void_p).value


@contextmanager
def libtiff_says() -> Iterator[list[str]]:
    """Messages that would have been printed while the block ran, in any thread."""
    said: list[str] = []
    exchange = _setter()
    if exchange is None:
        yield said
        return
    with _lock:
        if not _listening:
            _before.append(exchange(_HANDLED))
        _listening.append(said)
    try:
        yield said
    finally:
        with _lock:
            _listening[:] = [other for other in _listening if other is not said]
            if not _listening:
                now = exchange(_before.pop())
                if now != _OURS:  # somebody else's since then, which stays
                    exchange(now)
