"""Derivatives within 8 ulp of the true value for the arguments given, cancellation included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import reference
from tests import cases, truth
from tests.ulp import assert_within

BOUND = {"float16": 0.501, "bfloat16": 0.501, "float32": 8, "float64": 8}
PIXELS = 40


def grads(kind: str, probs: Any, name: str) -> Any:
    """Incoming gradients (C, P); most of them make the difference cancel."""
    rng = np.random.default_rng([cases.SEED, len(probs)])
    dtype = cases.dtype_of(name)
    values = {
        "random": rng.normal(0, 1, probs.shape),
        "all_equal": np.broadcast_to(rng.normal(0, 1, probs.shape[1]), probs.shape),
        "nearly_equal": 1 + rng.integers(-2, 3, probs.shape) * 2.0**-7,
        "one_class": (np.arange(len(probs)) == 0)[:, None] * np.ones(probs.shape),
        "minus_one_class": (np.arange(len(probs)) == 1)[:, None] * -np.ones(probs.shape),
        "large": rng.normal(0, 1, probs.shape) * 1e4,
        "wide": rng.normal(0, 1, probs.shape) * 10.0 ** rng.integers(-4, 4, probs.shape),
        "zero": np.zeros(probs.shape),
    }
    return values[kind].astype(dtype)


GRADS = (
    "random",
    "all_equal",
    "nearly_equal",
    "one_class",
    "minus_one_class",
    "large",
    "wide",
    "zero",
)
LOGITS = (
    "normal",
    "spread",
    "leader_17",
    "leader_18",
    "leader_50",
    "leader_100",
    "all_equal",
    "steps",
)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("grad_kind", GRADS)
def test_softmax_vjp_and_jvp(isa: str, name: str, grad_kind: str) -> None:
    for classes in (1, 2, 7, 19):
        logits = np.concatenate([cases.columns(k, classes, 5, name) for k in LOGITS], axis=1)
        probs = s2d.softmax2d(logits, axis=0)
        grad = grads(grad_kind, probs, name)
        true = truth.softmax_vjp(probs, grad)
        where = f"{name} {grad_kind} C={classes} {isa}"
        assert_within(s2d.softmax2d_vjp(probs, grad, axis=0), true, BOUND[name], f"vjp {where}")
        assert_within(s2d.softmax2d_jvp(probs, grad, axis=0), true, BOUND[name], f"jvp {where}")


def forgive(got: Any, true: Any, logs: Any, grad: Any, name: str) -> Any:
    """In float64 the docstring allows 2^-100 of the terms beside the ulps: such errors removed."""
    if name != "float64":
        return got
    terms = np.abs(grad) + np.exp(logs) * np.abs(grad.sum(0))
    return np.where(np.abs(got - true) <= 2.0**-100 * terms, true.astype(np.float64), got)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("grad_kind", GRADS)
def test_log_softmax_vjp(isa: str, name: str, grad_kind: str) -> None:
    for classes in (1, 2, 7, 19):
        logits = np.concatenate([cases.columns(k, classes, 3, name) for k in LOGITS], axis=1)
        logs = s2d.log_softmax2d(logits, axis=0)
        grad = grads(grad_kind, logs, name)
        true = truth.log_softmax_vjp(logs, grad)
        got = s2d.log_softmax2d_vjp(logs, grad, axis=0)
        assert_within(got, true, BOUND[name], f"{name} {grad_kind} C={classes} {isa}")


@pytest.mark.parametrize("name", cases.DTYPES)
def test_log_softmax_vjp_of_a_soft_target(isa: str, name: str) -> None:
    """g = -q with q the probabilities, nearly: what is left is the difference p - q."""
    logits = np.concatenate([cases.columns(k, 7, 8, name) for k in ("normal", "spread")], axis=1)
    logs, probs = s2d.log_softmax2d(logits, axis=0), s2d.softmax2d(logits, axis=0)
    got = s2d.log_softmax2d_vjp(logs, -probs, axis=0)
    true = truth.log_softmax_vjp(logs, -probs)
    assert_within(forgive(got, true, logs, probs, name), true, BOUND[name], f"{name} {isa}")


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_gradient_of_a_confident_pixel(isa: str, name: str) -> None:
    """Cross-entropy of the winner: the gradient is p - 1, which PyTorch loses (pytorch #113708)."""
    for lead in (5, 17, 18, 50, 80):
        logits = np.zeros((4, 1), name)
        logits[2] = lead
        logs = s2d.log_softmax2d(logits, axis=0)
        grad = np.zeros_like(logs)
        grad[2] = -1
        got = s2d.log_softmax2d_vjp(logs, grad, axis=0)
        assert_within(got, truth.log_softmax_vjp(logs, grad), 8, f"lead {lead} {isa}")
        assert 0 > got[2] > -2 * 4 * np.exp(-float(lead))


@pytest.mark.parametrize("name", cases.DTYPES)
def test_jacobian(isa: str, name: str) -> None:
    """Entry [c, i] is p[c] (1 - p[i]) or -p[c] p[i]: the vjp of unit gradients."""
    logits = np.concatenate([cases.columns(k, 5, 4, name) for k in LOGITS], axis=1)
    probs = s2d.softmax2d(logits, axis=0)
    got = s2d.softmax2d_jacobian(probs, axis=0)
    wide = truth.widened(probs)
    delta = np.eye(5, dtype=np.longdouble)[:, :, None]
    assert got.dtype == probs.dtype
    assert_within(got, wide[:, None] * (delta - wide[None]), BOUND[name], f"{name} {isa}")
    shaped = s2d.softmax2d_jacobian(np.moveaxis(probs.reshape(5, 4, 8), 0, -1), axis=-1)
    assert shaped.shape == (4, 8, 5, 5)
    assert np.array_equal(cases.bits(shaped[1, 3]), cases.bits(got[:, :, 11]))


def test_jacobian_times_a_vector_is_the_vjp(isa: str) -> None:
    rng = np.random.default_rng(cases.SEED)
    probs = s2d.softmax2d(rng.normal(0, 2, (2, 6, 3, 4)))
    grad = rng.normal(0, 1, probs.shape)
    product = np.einsum("ncihw,nihw->nchw", s2d.softmax2d_jacobian(probs), grad)
    assert np.allclose(s2d.softmax2d_vjp(probs, grad), product, rtol=1e-12, atol=1e-15)
    assert np.allclose(reference.softmax2d_vjp(probs, grad), product, rtol=1e-12, atol=1e-15)


def test_finite_differences(isa: str) -> None:
    """Central differences in long double: good to h^2, about 1e-10."""
    rng = np.random.default_rng(cases.SEED)
    logits, direction = rng.normal(0, 2, (5, 30)), rng.normal(0, 1, (5, 30))
    h = np.longdouble(1e-5)

    def moved(step: Any) -> Any:
        z = logits.astype(np.longdouble) + step * direction
        e = np.exp(z - z.max(0))
        return e / e.sum(0)

    slope = (moved(h) - moved(-h)) / (2 * h)
    probs = s2d.softmax2d(logits, axis=0)
    assert np.allclose(s2d.softmax2d_jvp(probs, direction, axis=0), slope, rtol=1e-8, atol=1e-10)
    log_slope = (np.log(moved(h)) - np.log(moved(-h))) / (2 * h)
    grad = rng.normal(0, 1, (5, 30))
    back = s2d.log_softmax2d_vjp(s2d.log_softmax2d(logits, axis=0), grad, axis=0)
    assert np.allclose((back * direction).sum(0), (grad * log_slope).sum(0), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("shape", [(5, 4, 6), (2, 19, 9, 33)])
def test_pytorch_autograd_agrees(isa: str, shape: tuple[int, ...]) -> None:
    import torch

    rng = np.random.default_rng(cases.SEED)
    logits, grad = rng.normal(0, 3, shape), rng.normal(0, 1, shape)
    pairs = (
        (torch.softmax, s2d.softmax2d, s2d.softmax2d_vjp),
        (torch.log_softmax, s2d.log_softmax2d, s2d.log_softmax2d_vjp),
    )
    for theirs, forward, backward in pairs:
        leaf = torch.tensor(logits, requires_grad=True)
        theirs(leaf, -3).backward(torch.tensor(grad))
        assert leaf.grad is not None
        assert np.allclose(
            backward(forward(logits), grad), leaf.grad.numpy(), rtol=1e-12, atol=1e-14
        )


def test_mixed_dtypes_take_the_common_one(isa: str) -> None:
    probs = s2d.softmax2d(cases.columns("spread", 5, 20, "float32"), axis=0)
    grad = cases.columns("normal", 5, 20, "float64")
    got = s2d.softmax2d_vjp(probs, grad, axis=0)
    assert got.dtype == np.float64
    assert np.array_equal(got, s2d.softmax2d_vjp(probs.astype(np.float64), grad, axis=0))
    half = s2d.softmax2d_vjp(probs, grad.astype(np.float16), axis=0)
    assert half.dtype == np.float32
    whole = s2d.softmax2d_vjp(probs, np.ones((5, 20), np.int64), axis=0)
    assert whole.dtype == np.float64


def test_impossible_classes(isa: str) -> None:
    """p = 0 and log p = -inf: softmax lets no gradient reach them, log-softmax lets g."""
    probs, grad = np.array([0.25, 0.0, 0.75]), np.array([1.0, 5.0, 2.0])
    assert s2d.softmax2d_vjp(probs, grad, axis=0)[1] == 0
    logs = np.array([np.log(0.25), -np.inf, np.log(0.75)])
    got = s2d.log_softmax2d_vjp(logs, grad, axis=0)
    assert got[1] == 5 and np.isfinite(got).all()


def test_broken_pixels_stay_alone(isa: str) -> None:
    probs = s2d.softmax2d(cases.columns("spread", 7, 100, "float32"), axis=0)
    grad = cases.columns("normal", 7, 100, "float32")
    for function, first in ((s2d.softmax2d_vjp, probs), (s2d.log_softmax2d_vjp, np.log(probs))):
        clean = function(first, grad, axis=0)
        for where in (0, 50, 99):
            bad = grad.copy()
            bad[3, where] = np.nan
            mixed = function(first, bad, axis=0)
            keep = np.arange(100) != where
            assert np.isnan(mixed[3, where])
            assert np.array_equal(cases.bits(clean[:, keep]), cases.bits(mixed[:, keep]))
