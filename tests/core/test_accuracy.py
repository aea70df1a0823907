"""The numbers of the contract, for every operation, dtype, layout and build.

softmax, log-softmax, confidence: at most 4 ulp in float32 and float64; float16 and bfloat16
rounded once, at most 0.501 ulp. Margin and entropy at most 8 ulp. Subnormal results are included:
the unit is never less than the smallest subnormal (tests/ulp.py). Labels are numpy.argmax.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from tests import cases, truth
from tests.ulp import assert_within, ulp_errors

BOUND = {"float16": 0.501, "bfloat16": 0.501, "float32": 4, "float64": 4}
# For each number of classes, an image a little larger than a tile (odd sizes).
SIZE = {1: (3, 7), 2: (3, 683), 19: (3, 683), 256: (1, 193), 1000: (5, 13)}
OUTPUTS = ("labels", "confidence", "margin", "entropy")


@cache
def pixels_of(classes: int, name: str) -> tuple[Any, dict[str, Any]]:
    """An image of every finite kind and its true values."""
    logits = cases.image(classes, SIZE[classes], name)
    true = truth.Pixels(cases.flat(logits, 0))
    quantities = ("softmax", "log_softmax", "confidence", "margin", "entropy")
    return logits, {q: getattr(true, q)() for q in quantities}


def each_layout(classes: int, name: str) -> Any:
    """(layout, array, class axis): all layouts where the truth is cheap, a few where it is not."""
    logits, _ = pixels_of(classes, name)
    for layout in cases.layouts_of(name):
        yield layout, *cases.LAYOUTS[layout](logits)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("classes", cases.CLASSES)
def test_softmax_and_log_softmax(isa: str, classes: int, name: str) -> None:
    _, true = pixels_of(classes, name)
    seen: dict[str, list[Any]] = {"softmax": [], "log_softmax": []}
    for layout, array, axis in each_layout(classes, name):
        for quantity, function in (("softmax", s2d.softmax2d), ("log_softmax", s2d.log_softmax2d)):
            result = function(array, axis=axis)
            assert result.dtype == cases.dtype_of(name)
            got = cases.flat(result, axis)
            # Layouts that give the same bits need no second look.
            if not any(np.array_equal(cases.bits(got), cases.bits(g)) for g in seen[quantity]):
                where = f"{quantity} {name} C={classes} {layout} {isa}"
                assert_within(got, true[quantity], BOUND[name], where)
                seen[quantity].append(got)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("classes", cases.CLASSES)
def test_segment(isa: str, classes: int, name: str) -> None:
    logits, true = pixels_of(classes, name)
    labels = cases.flat(logits, 0).argmax(0)
    for layout, array, axis in each_layout(classes, name):
        result = s2d.segment(array, axis=axis, outputs=OUTPUTS)
        where = f"{name} C={classes} {layout} {isa}"
        assert np.array_equal(result.labels.ravel(), labels), f"labels {where}"
        assert result.labels.dtype == np.min_scalar_type(classes - 1)
        for quantity, bound in (("confidence", 4), ("margin", 8), ("entropy", 8)):
            values = getattr(result, quantity)
            assert values.dtype == cases.value_dtype(name)
            assert_within(values.ravel(), true[quantity], bound, f"{quantity} {where}")
        entropy = result.entropy.astype(np.longdouble)
        assert (entropy >= 0).all() and (entropy <= np.log(np.longdouble(classes))).all()


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("classes", cases.CLASSES)
def test_confidence_is_the_largest_probability(isa: str, classes: int, name: str) -> None:
    logits, _ = pixels_of(classes, name)
    confidence = s2d.segment(logits).confidence
    assert np.array_equal(cases.bits(confidence), cases.bits(s2d.softmax2d(logits).max(0)))


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("classes", cases.CLASSES)
def test_top_k_are_the_probabilities_in_order(isa: str, classes: int, name: str) -> None:
    logits, true = pixels_of(classes, name)
    k = min(classes, 5)
    result = s2d.segment(logits, outputs=(), top_k=k)
    flat = cases.flat(logits, 0)
    order = np.argsort(-flat.astype(np.float64), axis=0, kind="stable")[:k]
    assert np.array_equal(cases.flat(result.top_labels, 0), order)
    want = np.take_along_axis(true["softmax"], order, 0)
    assert_within(cases.flat(result.top_probs, 0), want, 4, f"top_probs {name} {isa}")


@pytest.mark.parametrize("kind", sorted(cases.FINITE))
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_each_kind_alone(isa: str, kind: str, name: str) -> None:
    """Every adversarial kind without the others in the same vector."""
    for classes in (2, 5, 21):
        logits = cases.columns(kind, classes, 150, name).reshape(classes, 10, 15)
        true = truth.Pixels(cases.flat(logits, 0))
        where = f"{kind} {name} C={classes} {isa}"
        assert_within(cases.flat(s2d.softmax2d(logits), 0), true.softmax(), 4, f"softmax {where}")
        got = cases.flat(s2d.log_softmax2d(logits), 0)
        assert_within(got, true.log_softmax(), 4, f"log_softmax {where}")
        result = s2d.segment(logits, outputs=OUTPUTS)
        for quantity, bound in (("confidence", 4), ("margin", 8), ("entropy", 8)):
            want = getattr(true, quantity)()
            assert_within(getattr(result, quantity).ravel(), want, bound, f"{quantity} {where}")


def test_subnormal_probabilities_are_not_flushed(isa: str) -> None:
    for name, tiny in (("float32", 2.0**-126), ("float64", 2.0**-1022)):
        logits = cases.columns("subnormal_results", 19, 300, name).reshape(19, 20, 15)
        probs = s2d.softmax2d(logits)
        assert np.count_nonzero((probs > 0) & (probs < tiny)) > 100


def test_a_confident_pixel_keeps_its_logarithm(isa: str) -> None:
    """pytorch #113708: 84 % wrong at a lead of 17, exactly 0 from 18 on."""
    for lead in (17.0, 18.0, 50.0, 80.0):
        logits = np.array([lead, 0.0], np.float32).reshape(2, 1, 1)
        want = -np.log1p(np.exp(-np.longdouble(lead)))
        assert_within(s2d.log_softmax2d(logits)[0, 0], np.array([want]), 4, f"lead {lead}")


MAPS = {
    "temperature": (1.7, False),
    "cold": (0.25, False),
    "temperatures": ("per class", False),
    "bias": (1.0, True),
    "both": (3.0, True),
    "both_per_class": ("per class", True),
}


def map_of(name: str, classes: int) -> tuple[Any, Any]:
    """temperature and bias of an entry in ``MAPS``."""
    rng = np.random.default_rng([cases.SEED, classes])
    temperature, biased = MAPS[name]
    if temperature == "per class":
        temperature = rng.uniform(0.3, 3, classes)
    return temperature, rng.normal(0, 2, classes) if biased else None


@cache
def mapped_pixels(classes: int, name: str, map_name: str) -> Any:
    kinds = ("spread", "wide", "subnormal_results", "leader_17", "offset_up", "some_minus_inf")
    logits = np.concatenate([cases.columns(k, classes, 23, name) for k in kinds], axis=1)
    temperature, bias = map_of(map_name, classes)
    values = truth.mapped(logits, temperature, bias, cases.value_dtype(name).type)
    return logits.reshape(classes, 6, 23), values, truth.Pixels(values)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("map_name", sorted(MAPS))
def test_temperature_and_bias(isa: str, name: str, map_name: str) -> None:
    classes = 11
    logits, _, true = mapped_pixels(classes, name, map_name)
    temperature, bias = map_of(map_name, classes)
    options = {"temperature": temperature, "bias": bias}
    where = f"{name} {map_name} {isa}"
    probs = s2d.softmax2d(logits, **options)
    assert_within(cases.flat(probs, 0), true.softmax(), BOUND[name], f"softmax {where}")
    logs = s2d.log_softmax2d(logits, **options)
    assert_within(cases.flat(logs, 0), true.log_softmax(), BOUND[name], f"log_softmax {where}")
    result = s2d.segment(logits, outputs=OUTPUTS, top_k=3, **options)
    for quantity, bound in (("confidence", 4), ("margin", 8), ("entropy", 8)):
        want = getattr(true, quantity)()
        assert_within(getattr(result, quantity).ravel(), want, bound, f"{quantity} {where}")
    chosen = cases.flat(result.top_labels, 0).astype(np.intp)
    want = np.take_along_axis(true.softmax(), chosen, 0)
    assert_within(cases.flat(result.top_probs, 0), want, 4, f"top_probs {where}")
    assert (want >= np.sort(true.softmax(), axis=0)[::-1][:3]).all(), f"top_labels {where}"


@pytest.mark.parametrize("name", cases.DTYPES)
def test_labels_are_those_of_the_mapped_logits(isa: str, name: str) -> None:
    for map_name in ("temperatures", "bias", "both_per_class"):
        logits, values, _ = mapped_pixels(11, name, map_name)
        temperature, bias = map_of(map_name, 11)
        result = s2d.segment(logits, temperature=temperature, bias=bias, outputs="labels")
        assert np.array_equal(result.labels.ravel(), values.argmax(0))


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("temperature", [1e-3, 0.3, 1, 7, 1e30])
def test_a_single_temperature_never_changes_a_label(
    isa: str, name: str, temperature: float
) -> None:
    logits = cases.image(19, (9, 31), name)
    labels = s2d.segment(logits, temperature=temperature, outputs="labels").labels
    assert np.array_equal(labels, logits.argmax(0))


def test_one_value_for_all_classes_is_the_single_temperature(isa: str) -> None:
    logits = cases.columns("spread", 5, 40, "float32").reshape(5, 4, 10)
    single = s2d.softmax2d(logits, temperature=2.5)
    assert np.array_equal(single, s2d.softmax2d(logits, temperature=np.full(5, 2.5)))
    assert np.array_equal(s2d.softmax2d(logits, bias=np.zeros(5)), s2d.softmax2d(logits))


def test_minus_infinite_bias_rules_a_class_out(isa: str) -> None:
    logits = cases.columns("spread", 3, 40, "float32").reshape(3, 4, 10)
    probs = s2d.softmax2d(logits, bias=[0, -np.inf, 0])
    assert (probs[1] == 0).all()
    logits[1] = -np.inf
    assert np.array_equal(probs, s2d.softmax2d(logits))
    true = truth.Pixels(logits[[0, 2]].reshape(2, 40)).softmax()
    assert_within(probs[[0, 2]].reshape(2, 40), true, 4, isa)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_largest_logit_halfway_between_two_exponents(isa: str, name: str) -> None:
    """Where log2(e) m is k + 1/2, m may be reduced by k or by k + 1; nothing may mix the two."""
    dtype = np.dtype(name)
    halves = np.arange(-200, 200) + 0.5
    near = (halves * np.log(2)).astype(dtype)
    steps = np.arange(-3, 4)[:, None] * np.spacing(np.abs(near))
    tops = (near + steps).astype(dtype).ravel()
    logits = np.stack([tops - dtype.type(9), tops, tops - dtype.type(0.75)])
    true, probs = truth.Pixels(logits), s2d.softmax2d(logits, axis=0)
    found = s2d.segment(logits, axis=0, outputs=("confidence", "margin", "entropy"))
    assert np.array_equal(found.confidence, probs.max(0))
    assert_within(probs, true.softmax(), 4, f"softmax {isa}")
    assert_within(s2d.log_softmax2d(logits, axis=0), true.log_softmax(), 4, f"log {isa}")
    assert_within(found.margin, true.margin(), 8, f"margin {isa}")
    assert_within(found.entropy, true.entropy(), 8, f"entropy {isa}")


def test_the_best_that_float32_numpy_does_is_far_outside(isa: str) -> None:
    """The bound means something: the usual formula in float32 breaks it on the same logits."""
    logits = cases.columns("spread", 19, 2000, "float32")
    e = np.exp(logits - logits.max(0))
    usual = e / e.sum(0)
    true = truth.Pixels(logits).softmax()
    assert ulp_errors(usual, true).max() > 8
    assert ulp_errors(cases.flat(s2d.softmax2d(logits, axis=0), 0), true).max() <= 4
