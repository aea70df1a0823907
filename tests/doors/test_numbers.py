"""What the numbers of a file are: kinds of mistake x formats x commands, each right or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.cli import app
from tests.doors.formats import SCORES, TRUTHS, write

C, H, W = 5, 40, 56
LOGITS = np.random.default_rng(0).normal(0, 3, (C, H, W)).astype(np.float32)
PROBS = s2d.softmax2d(LOGITS)
LABELS = LOGITS.argmax(0).astype(np.uint8)
# The truth: the labels but for every seventh pixel.
TRUTH = np.where(np.arange(H * W).reshape(H, W) % 7 == 0, (LABELS + 1) % C, LABELS).astype(np.uint8)
COMMANDS = ("segment", "probs", "evaluate", "calibrate", "tune")
OF_ONE_IMAGE = {  # what standard error says, of any numbers
    "calibrate": "beware: fitted to one image: how far the map holds for others is not known\n",
    "tune": "beware: chosen on 1 image: nothing says how the choice holds on other images; "
    "give more images\n",
}


@pytest.fixture
def cli(capsys: Any, tmp_path: Path) -> Any:
    """Run a command on scores, with a truth where it takes one: exit code, error, results."""

    def run(command: str, scores: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
        truth, out = tmp_path / "truth.npy", tmp_path / f"out-{command}"
        np.save(truth, TRUTH[None] if ".nii" in scores.name else TRUTH)
        results: dict[str, tuple[list[Any], Path]] = {
            "segment": (["-o", f"{out}.npy"], Path(f"{out}.npy")),
            "probs": (["-o", f"{out}.npy"], Path(f"{out}.npy")),
            "evaluate": ([truth, "--report", f"{out}.json"], Path(f"{out}.json")),
            "calibrate": ([truth, "-o", f"{out}.json"], Path(f"{out}.json")),
            "tune": ([truth, "-o", f"{out}.json", "--sweeps", "1"], Path(f"{out}.json")),
        }
        given, made = results[command]
        with pytest.raises(SystemExit) as stop:
            app.main([command, str(scores), *map(str, given), *options])
        err = capsys.readouterr().err
        assert (stop.value.code == 0) == made.exists(), err
        found: dict[str, Any] = {}
        if made.suffix == ".npy" and made.exists():
            found["array"] = np.load(made)
            beside = made.with_name(f"{made.stem}.confidence.npy")
            if beside.exists():
                found["confidence"] = np.load(beside)
        elif made.exists():
            found["report"] = json.loads(made.read_text())
        return int(stop.value.code or 0), err, found

    return run


def check_right(command: str, found: dict[str, Any]) -> None:
    """The results of LOGITS, from whatever they were stored as; NIfTI has slices and C last."""
    for name in {"array", "confidence"} & {*found}:
        found[name] = found[name].squeeze()
        if found[name].shape == (H, W, C):
            found[name] = np.moveaxis(found[name], -1, 0)
    if command == "segment":
        np.testing.assert_array_equal(found["array"], LABELS)
        np.testing.assert_allclose(found["confidence"], PROBS.max(0), rtol=1e-5)
    elif command == "probs":
        np.testing.assert_allclose(found["array"], PROBS, rtol=2e-5, atol=1e-12)
    elif command == "evaluate":
        expected = s2d.evaluate(LOGITS, TRUTH)
        measures = found["report"]["measures"]
        assert measures["accuracy"] == pytest.approx(expected.accuracy)
        assert measures["nll"] == pytest.approx(expected.nll, rel=1e-5)
    elif command == "calibrate":
        assert 1.1 < found["report"]["temperature"] < 3


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("suffix", SCORES)
def test_logits_are_taken_as_they_are(cli: Any, tmp_path: Path, suffix: str, command: str) -> None:
    code, err, found = cli(command, write(tmp_path / f"scores{suffix}", LOGITS))
    assert (code, err) == (0, OF_ONE_IMAGE.get(command, ""))
    check_right(command, found)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("suffix", SCORES)
def test_probabilities(cli: Any, tmp_path: Path, suffix: str, command: str) -> None:
    """Refused with the way on, and right where it is said."""
    path = write(tmp_path / f"scores{suffix}", PROBS)
    code, err, _ = cli(command, path)
    assert code == 2
    assert "--input probabilities" in err
    code, err, found = cli(command, path, "--input", "probabilities")
    assert (code, err) == (0, OF_ONE_IMAGE.get(command, ""))
    check_right(command, found)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("suffix", SCORES)
def test_log_probabilities(cli: Any, tmp_path: Path, suffix: str, command: str) -> None:
    path = write(tmp_path / f"scores{suffix}", s2d.log_softmax2d(LOGITS))
    code, err, found = cli(command, path, "--input", "log-probabilities")
    assert (code, err) == (0, OF_ONE_IMAGE.get(command, ""))
    check_right(command, found)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("suffix", SCORES)
def test_one_channel(cli: Any, tmp_path: Path, suffix: str, command: str) -> None:
    path = write(tmp_path / f"scores{suffix}", LOGITS[:1])
    code, err, _ = cli(command, path)
    assert code == 2
    assert "--binary" in err


@pytest.mark.parametrize("suffix", SCORES)
def test_one_channel_as_two_classes(cli: Any, tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"scores{suffix}", LOGITS[:1])
    code, err, found = cli("segment", path, "--binary")
    assert (code, err) == (0, "")
    both = s2d.segment(np.stack([np.zeros_like(LOGITS[0]), LOGITS[0]]))
    np.testing.assert_array_equal(found["array"].squeeze(), both.labels)
    np.testing.assert_array_equal(found["confidence"].squeeze(), both.confidence)


@pytest.mark.parametrize("command", ["segment", "probs", "calibrate", "tune"])
@pytest.mark.parametrize("suffix", TRUTHS)
def test_label_map(cli: Any, tmp_path: Path, suffix: str, command: str) -> None:
    code, err, _ = cli(command, write(tmp_path / f"labels{suffix}", LABELS))
    assert code == 2
    assert "label" in err
