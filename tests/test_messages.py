"""What other libraries say is shown whole, in one line."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from softmax2d._errors import Failed, Refused, words_of
from softmax2d._files import npz
from softmax2d._files.source import pictures
from softmax2d._files.tiff.gdal import open_alone

SOURCES = Path(__file__).parents[1] / "src" / "softmax2d"


def test_words_of_errors() -> None:
    assert words_of(ValueError("one\n  two\tthree\x1b[31m. ")) == "one two three [31m"
    assert words_of(KeyError()) == "KeyError"
    whole = "a sentence of a library. " * 30
    assert words_of(OSError(whole)) == whole.rstrip(". ")
    assert words_of("word " * 1000).endswith("word …")
    long = words_of("A sentence of 40 characters, all of them. " * 100)
    assert long.endswith("all of them")
    assert 900 < len(long) <= 1000
    assert len(words_of("x" * 10**6)) <= 1002


def test_no_library_is_cut_short() -> None:
    """No slice of an error's text anywhere."""
    cut = re.compile(r"(error|cause|said|exception)(\)|\]|\.split\(\)\)|\[0\])*\[:\s*\d+\]")
    assert cut.search("str(error)[:120]") and cut.search('" ".join(str(cause).split())[:160]')
    found = [
        f"{path.relative_to(SOURCES)}: {line.strip()}"
        for path in SOURCES.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if cut.search(line)
    ]
    assert found == []


LONG = "the library explains at length what it found and what it had expected to find " * 5


def test_formats_show_them_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(Refused) as caught, npz._refuse_damage(path):
        raise zipfile.BadZipFile(LONG)
    assert str(caught.value) == f"{path}: is not a usable .npz file: {LONG.strip()}."
    with pytest.raises(Failed) as failed, open_alone(path, "written"):
        raise RuntimeError(LONG) from ValueError("the cause of it")
    assert str(failed.value) == f"{path}: cannot be written: the cause of it {LONG.strip()}."
    shown = pictures.decoding_error(path, "picture", ValueError(LONG))
    assert str(shown) == f"{path}: is not a usable picture: {LONG.strip()}."
