"""Results that are kept as small JSON files, all in one envelope.

``{"format": "softmax2d calibration", "format_version": 1, ...}``: what it is and how to read it
stand before the fields, and both are looked at before anything else is. How the file is written and
read is in :mod:`softmax2d._records.json_files`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from softmax2d._errors import Path
from softmax2d._records import json_files

_VERSION = 1


class Saved:
    """What is equal by its values, and travels as a dictionary or as a JSON file.

    A class that derives from this gives its ``_FORMAT``, and defines :meth:`to_dict` with
    :meth:`_enveloped`, :meth:`from_dict` with :meth:`_fields`.
    """

    _FORMAT: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings and lists, which JSON can hold."""
        raise NotImplementedError

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """What :meth:`to_dict` described."""
        raise NotImplementedError

    def _enveloped(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields, after what they are of."""
        return {"format": self._FORMAT, "format_version": _VERSION} | fields

    @classmethod
    def _fields(cls, plain: Any, names: Iterable[str]) -> dict[str, Any]:
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
    def _checked(cls, plain: Any, fields: Iterable[json_files.Field]) -> dict[str, Any]:
        """As :meth:`_fields`, each of its type."""
        fields = tuple(fields)
        values = cls._fields(plain, (field.name for field in fields))
        for field in fields:
            field.check(cls.__name__, values[field.name])
        return values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # equal by value, as arrays are

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all; a file of that name is replaced."""
        json_files.save(path, self.to_dict())

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
        return json_files.loaded(path, cls.from_dict)
