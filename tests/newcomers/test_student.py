"""A student: the softmax of an article in NumPy, nn.Softmax2d, the demo, and first mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import softmax2d as s2d
import softmax2d.torch as s2t

SCORES = np.random.default_rng(7).normal(0, 2, (3, 4, 5)).astype(np.float32)  # C, H, W


def test_softmax_of_the_article() -> None:
    probs = s2d.softmax2d(SCORES)
    assert probs.shape == (3, 4, 5) and probs.dtype == np.float32
    assert np.allclose(probs.sum(axis=0), 1, atol=1e-6)  # at each of the 4 × 5 pixels
    plain = np.exp(SCORES - SCORES.max(axis=0))
    assert np.allclose(probs, plain / plain.sum(axis=0), atol=1e-6)
    assert np.allclose(s2d.softmax2d(SCORES + np.float32(100)), probs, atol=1e-5)
    # One number a pixel may be added, another at each.
    shift = np.arange(20, dtype=np.float32).reshape(4, 5)
    assert np.allclose(s2d.softmax2d(SCORES + shift), probs, atol=1e-5)


def test_derivative_of_the_article() -> None:
    z = SCORES[:, :1, :2].astype(np.float64)
    probs = s2d.softmax2d(z)
    jacobian = s2d.softmax2d_jacobian(probs)
    assert jacobian.shape == (3, 3, 1, 2)
    for c in range(3):
        for i in range(3):
            by_hand = probs[c] * ((c == i) - probs[i])
            assert np.allclose(jacobian[c, i], by_hand, atol=1e-12)
            step = np.zeros_like(z)
            step[i] = 1e-6
            slope = (s2d.softmax2d(z + step) - s2d.softmax2d(z - step))[c] / 2e-6
            assert np.allclose(slope, by_hand, atol=1e-8)


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5)])
def test_in_the_place_of_nn_softmax2d(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    convolution, scores = torch.nn.Conv2d(3, 6, 1), torch.randn(shape)
    before = torch.nn.Sequential(convolution, torch.nn.Softmax2d())
    after = torch.nn.Sequential(convolution, s2t.Softmax2d())
    after.load_state_dict(before.state_dict())
    assert torch.allclose(after(scores), before(scores), atol=1e-6)
    grads = [
        torch.autograd.grad(net(scores)[..., 0, :, :].sum(), convolution.weight)[0]
        for net in (before, after)
    ]
    assert torch.allclose(*grads, atol=1e-5)


def test_demo(tmp_path: Path) -> None:
    line = [sys.executable, "-W", "error", "-m", "softmax2d", "demo", "--no-timing"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sums over the classes, all 16 places: one" in done.stdout
    assert "cross-entropy 1.609 → 0.030 nats" in done.stdout
    assert "mean IoU" in done.stdout and "optic disc" in done.stdout
    for name in ("retina.png", "report.html"):
        assert f"wrote softmax2d-demo/{name}" in done.stdout
        assert (tmp_path / "softmax2d-demo" / name).stat().st_size > 5000


def test_what_is_taken_as_it_comes() -> None:
    probs = s2d.softmax2d(SCORES)
    assert np.array_equal(s2d.softmax2d(SCORES.tolist()).argmax(0), SCORES.argmax(0))
    assert np.array_equal(s2d.softmax2d(list(SCORES)), probs)  # a map for each class
    whole = SCORES.round().astype(np.int64)
    assert np.array_equal(s2d.softmax2d(whole), s2d.softmax2d(whole.astype(np.float64)))
    last = np.moveaxis(SCORES, 0, -1)  # H, W, C
    assert np.array_equal(s2d.softmax2d(last, axis=-1), np.moveaxis(probs, 0, -1))


def test_softmax_twice_is_flat_and_the_documents_say_so() -> None:
    probs = s2d.softmax2d(SCORES)
    twice = s2d.softmax2d(probs)
    assert twice.max() <= np.e / (np.e + 2) + 1e-6  # three classes: never above 0.58
    assert np.array_equal(twice.argmax(0), probs.argmax(0))
    confidence = s2d.segment(s2d.log_softmax2d(SCORES)).confidence
    assert confidence is not None  # logarithms of probabilities are logits
    assert np.allclose(confidence, probs.max(0), atol=1e-6)
    docs = Path(__file__).parents[2] / "docs/concepts"
    for name in ("properties.md", "properties.zh.md"):
        assert "s2d.softmax2d(s2d.softmax2d(logits))" in (docs / name).read_text("utf-8")


@pytest.mark.parametrize(
    ("argument", "options", "words"),
    [
        (SCORES[0], {}, "Add one with logits[None], or name another with axis=."),
        (SCORES[0, 0], {}, "needs a class axis, shape (..., C, H, W); got shape (5,)"),
        (SCORES, {"axis": 3}, "axis must be between -3 and 2 for logits of shape (3, 4, 5)"),
        (SCORES, {"axis": (1, 2)}, "axis must be an integer; got tuple."),
        ("scores.npy", {}, "Read the file first, for example with numpy.load('scores.npy')"),
        (SCORES > 0, {}, "must be float16, bfloat16, float32, float64 or integer"),
        (np.ma.array(SCORES), {}, "logits.filled(-np.inf)"),
        (None, {}, "logits must be an array; got None."),
        (torch.tensor(SCORES, requires_grad=True), {}, "Use softmax2d.torch.softmax2d, or pass"),
    ],
)
def test_mistakes_lead_on(argument: Any, options: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        s2d.softmax2d(argument, **options)
    assert words in str(caught.value)


def test_names_that_are_elsewhere_lead_on() -> None:
    for name in ("Softmax2d", "CrossEntropy2d"):
        with pytest.raises(ImportError, match=f"from softmax2d.torch import {name}"):
            exec(f"from softmax2d import {name}")  # as it is typed
    with pytest.raises(AttributeError, match=r"Did you mean softmax2d\.softmax2d"):
        _ = s2d.softmax  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"NumPy arrays go to softmax2d\.softmax2d\."):
        s2t.softmax2d(SCORES)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Pass torch\.from_numpy\(logits\)\."):
        s2t.CrossEntropy2d()(SCORES, torch.zeros(4, 5))
