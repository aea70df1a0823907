"""Small results of one run, checked before the work and named together after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softmax2d._errors import Refused, StreamError, failing, name_of, require
from softmax2d._report.figure import SUFFIXES
from softmax2d._statistics.statistics import Statistics
from softmax2d._whole_file import WholeFiles
from softmax2d.stream.plan.places import check_new, check_paths, check_same

if TYPE_CHECKING:
    from softmax2d._boundaries.measures import Boundaries


class Results(WholeFiles):
    """Small files that appear together when the block ends well; otherwise none of them appears.

    Parameters
    ----------
    paths : sequence of path
        The final names.
    inputs : sequence of path
        Files that must stay as they are.
    overwrite : bool
        Whether existing files may be replaced.
    resume : bool
        Whether an existing file of the same bytes may stay: the run was killed after naming it.
    report : path, optional
        One more final name, of a report: .html, .txt, .png or .json.

    Raises
    ------
    Refused
        At once: a name that is an input, is there twice, exists, or has no folder; a report of
        another suffix.
    Unusable
        At once: a report that needs matplotlib, which is missing.
    Failed
        At the end of the block: writing failed.

    Examples
    --------
    >>> import softmax2d.stream, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.json"
    >>> with softmax2d.stream.Results([path]) as results:
    ...     results.write(path, b"[1.0, 2.5]")
    >>> path.read_text()
    '[1.0, 2.5]'
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        inputs: Sequence[str | os.PathLike[str]] = (),
        overwrite: bool = False,
        resume: bool = False,
        report: str | os.PathLike[str] | None = None,
    ) -> None:
        if report is not None:
            _check_report(Path(report))
            paths = [*paths, report]
        compared = resume and not overwrite

        def check(path: Any, temporary: str) -> None:
            if compared and os.path.lexists(path):
                check_same(Path(path), Path(temporary))
            else:
                check_new(Path(path), overwrite)

        super().__init__(check)
        check_paths([*map(Path, paths)], [*map(Path, inputs)], overwrite or resume)

    def write(self, path: str | os.PathLike[str], data: bytes) -> None:
        """Write what the file ``path`` will hold."""
        file = self.create(path)
        with failing(path):
            file.write(data)

    def save(self, path: str | os.PathLike[str], save: Callable[[Path], Any]) -> None:
        """Let ``save``, a method such as ``Statistics.save_report``, write the file ``path``."""
        with self._temporary_name(path) as temporary:
            save(temporary)
            self.write(path, temporary.read_bytes())

    @contextmanager
    def _temporary_name(self, path: str | os.PathLike[str]) -> Iterator[Path]:
        """A temporary name of the same suffix in the same folder; errors name ``path``."""
        final = Path(os.path.realpath(path))
        temporary = final.with_name(f".softmax2d-{os.urandom(8).hex()}{final.suffix}")
        try:
            yield temporary
        except StreamError as error:
            error.message = error.message.replace(name_of(temporary), name_of(path), 1)
            raise
        finally:
            temporary.unlink(missing_ok=True)


def save_scores(
    results: Results, path: Path | None, found: Statistics, names: Sequence[str] | None
) -> None:
    """Write the scores of each image, where a path takes them."""
    if path is not None and found.per_image is not None:
        results.save(path, partial(found.per_image.save_csv, names=names))


def save_report(
    results: Results,
    path: str | os.PathLike[str] | None,
    found: Statistics | Boundaries,
    names: Sequence[str] | None,
    title: str,
) -> None:
    """Write the report, where a path takes it."""
    if path is not None:
        results.save(path, partial(found.save_report, names=names, title=title))


def _check_report(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise Refused(path, f"has the unknown suffix {path.suffix!r}; reports go to {known}.")
    if path.suffix.lower() == ".png":
        require("matplotlib", "demo")
