"""Chinese is cut into pairs of characters, alike at build and in the browser."""

import re

import pytest

pytest.importorskip("sphinx")

from docs._site.search import SearchHan


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("语义分割", ["语", "义", "分", "割", "语义", "义分", "分割"]),
        ("熵", ["熵", "熵"]),
        ("大图。大图", ["大", "图", "大图"] * 2),
        ("用softmax2d算概率", ["用", "用", "softmax2d", "算", "概", "率", "算概", "概率"]),
        ("cross-entropy", ["cross", "entropy"]),
    ],
)
def test_terms_of_a_text(text, terms):
    assert SearchHan({}).split(text) == terms


def test_single_characters_are_sought_and_latin_words_stemmed():
    language = SearchHan({})
    assert language.word_filter("熵")
    assert language.stem("概率") == "概率"
    assert language.stem("losses") == "loss"


def test_the_browser_knows_the_same_characters():
    classes = set(re.findall(r"\[(\\u3400[^\]]*)\]", SearchHan.js_splitter_code))
    assert classes == {r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"}
