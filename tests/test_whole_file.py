"""Small files are whole or not there, and several appear together."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from softmax2d import _whole_file
from softmax2d._errors import Failed
from softmax2d._whole_file import WholeFiles, write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "first")
    write_whole(path, "zweite Fassung: ü")
    assert path.read_bytes() == "zweite Fassung: ü".encode()
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]


def test_a_failing_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_whole_file.os, "fsync", full)
    with pytest.raises(Failed, match=r"a.txt: No space left on device\."):
        write_whole(path, b"new")
    assert path.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"gone/a.txt: No such file or directory\."):
        write_whole(tmp_path / "gone" / "a.txt", b"")


def test_through_a_link_its_file_is_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    write_whole(link, "new")
    assert link.is_symlink() and real.read_text() == "new"


def test_a_pipe_is_written_not_replaced(tmp_path: Path) -> None:
    path, got = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    write_whole(path, b"through")
    reader.join(10)
    assert got == [b"through"] and path.is_fifo()


def test_files_appear_together(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    with WholeFiles() as files:
        files.create(first).write(b"one")
        files.create(second).write(b"two")
        assert not first.exists() and not second.exists()
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")


@pytest.mark.parametrize("where", ["block", "check"])
def test_none_appears_when_one_fails(tmp_path: Path, where: str) -> None:
    def refuse(path: object, temporary: str) -> None:
        assert Path(temporary).read_bytes() == b"one"
        raise ValueError("check")

    with pytest.raises(ValueError, match=where), WholeFiles(refuse) as files:
        files.create(tmp_path / "1").write(b"one")
        if where == "block":
            raise ValueError("block")
    assert list(tmp_path.iterdir()) == []
