"""Text in columns of a terminal, where a Chinese character takes two; the parts of a help text."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple
from unicodedata import east_asian_width

_NOT_FIRST = "，。、；：？！）”’》】…·×)]"
_NOT_LAST = "（“‘《【…×(["


def _is_wide(char: str) -> bool:
    """Whether a character may take two columns: also where fonts differ (“, …, ×)."""
    return east_asian_width(char) in "WFA"


def columns(text: str) -> int:
    """How many columns a text takes at most."""
    return sum(1 + _is_wide(char) for char in text)


def pad(text: str, width: int) -> str:
    """The text with blanks behind it, ``width`` columns in all."""
    return text + " " * (width - columns(text))


def _units(text: str, width: int) -> list[str]:
    """Pieces between which a line may end: words, single Chinese characters, `code`, [notes]."""
    pieces: list[str] = []
    for span in re.findall(r"`[^`]*`|\[[^\]]*\]|\s+|[^\s`\[]+|.", text):
        kept = span[0] == "`" or (span[0] == "[" and columns(span) <= width)
        pieces += [span] if kept or span.isspace() else re.findall(r"[!-~]+|\s+|.", span)
    units: list[str] = []
    for piece in pieces:
        if units and not _breaks(units[-1], piece):
            units[-1] += piece
        else:
            units.append(piece)
    return units


def _breaks(left: str, right: str) -> bool:
    """Whether a line may end between two pieces: not inside a word such as .nii[.gz]."""
    if right[0] in _NOT_FIRST or left[-1] in _NOT_LAST:
        return False
    return " " in (left[-1], right[0]) or _is_wide(left[-1]) or _is_wide(right[0])


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` columns, none of which begins with a closing punctuation mark.

    A word that is longer stands in a line of its own. The last line has two characters or more.
    """
    lines: list[list[str]] = [[]]
    for unit in _units(text, width):
        if lines[-1] and columns("".join(lines[-1]) + unit.rstrip()) > width:
            lines.append([])
        if lines[-1] or not unit.isspace():
            lines[-1].append(unit)
    if len(lines) > 1 and len(lines[-1]) == 1 and len(lines[-2]) > 2 and _is_wide(lines[-1][0][0]):
        lines[-1].insert(0, lines[-2].pop())
    return ["".join(line).strip() for line in lines]


class Part(NamedTuple):
    """A part of a help text: a paragraph, a heading, a row of a list or a line of code."""

    lead: str  # before the text, kept: blanks, a code, an example
    text: str  # "" in a line of code
    begins: bool  # after an empty line


def parts_of(text: str) -> list[Part]:
    """The parts of a help text, in click's form: a block after a backspace keeps its lines."""
    found: list[Part] = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.split("\n")
        if lines[0] == "\b":
            found += _rows(lines[1:])
        else:
            found.append(Part("", " ".join(line.strip() for line in lines), True))
    return found


def _rows(lines: list[str]) -> list[Part]:
    """The lines of a block; a line that begins where the last row's text does continues it."""
    found: list[Part] = []
    for line in lines:
        blanks = len(line) - len(line.lstrip())
        two = re.fullmatch(r"( *\S.*?  +)(\S.*)", line)
        if not blanks:
            found.append(Part("", line, not found))
        elif found and blanks > 4 and blanks == len(found[-1].lead):
            found[-1] = found[-1]._replace(text=f"{found[-1].text} {line.strip()}")
        elif two:
            found += _several(two[1], two[2])
        else:
            found.append(Part(line, "", False))
    return found


def _several(lead: str, text: str) -> list[Part]:
    """A row, or two that stand in one line with blanks between."""
    first, *more = re.split(r"  +(?=\d)", text, maxsplit=1)
    rest = re.fullmatch(r"(\S+  +)(\S.*)", more[0]) if more else None
    if rest is None:
        return [Part(lead, text, False)]
    return [Part(lead, first, False), Part("  " + rest[1], rest[2], False)]
