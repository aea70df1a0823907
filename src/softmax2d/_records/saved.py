"""Results that are kept as small JSON files, all in one envelope.

``{"format": "softmax2d calibration", "format_version": 1, ...}``: format and version stand before
the fields and are checked before any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

from softmax2d._errors import Path
from softmax2d._records import json_files
from softmax2d._records.fields import Field, json_values
from softmax2d._whole_file import write_whole

_VERSION = 1


class Saved:
    """A result that is equal by its values, and travels as a dictionary or as a JSON file.

    A class that derives from this gives its ``_FORMAT`` and its ``_FIELDS``; where the fields are
    not its attributes, it defines :meth:`to_dict` with :meth:`_wrap`, :meth:`from_dict` with
    :meth:`_unwrap`.
    """

    _FORMAT: ClassVar[str]
    _FIELDS: ClassVar[Sequence[Field]] = ()
    _INDENT: ClassVar[int | None] = 1  # spaces; None writes one line
    _MOST_BYTES: ClassVar[int] = json_files.MOST_BYTES

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings and lists, which JSON can hold."""
        return self._wrap(json_values(self, self._FIELDS))

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

    @classmethod
    def _wrap(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields in the envelope."""
        return {"format": cls._FORMAT, "format_version": _VERSION} | fields

    @classmethod
    def _unwrap(cls, plain: Any, names: Iterable[str]) -> dict[str, Any]:
        """The values of these fields, all there, and none besides.

        Raises
        ------
        ValueError
            What is wrong, in one line.
        """
        where = cls.__name__
        if not isinstance(plain, dict) or plain.get("format") != cls._FORMAT:
            raise ValueError(f'{where}: expected an object whose "format" is "{cls._FORMAT}".')
        version = plain.get("format_version")
        if version != _VERSION or isinstance(version, bool):
            got = repr(version)[:40]
            raise ValueError(
                f"{where}: format_version must be {_VERSION}, the only one known; got {got}."
            )
        names = tuple(names)
        if missing := [name for name in names if name not in plain]:
            raise ValueError(f"{where}: {', '.join(missing)} is missing.")
        extra = [name for name in plain if name not in (*names, "format", "format_version")]
        if extra:
            raise ValueError(f"{where}: {ascii(extra[0])[:60]} is not a known field.")
        return {name: plain[name] for name in names}

    @classmethod
    def _read(cls, plain: Any) -> dict[str, Any]:
        """The values of ``_FIELDS``, each of its type."""
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
        return json_files.render(self.to_dict(), self._INDENT)

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
        return json_files.load(path, cls.from_dict, cls._MOST_BYTES)
