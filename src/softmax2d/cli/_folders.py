"""A command over all files of a folder: a run for each file, complete or not, and what is done."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from softmax2d import __version__
from softmax2d.cli import _paths, _values
from softmax2d.cli._progress import Progress
from softmax2d.cli._report import SAID
from softmax2d.cli._results import quantity
from softmax2d.stream import Failed, Refused, Results, StreamError, Unusable

_RECORD = ".softmax2d-folder.json"  # in OUT, until all files are done
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
_APART = ("preview",)  # results of one file alone
_FIRST = "_0000"  # after the name of a case: its first image, as nnU-Net has them
_HOW = ("quiet", "resume", "overwrite", "memory", "summary")  # change no result


def run_each(source: Path, name: str) -> bool:
    """Run the command once for each file, if ``source`` is a folder of files; whether it was one.

    ``name`` is that of the parameter. Files that fail are named and left out; the others are done.

    Raises
    ------
    Refused, Unusable
        Before the first file: no files, results that exist, options of one file alone.
    Failed
        After the last file: some failed.
    """
    if not _paths.is_folder(source):
        return False
    params = dict(click.get_current_context().params)
    _Folder(source, name, params).run()
    return True


def refuse_format(params: dict[str, Any]) -> None:
    """Take the option of folders out, which says nothing of one file."""
    if params.pop("folder_format", None) is not None:
        raise Unusable("--format is for folders; the suffix of OUT says the format of one file.")


def _result_suffix(path: Path, asked: str | None, outputs: Any) -> str:
    """The suffix of what is made of a file: its own; of a picture .png, or .tif without labels."""
    if asked is not None:
        return "." + asked.lower().removeprefix(".")
    suffix = _paths.suffix_of(path).lower()
    if suffix in _PICTURES:
        return ".png" if not outputs or "labels" in outputs else ".tif"
    return ".tif" if suffix == ".tiff" else suffix


class _Folder:
    """The files of a folder, and where their results go."""

    def __init__(self, source: Path, name: str, params: dict[str, Any]) -> None:
        self._name, self._params, self._source = name, params, source
        self._out: Path = params["out"]
        names_file = _paths.is_format(self._out) or self._out.suffix.lower() in _PICTURES
        if names_file and not self._out.is_dir():
            what = f"{name.upper()} is a folder, and so is OUT: give a name without a suffix"
            raise Refused(self._out, f"names a file; {what}, and --format.")
        if self._out.exists() and not self._out.is_dir():
            raise Refused(self._out, "is a file; OUT is a folder.")
        if self._out.exists() and os.path.samefile(self._out, source):
            cause = f"is the folder {name.upper()} itself, where results would be taken for more "
            raise Refused(self._out, f"{cause}files of it; choose another name.")
        for option in _APART:
            if params.get(option) is not None:
                raise Unusable(f"--{option} is of one file; {name.upper()} is a folder.")
        if "calibration" in params:
            _values.take_map(dict(params))  # what is wrong with it is wrong with every file
        self._files = _paths.by_stem(source, scores=name == "logits")
        form = self._format = params.pop("folder_format")
        self._to = {
            stem: self._out / f"{stem}{_result_suffix(path, form, params.get('outputs'))}"
            for stem, path in self._files.items()
        }
        like = params.get("like")
        self._like = _paths.by_stem(like) if like is not None and _paths.is_folder(like) else None
        if self._like is not None:
            for stem, path in self._files.items():
                scan = self._like.get(f"{stem}{_FIRST}")
                if self._like.setdefault(stem, scan or path) is path:
                    raise Refused(path, f"has no file of that stem in {like}.")
        self._record = self._out / _RECORD
        self._done = self._begin()

    def _begin(self) -> dict[str, Any]:
        """What an earlier run has done; results that exist are refused."""
        resume, overwrite = self._params["resume"], self._params["overwrite"]
        done: dict[str, Any] = {}
        if resume and self._record.exists():
            try:
                held = json.loads(self._record.read_text())
                done = dict(held["done"])
            except (ValueError, KeyError, TypeError):
                raise Refused(self._record, "is damaged; remove it, and start again.") from None
            if held.get("options") != self._options():
                cause = "results were begun with other options, or by another version"
                raise Refused(self._out, f"{cause}; leave --resume out, or give another folder.")
        for stem, path in self._to.items():
            if os.path.lexists(path) and stem not in done and not (overwrite or resume):
                way = "--resume goes on with the others, --overwrite replaces it"
                raise Refused(path, f"exists; {way}.")
        return done

    def _options(self) -> dict[str, str]:
        """What a resumed run compares."""
        kept = {n: repr(v) for n, v in sorted(self._params.items()) if n not in _HOW}
        for name in ("model", "calibration"):
            path = self._params.get(name)
            if path is not None and path.is_file():
                kept[name] = f"{path}, {os.stat(path).st_size}, {os.stat(path).st_mtime_ns}"
        return {"version": __version__, "format": repr(self._format), **kept}

    def run(self) -> None:
        """Do every file that is not done."""
        started, quiet = perf_counter(), self._params["quiet"]
        click.get_current_context().meta[SAID] = set()
        self._made = not self._out.exists()
        self._out.mkdir(parents=True, exist_ok=True)
        failed: list[StreamError] = []
        accounts: list[Any] = []
        with Progress(f"{self._source.name}", quiet) as progress:
            for number, (stem, path) in enumerate(self._files.items()):
                before = len(accounts)
                try:
                    mark = _mark_of(path)
                    if self._done.get(stem) == mark and self._to[stem].exists():
                        continue
                    self._one(stem, path, accounts)
                except StreamError as error:
                    if error.message not in {known.message for known in failed}:
                        click.echo(f"softmax2d: {error.message}", err=True)
                    failed.append(error)
                    if len(accounts) == before:  # it failed before a run of its own began
                        held = {"status": "failed", "source": str(path), "error": error.message}
                        accounts.append(held)
                    continue
                self._done[stem] = mark
                self._keep()
                if not quiet and not progress.shown:
                    where = click.format_filename(self._to[stem])
                    click.echo(f"{click.format_filename(path)}  {where}")
                progress(number + 1, len(self._files), perf_counter() - started, "files")
        self._finish(failed, accounts)
        if not quiet:
            click.echo(f"{quantity(len(self._files), 'file')}, {perf_counter() - started:.2f} s")

    def _one(self, stem: str, path: Path, accounts: list[Any]) -> None:
        """Run the command for one file."""
        params = self._params | {self._name: path, "out": self._to[stem], "quiet": True}
        params["folder_format"] = None
        if self._like is not None:
            params["like"] = self._like[stem]
        call: Callable[..., Any] = click.get_current_context().command.callback or _nothing
        if params.get("summary") is None:
            call(**params)
            return
        with tempfile.TemporaryDirectory() as folder:
            account = Path(folder) / "account.json"
            try:
                call(**(params | {"summary": account}))
            finally:
                if account.exists():
                    accounts.append(json.loads(account.read_text()))

    def _keep(self) -> None:
        text = json.dumps({"options": self._options(), "done": self._done})
        with Results([self._record], overwrite=True) as results:
            results.write(self._record, text.encode())

    def _finish(self, failed: list[StreamError], accounts: list[Any]) -> None:
        """Write the account of all files; say how many failed."""
        summary = self._params.get("summary")
        if summary is not None:
            with Results([summary], overwrite=True) as results:
                text = json.dumps({"files": accounts}, indent=2) + "\n"
                results.write(summary, text.encode())
        if not failed:
            self._record.unlink(missing_ok=True)
            return
        if len(failed) == len(self._files) and all(error.exit_code == 2 for error in failed):
            if self._made:
                with suppress(OSError):  # something lies there
                    self._out.rmdir()
            raise Refused(self._source, f"none of {len(self._files)} files can be used.")
        count = f"{len(failed)} of {len(self._files)} files failed, as said above"
        raise Failed(self._source, f"{count}; the others are done, and --resume tries these again.")


def _mark_of(path: Path) -> list[int]:
    """Size and time of change, by which a file that is done is known again."""
    try:
        state = os.stat(path)
    except OSError as error:
        raise Failed(path, f"{error.strerror or error}.") from error
    return [state.st_size, state.st_mtime_ns]


def _nothing(**_: Any) -> None:
    """Stand for a command without a function."""
