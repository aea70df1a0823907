"""The gallery: examples are executed once, and their pages are made for both languages.

``examples/gallery/plot_X.py`` is a script for sphinx-gallery; ``plot_X.zh.rst`` beside it holds
the Chinese text of its blocks in order, separated by lines ``.. %%``. sphinx-gallery runs in a
folder of its own, before the builds; these know its directive for pictures and nothing else of it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .stage import DOCS, ROOT, join_lines

EXAMPLES = ROOT / "examples" / "gallery"
WORK = DOCS / "_build" / "gallery"
_DOWNLOAD = {"en": "Download:", "zh": "下载："}


def names() -> list[str]:
    """The examples in their order."""
    return sorted(path.stem for path in EXAMPLES.glob("plot_*.py"))


def execute() -> None:
    """Run every example whose source changed; an example that fails ends the build."""
    from sphinx.application import Sphinx

    if not names():
        return
    source = WORK / "source"
    source.mkdir(parents=True, exist_ok=True)
    settings = {
        "extensions": ["sphinx_gallery.gen_gallery"],
        "sphinx_gallery_conf": {
            "examples_dirs": [str(EXAMPLES)],
            "gallery_dirs": ["gallery"],
            "filename_pattern": "plot_",
            "ignore_pattern": r"(?<!\w)(?!plot_)\w+\.py$",
            "abort_on_example_error": True,
            "min_reported_time": 1e9,
            "write_computation_times": False,
            "show_signature": False,
            "download_all_examples": False,
            "notebook_extensions": set(),
            "remove_config_comments": True,
            "thumbnail_size": (480, 320),
        },
    }
    out = str(WORK / "out")
    Sphinx(str(source), None, out, out, "html", settings, status=None, warningiserror=True)


def _texts(path: Path) -> list[str]:
    """The text blocks of an example, as sphinx-gallery writes them into its page."""
    from sphinx_gallery.py_source_parser import split_code_and_text_blocks

    _, blocks = split_code_and_text_blocks(str(path))
    return [block.content.strip("\n") for block in blocks if block.type == "text"]


def chinese(path: Path) -> list[str]:
    """The Chinese text blocks beside an example."""
    text = join_lines(path.with_suffix(".zh.rst").read_text("utf-8"))
    return [part.strip("\n") for part in re.split(r"^\.\. %%$\n?", text, flags=re.M)]


def translate(page: str, english: list[str], other: list[str]) -> str:
    """A page with its text blocks in the other language."""
    if len(english) != len(other):
        raise ValueError(f"{len(english)} blocks of text, but {len(other)} in Chinese")
    at = 0
    for old, new in zip(english, other, strict=True):
        at = page.index(old, at)
        page = f"{page[:at]}{new}{page[at + len(old) :]}"
        at += len(new)
    return page


def _body(page: str) -> str:
    """What is between sphinx-gallery's own header and footer, which have links we do not want."""
    page = page[re.search(r"^\.\. _sphx_glr_.*$", page, re.M).end() :]  # type: ignore[union-attr]
    end = page.find(".. _sphx_glr_download_")
    page = page if end < 0 else page[:end]
    return re.sub(r"^\.\. GENERATED FROM .*$", "", page, flags=re.M).strip("\n")


def _card(name: str, title: str) -> str:
    thumb = f"images/thumb/sphx_glr_{name}_thumb.png"
    return (
        f"   .. grid-item-card:: {title}\n      :img-top: {thumb}\n      :link: {name}\n"
        f"      :link-type: doc\n      :class-card: example\n      :img-alt: {title}\n"
    )


def pages(language: str) -> dict[str, bytes]:
    """The gallery's pages and pictures in a language, by their path in the tree."""
    made = WORK / "source" / "gallery"
    found: dict[str, bytes] = {}
    if not names() or not made.exists():
        return found
    header = EXAMPLES / ("GALLERY_HEADER.zh.rst" if language == "zh" else "GALLERY_HEADER.rst")
    cards = []
    for name in names():
        script = EXAMPLES / f"{name}.py"
        body, texts = _body((made / f"{name}.rst").read_text("utf-8")), _texts(script)
        if language == "zh":
            other = chinese(script)
            body, texts = translate(body, texts, other), other
        body += f"\n\n{_DOWNLOAD[language]} :download:`{name}.py`, :download:`pictures.py`\n"
        found[f"gallery/{name}.rst"] = body.encode()
        found[f"gallery/{name}.py"] = script.read_bytes()
        cards.append(_card(name, texts[0].partition("\n")[0].strip()))
    found["gallery/pictures.py"] = (EXAMPLES / "pictures.py").read_bytes()
    for path in made.rglob("*.png"):
        found[f"gallery/{path.relative_to(made).as_posix()}"] = path.read_bytes()
    tree = "".join(f"   {name}\n" for name in names())
    index = f"{join_lines(header.read_text('utf-8'))}\n.. grid:: 1 2 3 3\n   :gutter: 3\n\n"
    index += "\n".join(cards) + f"\n.. toctree::\n   :hidden:\n\n{tree}"
    found["gallery/index.rst"] = index.encode()
    return found


def setup(app: Any) -> dict[str, bool]:
    """Give a build sphinx-gallery's directive for pictures, and its styles."""
    app.setup_extension("sphinx_gallery.load_style")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
