"""The sources of one language as one tree: which files, which links, which outputs."""

from __future__ import annotations

import json

import pytest

from docs._site import gallery, notebooks, stage

KNOWN = {"index.md", "files.md", "concepts/index.md", "concepts/formula.md", "images/a.png"}


@pytest.fixture
def docs(tmp_path):
    for name in ("a.md", "a.zh.md", "b.md", "part/c.zh.md", "picture.png", "_build/x.md"):
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "docs"


def test_each_language_takes_its_own_file_or_the_only_one(docs):
    def found(language):
        return {page: path.name for path, page in stage.sources(language, docs)}

    assert found("en") == {
        "a.md": "a.md", "b.md": "b.md", "part/c.md": "c.zh.md", "picture.png": "picture.png"
    }  # fmt: skip
    assert found("zh")["a.md"] == "a.zh.md"
    assert set(found("zh")) == set(found("en"))


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[f](../files.zh.md#a-b)", "[f](../files.md#a-b)"),
        ("[f](formula.zh.md)", "[f](formula.md)"),
        ("[r](../../README.zh.md)", "[r](../index.md)"),
        ("[r](../../README.md#install)", "[r](../index.md)"),
        ("[a](../../ARCHITECTURE.md)", "a"),
        ("[e](../../examples/x.py)", "e"),
        ("[c](../concepts)", "[c](index.md)"),
        ("![p](../images/a.png)", "![p](../images/a.png)"),
        ("[w](https://example.org/a.zh.md)", "[w](https://example.org/a.zh.md)"),
        ("`[f](formula.zh.md)`", "`[f](formula.md)`"),
        ("```\n[f](formula.zh.md)\n```", "```\n[f](formula.zh.md)\n```"),
    ],
)
def test_links_lead_to_what_the_site_has(link, expected):
    assert stage.relink(link, "concepts/labels.md", KNOWN) == expected


def test_a_chinese_page_may_link_to_an_english_one(docs):
    def turn(language):
        return stage.relink("[x](a.md#y)", "b.md", {"a.md", "b.md"}, language, docs)

    assert turn("zh") == '<a href="../en/a.html#y" hreflang="en">x</a>'
    assert turn("en") == "[x](a.md#y)"


def test_what_only_a_code_host_needs_is_left_out():
    text = "# A\n\n[中文](formula.zh.md) · [README](../README.md)\n\n```pycon\n>>> 1\n1\n\n```\n"
    assert stage.convert(text, "concepts/formula.md", KNOWN) == "# A\n\n```pycon\n>>> 1\n1\n```\n"
    tree = "```{toctree}\n:hidden:\n\nformula\nmissing\nName <index>\n```\n"
    pruned = "```{toctree}\n:hidden:\n\nformula\nName <index>\n```\n"
    assert stage.convert(tree, "concepts/index.md", KNOWN) == pruned


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("一行，\n又一行", "一行，又一行"),
        ("- 一项\n  续行\n- 二项", "- 一项续行\n- 二项"),
        ("## 标题\n正文", "## 标题\n正文"),
        ("一段\n\n二段", "一段\n\n二段"),
        ("用 softmax\n计算", "用 softmax\n计算"),
        ("题\n==\n\n文", "题\n==\n\n文"),
    ],
)
def test_lines_of_chinese_are_joined_without_a_space(text, joined):
    assert stage.join_lines(text, " *") == joined


def test_a_file_that_did_not_change_is_not_written(tmp_path):
    path = tmp_path / "a" / "b"
    stage.write_changed(path, b"1")
    before = path.stat().st_mtime_ns
    stage.write_changed(path, b"1")
    assert path.stat().st_mtime_ns == before


def test_an_example_keeps_its_code_and_changes_its_language():
    page = "Title\n=====\n\nText.\n\n.. code-block:: Python\n\n    Text.\n\nMore\n"
    translated = gallery.translate(
        page, ["Title\n=====\n\nText.", "More"], ["题\n==\n\n文。", "多"]
    )
    assert translated == "题\n==\n\n文。\n\n.. code-block:: Python\n\n    Text.\n\n多\n"
    with pytest.raises(ValueError, match="2 blocks of text, but 1 in Chinese"):
        gallery.translate(page, ["Title", "More"], ["题"])


def test_a_notebook_takes_the_outputs_of_its_twin(tmp_path, monkeypatch):
    def cell(source, outputs):
        return {
            "cell_type": "code", "source": [source], "outputs": outputs,
            "execution_count": len(outputs) or None, "metadata": {},
        }  # fmt: skip

    monkeypatch.setattr(notebooks, "SOURCE", tmp_path)
    monkeypatch.setattr(notebooks, "WORK", tmp_path / "done")
    (tmp_path / "done").mkdir()
    words = {"cell_type": "markdown", "source": "见 [文件](../files.zh.md)", "metadata": {}}
    for name, cells in (
        ("n.ipynb", [cell("x = 1  # one", [])]),
        ("n.zh.ipynb", [words, cell("x = 1  # 一", [])]),
        ("done/n.ipynb", [cell("x = 1  # one", ["out"])]),
    ):
        (tmp_path / name).write_text(json.dumps({"cells": cells, "metadata": {}}), "utf-8")
    made = json.loads(notebooks.pages("zh", KNOWN)["notebooks/n.ipynb"])
    assert made["cells"][0]["source"] == ["见 [文件](../files.md)"]
    assert made["cells"][1]["outputs"] == ["out"]
    assert made["cells"][1]["source"] == ["x = 1  # 一"]
