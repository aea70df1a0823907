"""Writing small files, reports and pictures: whole under the final name, or not at all.

Every file is written under a temporary name in the same folder, brought to the disk, and renamed
only when all of them are complete. Results of pixels, which may be large, grow in
:mod:`softmax2d.stream`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from softmax2d._errors import failing
from softmax2d._whole_file import sync_folder
from softmax2d.stream.plan.places import check_new, check_paths, check_same


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
    resume : bool
        Whether existing files may be this command's own, named before it was killed: they stay
        where they are the same.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        inputs: Sequence[Path],
        overwrite: bool,
        resume: bool = False,
    ) -> None:
        self._overwrite, self._compared = overwrite, resume and not overwrite
        self._open: dict[Path, tuple[Path, IO[bytes]]] = {}
        self._temporary: list[Path] = []
        check_paths(paths, inputs, overwrite or resume)

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
        for path, (temporary, _) in self._open.items():
            if self._compared and os.path.lexists(path):
                check_same(path, temporary)
            else:
                check_new(path, self._overwrite)
        for path, (temporary, _) in self._open.items():
            with failing(path):
                os.replace(temporary, os.path.realpath(path))
        for folder in {Path(os.path.realpath(path)).parent for path in self._open}:
            sync_folder(folder)


def write_png(path: Path, file: IO[bytes], image: Any) -> None:
    """Encode a Pillow image into an open file."""
    with failing(path):
        image.save(file, format="PNG")
        file.flush()
