"""Random calls: both faces give the same, the truth of reference.py, or the same refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from softmax2d import reference
from tests import cases
from tests.gate.calls import FORWARD, LOSSES, PAIRS, REGIONS, Call, draw, outcome

CALLS = 5000
REFUSALS = (TypeError, ValueError, NotImplementedError)
RTOL = {2: 5e-3, 4: 2e-5, 8: 1e-10}


def check_refusal(call: Call, ours: Any, theirs: Any) -> None:
    """An error says the function's name first, and is the same for tensors."""
    name = call.name.removesuffix("_with_grad")
    for error in (ours, theirs):
        assert isinstance(error, REFUSALS), repr(error)
        assert str(error).startswith(name), repr(error)
        assert "\n" not in str(error) and len(str(error)) < 500, repr(error)
    assert type(ours) is type(theirs), (ours, theirs)


def check_same(ours: dict[Any, Any], theirs: dict[Any, Any]) -> None:
    """Both faces compute the same numbers."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.shape == theirs[name].shape, name
        assert np.array_equal(value, theirs[name], equal_nan=value.dtype.kind == "f"), name


class Truth:
    """What reference.py says to a call."""

    def __init__(self, call: Call) -> None:
        how, z = dict(call.options), np.asarray(call.arrays[0], np.float64)
        self.call, self.how, self.axis = call, how, int(how["axis"])
        self.own, self.grid = z.shape, None
        if how.get("size") is not None:
            dims = int(how.get("spatial_dims", -self.axis - 1))
            many = how["size"] if np.ndim(how["size"]) else (how["size"],) * dims
            kinds = how.get("interpolation", "linear")
            self.grid = {"size": tuple(map(int, many)), "axis": self.axis, "interpolation": kinds,
                         "align_corners": bool(how.get("align_corners", False))}  # fmt: skip
            z = reference.interpolate(z, **self.grid)
        if how.get("window") is not None:
            part: list[Any] = [*how["window"]]
            z = z[(..., *part, slice(None))] if self.axis == -1 else z[(..., *part)]
        self.temperature = how.get("temperature", 1.0)
        self.z = reference.mapped(z, self.axis, np.asarray(self.temperature), how.get("bias"))
        self.plain = {"temperature": np.asarray(self.temperature), "bias": how.get("bias")}
        self.scores = z

    def softmax2d(self) -> Any:
        return {0: reference.softmax2d(self.z, axis=self.axis)}

    def log_softmax2d(self) -> Any:
        return {0: reference.log_softmax2d(self.z, axis=self.axis)}

    def segment(self) -> Any:
        """All but labels, which are compared by their scores, and what decoding decides."""
        p = self.softmax2d()[0]
        names = self.how["outputs"]
        found = {n: getattr(reference, n)(self.z, axis=self.axis) for n in names if n != "labels"}
        if self.how.get("top_k") is not None:
            best = reference.top_k(self.z, int(self.how["top_k"]), axis=self.axis)
            found["top_probs"] = best[1]
        if self.how.get("decode", "argmax") != "argmax":
            found.pop("confidence", None)
        assert p.shape == self.z.shape
        return found

    def cross_entropy2d(self) -> Any:
        """By each pixel, and what is made of that."""
        how, target = self.how, self.call.arrays[1]
        ignore = how.get("ignore_index", -100)
        terms = {n: how[n] for n in ("weight",) if n in how}
        terms |= {n: float(how[n]) for n in ("label_smoothing", "focal_gamma") if n in how}
        terms |= {"ignore_index": None if ignore is None else int(ignore)}
        each = reference.cross_entropy2d_losses(
            self.scores, target, axis=self.axis, **self.plain, **terms
        )
        reduction = how.get("reduction", "mean")
        if how.get("top_k") is not None or how.get("threshold") is not None:
            return {}
        if reduction == "none":
            return {0: each}
        if reduction == "sum":
            return {0: each.sum()}
        classes = self.z.shape[self.axis]
        below = reference.mean_weight(target, how.get("weight"), classes, terms["ignore_index"])
        return {0: each.sum() / below if below else np.float64(0)}

    def region(self, factors: tuple[float, float, float, float]) -> Any:
        """1 less the weighted mean of the scores."""
        how, z, target, axis = self.how, self.z, self.call.arrays[1], self.axis
        if axis == -1:  # the classes between images and pixels
            axis -= int(how.get("spatial_dims", min(2, z.ndim - 1)))
            target = np.moveaxis(target, -1, axis) if target.ndim == z.ndim else target
            z = np.moveaxis(z, -1, axis)
        names = ("squared", "average", "batch", "include_background", "absent")
        given = {name: how[name] for name in names if name in how}
        smooth = how.get("smooth", 1.0)
        pair = smooth if isinstance(smooth, tuple) else (smooth, smooth)
        if "weight" in how:
            given["weight"] = how["weight"][0 if how.get("include_background", True) else 1 :]
        if how.get("ignore_index") is not None:
            given["ignore_index"] = int(how["ignore_index"])
        smoothing = (float(pair[0]), float(pair[1]))
        loss = reference.region_loss2d(
            z, target, axis=axis, factors=factors, smooth=smoothing, **given
        )
        return {0: np.float64(loss)}

    def lovasz_softmax_loss2d(self) -> Any:
        """The loss."""
        ignore = self.how.get("ignore_index")
        ignore = None if ignore is None else int(ignore)
        how = {"classes": self.how.get("classes", "present"), "ignore_index": ignore}
        return {0: np.array(reference.lovasz_softmax_loss2d(
            self.z, self.call.arrays[1], axis=self.axis, **how))}  # fmt: skip


def truth_of(call: Call) -> Any:
    """The true results that reference.py has, by name."""
    name, how = call.name.removesuffix("_with_grad"), call.options
    first = np.asarray(call.arrays[0], np.float64)
    if name == "softmax2d_jacobian":
        return {0: reference.softmax2d_jacobian(first, axis=int(how["axis"]))}
    if name.endswith(("_vjp", "_jvp")):
        return {0: getattr(reference, name)(*call.arrays, axis=int(how["axis"]))}
    if name in REGIONS:
        a, b = (float(how.get(n, 0.5)) for n in ("alpha", "beta"))
        known = {"dice_loss2d": (2, 0, 1, 1), "jaccard_loss2d": (1, -1, 1, 1)}
        return Truth(call).region(known.get(name, (1, 1 - a - b, a, b)))
    found = getattr(Truth(call), name, dict)
    return found()


def check_truth(call: Call, ours: dict[Any, Any]) -> None:
    """Results are the truth, within what rounding leaves."""
    if not all(np.isfinite(a).all() for a in call.arrays) or not call.arrays[0].size:
        return
    bytes_each = call.arrays[0].itemsize
    largest = 1 + float(np.abs(call.arrays[0].astype(np.float64)).max())
    for name, true in truth_of(call).items():
        assert ours[name].shape == np.shape(true), name
        rtol, scale = RTOL[max(4, bytes_each)], largest
        if call.name in FORWARD:
            rtol = RTOL[bytes_each]
        if call.name in PAIRS or call.name == "softmax2d_jacobian":
            rtol, scale = RTOL[bytes_each], 1 + float(np.abs(true).max())
        if "size" in call.options or call.name in LOSSES:
            scale *= 10
        held = np.abs(true) < (6e4 if bytes_each == 2 else np.inf)  # by float16
        got, want = (np.where(held, each, 0) for each in (ours[name].astype(np.float64), true))
        assert np.allclose(got, want, rtol * scale, rtol * scale / 2), (name, got, want)


def check(number: int, seed: int = cases.SEED) -> str:
    """One call; what came of it."""
    call = draw(number, seed)
    ours, theirs = outcome(call, False), outcome(call, True)
    try:
        if isinstance(ours, Exception) or isinstance(theirs, Exception):
            assert isinstance(ours, Exception) and isinstance(theirs, Exception), (ours, theirs)
            check_refusal(call, ours, theirs)
            return "refused"
        check_same(ours, theirs)
        if call.name != "evaluate_labels":
            check_truth(call, ours)
    except AssertionError as error:
        raise AssertionError(f"call {number} of seed {seed}: {call}\n{error}") from error
    return "computed"


@pytest.mark.parametrize("part", range(5))
def test_random_calls(part: int) -> None:
    step = CALLS // 5
    found = [check(number) for number in range(part * step, (part + 1) * step)]
    assert 0.1 < found.count("refused") / step < 0.5
