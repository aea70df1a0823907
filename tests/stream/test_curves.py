"""Curves from files: those of arrays to the bit, whatever becomes of tiles, also gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import stream
from softmax2d.stream.counting import curve_sums
from softmax2d.stream.counting.evaluation import Evaluation
from softmax2d.stream.recovery import checkpoint
from tests.stream.test_per_image import IGNORE, interrupted, nameless, often, scene  # noqa: F401
from tests.stream.tiles import cut, work_of

HOW: dict[str, Any] = {"ignore_index": IGNORE, "curves": True}


@pytest.mark.parametrize("budget", [1 << 26, 2000, 300])
@pytest.mark.parametrize(
    ("shape", "axis", "size"),
    [
        ((4, 17, 23), -3, ()),
        ((2, 3, 4, 9, 8), -3, ()),
        ((3, 9, 8, 4), -1, ()),
        ((3, 4, 9, 8), -3, (13, 20)),
    ],
)
def test_the_curves_of_arrays(
    budget: int, shape: Any, axis: int, size: Any, monkeypatch: Any
) -> None:
    cut(monkeypatch, budget)
    z, t = scene(shape, axis, size)
    z.reshape(-1)[::97] = np.nan
    how = HOW | {"axis": axis}
    want = s2d.evaluate(z, t, **how, **({"size": size} if size else {}))
    assert stream.evaluate_files(z, t, **how) == want
    assert want.curves is not None and want.curves.pixels == want.pixels - want.undefined
    both = stream.evaluate_files(z, t, **how, per_image=True)
    assert both.curves == want.curves
    assert both.per_image is not None


def test_decoded_labels_have_the_curves_of_the_probabilities(monkeypatch: Any) -> None:
    cut(monkeypatch, 2000)
    z, t = scene((3, 4, 9, 8))
    found = stream.evaluate_files(z, t, **HOW, decode="dice")
    assert found.curves == s2d.evaluate(z, t, **HOW).curves


def test_a_tile_has_one_set_of_bins(monkeypatch: Any) -> None:
    """The bins of many classes are far larger than a band: bands are counted into the same ones."""
    cut(monkeypatch, 600)
    made: list[int] = []
    begin = curve_sums.CurveSums.__init__

    def noting(self: Any, classes: int) -> None:
        made.append(classes)
        begin(self, classes)

    monkeypatch.setattr(curve_sums.CurveSums, "__init__", noting)
    monkeypatch.setattr("softmax2d.stream.plan.tiles.TILE_BYTES", 1 << 20)
    monkeypatch.setattr("softmax2d.stream.plan.tiles.LEAST_BYTES", 1 << 20)
    z, t = scene((3, 4, 40, 40))
    bands = []
    monkeypatch.setattr(Evaluation, "_join", lambda *parts: bands.append(parts))
    stream.evaluate_files(z, t, **HOW, workers=1)
    assert len(made) - 1 < len(bands) / 4


@pytest.mark.usefixtures("often")
def test_a_resumed_run_has_the_same_curves(tmp_path: Path) -> None:
    z, t = scene((2, 4, 9, 18))
    beside, account = tmp_path / "kept", tmp_path / "account.json"
    want = s2d.evaluate(z, t, **HOW)
    for after in (1, 2):
        interrupted(z, t, beside, after, resume=True, **HOW)
    kept = work_of(beside) / "checkpoint"
    lines = kept.read_bytes()
    with pytest.raises(stream.Refused, match="parameter curves was true, now it is null"):
        stream.evaluate_files(z, t, ignore_index=IGNORE, checkpoint=beside, resume=True)
    found = stream.evaluate_files(z, t, checkpoint=beside, summary=account, resume=True, **HOW)
    assert found == want
    assert json.loads(account.read_text())["tiles"]["resumed"] > 0
    header, state = map(checkpoint.record_in, lines.splitlines(keepends=True))
    assert header is not None and state is not None
    none = s2d.evaluate(z[:0], t[:0], **HOW).curves
    assert none is not None
    for forged in (none.to_dict(), {"classes": 4}, None):
        kept.parent.mkdir(exist_ok=True)
        other = checkpoint.line_of(state | {"curves": forged})
        kept.write_bytes(checkpoint.line_of(header) + other)
        found = stream.evaluate_files(z, t, checkpoint=beside, summary=account, resume=True, **HOW)
        assert found == want
        assert json.loads(account.read_text())["tiles"]["resumed"] == 0


def test_more_classes_than_curves_are_of() -> None:
    z, t = np.zeros((4097, 1, 1), np.float32), np.zeros((1, 1), np.uint16)
    with pytest.raises(stream.Refused, match="has 4097 classes, and curves are of 4096 at most"):
        stream.evaluate_files(z, t, curves=True, memory="20GB")
    with pytest.raises(TypeError, match="curves must be True or False; got 'no'"):
        stream.evaluate_files(z, t, curves="no")  # type: ignore[arg-type]
