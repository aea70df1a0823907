"""Commands whose help is shown in the language in use; ``--language`` before and after them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import click

from softmax2d.language import (
    LANGUAGES,
    VARIABLE,
    Part,
    columns,
    current,
    pad,
    parts_of,
    translate,
    wrap,
)

_MOST_LEAD = 30  # columns of the longest option beside its text
_LEAST_TEXT = 20  # columns of text beside an example; below it where there are fewer
_WORDS = f"Language of help and demo.  [default: what {VARIABLE} says, else the locale]"


def language_option() -> click.Option:
    """The option ``--language``; :func:`asked_language` has read it before click does."""
    return click.Option(
        ["--language"],
        type=click.Choice(LANGUAGES),
        expose_value=False,
        is_eager=True,
        help=_WORDS,
    )


def asked_language(arguments: Sequence[str]) -> str | None:
    """The last language that the arguments name, wherever they do: also behind ``--help``."""
    asked = None
    for argument, following in pairwise([*arguments, ""]):
        if argument == "--":
            break
        name, equals, value = argument.partition("=")
        if name == "--language":
            value = value if equals else following
            asked = value if value in LANGUAGES else asked
    return asked


class Command(click.Command):
    """A command with ``--language``, and help in the language in use."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params.append(language_option())

    def get_help(self, ctx: click.Context) -> str:
        """The help text: click's own in English, set by this module in Chinese."""
        return super().get_help(ctx) if current() == "en" else _help_of(self, ctx)


def _help_of(command: click.Command, context: click.Context) -> str:
    """The help text of a command in the language in use."""
    width = context.make_formatter().width
    pieces = (translate(piece) for piece in command.collect_usage_pieces(context))
    lines = [f"{translate('Usage:')}{context.command_path} {' '.join(pieces)}"]
    for part in parts_of(command.help or ""):
        lines += [""] * part.begins + _lines_of(part, width - 2)
    lines += _table("Options:", _records(command, context), width)
    if isinstance(command, click.Group):
        named = ((name, command.commands[name]) for name in command.list_commands(context))
        rows = [(name, translate(parts_of(each.help or "")[0].text)) for name, each in named]
        lines += _table("Commands:", rows, width)
    return "\n".join(lines)


def _lines_of(part: Part, width: int) -> list[str]:
    """The lines of a part, two columns in."""
    lead, text = columns(part.lead), translate(part.text)
    if not part.text:
        return ["  " + part.lead]
    if width - lead < _LEAST_TEXT:
        return ["  " + part.lead.rstrip(), *(" " * 8 + line for line in wrap(text, width - 6))]
    first, *others = wrap(text, width - lead)
    return [f"  {part.lead}{first}", *(" " * (lead + 2) + line for line in others)]


def _table(heading: str, rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """A heading, and rows of two columns below it."""
    first = min(max(columns(name) for name, _ in rows), _MOST_LEAD) + 2
    lines = ["", translate(heading)]
    for name, text in rows:
        wrapped = wrap(text, max(width - first - 2, 10))
        fits = columns(name) <= first - 2
        lines += [f"  {pad(name, first)}{wrapped.pop(0)}"] if fits else ["  " + name]
        lines += [" " * (first + 2) + line for line in wrapped]
    return lines


def _records(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    """Names and texts of the options."""
    from softmax2d.language.chinese import METAVARS

    found = []
    for option in command.get_params(context):
        record = option.get_help_record(context)
        if record is None or not isinstance(option, click.Option):
            continue
        names, _, metavar = record[0].rpartition(" ")
        name = f"{names} {METAVARS.get(metavar, metavar)}".lstrip()
        words = option.help or ""
        added = record[1].removeprefix(words)
        for english in ("default: ", "required"):
            added = added.replace(english, translate(english))
        found.append((name, translate(words) + added))
    return found
