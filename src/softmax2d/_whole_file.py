"""Small files written whole: under a temporary name in the same folder, synced, then renamed.

Reports, figures, JSON and summaries are written here. A crash leaves the old file or the new one,
never a part of it. Results of pixels, which may be large, grow in :mod:`softmax2d.stream`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Self

from softmax2d._errors import Path, failing

TEMPORARY = ".softmax2d-"  # how the names of unfinished files begin


class WholeFiles:
    """Files that appear together when the block ends well; otherwise none of them appears.

    Parameters
    ----------
    check : callable, optional
        Called with each path and its temporary file, all of them complete, before the first rename.
    """

    def __init__(self, check: Callable[[Path, str], None] | None = None) -> None:
        self._check = check
        self._temporary: dict[Path, str] = {}
        self._open: dict[Path, IO[bytes]] = {}

    def create(self, path: Path) -> IO[bytes]:
        """Open the temporary file that will become ``path``."""
        folder = os.path.dirname(os.path.realpath(path))
        temporary = os.path.join(folder, f"{TEMPORARY}{os.urandom(8).hex()}.tmp")
        self._temporary[path] = temporary
        with failing(path):
            self._open[path] = open(temporary, "x+b")  # noqa: SIM115 - closed in __exit__
        return self._open[path]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            for path, temporary in self._temporary.items():
                with suppress(OSError, KeyError):
                    self._open[path].close()
                with suppress(OSError):
                    os.unlink(temporary)

    def _publish(self) -> None:
        """Sync every file, check all of them, and rename each over its final name."""
        for path, file in self._open.items():
            with failing(path):
                file.flush()
                os.fsync(file.fileno())
        if self._check is not None:
            for path in self._open:
                self._check(path, self._temporary[path])
        for path in self._open:
            with failing(path):  # the file that a symbolic link points to is replaced
                os.replace(self._temporary[path], os.path.realpath(path))
        for folder in {os.path.dirname(os.path.realpath(path)) for path in self._open}:
            sync_folder(folder)


def write_whole(path: Path, data: bytes | str) -> None:
    """Write one small file whole, a string as UTF-8; a file of that name is replaced.

    A pipe or a device, which no rename may replace, is written as it is.

    Raises
    ------
    Failed
        The operating system failed to write it; an OSError.
    """
    content = data.encode() if isinstance(data, str) else data
    if os.path.exists(path) and not os.path.isfile(path):
        with failing(path), open(path, "wb") as pipe:
            pipe.write(content)
        return
    with WholeFiles() as files:
        file = files.create(path)
        with failing(path):
            file.write(content)


def sync_folder(folder: Path) -> None:
    """Bring new names in a folder to the disk, where the system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
