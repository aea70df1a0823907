"""What every page gets: the link to its twin, and a description for those who list pages."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

_LENGTH = 160
_EXPLAINER = "concepts/explainer"
_OTHER = {
    "en": {"folder": "zh", "name": "中文", "code": "zh-CN", "title": "本页的中文版"},
    "zh": {"folder": "en", "name": "English", "code": "en", "title": "This page in English"},
}


def description(doctree: nodes.document | None) -> str:
    """The first paragraph of a page, as one line of plain text."""
    if doctree is None:
        return ""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if len(text) > 20:
            return text if len(text) <= _LENGTH else text[: _LENGTH - 1].rstrip() + "…"
    return ""


def add_twin(
    app: Sphinx, page: str, _: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Give the templates what they need of the other language."""
    other = _OTHER["zh" if app.tags.has("zh") else "en"]
    root = context.get("content_root", "./")
    context["twin"] = {**other, "link": f"{root}../{other['folder']}/{page}.html"}
    context["description"] = description(doctree)


def add_explainer(
    app: Sphinx, page: str, _: str, __: dict[str, Any], ___: nodes.document | None
) -> None:
    """Give the interactive page its script and style, and no other page."""
    if page == _EXPLAINER:
        app.add_js_file("explainer.js", loading_method="defer")
        app.add_css_file("explainer.css")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what every page gets."""
    app.connect("html-page-context", add_twin)
    app.connect("html-page-context", add_explainer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
