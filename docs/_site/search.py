"""Search that finds Chinese words: pairs of neighbouring characters, at build and in the browser.

No dictionary is asked where words begin: 语义分割 is found as 语义, 义分 and 分割, in any text and
by any query, and a single character as itself. Latin words are stemmed as Sphinx does for English.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUNS = re.compile(rf"[{_HAN}]+|[^\W{_HAN}]+")
_IS_HAN = re.compile(rf"[{_HAN}]")


def pairs(run: str) -> list[str]:
    """Neighbouring characters of a run of Chinese, two by two; a single character as it is."""
    return [run] if len(run) < 2 else [run[i : i + 2] for i in range(len(run) - 1)]


class SearchHan(SearchEnglish):
    """Sphinx's search for English, and pairs of characters for Chinese."""

    lang: str = "zh"
    language_name: str = "English"  # of the stemmer, by which the script calls it
    js_splitter_code: str = r"""
var splitQuery = (query) =>
  (query.match(/[HAN]+|(?:(?![HAN])[\p{Letter}\p{Number}_])+/gu) || []).flatMap((run) =>
    /^[HAN]{2,}$/u.test(run)
      ? Array.from({ length: run.length - 1 }, (_, i) => run.slice(i, i + 2))
      : [run]);
""".replace("HAN", _HAN)

    def split(self, input: str) -> list[str]:  # noqa: A002 - Sphinx's name
        """The terms of a text; each Chinese character by itself too, so that one can be sought."""
        words: list[str] = []
        for run in _RUNS.findall(input):
            words += [*dict.fromkeys(run), *pairs(run)] if _IS_HAN.match(run) else [run]
        return words

    def stem(self, word: str) -> str:
        """The stem of a Latin word; Chinese as it is."""
        return word if _IS_HAN.match(word) else super().stem(word)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the search for both languages: English pages name Chinese words too."""
    app.add_search_language(SearchHan)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
