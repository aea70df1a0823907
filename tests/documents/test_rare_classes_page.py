"""The page on rare classes: its table and pictures come of scripts that run on few small scenes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import softmax2d as s2d

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks is not installed

from benchmarks import rare_classes, rare_classes_pictures, scenes  # noqa: E402
from benchmarks.chinese import translate  # noqa: E402

PAGES = [ROOT / "docs" / name for name in ("rare-classes.md", "rare-classes.zh.md")]
BLOCK = re.compile(r"<!-- benchmarks: ([\w-]+) -->\n(.*?)<!-- end -->", re.DOTALL)


@pytest.fixture(scope="module")
def few() -> scenes.Scenes:
    return scenes.scenes(count=4, trained_on=2, steps=8)


@pytest.fixture(scope="module")
def data(few: scenes.Scenes) -> rare_classes.Data:
    return rare_classes.drawn(few)


@pytest.fixture(scope="module")
def compared(data: rare_classes.Data) -> tuple[list[rare_classes.Method], list[rare_classes.Fit]]:
    return rare_classes.methods(data)


@pytest.fixture(scope="module")
def fitted(
    compared: tuple[list[rare_classes.Method], list[rare_classes.Fit]],
) -> list[rare_classes.Method]:
    return compared[0]


def test_scenes_are_seeded_and_coarse(few: scenes.Scenes) -> None:
    assert few.logits.shape == (4, len(scenes.NAMES), 24, 32)
    assert few.target.shape == (4, 96, 128) and few.images.shape == (4, 3, 96, 128)
    assert set(np.unique(few.target)) <= {*range(len(scenes.NAMES)), scenes.VOID}
    again = scenes.scenes(count=4, trained_on=2, steps=8)
    assert np.array_equal(few.logits, again.logits)
    found = s2d.evaluate(few.logits, few.target, size=(96, 128), ignore_index=scenes.VOID)
    assert found.accuracy > 0.4  # it has learned something


@pytest.mark.filterwarnings("ignore:.* images show little")
def test_the_tables_have_a_row_for_every_method(
    data: rare_classes.Data,
    compared: tuple[list[rare_classes.Method], list[rare_classes.Fit]],
) -> None:
    fitted, fits = compared
    rows = rare_classes.rows_of(data, fitted, replicates=20)
    tables = rare_classes.tables(data, rows, fits)
    lines = [text.count("\n") - 1 for text in tables.values()]
    assert lines == [len(rows), len(rows), len(fits), len(rows) + 1]
    assert [fit.name for fit in fits if fit.name not in {row.name for row in rows}] == []
    found = tables["rare-classes"]
    for row in rows:
        value, low, high = row.labels["accuracy"]
        assert low <= value <= high
        assert row.nll.low <= row.nll.value <= row.nll.high
        assert f"| {row.name} |" in found
    raw, temperature = rows[:2]
    assert raw.labels["accuracy"] == temperature.labels["accuracy"]  # every label stays
    logits, target = data.test
    plain = s2d.evaluate(logits, target, size=target.shape[1:], ignore_index=scenes.VOID)
    assert raw.labels["mean IoU"][0] == pytest.approx(plain.mean_iou)
    assert raw.nll.value == plain.nll


def test_the_pictures_are_drawn(
    few: scenes.Scenes,
    data: rare_classes.Data,
    fitted: list[rare_classes.Method],
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    paths = rare_classes_pictures.pictures(data, few.images, fitted, tmp_path)
    linked = set(re.findall(r"images/(rare-classes-[\w-]+\.png)", PAGES[0].read_text("utf-8")))
    assert {path.name for path in paths} == linked
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
        assert (ROOT / "docs" / "images" / path.name).stat().st_size <= 150_000


def test_both_pages_have_the_same_tables() -> None:
    english, chinese = (BLOCK.findall(page.read_text(encoding="utf-8")) for page in PAGES)
    assert [(name, translate(text)) for name, text in english] == chinese
    kinds = ("", "-images", "-folds", "-recall")
    assert [name for name, _ in english] == ["decoding", *(f"rare-classes{kind}" for kind in kinds)]
    assert all("| raw |" in text or "-folds" in name for name, text in english[1:])
