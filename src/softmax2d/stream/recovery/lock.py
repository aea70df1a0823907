"""The hidden folder beside a result in which it grows, and the lock that is on it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from softmax2d._errors import Failed, Refused, failing
from softmax2d._whole_file import sync_folder

try:
    import fcntl
except ImportError:  # no POSIX: the lock is the text in it alone
    fcntl = None  # type: ignore[assignment]

_TRIES = 1000
# A link or a FIFO that somebody laid there between a look and the opening is no lock either.
_CAREFUL = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def _open_carefully(path: str, flags: int) -> int:
    return os.open(path, flags | _CAREFUL, 0o666)


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
        self._lock = self._take_lock()
        try:
            with failing(result):  # somebody's, who did not finish; looked at when it is ours
                entries = list(self.folder.iterdir())
            for entry in entries:
                self._check_no_link(entry, os.lstat(entry).st_mode)
            self.found = any(entry.name != "lock" for entry in entries)
        except BaseException:
            self._lock.close()
            raise

    def _take_lock(self) -> IO[str]:
        path = self.folder / "lock"
        for _ in range(_TRIES):
            self._check_kind(self.folder, "folder", stat.S_ISDIR)
            self._check_kind(path, "regular file", stat.S_ISREG)
            with failing(self.result):
                self.folder.mkdir(exist_ok=True)
                try:
                    file = open(  # noqa: SIM115 - held until close()
                        path, "a+", encoding="utf-8", errors="replace", opener=_open_carefully
                    )
                except FileNotFoundError:  # somebody ended between these two steps
                    continue
            try:
                if self._try_to_hold(file, path):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()
        raise Refused(self.result, _refusal(None, path, held=False))

    def _check_kind(self, entry: Path, kind: str, fits: Callable[[int], bool]) -> None:
        """Refuse what is there and of another kind, by one look: somebody may end meanwhile."""
        try:
            mode = os.lstat(entry).st_mode
        except OSError:  # not there, or opening it says why
            return
        self._check_no_link(entry, mode)
        if not fits(mode):
            raise Refused(self.result, f"{entry} is in the way: it is no {kind}.")

    def _check_no_link(self, entry: Path, mode: int) -> None:
        """Refuse a link, by which somebody would have us overwrite what lies elsewhere."""
        if stat.S_ISLNK(mode):
            raise Refused(self.result, f"{entry} is in the way: it is a symbolic link.")

    def _try_to_hold(self, file: IO[str], path: Path) -> bool:
        """Whether the lock is ours now; False where somebody ended, and took the file with them."""
        held = _try_lock(file)
        file.seek(0)
        said = _holder(file.read(1000))
        here = said is None or said.host == socket.gethostname()
        if held is None:  # no locks here: the text must do
            held = said is None or not here or not said.alive()
        elif held and not _lies_at(file, path):
            return False
        if not held or not here:
            raise Refused(self.result, _refusal(said, path, held))
        with failing(self.result):
            file.seek(0)
            file.truncate()
            json.dump(
                Holder(os.getpid(), socket.gethostname(), _start_of(os.getpid())).to_json(), file
            )
            file.flush()
        return True

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def clear(self) -> None:
        """Remove everything that grew here."""
        for entry in self.folder.iterdir():
            if entry.name != "lock":
                remove(entry, self.result)

    def check(self) -> None:
        """Refuse to go on in a folder that somebody removed, or put another in its place."""
        if not _lies_at(self._lock, self.folder / "lock"):
            raise Failed(self.result, f"{self.folder} was removed while the run went on.")

    def close(self, keep: bool) -> None:
        """Give up the lock; without ``keep`` the folder goes with it, the lock last."""
        with suppress(OSError, Failed):
            if keep:
                self._lock.truncate(0)
            elif _lies_at(self._lock, self.folder / "lock"):
                self.clear()
                os.unlink(self.folder / "lock")
                self.folder.rmdir()
        with suppress(OSError):  # a full disk: nothing of ours is in its buffer
            self._lock.close()


@dataclass(frozen=True)
class Holder:
    """Who has a lock.

    Attributes
    ----------
    pid, host
        Of the process.
    started : int or None
        When it began, in the system's own ticks: another program may have its number by now.
    """

    pid: int
    host: str
    started: int | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"pid": self.pid, "host": self.host, "started": self.started}

    def alive(self) -> bool:
        """Whether that process still runs on this machine."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:  # somebody else's
            pass
        return None in (self.started, now := _start_of(self.pid)) or self.started == now


def _start_of(pid: int) -> int | None:
    """When a process began, as Linux says it; None elsewhere."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _lies_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False


def _try_lock(file: IO[str]) -> bool | None:
    """Whether the lock is ours; None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (11, 13, 35) else None  # EAGAIN, EACCES: somebody has it
    return True


def _holder(text: str) -> Holder | None:
    """Who wrote a lock; None where nobody did, or not to the end."""
    try:
        said = json.loads(text)
        started = said.get("started")
        began = None if started is None else int(started)
        return Holder(int(said["pid"]), str(said["host"]), began)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _refusal(said: Holder | None, path: Path, held: bool) -> str:
    who = "another process" if said is None else f"process {said.pid} on {said.host}"
    if held:
        return (
            f"may be in the hands of {who}, which cannot be asked from here; "
            f"if that is gone, delete {path}."
        )
    return f"is being written by {who}; wait for it, or choose another name."


def remove(entry: Path, result: Path) -> None:
    """Remove a file, or a folder with everything in it."""
    with failing(result):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


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
