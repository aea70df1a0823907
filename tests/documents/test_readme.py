"""The documents say what is true: examples run, commands are CI's, links lead somewhere."""

import doctest
import re
from pathlib import Path

import pytest

from tests import peers

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BUILT = {"_build", "gallery"}  # what the site makes; not committed


def find_documents() -> list[str]:
    """Return the paths of README and the like, and of all pages below docs."""
    pages = (p for p in DOCS.rglob("*.md") if not BUILT & set(p.relative_to(DOCS).parts))
    return sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *pages])


DOCUMENTS = find_documents()
CHINESE = [name for name in DOCUMENTS if name.endswith(".zh.md")]
PAIRS = [(name.removesuffix(".zh.md") + ".md", name) for name in CHINESE]
# Their blocks need what a reader brings: tests/adapters/test_documents.py checks them by name.
NOT_RUN = {"docs/adapters.md"}
STARTS = "docs/start/"  # test_start_pages.py runs them, shell blocks too
FENCE = re.compile(r"^```(\{?\w*\}?)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FIGURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
COMMENT = re.compile(r"(^|\s+)# .*$", re.MULTILINE)
HAN = "[\u4e00-\u9fff]"
HALF_WIDTH = re.compile(
    rf"{HAN}[,:;?!\"]|[,:;?!\"]{HAN}|{HAN}\.(?!\w)|{HAN} ?\({HAN}|{HAN}\) ?{HAN}|{HAN} *\n{HAN}"
)
UNSPACED = re.compile(rf".?{HAN}[A-Za-z0-9].?|.?[A-Za-z0-9%]{HAN}.?")
# CommonMark does not end emphasis at a star between punctuation and a letter.
CLOSING = "，。；：？！、）”"
VISION = re.compile(r"^from torchvision", re.MULTILINE)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(name: str) -> str:
    """The document without its fenced blocks."""
    return FENCE.sub("", read(name))


def blocks(name: str, *languages: str) -> list[tuple[str, str]]:
    """Language and text of the fenced blocks in ``languages``, in order."""
    return [block for block in FENCE.findall(read(name)) if block[0] in languages]


def slugs(name: str) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = (heading for _, heading in HEADING.findall(prose(name)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


RUN = [
    name
    for name in DOCUMENTS
    if name not in {*CHINESE, *NOT_RUN} and not name.startswith(STARTS)
    if blocks(name, "python", "pycon")
]


@pytest.fixture
def torchvision():
    with peers.torchvision():
        yield


@pytest.mark.parametrize("name", RUN)
def test_examples_run(name, tmp_path, monkeypatch, request):
    """All of a document's blocks in one namespace, as a reader would type them.

    The Chinese twin has the same code, which is therefore run once.
    """
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    found = blocks(name, "python", "pycon")
    first = next((text for _, text in found if VISION.search(text)), None)
    for language, text in found:
        if text is first:  # from here on it is there, as in CI, or the rest is skipped
            request.getfixturevalue("torchvision")
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


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name.startswith("docs/")])
def test_every_page_has_a_twin(name):
    assert (name in CHINESE) or name.removesuffix(".md") + ".zh.md" in CHINESE


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_languages_show_the_same(english, chinese):
    """Equal code and output but for comments; headings of the same levels; the same figures."""

    def code(name: str) -> list[tuple[str, str]]:
        found = blocks(name, "python", "pycon", "bash")
        return [(language, COMMENT.sub("", text)) for language, text in found]

    def levels(name: str) -> list[str]:
        return [level for level, _ in HEADING.findall(prose(name))]

    def figures(name: str) -> list[str]:
        return [target.replace(".zh.", ".") for target in FIGURE.findall(prose(name))]

    assert code(english) == code(chinese)
    assert levels(english) == levels(chinese)
    assert figures(english) == figures(chinese)


@pytest.mark.parametrize("name", CHINESE)
def test_chinese_is_set_as_chinese(name):
    """Full-width punctuation, spaces around Latin, emphasis that ends, and the agreed terms."""
    text = re.sub(r"\]\([^)\n]*\)|<!--.*?-->", "]", prose(name), flags=re.DOTALL)
    text = re.sub(r"`[^`\n]*`|\$\$?.*?\$\$?", "x", text, flags=re.DOTALL)
    assert not (found := HALF_WIDTH.findall(text)), found
    assert not (found := UNSPACED.findall(text)), found
    emphasis = re.finditer(r"\*+[^*\n]+\*+(?=(.?))", text)
    unended = [m[0] for m in emphasis if m[0].rstrip("*")[-1] in CLOSING and re.match(HAN, m[1])]
    assert not unended, unended
    assert not (found := re.findall("五行上手|诚实的概率|本软件包|您|逐张图像", text)), found


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
@pytest.mark.parametrize("command", ["demo_command", "test_command"])
def test_ci_runs_the_commands_of_the_readme(name, command):
    (ci,) = re.findall(rf"^{command}='(.*)'$", read(".ci/run"), re.MULTILINE)
    assert f"```bash\n{ci}\n```" in read(name)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    folder = (ROOT / name).parent
    for target in LINK.findall(prose(name)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (folder / path).resolve() if path else ROOT / name
        assert linked.exists(), f"{name} links to {target}"
        if anchor:
            known = slugs(linked.relative_to(ROOT).as_posix())
            assert anchor in known, f"{name} links to {target}"
