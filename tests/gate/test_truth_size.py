"""One rule for the size: where there is a truth it is the truth's, unless it is given."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import softmax2d as s2d
import softmax2d.torch as s2t
from softmax2d import balance, calibrate, stream
from softmax2d._gate.truth_size import truth_size

RNG = np.random.default_rng(5)
Z = RNG.normal(size=(2, 3, 6, 8)).astype(np.float32)
FINE, COARSE = (RNG.integers(0, 3, (2, *size)) for size in ((12, 20), (3, 4)))
LOSSES = [f"{n}{w}" for n in (
    "cross_entropy2d", "dice_loss2d", "jaccard_loss2d", "tversky_loss2d", "lovasz_softmax_loss2d",
) for w in ("", "_with_grad")]  # fmt: skip


def same(a: Any, b: Any) -> bool:
    """Whether two results, or two pairs of them, are equal to the bit."""
    if isinstance(a, tuple):
        return all(map(same, a, b))
    return a == b if isinstance(a, s2d.Statistics) else bool(np.array_equal(a, b))


@pytest.mark.parametrize("name", [*LOSSES, "evaluate"])
@pytest.mark.parametrize("module", [s2d, s2t])
def test_arrays_and_tensors(module: Any, name: str) -> None:
    call = getattr(module, name)
    given = [Z, FINE, COARSE]
    z, fine, coarse = map(torch.from_numpy, given) if module is s2t else given
    assert same(call(z, fine), call(z, fine, size=(12, 20)))
    assert np.isfinite(np.asarray(getattr(call(z, coarse, size=(3, 4)), "nll", 0.0)))
    with pytest.raises(ValueError, match=r"Pass size=\(3, 4\) to compare at the target's pixels"):
        call(z, coarse)
    with pytest.raises(ValueError, match="target must hold class indices of shape"):
        call(z, fine, size=(3, 4))
    with pytest.raises(ValueError, match="target must hold class indices of shape"):
        call(z, fine[:1])


@pytest.mark.parametrize("module", [s2d, s2t])
def test_probabilities(module: Any) -> None:
    probs = np.moveaxis(np.eye(3, dtype=np.float32)[FINE], -1, 1).copy()
    z, given = (torch.from_numpy(a) if module is s2t else a for a in (Z, probs))
    found = module.cross_entropy2d(z, given)
    assert same(found, module.cross_entropy2d(z, given, size=(12, 20)))


def test_options_of_the_grid_hold() -> None:
    options: dict[str, Any] = {"interpolation": "nearest", "align_corners": True}
    assert s2d.evaluate(Z, FINE, **options) == s2d.evaluate(Z, FINE, size=(12, 20), **options)
    last = np.moveaxis(Z, 1, -1)
    assert s2d.evaluate(last, FINE, axis=-1) == s2d.evaluate(Z, FINE)
    with pytest.raises(ValueError, match="target must hold class indices of shape"):
        s2d.evaluate(Z, FINE, window=(slice(0, 4), slice(0, 4)))


def test_a_truth_that_fits_another_axis_is_asked_about() -> None:
    last = np.zeros((40, 30, 5), np.float32)  # H, W, C, taken for C, H, W
    with pytest.raises(ValueError, match=re.escape("pass axis=-1 (tensors: dim)")):
        s2d.evaluate(last, np.zeros((40, 30), np.uint8))


@pytest.mark.parametrize(
    ("logits", "axis", "truth", "dims", "size"),
    [
        ((3, 4, 5), 0, (4, 5), None, None),
        ((3, 4, 5), 0, (4, 6), None, (4, 6)),
        ((3, 4, 5), 0, (3, 6), None, None),
        ((3, 4, 5), 0, (3, 8, 9), None, (8, 9)),
        ((2, 3, 4, 5), 1, (1, 8, 9), None, None),
        ((2, 3, 4, 5), 0, (6, 4, 5), None, (6, 4, 5)),
        ((4, 5, 3), 2, (8, 9), None, (8, 9)),
        ((7, 4, 5, 3), 3, (7, 8, 9), None, (7, 8, 9)[1:]),
        ((7, 4, 5, 3), 3, (9, 8, 9), None, None),
        ((7, 4, 5, 3), 3, (9, 8, 9), 3, (9, 8, 9)),
        ((10, 5), 1, (20,), None, None),
        ((5, 10), 0, (20,), None, (20,)),
        ((2, 3, 4, 5, 6), 0, (9, 9, 9, 9), None, None),
    ],
)
def test_the_rule(logits: Any, axis: int, truth: Any, dims: int | None, size: Any) -> None:
    assert truth_size(logits, axis, truth, dims) == size


@pytest.mark.filterwarnings("ignore:calibrate.bootstrap. 2 images:RuntimeWarning")
@pytest.mark.parametrize("name", ["evaluate", "fit", "bootstrap", "tune"])
def test_files(tmp_path: Path, name: str) -> None:
    calls: dict[str, Any] = {
        "evaluate": stream.evaluate_files,
        "fit": calibrate.fit,
        "bootstrap": partial(calibrate.bootstrap, measures="accuracy", replicates=100),
        "tune": balance.tune_bias,
    }
    paths = [tmp_path / f"{n}.npy" for n in ("z", "fine", "coarse")]
    for path, array in zip(paths, (Z, FINE, COARSE), strict=True):
        np.save(path, array)
    call = partial(calls[name], axis=-3)
    for logits, fine, coarse in ((Z, FINE, COARSE), paths):
        call(logits, fine)
        call(logits, fine, size=(12, 20))
        call(logits, coarse, size=(3, 4))
        with pytest.raises(ValueError, match=r"Give size=\(3, 4\) \(--size 3x4\)"):
            call(logits, coarse)
        with pytest.raises(ValueError, match=r"size \(5, 5\) is not that of the target"):
            call(logits, fine, size=(5, 5))
    assert stream.evaluate_files(*paths[:2], axis=-3) == s2d.evaluate(Z, FINE)


def test_compiled_and_exported_losses_take_the_size_of_the_target() -> None:
    z, fine = torch.from_numpy(Z), torch.from_numpy(FINE)
    want = s2t.cross_entropy2d(z, fine, size=(12, 20))
    compiled = torch.compile(s2t.cross_entropy2d, backend="eager", fullgraph=True)
    assert torch.equal(compiled(z, fine), want)
    dynamic = torch.compile(s2t.dice_loss2d, backend="eager", fullgraph=True, dynamic=True)
    assert torch.equal(dynamic(z, fine), s2t.dice_loss2d(z, fine, size=(12, 20)))

    class Loss(torch.nn.Module):
        def forward(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return s2t.cross_entropy2d(z, t)

    program = torch.export.export(Loss(), (z, fine))
    assert torch.allclose(program.module()(z, fine), want)
