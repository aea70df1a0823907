"""python -m benchmarks.training: the ways agree, and the table says what was measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import training
from benchmarks.chinese import translate

ROOT = Path(__file__).parents[2]
PAGES = ("benchmarks.md", "benchmarks.zh.md")


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


def test_the_documents_show_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"job": job, "way": way, "case": case, "dtype": "float32", "ms": 2.0, "extra": 2**20}
        for case in ("tiny", "city") for job in training.JOBS for way in training.WAYS
    ]  # fmt: skip
    measured = {"device": "cpu", "name": "A processor", "torch": "2", "threads": 2, "rows": rows}
    (tmp_path / "kept.json").write_text(json.dumps(measured))
    (tmp_path / "docs").mkdir()
    for name in PAGES:
        shutil.copy(ROOT / "docs" / name, tmp_path / "docs")
    monkeypatch.setattr(training, "ROOT", tmp_path)
    assert training.main(["--docs", str(tmp_path / "kept.json")]) == 0
    for name in PAGES:
        before, after = (
            (root / "docs" / name).read_text(encoding="utf-8") for root in (ROOT, tmp_path)
        )
        head = "| logits | job | PyTorch | compiled | softmax2d | times faster |"
        head = translate(head) if name.endswith(".zh.md") else head
        assert head in before and head in after
        assert "A processor" in after and "| 1×5×32×64 float32 | softmax | 2 ms | 2 ms |" in after
        assert "19×1024×2048 float32 | softmax |" not in after.partition("training:begin")[2]
        assert before.count("\n") == after.count("\n")
