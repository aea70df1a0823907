"""Try an installed softmax2d with nothing but NumPy: every public function once, by the formula.

    python tools/smoke.py

Run on every wheel that is built (cibuildwheel, ``scripts/wheel.sh``), also on interpreters for
which the test suite's other dependencies do not exist.
"""

import platform

import numpy as np

import softmax2d as s2d
from softmax2d import reference


def main() -> None:
    """Compare each function with the reference; an exception names what is wrong."""
    random = np.random.default_rng(0)
    logits, tangent = random.normal(0, 5, (3, 4, 4)), random.normal(0, 1, (3, 4, 4))
    probs, log_probs = s2d.softmax2d(logits), s2d.log_softmax2d(logits)

    def close(value: np.ndarray, truth: np.ndarray) -> None:
        np.testing.assert_allclose(value, truth, rtol=1e-11, atol=1e-16)

    close(probs, reference.softmax2d(logits))
    close(log_probs, reference.log_softmax2d(logits))
    close(s2d.softmax2d_jacobian(probs), reference.softmax2d_jacobian(probs))
    close(s2d.softmax2d_vjp(probs, tangent), reference.softmax2d_vjp(probs, tangent))
    close(s2d.softmax2d_jvp(probs, tangent), reference.softmax2d_jvp(probs, tangent))
    truth = reference.log_softmax2d_vjp(log_probs, tangent)
    close(s2d.log_softmax2d_vjp(log_probs, tangent), truth)

    result = s2d.segment(logits, outputs=("labels", "confidence", "margin", "entropy"), top_k=2)
    np.testing.assert_array_equal(result.labels, logits.argmax(0))
    np.testing.assert_array_equal(result.top_labels[0], result.labels)
    close(result.confidence, reference.confidence(logits))
    close(result.margin, reference.margin(logits))
    close(result.entropy, reference.entropy(logits))

    target = random.integers(0, 3, (8, 8))
    fine = reference.interpolate(logits, (8, 8))
    close(s2d.softmax2d(logits, size=(8, 8)), reference.softmax2d(fine))
    np.testing.assert_array_equal(s2d.segment(logits, size=(8, 8)).labels, fine.argmax(0))
    loss, grad = s2d.cross_entropy2d_with_grad(logits, target, size=(8, 8))
    close(loss, reference.cross_entropy2d_losses(fine, target).mean())
    np.testing.assert_allclose(grad.sum(0), 0, atol=1e-15)
    for name in ("dice", "jaccard", "tversky", "lovasz_softmax"):
        loss, grad = getattr(s2d, f"{name}_loss2d_with_grad")(logits, target, size=(8, 8))
        assert 0 < loss < 1 and grad.shape == logits.shape
    found = s2d.evaluate(logits, target, size=(8, 8))
    assert found.pixels == 64 and found == s2d.Statistics.from_dict(found.to_dict())
    close(found.nll, reference.cross_entropy2d_losses(fine, target).mean())

    labels = s2d.evaluate_labels(fine.argmax(0), target, classes=3)
    np.testing.assert_array_equal(labels.confusion, found.confusion)

    s2d.set_num_threads(2)
    large = random.normal(0, 5, (19, 300, 301)).astype(np.float32)
    np.testing.assert_allclose(s2d.softmax2d(large).sum(0), 1, rtol=1e-6)
    print(
        f"softmax2d {s2d.__version__} works: Python {platform.python_version()}, "
        f"NumPy {np.__version__}, {s2d.instruction_set()}"
    )


if __name__ == "__main__":
    main()
