"""Inline code that is a public name, or a command, becomes a link to its page.

In every page and docstring, not in headings and links. ``segment`` and ``s2d.segment(...)`` are
links, ``labels`` is none: names of ``softmax2d.reference`` and of the adapters count only in full.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from . import public

# Pages whose reader works with files: a bare name of both kinds is the command's there.
_OF_COMMANDS = ("files", "start/gis", "reference/commands")
# Pages on tensors: a bare name that both have is PyTorch's there.
_OF_TORCH = ("concepts/pytorch", "networks/", "start/pytorch", "export")
_SHORT = ("softmax2d", "softmax2d.balance", "softmax2d.calibrate", "softmax2d.stream")
# Words of their own: options, outputs or verbs as often as functions.
_AMBIGUOUS = {"compare", "fit", "assess", "softmax2d", "__version__"}
_OUTSIDE = (
    nodes.title,
    nodes.reference,
    nodes.rubric,
    nodes.term,
    addnodes.pending_xref,
    addnodes.desc_signature,
)


@cache
def short_names() -> dict[str, str]:
    """Public names that one module has, or the package itself, by their last part."""
    found: dict[str, str] = {}
    for each in reversed(public.everything()):
        near = each.module in _SHORT or each.module == "softmax2d.torch"
        if near and each.name not in _AMBIGUOUS:
            found[each.name] = each.dotted
    return found | {
        n.name: n.dotted
        for n in public.everything()
        if n.module == "softmax2d" and n.name not in _AMBIGUOUS
    }


def target_of(code: str, module: str = "") -> str:
    """The public name, or the member of one, that inline code means; empty where there is none."""
    match = re.fullmatch(r"([A-Za-z_][\w.]*)(?:\(.*\))?", code, re.S)
    if not match:
        return ""
    head, _, rest = match[1].partition(".")
    if match[1] in public.modules()[1:]:
        return match[1]
    full = f"{public.ALIASES.get(head, head)}.{rest}" if rest else match[1]
    first = full.split(".")
    for length in range(len(first), 0, -1):  # softmax2d.Statistics.mean_dice: of the class
        name = ".".join(first[:length])
        known = name if name in public.dotted() else ""
        if length == 1 and not known:
            own = f"{module}.{name}" if module else ""
            known = own if own in public.dotted() else short_names().get(name, "")
        if known:
            return ".".join([known, *first[length:]])
    return ""


class LinkCode(SphinxTransform):
    """Put links around inline code."""

    default_priority = 700

    def apply(self, **_: Any) -> None:
        """Change the document in place."""
        docname = self.env.docname
        for node in list(self.document.findall(nodes.literal)):
            if any(isinstance(above, _OUTSIDE) for above in _above(node)):
                continue
            link = self._command(node.astext(), docname) or self._name(node, docname)
            if link:
                node.replace_self(link)
                link += node

        for text in list(self.document.findall(nodes.Text)):  # a parameter's dash, of napoleon
            if isinstance(text.parent, nodes.paragraph) and re.match(r"\)? -- ", text):
                text.parent.replace(text, nodes.Text(text.replace(" -- ", " – ", 1)))

    def _command(self, code: str, docname: str) -> addnodes.pending_xref | None:
        match = re.fullmatch(r"(softmax2d )?([a-z]+)", code)
        if not match or match[2] not in public.commands():
            return None
        if not match[1] and not docname.startswith(_OF_COMMANDS):
            return None
        page = f"reference/commands/{match[2]}"
        if docname == page:
            return None
        return _link("std", "doc", f"/{page}")

    def _name(self, node: nodes.Element, docname: str) -> addnodes.pending_xref | None:
        page = docname.removeprefix("reference/").removesuffix("-class")
        own = public.dotted().get(page)
        module = "softmax2d.torch" if docname.startswith(_OF_TORCH) else ""
        target = target_of(node.astext(), own.module if own else module)
        if not target or target == page:
            return None
        return _link("py", "mod" if target in public.modules() else "obj", target)


def _above(node: nodes.Node) -> list[nodes.Node]:
    found = []
    while (node := node.parent) is not None:
        found.append(node)
    return found


def _link(domain: str, kind: str, target: str) -> addnodes.pending_xref:
    options = {"refexplicit": True, "refwarn": False}
    return addnodes.pending_xref("", refdomain=domain, reftype=kind, reftarget=target, **options)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's entry."""
    app.add_transform(LinkCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
