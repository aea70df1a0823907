"""The documents say what is true: examples run, commands are CI's, links lead somewhere."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAIRS = [
    ("README.md", "README.zh.md"),
    ("docs/guide.md", "docs/guide.zh.md"),
    ("docs/rare-classes.md", "docs/rare-classes.zh.md"),
    ("docs/export.md", "docs/export.zh.md"),
]
RUN = [name for pair in PAIRS for name in pair]
FOLDERS = (ROOT, ROOT / "docs")
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for f in FOLDERS for path in f.glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, *languages: str) -> list[tuple[str, str]]:
    """Language and text of the fenced blocks in ``languages``, in order."""
    return [block for block in FENCE.findall(read(name)) if block[0] in languages]


def slugs(name: str) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", read(name)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", RUN)
def test_examples_run(name, tmp_path, monkeypatch):
    """All of a document's blocks in one namespace, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    found = blocks(name, "python", "pycon")
    assert found, f"{name} has no examples"
    namespace: dict[str, object] = {}
    for language, text in found:
        if language == "python":
            exec(compile(text, name, "exec"), namespace)
            continue
        test = doctest.DocTestParser().get_doctest(text, namespace, name, name, 0)
        namespace = test.globs
        report: list[str] = []
        failed = doctest.DocTestRunner(optionflags=FLAGS).run(
            test, out=report.append, clear_globs=False
        )
        assert failed.failed == 0, "".join(report)


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_languages_show_the_same_code(english, chinese):
    def code(name: str) -> list[str]:
        found = blocks(name, "python", "pycon", "bash")
        return [re.sub(r"\s*#.*", "", text) for _, text in found]

    assert code(english) == code(chinese)


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
@pytest.mark.parametrize("command", ["demo_command", "test_command"])
def test_ci_runs_the_commands_of_the_readme(name, command):
    (ci,) = re.findall(rf"^{command}='(.*)'$", read(".ci/run"), re.MULTILINE)
    assert f"```bash\n{ci}\n```" in read(name)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    folder = (ROOT / name).parent
    for target in LINK.findall(FENCE.sub("", read(name))):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        assert not path or (folder / path).exists(), f"{name} links to {target}"
        if anchor:
            linked = (folder / path if path else ROOT / name).relative_to(ROOT)
            assert anchor in slugs(str(linked)), f"{name} links to {target}"
