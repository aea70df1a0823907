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
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

from softmax2d._errors import Failed, Refused, failing
from softmax2d._whole_file import sync_folder
from softmax2d.stream.plan.places import LONGEST

try:
    import fcntl
except ImportError:  # no POSIX: the lock is the text in it alone
    fcntl = None  # type: ignore[assignment]

_TRIES = 1000
# A link or a FIFO that appears between the check and the opening is not followed either.
_CAREFUL = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def _open_carefully(path: str, flags: int) -> int:
    return os.open(path, flags | _CAREFUL, 0o666)


def place_of(result: Path) -> Path:
    """The folder in which ``result`` grows; of a long name a part, and a checksum of all of it."""
    name = f".{result.name}.softmax2d"
    if len(os.fsencode(name)) > LONGEST:
        whole = os.fsencode(result.name)
        mark = f"~{blake2b(whole, digest_size=8).hexdigest()}.softmax2d"
        name = f".{whole[: LONGEST - len(mark) - 1].decode('utf-8', 'ignore')}{mark}"
    return result.with_name(name)


class Place:
    """A folder beside a result, held by this process until :meth:`close`."""

    def __init__(self, result: Path) -> None:
        self.result = result
        self.folder = place_of(result)
        self._lock = self._take_lock()
        try:
            with failing(result):  # entries of an unfinished run, read once the lock is held
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
                except FileNotFoundError:  # another process removed the folder in between
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
        """Refuse an entry of another kind, by one call: it may be removed at any time."""
        try:
            mode = os.lstat(entry).st_mode
        except OSError:  # it is not there, or opening it fails with the cause
            return
        self._check_no_link(entry, mode)
        if not fits(mode):
            raise Refused(self.result, f"{entry} is in the way: it is no {kind}; delete it.")

    def _check_no_link(self, entry: Path, mode: int) -> None:
        """Refuse a link, through which files elsewhere would be overwritten."""
        if stat.S_ISLNK(mode):
            raise Refused(self.result, f"{entry} is in the way: it is a symbolic link; delete it.")

    def _try_to_hold(self, file: IO[str], path: Path) -> bool:
        """Whether this process holds the lock; False if its file was removed in the meantime."""
        held = _try_lock(file)
        file.seek(0)
        other = _holder(file.read(1000))
        here = other is None or other.host == socket.gethostname()
        if held is None:  # the file system has no locks: the text decides
            held = other is None or not here or not other.is_alive()
        elif held and not _lies_at(file, path):
            return False
        if not held or not here:
            raise Refused(self.result, _refusal(other, path, held))
        with failing(self.result):
            file.seek(0)
            file.truncate()
            json.dump(
                Holder(os.getpid(), socket.gethostname(), _start_of(os.getpid())).to_json(), file
            )
            file.flush()
        return True

    def check_tree(self) -> None:
        """Refuse to continue among entries that are neither files nor folders, at any depth.

        A FIFO would be read for ever, a link would lead to files elsewhere.
        """
        folders = [os.fspath(self.folder)]
        while folders:
            with failing(self.result), os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif not entry.is_file(follow_symlinks=False):
                        self._check_kind(Path(entry.path), "regular file", stat.S_ISREG)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def clear(self) -> None:
        """Remove everything but the lock."""
        for entry in self.folder.iterdir():
            if entry.name != "lock":
                remove(entry, self.result)

    def check(self) -> None:
        """Refuse to continue in a folder that was removed or replaced."""
        if not _lies_at(self._lock, self.folder / "lock"):
            raise Failed(self.result, f"{self.folder} was removed while the run went on.")

    def close(self, keep: bool) -> None:
        """Release the lock; without ``keep`` remove the folder too, the lock last."""
        with suppress(OSError, Failed):
            if keep:
                self._lock.truncate(0)
            elif _lies_at(self._lock, self.folder / "lock"):
                self.clear()
                os.unlink(self.folder / "lock")
                self.folder.rmdir()
        with suppress(OSError):  # a full disk: the buffer is empty
            self._lock.close()


@dataclass(frozen=True)
class Holder:
    """The process that has a lock."""

    pid: int
    host: str
    # When it began, in the system's ticks: another program may have the same pid by now.
    started: int | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"pid": self.pid, "host": self.host, "started": self.started}

    def is_alive(self) -> bool:
        """Whether that process still runs on this machine."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:  # a process of another user
            pass
        return None in (self.started, now := _start_of(self.pid)) or self.started == now


def _start_of(pid: int) -> int | None:
    """When a process began, from /proc; None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _lies_at(file: IO[str], path: Path) -> bool:
    """Whether an open file still has that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False


def _try_lock(file: IO[str]) -> bool | None:
    """Whether taking the lock succeeded; None where the file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (11, 13, 35) else None  # EAGAIN, EACCES: it is taken
    return True


def _holder(text: str) -> Holder | None:
    """The process that wrote a lock; None of an empty or torn text."""
    try:
        fields = json.loads(text)
        started = fields.get("started")
        began = None if started is None else int(started)
        pid = int(fields["pid"])
        return Holder(pid, str(fields["host"]), began) if 0 < pid < 1 << 31 else None
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _refusal(other: Holder | None, path: Path, held: bool) -> str:
    who = "another process" if other is None else f"process {other.pid} on {other.host}"
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
