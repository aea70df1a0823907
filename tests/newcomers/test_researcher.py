"""A researcher: rare classes by the command line alone, from folders of files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.newcomers.conftest import Shell

SIZE = 64, 96
CLASSES = "road,grass,sign"


def draw(rng: np.random.Generator) -> Any:
    """Road above grass, three small signs; the first rows are not labelled."""
    truth = np.zeros(SIZE, np.uint8)
    truth[SIZE[0] // 2 :] = 1
    for _ in range(3):
        y, x = rng.integers(6, SIZE[0] - 8), rng.integers(0, SIZE[1] - 8)
        truth[y : y + 6, x : x + 6] = 2
    truth[:3] = 255
    return truth


def score(truth: Any, rng: np.random.Generator) -> Any:
    """Scores of half the size of a network that is too sure, and shy of signs."""
    coarse = np.where(truth == 255, 0, truth)[::2, ::2]
    logits = rng.normal(0, 2, (3, *coarse.shape)) + 4 * (np.arange(3)[:, None, None] == coarse)
    logits[2] -= 3
    return (1.8 * logits).astype(np.float32)


@pytest.fixture
def data(folder: Path) -> None:
    """train/ of labels; held/ and new/ of scores and truth."""
    rng = np.random.default_rng(2)
    Path("train").mkdir()
    for i in range(6):
        Image.fromarray(draw(rng)).save(f"train/street{i}.png")
    for part in ("held", "new"):
        for name in ("scores", "truth"):
            Path(part, name).mkdir(parents=True)
        for i in range(4):
            truth = draw(rng)
            Image.fromarray(truth).save(f"{part}/truth/{i:02}.png")
            np.save(f"{part}/scores/{i:02}.npy", score(truth, rng))


def measure(out: str, name: str) -> float:
    """The number after a name at the start of a line."""
    found = re.search(rf"^{name} +(\d\.\d+)", out, re.MULTILINE)
    assert found is not None, out
    return float(found[1])


def test_whole_chain(data: None, shell: Shell) -> None:
    asked = "--ignore-index 255"
    out, err = shell(f"softmax2d counts train/ {asked} --classes {CLASSES} -o counts.json")
    assert err == "" and out.startswith("35136 pixels in 6 images, 1728 more ignored\n")
    out, err = shell("softmax2d weights counts.json --method median -o weights.json")
    assert err == "" and "method median" in out and "sign" in out
    weights = json.loads(Path("weights.json").read_text())
    assert len(weights) == 3 and weights[2] > 10 * max(weights[:2])

    held = f"held/scores/ held/truth/ {asked} --classes {CLASSES}"
    out, err = shell(f"softmax2d calibrate {held} -o calibration.json --report calibration.html")
    assert err.startswith("beware: fitted to 4 images: fewer than 10 say little of how far the map")
    assert out.startswith("23424 pixels in 4 images, 3 classes\ntemperature ")
    assert "negative log-likelihood (nats)" in out
    line = f"softmax2d tune {held} --calibration calibration.json -o bias.json --report tune.html"
    out, err = shell(line)
    assert err.startswith("beware: chosen on 4 images: nothing says how the choice holds on other")
    assert "chosen on 23424 pixels in 4 images" in out and "sign" in out

    before, err = shell(f"softmax2d evaluate new/scores new/truth {asked} --classes {CLASSES}")
    assert err == "" and before.startswith(
        "new/scores: 4 files, 3 classes, interpolated from 32 × 48 to the truth's 64 × 96 (linear)"
    )
    line = f"softmax2d evaluate new/scores new/truth {asked} --classes {CLASSES}"
    after, err = shell(f"{line} --calibration bias.json --report after.html")
    assert err == "" and "after.html" in after
    for name in ("sign", "mean IoU", "mean accuracy"):
        assert measure(after, name) > measure(before, name) + 0.03
    assert measure(after, "accuracy") > measure(before, "accuracy") - 0.01

    line = "softmax2d segment new/scores/ -o labels/ --format png --like new/truth"
    out, err = shell(f"{line} --calibration bias.json --classes {CLASSES} --palette okabe-ito")
    assert err == "" and out.startswith("new/scores/00.npy  labels/00.png\n")
    assert re.search(r"^4 files, \d+\.\d\d s$", out, re.MULTILINE)
    with Image.open("labels/00.png") as picture:
        assert (picture.mode, picture.size) == ("P", SIZE[::-1])
    line = f"softmax2d evaluate labels/ new/truth/ {asked} --classes {CLASSES}"
    alone, err = shell(f"{line} --report labels.html")
    assert err == "" and "labels: 4 label maps\nnew/truth: 23424 pixels in 4 images" in alone
    for name in ("sign", "mean IoU", "accuracy"):  # files are what evaluate made of the scores
        assert measure(alone, name) == measure(after, name)
    for report in ("calibration", "tune", "after", "labels"):
        assert "sign" in Path(f"{report}.html").read_text("utf-8")


def test_weights_are_those_of_python(data: None, shell: Shell) -> None:
    from softmax2d import balance  # the one line of Python, to compare

    asked = f"train/ --ignore-index 255 --classes {CLASSES} --quiet"
    shell(f"softmax2d counts {asked} -o counts.json")
    shell("softmax2d weights counts.json --method enet -o weights.json")
    counts = balance.ClassCounts.load("counts.json")
    assert list(counts.names or ()) == CLASSES.split(",")
    held = json.loads(Path("weights.json").read_text())
    assert np.allclose(held, balance.class_weights(counts, "enet"))
    shell(f"softmax2d weights {asked} --method enet -o again.json")
    assert json.loads(Path("again.json").read_text()) == held


def test_mistakes_lead_on(data: None, shell: Shell, refusal: Callable[[str], str]) -> None:
    text = refusal("softmax2d evaluate new/scores new/truth")
    assert "got 255 at" in text and "(--ignore-index 255)" in text
    text = refusal("softmax2d calibrate held/scores held/truth/00.png -o map.json")
    assert "LOGITS and TRUTH are two folders" in text
    text = refusal("softmax2d segment new/scores -o out --calibration nowhere.json")
    assert text == "softmax2d: nowhere.json: no such file.\n"  # once, and not for each file
    shell("softmax2d counts train/ --ignore-index 255 -o counts.json --quiet")
    text = refusal("softmax2d segment new/scores -o out --calibration counts.json")
    assert text.startswith("softmax2d: counts.json: ") and text.endswith(
        "it holds class counts. softmax2d calibrate and softmax2d tune write one.\n"
    )
    held = "held/scores held/truth --ignore-index 255 -o bias.json"
    assert "(--at-least-accuracy)" in refusal(f"softmax2d tune {held} --goal recall:2")
    assert "(--counts)" in refusal(f"softmax2d tune {held} --family tau")
    text = refusal("softmax2d evaluate new/truth new/scores --ignore-index 255")
    assert text.endswith(" labels. Scores come first, the truth second.\n")
    shell("softmax2d segment new/scores/ -o small/ --format png --outputs labels --quiet")
    text = refusal("softmax2d evaluate small/ new/truth --ignore-index 255")
    assert "holds 32 × 48 labels, and new/truth/00.png 64 × 96." in text and "--like" in text
    Path("new/truth/03.png").unlink()
    text = refusal("softmax2d evaluate new/scores new/truth --ignore-index 255")
    assert text == "softmax2d: new/scores/03.npy: has no file of that stem in new/truth.\n"
    text = refusal("softmax2d counts train/ -o more.json --classes road,grass,sign")
    assert "(--ignore-index 255)" in text
