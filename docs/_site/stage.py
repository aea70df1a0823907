"""Lays out the sources of one language as one tree.

``X.md`` is the page X in English, ``X.zh.md`` the page X in Chinese; what has no twin is taken for
both. Links between the documents work on a code host; here they are turned to what the site has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
PAGES = (".md", ".rst", ".ipynb")
# What is no source of pages: the site's own machinery, and what builds leave.
_LEFT_OUT = {"_build", "_site", "_static", "_templates", "conf.py"}
# Documents that belong to the repository alone, and what a reader of the site gets in their place.
_OUTSIDE = {
    "../README.md": "index.md",
    "../examples/gallery": "gallery/index.rst",
}
_WIDE = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef“”‘’]")
_FENCE = re.compile(r"(^ {0,3}(?P<rail>`{3,}|~{3,}).*?^ {0,3}(?P=rail)[`~]*$\n?)", re.S | re.M)
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
_DOORPOST = re.compile(r"^\[(?:中文|English)\]\(.*?(?:\n\s*\n|\Z)", re.S | re.M)
_TREE = re.compile(r"^(?P<rail>`{3,}|:{3,})\{toctree\}\n.*?^(?P=rail)$\n?", re.S | re.M)


def sources(language: str, docs: Path = DOCS) -> Iterator[tuple[Path, str]]:
    """Files of a language: where each is, and its path in the tree, by which pages are called."""
    for path in sorted(docs.rglob("*")):
        inside = path.relative_to(docs)
        if inside.parts[0] in _LEFT_OUT or not path.is_file() or "checkpoint" in path.name:
            continue
        name, suffix = path.name.removesuffix(path.suffix), path.suffix
        if suffix not in PAGES:
            yield path, inside.as_posix()
            continue
        chinese = name.endswith(".zh")
        twin = path.with_name(f"{name.removesuffix('.zh')}{'' if chinese else '.zh'}{suffix}")
        if chinese == (language == "zh") or not twin.exists():
            page = f"{name.removesuffix('.zh')}{suffix}"
            yield path, inside.with_name(page).as_posix()


def _target(target: str, page: str, known: set[str]) -> str | None:
    """Where a link of a page leads in the tree; None where the site has no such page."""
    path, mark, anchor = target.partition("#")
    if not path or "://" in target or target.startswith("mailto:"):
        return target
    folder = PurePosixPath(page).parent
    inside = normpath(f"{folder}/{path}")
    inside = re.sub(r"\.zh(\.md|\.rst|\.ipynb)$", r"\1", inside)
    if inside in _OUTSIDE:
        inside, mark, anchor = _OUTSIDE[inside], "", ""
    if inside not in known:
        inside += "/index.md"
    return relpath(inside, str(folder)) + mark + anchor if inside in known else None


def _crosses(target: str, page: str, docs: Path) -> bool:
    """Whether a Chinese page links to an English one that has a twin."""
    path = docs / PurePosixPath(page).parent / target.partition("#")[0]
    return path.suffix in PAGES and path.with_suffix(f".zh{path.suffix}").exists()


def relink(text: str, page: str, known: set[str], language: str = "en", docs: Path = DOCS) -> str:
    """The text of a page with its links turned; what the site lacks becomes plain text."""

    def turn(match: re.Match[str]) -> str:
        target = _target(match["target"], page, known)
        if target is None:
            return match["text"]
        if language == "zh" and _crosses(match["target"], page, docs):
            up = "../" * (page.count("/") + 1)
            inside = PurePosixPath(normpath(f"{PurePosixPath(page).parent}/{target}"))
            address = re.sub(r"\.(md|rst|ipynb)(?=#|$)", ".html", str(inside))
            return f'<a href="{up}en/{address}" hreflang="en">{match["text"]}</a>'
        return f"{match['image']}[{turn_all(match['text'])}]({target})"

    def turn_all(part: str) -> str:
        return _LINK.sub(turn, part)

    return outside_code(text, turn_all)


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text with everything but its fenced code changed."""
    parts = []
    end = 0
    for match in _FENCE.finditer(text):
        parts += [change(text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*parts, change(text[end:])])


def _prune_tree(tree: str, page: str, known: set[str]) -> str:
    """A table of contents without the pages that are not there."""
    folder = PurePosixPath(page).parent
    kept = []
    for line in tree.splitlines(keepends=True):
        entry = re.sub(r".*<(.*)>$", r"\1", line.strip())
        option = line.lstrip().startswith((":", "`")) or not entry
        paths = (normpath(f"{folder}/{entry}{suffix}") for suffix in (*PAGES, ""))
        if option or not known.isdisjoint(paths):
            kept.append(line)
    return "".join(kept)


def join_lines(text: str, indent: str = "") -> str:
    """Chinese text without the spaces that line breaks would become; headings stay lines."""
    lines = text.split("\n")
    joined = lines[:1]
    for line in lines[1:]:
        content = re.sub(rf"^{indent}", "", line)
        before = joined[-1]
        if _WIDE.match(before[-1:]) and _WIDE.match(content) and not before.startswith(("#", "|")):
            joined[-1] += content
        else:
            joined.append(line)
    return "\n".join(joined)


def convert(text: str, page: str, known: set[str], language: str = "en", docs: Path = DOCS) -> str:
    """A document of the repository as a page of the site."""
    text = _DOORPOST.sub("", text, count=1)  # the links to the twin: the site has a switch
    text = re.sub(r"\n\n+(```)$", r"\n\1", text, flags=re.M)  # doctest's blank line
    text = _TREE.sub(lambda tree: _prune_tree(tree[0], page, known), text)
    if language == "zh":
        text = outside_code(text, lambda part: join_lines(part, " *"))
    return relink(text, page, known, language, docs)


def write_changed(path: Path, data: bytes) -> None:
    """Write a file unless it holds this already, so that a page is read again only after edits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)


def stage(language: str, folder: Path, extra: dict[str, bytes] | None = None) -> None:
    """Lay out a language's tree in ``folder``; ``extra`` has pages that were made elsewhere."""
    extra = extra or {}
    files = {page: path for path, page in sources(language)}
    known = set(files) | set(extra)
    listing = folder.with_suffix(".list")
    before = set(listing.read_text("utf-8").splitlines()) if listing.exists() else set()
    for page in before - known:
        (folder / page).unlink(missing_ok=True)
    for page, path in files.items():
        if page in extra:
            continue
        if path.suffix == ".md":
            text = convert(path.read_text("utf-8"), page, known, language)
            write_changed(folder / page, text.encode())
        else:
            write_changed(folder / page, path.read_bytes())
    for page, data in extra.items():
        write_changed(folder / page, data)
    listing.write_text("\n".join(sorted(known)), "utf-8")
