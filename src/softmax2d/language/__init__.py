"""The language of the command line's help and of the demonstration: English, or Chinese.

English texts stand in the code and are the keys of the catalogues in ``language/chinese``, which
load when Chinese is asked for. A generator of documents says ``with using("zh"):`` around
``command.get_help(context)``; what it reads from click's objects itself, such as ``option.help``
and the entries of :func:`parts_of` ``(command.help)``, it passes through :func:`translate`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from softmax2d.language._layout import Part, columns, pad, parts_of, wrap

__all__ = [
    "LANGUAGES",
    "VARIABLE",
    "Part",
    "columns",
    "current",
    "fill",
    "language_of",
    "pad",
    "parts_of",
    "shown_in",
    "translate",
    "translate_usage",
    "using",
    "wrap",
]

LANGUAGES = ("en", "zh")
VARIABLE = "SOFTMAX2D_LANGUAGE"
_using: ContextVar[str | None] = ContextVar("language", default=None)


def _of_name(name: str) -> str | None:
    """``zh`` of zh_CN.UTF-8, ``en`` of en, C and POSIX, None of anything else."""
    first = re.split(r"[_\-.@]", name.strip())[0].lower()
    if first == "zh":
        return "zh"
    return "en" if first in ("en", "c", "posix") else None


def language_of(environ: Mapping[str, str]) -> str:
    """The language that environment variables ask for, ``en`` where they ask for no known one.

    SOFTMAX2D_LANGUAGE comes first. Then the locale: the first of LC_ALL, LC_MESSAGES and LANG that
    is not empty; before it LANGUAGE, a list with colons, as GNU programs read it: not in the
    locales C and POSIX.
    """
    if own := environ.get(VARIABLE):
        return _of_name(own) or "en"
    given = (environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next(filter(None, given), "")
    listed = [] if locale in ("C", "POSIX") else environ.get("LANGUAGE", "").split(":")
    return next(filter(None, map(_of_name, (*listed, locale))), "en")


def shown_in(language: str) -> str:
    """The language, or ``en`` where standard output has not its characters."""
    try:
        "，中文".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return "en"
    return language


def current() -> str:
    """The language in use: that of :func:`using`, else that of the environment."""
    return _using.get() or shown_in(language_of(os.environ))


@contextmanager
def using(language: str) -> Iterator[None]:
    """Use a language, ``en`` or ``zh``, whatever the environment says."""
    if language not in LANGUAGES:
        raise ValueError(f"using: language must be 'en' or 'zh'; got {language!r}.")
    before = _using.set(language)
    try:
        yield
    finally:
        _using.reset(before)


def translate(text: str) -> str:
    """The text in the language in use; as it is where that language has none."""
    if current() == "en":
        return text
    from softmax2d.language.chinese import TEXTS

    return TEXTS.get(text, text)


def fill(text: str, **values: Any) -> str:
    """The text in the language in use, with values in its fields, as ``str.format`` fills them."""
    return translate(text).format(**values)


def translate_usage(message: str) -> str:
    """An error of usage in the language in use: click's own sentences, and this package's."""
    if current() == "en":
        return message
    from softmax2d.language.chinese import TEXTS, USAGE

    if message in TEXTS:
        return TEXTS[message]
    for pattern, text in USAGE.items():
        if found := re.fullmatch(pattern, message, re.S):
            inner = {name: value or "" for name, value in found.groupdict().items()}
            if "message" in inner:
                inner["message"] = translate_usage(inner["message"])
            return text.format(**inner)
    return message
