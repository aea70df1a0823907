"""The rooms of ARCHITECTURE.md are those that exist, and imports point down its table."""

import ast
import re
import shutil
from functools import cache
from pathlib import Path

ROOT, IMPORTS = Path(__file__).parents[1], ast.Import | ast.ImportFrom


@cache
def imports_of(source: str) -> list[tuple[str, str]]:
    """Where from and what a module imports, but for type checkers alone."""
    tree = ast.parse(source)
    unseen = [
        n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)
    ]
    typing_only = {each for n in unseen for part in n.body for each in ast.walk(part)}
    nodes = [n for n in ast.walk(tree) if isinstance(n, IMPORTS) and n not in typing_only]
    return [(getattr(n, "module", "") or "", a.name) for n in nodes for a in n.names]


def offences(root: Path) -> set[str]:
    """Every breach of the rules: rooms without a line, imports up, circles, private names."""
    text, package, found = (root / "ARCHITECTURE.md").read_text(), root / "src/softmax2d", []
    listed = re.findall(r"^\| `([\w/]+)` \|", text, re.M) + re.findall(r"  (cpp/impl/\w+/)\s", text)
    rooms, sources, below = {}, {}, {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        rooms[module] = parts[1] if len(parts) == 2 else "/".join(parts[1:-1]) + "/"
        sources[module] = path.read_text()
    standing = {*rooms.values()} | {f"cpp/impl/{p.name}/" for p in (root / "cpp/impl").iterdir()}
    found += [f"room: {r}" for r in standing | {*listed} if listed.count(r) != (r in standing)]
    place = {m: listed.index(room) for m, room in rooms.items() if room in listed}
    for own, source in sources.items():
        below[own] = set()
        for near, name in imports_of(source):
            to = next((m for m in (f"{near}.{name}", near or name) if m in rooms), own)
            below[own] |= {to} - {own}
            if place.get(to, 99) < place.get(own, 0):
                found.append(f"up: {own} imports {to}")
            public = near == "" or re.search(rf'__all__ = \[[^]]*"{name}"', sources[to])
            if rooms[own] == "cli/" != rooms[to] and ("._" in to or not public):
                found.append(f"private: {own} takes {near}.{name}")
    for _ in range(9):  # what is reached in one step, in two, in four ...
        below = {own: to.union(*(below[t] for t in to)) for own, to in below.items()}
    found += [f"circle: {own}" for own in below if own in below[own]]
    for path in (root / "cpp/impl/sinks").iterdir():
        headers = re.findall(r'#include "((?:\.\./sinks/)?\w+\.h)"', path.read_text())
        found += [f"sink: {path.name} includes {header}" for header in headers]
    return {*found}


def test_the_rules_hold() -> None:
    assert offences(ROOT) == set()


BREACHES = """\
src/softmax2d/reference.py + import softmax2d.cli -> up: softmax2d.reference imports softmax2d.cli
src/softmax2d/_errors.py + import softmax2d.cli -> circle: softmax2d._errors
src/softmax2d/cli/__init__.py + from softmax2d import x -> private: softmax2d.cli takes softmax2d.x
ARCHITECTURE.md + | `utils/` | what nobody wanted | -> room: utils/
cpp/impl/sinks/vjp.h + #include "loss.h" -> sink: vjp.h includes loss.h"""


def test_breaches_are_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copytree(ROOT / "cpp", tmp_path / "cpp")
    shutil.copy(ROOT / "ARCHITECTURE.md", tmp_path)
    known = offences(ROOT)
    for file, line, offence in (re.split(r" \+ | -> ", breach) for breach in BREACHES.split("\n")):
        before = (tmp_path / file).read_text()
        (tmp_path / file).write_text(f"{before}\n{line}\n")
        assert offence in offences(tmp_path) - known
        (tmp_path / file).write_text(before)
