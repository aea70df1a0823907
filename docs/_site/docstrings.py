"""Docstrings as reStructuredText reads them: what stands there for `help` is escaped or renamed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sphinx.application import Sphinx

# Literals and emphasis, which stay.
_MARKED = re.compile(r"(``.+?``|\*\*\w[^*]*\*\*|(?<![\w*])\*\w[^*]*[\w.]\*(?![\w*]))")
_DEFINITION = re.compile(r"\.\. \[(\d+)\] ?")


def prose_lines(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is prose: no doctest, no literal block."""
    in_test, block = False, -1  # the indentation of what a block belongs to
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip():
            block = -1 if block >= 0 and indent <= block else block
            in_test = in_test or line.lstrip().startswith(">>>")
        else:
            in_test = False
        yield line, not in_test and block < 0
        if block < 0 and not in_test and line.rstrip().endswith("::"):
            block = indent


def escape(line: str) -> str:
    """Bars and stars that mean themselves: absolute values, products, unpacked sizes."""
    parts = _MARKED.split(line)
    # A star that opens a line is a parameter's, which napoleon escapes.
    parts[::2] = [re.sub(r"\||(?<=\S)\*|(?<=\S )\*", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def _cited(obj: Any, text: str) -> set[str]:
    """Numbers of the references that a docstring, or those of a class's members, cite."""
    texts = [text]
    if inspect.isclass(obj):
        texts += [inspect.getdoc(each) or "" for _, each in inspect.getmembers(obj)]
    return {number for each in texts for number in re.findall(r"\[(\d+)\]_", each)}


def number_references(lines: list[str], label: str, cited: set[str]) -> list[str]:
    """Footnotes with labels of their own, and those that nothing cites as a list."""
    found, listing = [], False
    for line in lines:
        match = _DEFINITION.match(line)
        if match:
            found += [""] if listing else []
            listing = match[1] not in cited
            start = "- " if listing else f".. [#{label}-{match[1]}] "
            found.append(start + line[match.end() :])
        else:
            found.append(re.sub(r"^   (?=\S)", "  ", line) if listing else line)
            listing = listing and line.startswith(" ")
    return [re.sub(r"\[(\d+)\]_", rf"[#{label}-\1]_", line) for line in found]


def name_attributes(lines: list[str]) -> list[str]:
    """The section "Attributes" as directives: each has an anchor, its type stays as it is."""
    if "Attributes" not in lines:
        return lines
    start = end = lines.index("Attributes")
    found, end = lines[:start], start + 2
    while end < len(lines):
        line, below = lines[end], "".join(lines[end + 1 : end + 2])
        if re.fullmatch("-+", below):
            break  # the next section
        if re.match(r"\w", line):
            heads, _, kind = line.partition(" : ")
            first, *others = heads.split(", ")
            names = [f".. attribute:: {first}", *(f"{' ' * 15}{name}" for name in others)]
            found += ["", *names, "", *([f"   *{kind}*", ""] if kind else [])]
        else:
            found.append(line[1:] if line.startswith("    ") else line)
        end += 1
    return [*found, "", *lines[end:]]


def join_heads(lines: list[str]) -> list[str]:
    """Parameters that share a description and take several lines, in one line."""
    found: list[str] = []
    section = ""
    for line in lines:
        if found and re.fullmatch("--+", line):
            section = found[-1]
        last = found[-1] if found and section == "Parameters" else ""
        names = r"\w+(, \w+)*,?"
        if last != section and re.fullmatch(names, last) and re.match(r"\w", line):
            found[-1] = f"{last.rstrip(',')}, {line}"
        else:
            found.append(line)
    return found


def with_source(name: str, obj: Any, lines: list[str]) -> list[str]:
    """The docstring of a function of ``softmax2d.reference``, and its lines of code below."""
    if not name.startswith("softmax2d.reference.") or not inspect.isfunction(obj):
        return lines
    code = [f"   {line}".rstrip() for line in inspect.getsource(obj).split("\n")]
    return [*lines, "", ".. code-block:: python", "", *code, ""]


def _prepare(_: Sphinx, __: str, name: str, obj: Any, ___: Any, lines: list[str]) -> None:
    text = "\n".join(lines)
    lines[:] = [escape(x) if prose else x for x, prose in prose_lines(join_heads(lines))]
    own = name if _DEFINITION.search(text) else name.rpartition(".")[0]
    label = re.sub(r"\W", "-", own)
    lines[:] = name_attributes(number_references(lines, label, _cited(obj, text)))
    lines[:] = with_source(name, obj, lines)


def attributes_of(cls: type) -> list[str]:
    """Names that the section "Attributes" of a class's docstring explains."""
    match = re.search(r"^Attributes\n-+\n(.*?)(?:\n\n|\Z)", inspect.getdoc(cls) or "", re.M | re.S)
    heads = re.findall(r"^([\w, ]+) :", match[1], re.M) if match else []
    return [name for head in heads for name in head.split(", ")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's entry; before napoleon's, which connects at 500."""
    handler: Callable[..., None] = _prepare
    app.connect("autodoc-process-docstring", handler, 400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
