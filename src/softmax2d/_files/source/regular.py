"""Regular files, and the refusal of everything else."""

from __future__ import annotations

import os
import stat
from typing import IO

from softmax2d._errors import Path, Refused, failing

MAX_TEXT = 1 << 20  # bytes of a list of names or colours
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "not a regular file")


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading, and nothing else: a FIFO would block for ever."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise Refused(path, f"is {_kind(mode)}; a regular file is needed.")
        file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    except Refused:
        raise
    except FileNotFoundError:
        raise Refused(path, "no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise Refused(path, f"{getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Refused(path, "is no longer a regular file.")
    return file


def choose_name(path: Path, names: list[str], key: str | None, kind: str) -> str:
    """Return the name that ``key`` gives or, without it, the only one of a file of several."""
    listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    if key is not None:
        if key not in names:
            raise Refused(path, f"holds no {kind} {key!r}; it holds {listed or 'none'}.")
        return key
    if len(names) != 1:
        several = f"holds {len(names)} {kind}s ({listed}); choose one with --key NAME."
        raise Refused(path, several if names else f"holds no {kind}.")
    return names[0]


def read_lines(path: Path) -> list[str]:
    """Return the lines of a small UTF-8 text file."""
    with open_regular(path) as file, failing(path):
        data = file.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise Refused(path, f"is longer than {MAX_TEXT} bytes; a short text file is needed.")
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise Refused(path, "is not UTF-8 text.") from None
