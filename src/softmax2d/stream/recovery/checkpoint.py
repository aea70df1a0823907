"""The counts of an unfinished evaluation, kept in the hidden folder beside a name.

Counts have a fixed size and need no journal with a line for each tile. Now and then a new
checkpoint replaces the last one: all counts, and the numbers of the tiles that are in them. The
tiles counted since then are counted again after a crash.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from softmax2d._errors import Failed, Refused, StreamError, failing, name_of
from softmax2d._whole_file import TEMPORARY, write_whole
from softmax2d.stream.recovery.journal import Record, check_request, line_of, record_in
from softmax2d.stream.recovery.lock import Place

SECONDS = 1.0  # between two checkpoints, at least ...
_SHARE = 20  # ... and this many times as long as one takes: a twentieth of the time at most

State = Callable[[], Record | None]


class Checkpoint:
    """The latest counts of an evaluation, in a hidden folder that this process has locked.

    Use as a context. A block that ends well removes the folder; after any other end the same
    command with ``resume`` continues.
    The folder lies beside the name ``beside``; ``header`` is the request, JSON values.
    """

    def __init__(self, beside: Path, header: Record, resume: bool = False) -> None:
        self._beside, self._header, self._resume = beside, header, resume
        self.state: Record | None = None  # the counts to continue from
        self.notes: list[str] = []  # lines for the user
        self.resumable = False  # whether a later run can continue

    def __enter__(self) -> Checkpoint:
        self._head = line_of(self._header)
        self._place = Place(Path(os.path.realpath(self._beside)))
        self._path = self._place / "checkpoint"
        try:
            self.state = self._find()
            self.resumable = self.state is not None
            if self.state is None:
                self._clear()
        except BaseException:
            self._place.close(keep=self._place.found)
            raise
        self._last, self._took = monotonic(), 0.0
        return self

    def _clear(self) -> None:
        """Remove earlier checkpoints; refuse the folder of a run of another kind."""
        with failing(self._beside):
            names = {entry.name for entry in self._place.folder.iterdir()}
        own = {name for name in names if name.startswith(TEMPORARY)}
        if names - own - {"lock", self._path.name}:
            cause = f"{name_of(self._place.folder)} holds an unfinished run of something else; "
            raise Refused(self._beside, f"{cause}choose another name, or delete that folder.")
        self._place.clear()

    def _find(self) -> Record | None:
        """The counts that are kept; None where there are none, or none that may be used."""
        with failing(self._beside):
            if not self._path.is_file():
                return None
            lines = self._path.read_bytes().splitlines(keepends=True)
        if not self._resume:
            self.notes.append(f"{self._beside}: an unfinished earlier run was discarded.")
            return None
        records = [record_in(line) for line in lines]
        if len(records) != 2 or None in records:
            self.drop()
            return None
        header, state = records
        check_request(self._beside, header or {}, self._header)
        return state

    def drop(self) -> None:
        """Reject the checkpoint as damaged: everything is counted again."""
        self.state, self.resumable = None, False
        self.notes.append(f"{self._beside}: what was kept is damaged; all tiles are counted again.")

    def keep(self, state: State) -> None:
        """Write a checkpoint of ``state``, if it is time; a failure leaves the last one."""
        started = monotonic()
        if started - self._last < max(SECONDS, _SHARE * self._took):
            return
        self._write(state)
        self._last = monotonic()
        self._took = self._last - started

    @contextmanager
    def keep_at_end(self, state: State) -> Iterator[None]:
        """Write a checkpoint if an exception ends the block."""
        try:
            yield
        except BaseException as error:
            with suppress(StreamError):  # its own failure hides no other
                self._write(state)
            if isinstance(error, Refused) and not self._resume:
                self.resumable = False  # a refused file is refused later, too
            raise

    def _write(self, state: State) -> None:
        now = state()
        if now is None:
            return
        self._place.check()
        with failing(self._beside):
            try:
                write_whole(self._path, self._head + line_of(now))
            except Failed as error:  # whose message names a hidden file
                raise error.__cause__ or error from None
        self.resumable = True

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._place.close(keep=self.resumable and error is not None)


@contextmanager
def hold_checkpoint(
    beside: Path | None, header: Callable[[], Record], resume: bool
) -> Iterator[Checkpoint | None]:
    """A checkpoint beside a name until the block ends; None without a name."""
    if beside is None:
        yield None
        return
    with Checkpoint(beside, header(), resume) as held:
        yield held
