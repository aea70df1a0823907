"""Pages of the command line, from the help texts that click shows, in the site's language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from . import public
from .tables import entries, page_reference, table_of

_WIDE = 100_000  # columns, so that no line of a help text is broken
_OPTIONS = {"zh": "选项", "en": "Options"}


def help_of(name: str, language: str) -> str:
    """The help text of a command, or of the program where the name is empty, unbroken."""
    from softmax2d.cli import app
    from softmax2d.language import using

    width: Any = {"terminal_width": _WIDE, "max_content_width": _WIDE}
    with using(language):
        context: Any = click.Context(app, info_name="softmax2d", **width)
        command: Any = app
        if name:
            command = app.get_command(context, name)
            names = app.context_settings["help_option_names"]
            context = click.Context(command, context, name, help_option_names=names, **width)
        return str(command.get_help(context))


def sections_of(text: str) -> tuple[str, str, str]:
    """The usage, the description and the options of a help text."""
    first, _, rest = text.partition("\n")
    parts = re.split(r"^\S.*[:：]\s*$", rest, flags=re.M)
    usage = re.sub(r"^.*?[:：]\s*", "", first)
    return usage, parts[0], parts[1] if len(parts) > 1 else ""


def as_rst(text: str) -> str:
    """A line of help as reStructuredText: `quoted` words and --options as code."""
    parts = re.split(r"(`[^`]+`|(?<![\w-])--[a-z][a-z-]*)", text)
    parts[::2] = [re.sub(r"[*|_`\\]", r"\\\g<0>", part) for part in parts[::2]]
    parts[1::2] = [f"\\ ``{part.strip('`')}``\\ " for part in parts[1::2]]
    return "".join(parts)


def description_of(text: str) -> Iterator[str]:
    """Lines of reStructuredText of a description; indented lines of it stay as they are."""
    lines = text.split("\n")
    margin = min((len(x) - len(x.lstrip()) for x in lines if x.strip()), default=0)
    code, shell = False, False
    for line in (each[margin:] for each in lines):
        if line.startswith(" "):
            if not code:
                yield from ("", f".. code-block:: {'sh' if shell else 'text'}", "")
            yield f"   {line.removeprefix('  ')}"
            code = True
            continue
        shell = line.startswith(("Examples", "Example", "Try", "示例", "例", "试试"))
        if code or not line.strip():
            yield ""
        if line.strip():
            yield as_rst(line)
        code = False


def options_of(text: str) -> Iterator[tuple[str, str]]:
    """Each option as the help text writes it, and what it does."""
    option, does = "", ""
    for line in filter(str.strip, text.split("\n")):
        if re.match(r"  \S", line):
            if option:
                yield option, does.strip()
            option, _, does = line.strip().partition("  ")
        else:
            does += f" {line.strip()}"
    if option:
        yield option, re.sub(r"  +", "  ", does.strip())


def page_of(name: str, language: str) -> str:
    """A command's page, as reStructuredText without its title."""
    usage, description, options = sections_of(help_of(name, language))
    lines = [f".. program:: softmax2d {name}".rstrip(), "", ".. code-block:: text", ""]
    lines += [f"   {usage}", "", *description_of(description), ""]
    if name:
        lines += [_OPTIONS[language], "-" * 10, ""]
        for option, does in options_of(options):
            lines += [f".. option:: {option}", "", f"   {as_rst(does)}", ""]
    return "\n".join(lines)


def _note_sources(env: BuildEnvironment) -> None:
    """Let a page be read again when the command line or its translation changes."""
    for folder in ("cli", "language"):
        for path in sorted((public.SOURCES / "softmax2d" / folder).rglob("*.py")):
            env.note_dependency(str(path))


def _language(config: Any) -> str:
    return "zh" if (config.language or "en").startswith("zh") else "en"


class Command(SphinxDirective):
    """The help text of one command, or of the program."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Usage, description and options."""
        _note_sources(self.env)
        name = self.arguments[0] if self.arguments else ""
        text = page_of(name, _language(self.config))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class Commands(SphinxDirective):
    """A table of the commands with what each does, and their pages as entries."""

    def run(self) -> list[nodes.Node]:
        """The table and a hidden table of contents."""
        _note_sources(self.env)
        rows, pages = [], []
        for name in public.commands():
            _, description, _ = sections_of(help_of(name, _language(self.config)))
            page, title = f"reference/commands/{name}", f"softmax2d {name}"
            rows.append((page_reference(page, title), description.strip().split("\n\n")[0]))
            pages.append((title, page))
        return [table_of(rows), entries(self.env.docname, pages)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's entry."""
    app.add_directive("command", Command)
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
