"""What was counted so far, kept beside a name until all of it is counted.

Counts of a fixed size need no journal, a line a tile: now and then all of them take the place of
what was kept before, with the numbers of the tiles that are in them. What a process that is killed
has done since then is done again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from softmax2d._errors import Refused, StreamError, failing, shown
from softmax2d._whole_file import write_whole
from softmax2d.stream.recovery.journal import Record, check_request, line_of, record_in
from softmax2d.stream.recovery.lock import Place

SECONDS = 1.0  # between two checkpoints, at least ...
_SHARE = 20  # ... and so many times what one takes: at most a twentieth of the time is spent so

State = Callable[[], Record | None]


class Checkpoint:
    """The latest counts of an evaluation, in a hidden folder that no other process may have.

    Use as a context: what is kept goes when the block ends well; whatever else ends it, the same
    command with ``resume`` goes on.

    Parameters
    ----------
    beside : path
        The name beside which the folder lies: :class:`~softmax2d.stream.recovery.lock.Place`.
    header : dict
        What the evaluation was asked: version, input, truth, parameters, tiling; JSON values.
    resume : bool
        Whether to go on with what is kept.

    Attributes
    ----------
    state : dict or None
        What is gone on with; None where nothing is.
    notes : list of str
        What somebody should know.
    resumable : bool
        Whether what is left can be gone on with.

    Raises
    ------
    Refused
        On entering: another process is there, something else was asked before, or the unfinished
        run of something else lies there.
    """

    def __init__(self, beside: Path, header: Record, resume: bool = False) -> None:
        self._beside, self._header, self._resume = beside, header, resume
        self.state: Record | None = None
        self.notes: list[str] = []
        self.resumable = False

    def __enter__(self) -> Checkpoint:
        self._head = line_of(self._header)  # what JSON cannot say fails here
        self._place = Place(Path(os.path.realpath(self._beside)))
        self._path, self._part = self._place / "checkpoint", self._place / "checkpoint.part"
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
        """Remove what earlier checkpoints left; that of a run of another kind is not ours."""
        own = {"lock", self._path.name, self._part.name}
        with failing(self._beside):
            strange = any(entry.name not in own for entry in self._place.folder.iterdir())
        if strange:
            cause = f"{shown(self._place.folder)} holds an unfinished run of something else; "
            raise Refused(self._beside, f"{cause}choose another name, or delete that folder.")
        self._place.clear()

    def _find(self) -> Record | None:
        """What is kept; None where nothing is, or what is damaged, in doubt or not asked for."""
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
        """Take what is kept for damaged: everything is counted again."""
        self.state, self.resumable = None, False
        self.notes.append(f"{self._beside}: what was kept is damaged; all tiles are counted again.")

    def keep(self, state: State) -> None:
        """Keep what ``state`` says, if it is time.

        Raises
        ------
        Failed
            It cannot be written; what was kept before is still there.
        """
        begun = monotonic()
        if begun - self._last < max(SECONDS, _SHARE * self._took):
            return
        self._write(state)
        self._last = monotonic()
        self._took = self._last - begun

    @contextmanager
    def keep_at_end(self, state: State) -> Iterator[None]:
        """Keep what is counted when something ends the block."""
        try:
            yield
        except BaseException as error:
            with suppress(StreamError):  # hides no other failure
                self._write(state)
            if isinstance(error, Refused) and not self._resume:
                self.resumable = False  # what cannot be used now cannot be used later either
            raise

    def _write(self, state: State) -> None:
        now = state()
        if now is None:
            return
        self._place.check()
        with failing(self._beside):
            write_whole(self._path, self._head + line_of(now))
        self.resumable = True

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._place.close(keep=self.resumable and error is not None)


@contextmanager
def hold_checkpoint(
    beside: Path | None, header: Callable[[], Record], resume: bool
) -> Iterator[Checkpoint | None]:
    """A checkpoint where there is a name for it, held until the block ends."""
    if beside is None:
        yield None
        return
    with Checkpoint(beside, header(), resume) as held:
        yield held
