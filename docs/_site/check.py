"""Looks at the built site: ``python -m _site.check``, after scripts/docs.sh.

Every link and anchor within the site leads somewhere; nothing is loaded from another host; every
page has its twin with the same headings, code and figures. What is wrong is printed, one a line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .stage import DOCS, PAGES, sources

SITE = DOCS / "_build" / "html"
LANGUAGES = {"en": "en", "zh": "zh-CN"}
# Pages that Sphinx makes, whose contents follow from the others.
_MADE = {"genindex.html", "py-modindex.html", "search.html"}
_VOID = {
    "area",
    "base",
    "br",
    "col",
    "embed",
    "hr",
    "img",
    "input",
    "link",
    "meta",
    "source",
    "wbr",
}
# Code that must be equal: what a reader types; listings of files and outputs may be translated.
_TYPED = re.compile(r"highlight-(python|pycon|ipython3?|bash|console|shell)\b")
_LOADS = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}
_URL = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


class Page(HTMLParser):
    """What a page links to, loads and shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.language = ""
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.headings: list[str] = []
        self.code: list[str] = []
        self.figures = 0
        self._open: list[tuple[str, str]] = []
        self.feed(text)

    def _inside(self, tag: str, part: str = "") -> bool:
        return any(name == tag and part in classes for name, classes in self._open)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag links to, loads or begins."""
        found = {key: value or "" for key, value in attrs}
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "html":
            self.language = found.get("lang", "")
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        alternate = tag == "link" and found.get("rel") not in ("stylesheet", "icon", "preload")
        if alternate:
            self.links += [found["href"]] if "href" in found else []
        elif _LOADS.get(tag, "") in found:
            self.loads.append(found[_LOADS[tag]])
        if "srcset" in found:
            self.loads += [part.split()[0] for part in found["srcset"].split(",") if part.strip()]
        if self._inside("article", "bd-article"):
            self._show(tag)
        if tag not in _VOID:
            self._open.append((tag, found.get("class", "")))

    def _show(self, tag: str) -> None:
        self.figures += tag in ("img", "svg", "canvas") and not self._inside("button")
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(tag)
        if tag == "pre" and any(_TYPED.search(classes) for _, classes in self._open):
            self.code.append("")

    def handle_endtag(self, tag: str) -> None:
        """Close the tag, and what was left open in it."""
        names = [name for name, _ in self._open]
        if tag in names:
            del self._open[len(names) - 1 - names[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        """Collect the code of typed blocks."""
        typed = self._inside("pre") and any(_TYPED.search(classes) for _, classes in self._open)
        if typed and self.code:
            self.code[-1] += data


@cache
def read(path: Path) -> Page:
    """A page, parsed once."""
    return Page(path.read_text("utf-8"))


def is_elsewhere(url: str) -> bool:
    """Whether an address is of another host."""
    return bool(urlsplit(url).netloc) or urlsplit(url).scheme in ("http", "https", "ftp")


def has(path: Path, anchor: str) -> bool:
    """Whether a page has an anchor; every page has its top."""
    return anchor in ("", "top") or anchor in read(path).anchors


def broken_links(path: Path) -> Iterator[str]:
    """Links of a page that lead to no file or no anchor of the site."""
    for link in read(path).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
        if not target.is_file():
            yield f"links to {link}, which is not there"
        elif target.suffix == ".html" and not has(target, unquote(parts.fragment)):
            yield f"links to {link}, whose anchor is not there"


def foreign_loads(path: Path) -> Iterator[str]:
    """What a page or a style sheet would load from another host, or misses on this one."""
    if path.suffix == ".css":
        found = [a or b for a, b in _URL.findall(path.read_text("utf-8"))]
        yield from (f"loads {url}" for url in found if is_elsewhere(url))
        return
    for url in read(path).loads:
        if is_elsewhere(url):
            yield f"loads {url}"
        elif url and not url.startswith("data:"):
            file = path.parent / unquote(urlsplit(url).path)
            if not file.is_file():
                yield f"loads {url}, which is not there"


def without_comments(code: str) -> str:
    """Code as both languages must have it."""
    return re.sub(r"[ \t]*#.*", "", code).strip()


def differences(one: Page, other: Page) -> Iterator[str]:
    """In what a page differs from its twin."""
    if one.headings != other.headings:
        yield f"headings {' '.join(one.headings)}; its twin {' '.join(other.headings)}"
    if one.figures != other.figures:
        yield f"{one.figures} figures; its twin {other.figures}"
    ours, theirs = ([without_comments(code) for code in page.code] for page in (one, other))
    if len(ours) != len(theirs):
        yield f"{len(ours)} blocks of code; its twin {len(theirs)}"
    for a, b in zip(ours, theirs, strict=False):
        if a != b:
            yield f"code {a[:60]!r}; its twin {b[:60]!r}"


def unpaired(docs: Path = DOCS) -> list[str]:
    """Documents that one language lacks; generated pages are none."""
    found: dict[str, set[Path]] = {}
    for language in LANGUAGES:
        for path, page in sources(language, docs):
            if path.suffix in PAGES:
                found.setdefault(page, set()).add(path)
    return sorted(page for page, paths in found.items() if len(paths) < 2)


def faults(site: Path = SITE) -> Iterator[tuple[str, str]]:
    """Everything that is wrong: where, and what."""
    trees = {each: sorted((site / each).rglob("*.html")) for each in LANGUAGES}
    trees = {
        k: [p for p in v if "_static" not in p.relative_to(site).parts] for k, v in trees.items()
    }
    for language, paths in trees.items():
        if not paths:
            yield language, "has no pages: scripts/docs.sh builds them"
        for path in paths:
            where = path.relative_to(site).as_posix()
            yield from ((where, what) for what in (*broken_links(path), *foreign_loads(path)))
            if read(path).language != LANGUAGES[language]:
                yield where, f"says that its language is {read(path).language!r}"
    for path in site.rglob("*.css"):
        yield from ((path.relative_to(site).as_posix(), what) for what in foreign_loads(path))
    names = [{p.relative_to(site / k).as_posix() for p in v} for k, v in trees.items()]
    yield from ((name, "has no twin") for name in sorted(names[0] ^ names[1]))
    for name in sorted((names[0] & names[1]) - _MADE):
        pair = [read(site / each / name) for each in LANGUAGES]
        yield from ((f"{name}", what) for what in differences(*pair))


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    found = [*((page, "has no twin") for page in unpaired()), *faults()]
    for where, what in found:
        print(f"{where}: {what}")
    print(f"{len(found)} faults in {len(list(SITE.glob('*/**/*.html')))} pages")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
