"""Results that are kept as small JSON files, all in one envelope.

``{"format": "softmax2d calibration", "format_version": 1, ...}``: format and version stand before
the fields and are checked before any of them. A file is written whole or not at all; when it is
read, its size, depth and keys are checked before its fields.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, Self

import numpy as np

from softmax2d._errors import Missing, Path, Refused, brief, failing, words_of
from softmax2d._files.source.regular import open_regular
from softmax2d._records.fields import Field
from softmax2d._whole_file import write_whole

MOST_BYTES = 1 << 26  # 64 MiB; the longest, trade-offs of a thousand classes, take some


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_VERSION = 1


class Saved:
    """A result that is equal by its values, and travels as a dictionary or as a JSON file.

    A class that derives from this gives its ``_FORMAT`` and its ``_FIELDS``; where the fields are
    not its attributes, it defines :meth:`to_dict` with :meth:`_wrap`, :meth:`from_dict` with
    :meth:`_unwrap`.
    """

    _FORMAT: ClassVar[str]
    _WRITTEN: ClassVar[str] = ""  # a sentence that begins with a blank: what writes such files
    _FIELDS: ClassVar[Sequence[Field]] = ()
    _ADDED: ClassVar[Mapping[str, Any]] = {}  # younger fields, with what older files mean
    _INDENT: ClassVar[int | None] = 1  # spaces; None writes one line
    _MOST_BYTES: ClassVar[int] = MOST_BYTES

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings and lists, which JSON can hold."""
        found = {}
        for field in self._FIELDS:
            value = getattr(self, field.name)
            value = value.tolist() if isinstance(value, np.ndarray) else value
            found[field.name] = list(value) if isinstance(value, tuple) else value
        return self._wrap(found)

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """The result that :meth:`to_dict` described.

        Raises
        ------
        TypeError, ValueError
            Another format or version; fields that are missing, unknown, of a wrong type or out of
            range.
        """
        return cls(**cls._read(plain))

    def _check_fields(self) -> None:
        """Refuse attributes of another type than the fields of their names."""
        for field in self._FIELDS:
            field.check(type(self).__name__, getattr(self, field.name))

    @classmethod
    def _wrap(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields in the envelope."""
        return {"format": cls._FORMAT, "format_version": _VERSION} | fields

    @classmethod
    def _unwrap(cls, plain: Any, names: Iterable[str]) -> dict[str, Any]:
        """The values of these fields, all there, and none besides."""
        where = cls.__name__
        if not isinstance(plain, dict) or plain.get("format") != cls._FORMAT:
            held = plain.get("format") if isinstance(plain, dict) else None
            got = ""
            if isinstance(held, str) and held.startswith("softmax2d "):
                got = f"; it holds {held.removeprefix('softmax2d ')}"[:80]
            kind = f'expected an object whose "format" is "{cls._FORMAT}"{got}'
            raise ValueError(f"{where}: {kind}.{cls._WRITTEN}")
        version = plain.get("format_version")
        if version != _VERSION or isinstance(version, bool):
            known = f"format_version must be {_VERSION}, the only one known"
            raise ValueError(f"{where}: {known}; got {brief(version, 40)}.")
        names = tuple(names)
        if missing := [name for name in names if name not in plain]:
            raise ValueError(f"{where}: {', '.join(missing)} is missing.")
        if extra := [name for name in plain if name not in (*names, "format", "format_version")]:
            raise ValueError(f"{where}: {ascii(extra[0])[:60]} is not a known field.")
        return {name: plain[name] for name in names}

    @classmethod
    def _read(cls, plain: Any) -> dict[str, Any]:
        """The values of ``_FIELDS``, each of its type; ``_ADDED`` for younger ones."""
        plain = {**cls._ADDED, **plain} if isinstance(plain, dict) else plain
        values = cls._unwrap(plain, (field.name for field in cls._FIELDS))
        for field in cls._FIELDS:
            field.check(cls.__name__, values[field.name])
        return values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # equal by value, as arrays are

    def to_json(self) -> str:
        """The text of the file that :meth:`save` writes."""
        import json

        apart = None if self._INDENT is not None else (",", ":")
        options: dict[str, Any] = {"allow_nan": False, "ensure_ascii": False, "separators": apart}
        return json.dumps(self.to_dict(), indent=self._INDENT, **options) + "\n"

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all; a file of that name is replaced."""
        write_whole(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        Refused
            No such file, or one that holds something else; a ValueError.
        Failed
            Reading failed; an OSError.
        """
        import json

        if not os.path.exists(path):
            raise Missing(path)
        with open_regular(path) as file, failing(path):
            data = file.read(cls._MOST_BYTES + 1)
        if len(data) > cls._MOST_BYTES:
            raise Refused(path, f"is larger than {cls._MOST_BYTES >> 20} MiB, and no such file.")
        try:
            plain = json.loads(
                data.decode(), object_pairs_hook=_refuse_twice, parse_constant=_refuse_constant
            )
        except (UnicodeDecodeError, RecursionError, ValueError) as error:
            cause = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            if cause.startswith("Exceeds the limit"):  # Python's, of digits in an integer
                cause = "an integer has thousands of digits"
            raise Refused(path, f"is no JSON that can be read: {words_of(cause)}.") from None
        try:
            return cls.from_dict(plain)
        except (TypeError, ValueError) as error:
            raise Refused(path, str(error)) from None
