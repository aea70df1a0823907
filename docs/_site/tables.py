"""Tables of links with a sentence each, and entries of the navigation."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx import addnodes

_MARKUP = re.compile(r"``(.+?)``|:\w+:`~?([^`]+)`|`([^`]+)`_?")


def inline(text: str) -> list[nodes.Node]:
    """A docstring's sentence as nodes: names in roles and backquotes become code."""
    found: list[nodes.Node] = []
    end = 0
    for match in _MARKUP.finditer(text):
        found.append(nodes.Text(text[end : match.start()]))
        code = next(filter(None, match.groups()))
        found.append(nodes.literal(code, code))
        end = match.end()
    return [*found, nodes.Text(text[end:])]


def page_reference(page: str, text: str, anchor: str = "") -> addnodes.pending_xref:
    """A link to a page of the site, or to a name in it."""
    code = nodes.literal(text, text, classes=["xref"])
    if anchor:
        return addnodes.pending_xref(
            "", code, refdomain="py", reftype="obj", reftarget=anchor, refwarn=False
        )
    return addnodes.pending_xref(
        "", code, refdomain="std", reftype="doc", reftarget=f"/{page}", refexplicit=True
    )


def table_of(rows: list[tuple[nodes.Node, str]]) -> nodes.table:
    """A table of links and sentences."""
    body = nodes.tbody()
    for link, text in rows:
        cells = [nodes.paragraph("", "", link), nodes.paragraph("", "", *inline(text))]
        body += nodes.row("", *(nodes.entry("", cell) for cell in cells))
    widths = [nodes.colspec(colwidth=width) for width in (30, 70)]
    return nodes.table("", nodes.tgroup("", *widths, body, cols=2), classes=["names"])


def entries(docname: str, pages: list[tuple[str, str]]) -> nodes.compound:
    """Titles and pages as entries of the navigation below a page, not shown in it."""
    contents = addnodes.toctree(
        parent=docname,
        entries=pages,
        includefiles=[page for _, page in pages],
        maxdepth=1,
        caption=None,
        glob=False,
        hidden=True,
        includehidden=False,
        numbered=0,
        titlesonly=True,
    )
    return nodes.compound("", contents, classes=["toctree-wrapper"])
