"""The checker finds what it is for, and nothing in a site that is right."""

from __future__ import annotations

import pytest

from docs._site import check

BODY = (
    '<article class="bd-article"><h1 id="a">A</h1><h2 id="b">B</h2><img src="p.png">'
    '<div class="highlight-python"><pre>x = 1  # one</pre></div><a href="#b">b</a></article>'
)


def page(body: str = BODY, language: str = "en") -> str:
    return f'<html lang="{language}"><head></head><body>{body}</body></html>'


@pytest.fixture
def site(tmp_path):
    for folder, language in check.LANGUAGES.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p.png").write_bytes(b"")
        (tmp_path / folder / "x.html").write_text(page(language=language), "utf-8")
    return tmp_path


def found(site, body):
    check.read.cache_clear()
    (site / "en" / "x.html").write_text(page(body), "utf-8")
    return [what for _, what in check.faults(site)]


@pytest.mark.parametrize(
    "addition", ["", '<a href="https://example.org">out</a>', '<a href="../zh/x.html#b">twin</a>']
)
def test_a_right_site_has_no_faults(site, addition):
    assert found(site, BODY + addition) == []


@pytest.mark.parametrize(
    ("addition", "fault"),
    [
        ('<a href="y.html">', "links to y.html, which is not there"),
        ('<a href="x.html#c">', "links to x.html#c, whose anchor is not there"),
        ('<a href="#c">', "links to #c, whose anchor is not there"),
        ('<img src="q.png">', "loads q.png, which is not there"),
        ('<script src="https://cdn.example/a.js"></script>', "loads https://cdn.example/a.js"),
        ('<link rel="stylesheet" href="//cdn.example/a.css">', "loads //cdn.example/a.css"),
    ],
)
def test_faults_of_a_page(site, addition, fault):
    assert found(site, BODY + addition) == [fault]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("h2", "h3", "headings h1 h3; its twin h1 h2"),
        ('<img src="p.png">', "", "0 figures; its twin 1"),
        ("x = 1", "x = 2", "code 'x = 2'; its twin 'x = 1'"),
        ("highlight-python", "highlight-text", "0 blocks of code; its twin 1"),
        ("# one", "# two", None),
    ],
)
def test_twins_show_the_same(site, old, new, fault):
    assert found(site, BODY.replace(old, new)) == ([fault] if fault else [])


def test_style_sheets_and_pages_without_twin(site):
    (site / "en" / "a.css").write_text("a { b: url( 'https://fonts.example/f' ) }")
    (site / "zh" / "y.html").write_text(page(language="zh-CN"), "utf-8")
    assert found(site, BODY) == ["loads https://fonts.example/f", "has no twin"]


def test_every_document_has_its_twin():
    assert check.unpaired() == []
