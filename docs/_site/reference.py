"""Pages of the public names, from their docstrings.

A page for each name is written before the build reads its sources; nothing of it is committed.
The directive ``names`` makes the table of a module's page, and the entries beside it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from . import commands, docstrings, links, public
from .docstrings import attributes_of
from .stage import write_changed
from .tables import entries, page_reference, table_of

_VERSION = """\
.. py:data:: __version__
   :type: str

   The version of the package.
"""
# How docstrings are shown: NumPy's sections, defaults as they are, types where the text has them.
_SETTINGS = {
    "autodoc_typehints": "none",
    "autodoc_member_order": "bysource",
    "autodoc_class_signature": "mixed",
    "napoleon_google_docstring": False,
    "napoleon_use_ivar": False,
    "napoleon_use_rtype": False,
    "napoleon_use_param": False,
    "python_maximum_signature_line_length": 88,
    "python_display_short_literal_types": True,
    "add_module_names": True,
    "default_role": "code",
    "smartquotes": False,  # quoted options are typed as they stand
}


def load(name: public.Name) -> Any:
    """The object of a public name."""
    return getattr(importlib.import_module(name.module), name.name)


def _foreign_bases(cls: type) -> str:
    """Base classes of other packages, whose members are not repeated here."""
    others = (base for base in cls.__mro__ if base.__module__.partition(".")[0] != "softmax2d")
    return ", ".join(base.__name__ for base in others)


def _entry(name: public.Name) -> str:
    """The directive that shows a name's docstring."""
    found = load(name)
    if name.name == "__version__":
        return _VERSION
    if inspect.isclass(found):
        bases = _foreign_bases(found)
        options = {
            "members": "",
            "inherited-members": bases,
            "exclude-members": ", ".join([*attributes_of(found), "extra_repr"]),
        }
        lines = [f"   :{key}: {value}\n" for key, value in options.items()]
        return f".. autoclass:: {name.dotted}\n{''.join(lines)}"
    kind = "autofunction" if callable(found) else "autodata"
    return f".. {kind}:: {name.dotted}\n"


def page_of(name: public.Name) -> str:
    """The source of a name's page."""
    rule = "=" * len(name.dotted)
    return (
        f"{name.dotted}\n{rule}\n\n.. in-english::\n\n.. currentmodule:: {name.module}\n\n"
        + _entry(name)
    )


def _write_pages(app: Sphinx) -> None:
    for name in filter(public.has_page, public.everything()):
        write_changed(Path(app.srcdir) / f"{name.page}.rst", page_of(name).encode())
    for command in public.commands():
        title = f"softmax2d {command}"
        text = f"{title}\n{'=' * len(title)}\n\n.. command:: {command}\n"
        write_changed(Path(app.srcdir) / f"reference/commands/{command}.rst", text.encode())


def _settle(_: Sphinx, config: Config) -> None:
    for key, value in _SETTINGS.items():
        setattr(config, key, value)


def summary_of(name: public.Name) -> str:
    """The first paragraph of a name's docstring."""
    if name.name == "__version__":
        return "The version of the package."
    found = load(name)
    if not callable(found):
        return _comment_above(name)
    return (inspect.getdoc(found) or "").split("\n\n")[0].replace("\n", " ")


def _comment_above(name: public.Name) -> str:
    """What the sources say in ``#:`` above a constant."""
    from sphinx.pycode import ModuleAnalyzer

    for module in (name.module, *_submodules(name.module)):
        lines = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name.name))
        if lines:
            return " ".join(filter(None, lines))
    return ""


def _submodules(module: str) -> list[str]:
    folder = public.SOURCES.joinpath(*module.split("."))
    return [f"{module}.{path.stem}" for path in sorted(folder.glob("_[!_]*.py"))]


class Names(SphinxDirective):
    """A table of names with what each does, and their pages as entries of the navigation."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """The table and a hidden table of contents."""
        listed = [public.Name(self.arguments[0], each) for each in self.content if each.strip()]
        rows = [(page_reference(n.page, n.name, n.dotted), summary_of(n)) for n in listed]
        return [table_of(rows), entries(self.env.docname, [(n.name, n.page) for n in listed])]


class InEnglish(SphinxDirective):
    """A line that says, on pages in other languages, that what follows is in English."""

    sentences: ClassVar[dict[str, str]] = {"zh": "以下说明取自源码中的文档字符串，为英文。"}

    def run(self) -> list[nodes.Node]:
        """The sentence in the site's language, or nothing."""
        text = self.sentences.get((self.config.language or "en")[:2])
        return [nodes.paragraph(text, text, classes=["in-english"])] if text else []


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's entry."""
    for extension in ("sphinx.ext.autodoc", "sphinx.ext.napoleon"):
        app.setup_extension(extension)
    docstrings.setup(app)
    links.setup(app)
    commands.setup(app)
    directives: dict[str, type[Directive]] = {"names": Names, "in-english": InEnglish}
    for name, directive in directives.items():
        app.add_directive(name, directive)
    handlers: list[tuple[str, Callable[..., Any], int]] = [
        ("config-inited", _settle, 400),
        ("builder-inited", _write_pages, 400),
    ]
    for event, handler, priority in handlers:
        app.connect(event, handler, priority)
    app.add_css_file("reference.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
