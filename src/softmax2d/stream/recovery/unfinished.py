"""Unfinished results: they grow in hidden folders, tile by tile, and appear complete or not at all.

Each result has a :class:`~softmax2d.stream.recovery.lock.Place` beside it, the first of which holds
the journal. When all tiles are stored, every result is completed under a temporary name and brought
to the disk, the journal gets a line for that, and only then are all renamed. Wherever a crash stops
the process, the same command with ``resume`` finds out how far the run came.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from softmax2d import __version__, _runtime
from softmax2d._errors import Failed, Refused, failing
from softmax2d._files.formats import format_of
from softmax2d._files.source.presentation import Look
from softmax2d._files.source.source import Source
from softmax2d._whole_file import sync_folder, write_whole
from softmax2d.stream.plan.places import check_new, check_same, chunked_format
from softmax2d.stream.plan.results import Target
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.plan.tiles import Tiling
from softmax2d.stream.recovery.journal import Journal, Record, check_request
from softmax2d.stream.recovery.lock import Place, remove, sync_tree
from softmax2d.stream.recovery.stage import RawStage, StageAt

_LONG = 4096  # characters of a place that a journal holds; of longer ones it holds a checksum


@dataclass
class Work:
    """The results of one run, from the first tile to their final names.

    Use as a context: results appear when :meth:`commit` is called, and nothing is left of a run
    that was refused or stored no tile.
    """

    targets: Sequence[Target]  # the results; the first holds the journal
    header: Record  # the request: version, input, parameters, tiling; JSON values
    # Whether to continue an unfinished run; whether existing results may be replaced.
    resume: bool = False
    overwrite: bool = False
    notes: list[str] = field(default_factory=list)
    done: dict[int, Record] = field(default_factory=dict)
    committed: bool = False

    def __enter__(self) -> Work:
        self._places: list[Place] = []
        self._keep = False
        self._finished = False
        try:
            for target in self.targets:
                self._places.append(Place(Path(os.path.realpath(target.path))))
            self._journal = Journal(self._places[0] / "journal", self.targets[0].path)
            records = self._journal.read()
            if self.resume and records:
                check_request(self.targets[0].path, records[0], self.header)
            # Results that exist without an unfinished run may be this run's own, which was killed
            # after the renaming. They stay if the run makes the same bytes again; a run that
            # compares may itself be killed and continued.
            complete = bool(records) and "commit" in records[-1]
            anew = not records or bool(records[0].get("compared"))
            self._compared = self.resume and anew and not self.overwrite
            if not self._compared and not (self.resume and complete):
                for target in self.targets:  # before anything is computed
                    for path in (target.path, *target.companions()):
                        check_new(path, self.overwrite)
            if self.resume and records:
                self._go_on(records)
            else:
                self._start(discarding=bool(records))
        except BaseException:
            for place in self._places:
                place.close(keep=place.found)
            raise
        return self

    def _start(self, discarding: bool) -> None:
        if discarding:
            self.notes.append(f"{self.targets[0].path}: an unfinished earlier run was discarded.")
        for target, place, at in zip(self.targets, self._places, self.stages(), strict=True):
            place.clear()
            _create_stage(target, at)
        self._journal.start(self.header | ({"compared": True} if self._compared else {}))

    def _go_on(self, records: list[Record]) -> None:
        self._keep = True
        self.committed = "commit" in records[-1]
        self.done = {r["tile"]: r for r in records[1:] if "tile" in r}
        for place in self._places:
            place.check_tree()
        if not self.committed:
            for target, place, at in zip(self.targets, self._places, self.stages(), strict=True):
                _mend_stage(target, place, at)
        self._journal.go_on()

    def stages(self) -> list[StageAt]:
        """The place where each result grows."""
        found = []
        for target, place in zip(self.targets, self._places, strict=True):
            in_place = target.chunks is not None and chunked_format(target.path) is not None
            kind = "zarr" if in_place else "raw"
            path = str(place / ("stage.npy" if kind == "raw" else "stage.zarr"))
            dtype = target.dtype.str if target.dtype.kind in "fiu" else target.dtype.name
            found.append(StageAt(kind, path, str(target.path), target.shape, dtype))
        return found

    def record(self, tile: Record) -> None:
        """Write into the journal that a tile is stored; after its data."""
        self._journal.append(tile)
        self.done[tile["tile"]] = tile
        self._keep = True

    def forget(self, tile: int) -> None:
        """Drop a tile whose data differ from the journal: it is computed again."""
        del self.done[tile]

    def commit(self, finish: Callable[[], None] | None = None) -> None:
        """Complete the results, call ``finish``, and rename them."""
        if not self.committed:
            parts = [self._complete(i) for i in range(len(self.targets))]
            if finish is not None:
                finish()
            same = []
            for target, place, part in zip(self.targets, self._places, parts, strict=True):
                if self._compared and os.path.lexists(target.path):
                    check_same(target.path, part)
                    same.append((target.path, part))
                else:
                    for path in (target.path, *target.companions()):
                        check_new(path, self.overwrite)
                place.check()
            self._journal.append({"commit": [str(p) for p in parts]}, sync=True)
            self._keep = True
            for path, part in same:  # a run killed before this renames it: the same bytes
                remove(part, path)
                self.notes.append(f"{path}: was there, complete, and is the same.")
        for place, part in zip(self._places, self._parts(), strict=True):
            if os.path.lexists(part):
                if os.path.lexists(place.result) and not self.overwrite:
                    check_same(place.result, part)
                _rename(part, place)
            elif not os.path.lexists(place.result):
                raise Failed(place.result, f"is complete, but {part} is gone; start anew.")
        self._write_companions()
        for folder in {place.result.parent for place in self._places}:
            sync_folder(folder)
        self._finished = True

    def _write_companions(self) -> None:
        """Write the files beside results that have their names; a resumed run writes them again.

        Of a result that was there already its companions stay as they are: others may have changed
        them since, as QGIS and GDAL do.
        """
        for target in self.targets:
            for path, content in target.companions().items():
                if not (self._compared and os.path.lexists(path)):
                    write_whole(path, content)
            for path in target.left_over() if self.overwrite else ():
                remove(path, target.path)
                self.notes.append(f"{path}: belonged to the replaced result, and was removed.")

    @property
    def companions(self) -> list[Path]:
        """The files beside the results that say names and colours."""
        return [path for target in self.targets for path in target.companions()]

    def _parts(self) -> list[Path]:
        each = zip(self.targets, self._places, self.stages(), strict=True)
        return [
            Path(at.path) if at.kind == "zarr" or _is_whole_stage(target.path) else place / "part"
            for target, place, at in each
        ]

    def _complete(self, number: int) -> Path:
        """Make the complete file of a result under a temporary name, and return its path."""
        target, at, part = self.targets[number], self.stages()[number], self._parts()[number]
        if at.kind == "zarr":
            with failing(target.path):
                chunked_format(target.path).tidy(part)
            sync_tree(part, target.path)
            return part
        if not _is_whole_stage(target.path):
            with ExitStack() as stack:
                held = at.open()
                stack.callback(held.close)
                if os.path.lexists(part):
                    remove(part, target.path)
                module = format_of(target.path, "assemble")
                module.assemble(target.path, part, held, target.look)
        if part.is_dir():
            sync_tree(part, target.path)
            return part
        with failing(target.path):
            number = os.open(part, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)
        return part

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._journal.close()
        if isinstance(error, Refused) and not self.resume:
            self._keep = False  # a refused file is refused later, too
        for place in self._places:
            place.close(self.resumable)

    @property
    def resumable(self) -> bool:
        """Whether a later run can continue."""
        kept = self._keep and not self._finished
        return kept and (self._places[0] / "journal").exists()  # else the folder was removed


def _create_stage(target: Target, at: StageAt) -> None:
    """Make an empty stage."""
    if at.kind == "raw":
        RawStage.create(Path(at.path), target.path, target.shape, target.dtype)
    else:
        create = chunked_format(target.path).create_result
        create(Path(at.path), target.shape, target.dtype, target.chunks, target.look)


def _mend_stage(target: Target, place: Place, at: StageAt) -> None:
    """Restore what no checksum covers in a stage: its head, its metadata."""
    if at.kind == "raw":
        RawStage.mend(Path(at.path), target.path, target.shape, target.dtype)
        return
    fresh = place / "fresh.zarr"
    if os.path.lexists(fresh):
        remove(fresh, target.path)
    _create_stage(target, replace(at, path=str(fresh)))
    chunked_format(target.path).mend(Path(at.path), fresh)
    remove(fresh, target.path)


def _is_whole_stage(path: Path) -> bool:
    """Whether the stage of a result is the complete file."""
    return path.suffix.lower() == ".npy"


def _rename(part: Path, place: Place) -> None:
    """Rename a complete result; an existing one is removed after that."""
    with failing(place.result):
        if part.is_dir() and os.path.lexists(place.result):
            old = place / "old"
            if old.exists():
                shutil.rmtree(old)
            os.rename(place.result, old)
            try:
                os.replace(part, place.result)
            except OSError:
                os.rename(old, place.result)
                raise
            return
        os.replace(part, place.result)


def run_header(source: Source, operation: Operation, tiling: Tiling, made: list[Target]) -> Record:
    """What a resumed run compares; JSON values."""
    geometry = operation.geometry
    return {
        "version": __version__,
        "input": source.identity(),
        "parameters": {
            "axis": geometry.axis,
            "size": list(geometry.shape),
            **({"part of": [list(geometry.whole), list(geometry.start)]} if geometry.whole else {}),
            "interpolation": list(geometry.interpolation),
            "align_corners": bool(geometry.align_corners),
            **operation.map.numbers(),
            "outputs": list(operation.outputs),
            "top_k": operation.top_k,
            "encoding": operation.encoding,
            "nodata": repr(operation.nodata),
            "nodata_label": operation.empty,
            "decode": operation.decode,
            "results": {t.name: str(t.path.absolute()) for t in made},
            "presentation": {t.name: _presentation(t.look) for t in made},
            "instruction_set": _runtime.instruction_set(),
        },
        "tiling": tiling.to_json(),
    }


def _presentation(look: Look) -> Record:
    palette = None if look.palette is None else np.asarray(look.palette).tolist()
    space = None
    if look.space is not None:
        text = json.dumps(look.space.fields)  # a place may hold NaN, which equals nothing
        if len(text) > _LONG:
            text = hashlib.sha256(text.encode()).hexdigest()
        space = [look.space.kind, text]
    return {
        "names": None if look.names is None else list(look.names),
        "palette": palette,
        "space": space,
        "cog": look.cog,
    }
