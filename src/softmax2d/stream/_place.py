"""The hidden folder beside a result in which it grows, and the lock that is on it."""

from __future__ import annotations

import json
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

from softmax2d._files._errors import Failed, Refused, failing

try:
    import fcntl
except ImportError:  # no POSIX: the lock is the text in it alone
    fcntl = None  # type: ignore[assignment]


def place_of(result: Path) -> Path:
    """The folder in which ``result`` grows."""
    return result.with_name(f".{result.name}.softmax2d")


class Place:
    """A folder beside a result, held by this process until :meth:`close`.

    Parameters
    ----------
    result : path
        The final name.

    Raises
    ------
    Refused
        Another process has it: the message gives pid and host.
    Failed
        It cannot be made.
    """

    def __init__(self, result: Path) -> None:
        self.result = result
        self.folder = place_of(result)
        self.found = self.folder.exists()  # somebody's, who did not finish
        with failing(result):
            self.folder.mkdir(exist_ok=True)
        self._lock = self._locked()

    def _locked(self) -> IO[str]:
        path = self.folder / "lock"
        with failing(self.result):
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - held until close()
        try:
            held = _try_lock(file)
            file.seek(0)
            said = _holder(file.read(1000))
            elsewhere = said is not None and said[1] != socket.gethostname()
            if not held or elsewhere:
                raise Refused(self.result, _occupied(said, path, held))
            file.seek(0)
            file.truncate()
            json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
            file.flush()
        except BaseException:
            file.close()
            raise
        return file

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def clear(self) -> None:
        """Remove everything that grew here."""
        for entry in self.folder.iterdir():
            if entry.name != "lock":
                removed(entry, self.result)

    def close(self, keep: bool) -> None:
        """Give up the lock; without ``keep`` the folder goes with it."""
        if not keep:
            with suppress(OSError):
                shutil.rmtree(self.folder)
        else:
            with suppress(OSError):
                self._lock.truncate(0)
        self._lock.close()


def _try_lock(file: IO[str]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (11, 13, 35):  # EAGAIN, EACCES: somebody has it
            return False
        # A file system without locks: the text in the file must do.
    return True


def _holder(text: str) -> tuple[int, str] | None:
    """Pid and host in a lock; None where nobody wrote them, or not to the end."""
    try:
        said = json.loads(text)
        return int(said["pid"]), str(said["host"])
    except (ValueError, KeyError, TypeError):
        return None


def _occupied(said: tuple[int, str] | None, path: Path, held: bool) -> str:
    who = "another process" if said is None else f"process {said[0]} on {said[1]}"
    if held:
        return (
            f"may be in the hands of {who}, which cannot be asked from here; "
            f"if that is gone, delete {path}."
        )
    return f"is being written by {who}; wait for it, or choose another name."


def removed(entry: Path, result: Path) -> None:
    """Remove a file, or a folder with everything in it."""
    with failing(result):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def sync_folder(folder: Path) -> None:
    """Bring new names to the disk, where the system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def sync_tree(folder: Path, result: Path) -> None:
    """Bring every file below ``folder`` to the disk."""
    try:
        for where, _, names in os.walk(folder):
            for name in names:
                number = os.open(os.path.join(where, name), os.O_RDONLY)
                try:
                    os.fsync(number)
                finally:
                    os.close(number)
            sync_folder(Path(where))
    except OSError as error:
        raise Failed(result, f"{error.strerror or error}.") from error
