"""python -m benchmarks.training: the ways agree, and the table says what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import training

ROOT = Path(__file__).parents[2]


def flat(result: Any) -> list[torch.Tensor]:
    tensors = [result] if isinstance(result, torch.Tensor) else [t for t in result if t is not None]
    return sorted((t.detach().double() for t in tensors), key=lambda t: t.mean().item())


@pytest.mark.parametrize("job", sorted(training.JOBS))
def test_both_do_the_same(job: str) -> None:
    results = []
    for way in ("eager", "softmax2d"):
        torch.manual_seed(1)
        work = training.work_of(job, way, training.CASES["tiny"], torch.float32, "cpu")
        results.append(flat(work()))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_one_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    assert training.main(["--one", "loss", "softmax2d", "tiny", "float32", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ms"] > 0
    assert found["extra"] >= 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert training.main(["--device", "cuda"]) == 2
    assert "needs a GPU that PyTorch sees; there is none" in capsys.readouterr().err


def test_the_documents_show_the_kept_measurement() -> None:
    text = training.table(json.loads((ROOT / "docs/training.json").read_text()))
    for name in ("benchmarks.md", "benchmarks.zh.md"):
        assert text in (ROOT / "docs" / name).read_text(encoding="utf-8")
