"""Targets that change after they were checked: refused or counted, never other memory.

The kernels get indices that no gate has seen; a core that changes what it has just counted plays
the other thread; and threads write to what others read. scripts/sanitize.sh runs all of it under
the address sanitizer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import _core, balance, calibrate
from softmax2d._exact_sums import new_sums
from softmax2d._gate import targets
from softmax2d._gate.logits import logits_of
from softmax2d._gate.options import Resampling

CLASSES, OWN, SIZE = 3, (9, 31), (18, 62)
NONE_NOW = "a pixel that was a class is none now. Pass a copy, or write to it later."
BAD = {  # by type: the number of classes, the ends of the type, what narrowing would make a class
    "u1": (3, 255),
    "i1": (3, -1, -128, 127),
    "u2": (3, 256, 65535),
    "i2": (-1, 256),
    "u4": (3, 2**32 - 1, 2**31),
    "i4": (3, -1, -(2**31), 2**31 - 1),
    "i8": (3, -1, 2**32, 2**32 + 1, 2**63 - 1, -(2**63), 2**40),
}


def scores(dtype: Any = np.float32, own: tuple[int, ...] = OWN) -> Any:
    return np.random.default_rng(0).normal(0, 2, (CLASSES, *own)).astype(dtype)


def kernels(logits: Any, truth: Any, size: Any) -> dict[str, Callable[[], Any]]:
    """Every kernel that reads a target, by name."""
    source = logits_of("test", logits, 0, 1.0, None, Resampling(size))
    a, wide, code = source.arguments(), source.wide, _core.FLOAT32
    code = _core.FLOAT64 if wide is np.float64 else code
    weight, slopes = np.array([1.0, 2.0, 0.5]), tuple(np.zeros((3, CLASSES)))
    bins, given = (CLASSES, _core.HISTOGRAM_BINS), np.zeros((2, CLASSES), np.int64)

    def loss(*terms: Any, grad: bool = False, each: bool = False) -> None:
        losses = np.empty(source.shape, wide) if each else None
        found = source.new_grad() if grad else None
        _core.loss(a, truth, terms, losses, found, code if grad else -1, new_sums(wide))

    def statistics() -> None:
        top, each = np.zeros((3, 5), np.int64), np.zeros((3, CLASSES, 5), np.int64)
        confusion = np.zeros((CLASSES, CLASSES), np.int64)
        _core.statistics(a, truth, 5, (confusion, top, each, new_sums(), new_sums()))

    def fit(by_class: bool) -> None:
        sums = np.stack([new_sums(wide) for _ in range(4)])
        each = np.zeros((CLASSES, 4, 2), np.int64) if by_class else None
        _core.fit(a, truth, weight, sums, np.zeros((2, CLASSES), np.int64), each)

    def shift() -> None:
        counts = np.zeros((2, CLASSES, 3), np.int64)
        _core.shift(a, truth, 1, np.array([0.0, 1.0]), (*counts, np.zeros(3, np.int64)))

    return {
        "loss": lambda: loss(weight, 1.0, None, 0.0, 0.0, None, each=True),
        "gradient": lambda: loss(weight, 1.0, None, 0.0, 0.0, (0.1, 0.5), grad=True),
        "soft loss": lambda: loss(weight, 1.0, None, 0.1, 2.0, None, grad=True, each=True),
        "region sums": lambda: _core.region_sums(a, truth, True, np.zeros((3, CLASSES))),
        "region gradient": lambda: _core.region_grad(a, truth, slopes, source.new_grad(), code),
        "statistics": statistics,
        "fit": lambda: fit(False),
        "fit of classes": lambda: fit(True),
        "shift": shift,
        "curves": lambda: _core.curves(
            a, truth, tuple(np.zeros((4, CLASSES, _core.CURVE_BINS), np.int64))
        ),
        "histogram": lambda: _core.histogram(
            a, truth, *np.zeros((2, *bins), np.int64), tuple(given)
        ),
        "decisions": lambda: _core.decide(
            a, truth, (np.array([1]), *np.ones((2, 1))), (None, None), 1, tuple(given)
        ),
    }


@pytest.mark.parametrize("size", [None, SIZE])
@pytest.mark.parametrize("wide", [np.float32, np.float64])
@pytest.mark.parametrize("integer", BAD)
def test_kernels_bound_each_index(isa: str, integer: str, wide: Any, size: Any) -> None:
    target = np.zeros(size or OWN, integer)
    truth = target, integer[0] == "i", 100, "it changed"
    for name, run in kernels(scores(wide), truth, size).items():
        target[...] = 1
        target[0, :3] = 100
        run()
        for value in BAD[integer]:
            target[-1, -1] = value
            with pytest.raises(ValueError, match=NONE_NOW) as caught:
                run()
            assert str(caught.value) == f"it changed; {NONE_NOW}", name
            target[...] = value
            with pytest.raises(ValueError, match="it changed"):
                run()


def test_an_index_that_is_ignored_is_no_error_whatever_it_is() -> None:
    for integer, ignored in (("i8", -(2**63)), ("i8", 2**32), ("i2", -1), ("u1", 1), ("i4", 2)):
        target = np.zeros(OWN, integer)
        target[0] = ignored
        for run in kernels(scores(), (target, integer[0] == "i", ignored), None).values():
            run()


def test_minus_one_is_no_class_where_nothing_is_ignored() -> None:
    target = np.full(OWN, -1, np.int8)
    for run in kernels(scores(), (target, True, None), None).values():
        with pytest.raises(ValueError, match="^target changed; a pixel that was a class"):
            run()


class ChangingCore:
    """The core whose count of a target is followed by a change of the target."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __getattr__(self, name: str) -> Any:
        return getattr(_core, name)

    def count_targets(self, target: Any, *options: Any) -> Any:
        found = _core.count_targets(target, *options)
        target[..., -1:] = self.value
        return found


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "cross_entropy2d": s2d.cross_entropy2d,
    "cross_entropy2d_with_grad": s2d.cross_entropy2d_with_grad,
    "dice_loss2d": s2d.dice_loss2d,
    "dice_loss2d_with_grad": s2d.dice_loss2d_with_grad,
    "jaccard_loss2d": s2d.jaccard_loss2d,
    "tversky_loss2d_with_grad": s2d.tversky_loss2d_with_grad,
    "evaluate": s2d.evaluate,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("value", [3, 200])
def test_a_change_during_a_call_is_refused(
    name: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "core", ChangingCore(value))
    for shape in (OWN, SIZE):
        with pytest.raises(ValueError, match=NONE_NOW) as caught:
            FUNCTIONS[name](scores(), np.ones(shape, np.uint8))
        assert str(caught.value) == f"{name}: target changed during the call; {NONE_NOW}"


def test_hardest_pixels_and_probabilities_of_a_changed_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(targets, "core", ChangingCore(200))
    for options in ({"top_k": 0.5}, {"threshold": 0.7}, {"label_smoothing": 0.1}):
        with pytest.raises(ValueError, match="target changed during the call"):
            s2d.cross_entropy2d(scores(), np.ones(OWN, np.uint8), **options)  # type: ignore[arg-type]


def test_lovasz_keeps_the_target_that_it_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    target = np.random.default_rng(1).integers(0, CLASSES, OWN).astype(np.uint8)
    before = target.copy()
    expected, grad = s2d.lovasz_softmax_loss2d_with_grad(scores(), target)

    class Overwriting(ChangingCore):
        def count_targets(self, given: Any, *options: Any) -> Any:
            target[...] = self.value
            return _core.count_targets(given, *options)

    monkeypatch.setattr(targets, "core", Overwriting(200))
    found, found_grad = s2d.lovasz_softmax_loss2d_with_grad(scores(), target)
    assert found == expected
    assert np.array_equal(found_grad, grad)
    assert not np.array_equal(before, target)


def test_passes_over_data_that_changes_name_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, truth = scores(np.float64), np.ones(OWN, np.uint8)
    for call in (
        lambda: calibrate.fit(logits, truth),
        lambda: calibrate.fit_local(logits, truth),
        lambda: balance.tune_bias(logits, truth, family="classes"),
    ):
        truth[...] = 1
        with monkeypatch.context() as patch:
            patch.setattr(targets, "core", ChangingCore(200))
            with pytest.raises(ValueError, match=NONE_NOW) as caught:
                call()
        assert str(caught.value) == f"target: changed while it was read; {NONE_NOW}"


def test_lazy_evaluation_names_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    da = pytest.importorskip("dask.array")
    from softmax2d.dask import _evaluate, evaluate

    monkeypatch.setattr(_evaluate, "core", ChangingCore(200))
    lazy = da.from_array(scores(), chunks=(CLASSES, *OWN))
    found = evaluate(lazy, np.ones(OWN, np.uint8))
    with pytest.raises(ValueError, match="^evaluate: target changed during the call; a pixel"):
        found.compute(scheduler="synchronous")


def test_tables_and_rules_address_nothing_else() -> None:
    logits = scores()
    low, share = np.array([0, 3, 8]), np.array([0.5, 0.5, 0.0])
    good = (low, share), (np.array([0]), np.zeros(1))
    out = np.zeros((3, 1), np.uint8)
    results = out, None, None, None, None, None
    _core.segment((logits, _core.FLOAT32, 0, None, good), results, 1, 0)
    for bad in ([0, 3, 9], [-1, 3, 8], [0, 8, 3], [0, 3, 2**62]):
        tables = (np.array(bad), share), good[1]
        with pytest.raises(ValueError, match="a table leaves the logits"):
            _core.segment((logits, _core.FLOAT32, 0, None, tables), results, 1, 0)
    with pytest.raises(ValueError, match="a table leaves the logits"):
        tables = (low, np.array([0.5, 0.5, np.nan])), good[1]
        _core.segment((logits, _core.FLOAT32, 0, None, tables), results, 1, 0)
    start, one = (logits, _core.FLOAT32, 0, None, None), np.ones(1)
    for label in (-1, CLASSES, 2**40):
        rule = np.array([label]), one, one
        with pytest.raises(ValueError, match="no such class"):
            _core.decide(start, None, rule, (np.zeros(OWN, np.uint8), None), 1, None)


def test_arrays_that_do_not_fit_are_refused_by_the_core() -> None:
    start, sums = (scores(), _core.FLOAT32, 0, None, None), new_sums()
    plain = None, 1.0, None, 0.0, 0.0, None
    truth = np.zeros(OWN, np.uint8)
    with pytest.raises(ValueError, match="another number of pixels"):
        _core.loss(start, (truth[:-1].copy(), False, None), plain, None, None, -1, sums)
    with pytest.raises(ValueError, match="too short"):
        _core.loss(start, (truth, False, None), (np.ones(2), *plain[1:]), None, None, -1, sums)
    soft = np.zeros((CLASSES, 4, 4), np.float32), _core.PROBS + _core.FLOAT32, None
    with pytest.raises(ValueError, match="different shapes"):
        _core.loss(start, soft, plain, None, None, -1, sums)


def readers(logits: Any, target: Any, labels: Any, weight: Any) -> list[Callable[[], Any]]:
    """Calls of all that reads a target."""
    bins = {"bins": 4, "ignore_index": 100}
    return [
        lambda: s2d.cross_entropy2d(logits, target, weight=weight, ignore_index=100),
        lambda: s2d.cross_entropy2d_with_grad(logits, target, top_k=0.3),
        lambda: s2d.cross_entropy2d_with_grad(logits, target, label_smoothing=0.1, focal_gamma=2),
        lambda: s2d.dice_loss2d_with_grad(logits, target, weight=weight),
        lambda: s2d.lovasz_softmax_loss2d_with_grad(logits, target, ignore_index=100),
        lambda: s2d.evaluate(logits, target, **bins),
        lambda: s2d.evaluate_labels(labels, target),
        lambda: s2d.evaluate_labels(labels, target, classes=CLASSES, ignore_index=100),
        lambda: balance.class_counts(target),
        lambda: balance.class_counts(target, classes=CLASSES, ignore_index=100),
        lambda: calibrate.fit(logits, target),
        lambda: balance.tune_bias(logits, target, family="classes", sweeps=1),
        lambda: s2d.segment(logits, bias=weight, top_k=2, decode="argmax"),
        lambda: s2d.segment(logits, bias=weight, decode="dice", outputs=("labels", "confidence")),
    ]


@pytest.mark.parametrize("integer", ["u1", "i8"])
@pytest.mark.parametrize("own", [SIZE, OWN])
def test_threads_may_write_to_what_others_read(integer: str, own: tuple[int, int]) -> None:
    """A thread writes classes and garbage; what the others get is a result or a ValueError."""
    rng, stop = np.random.default_rng(2), threading.Event()
    target = rng.integers(0, CLASSES, SIZE).astype(integer)
    labels, weight = target.copy(), np.ones(CLASSES)
    good = target.copy()

    def write() -> None:
        while not stop.is_set():
            for value in BAD[integer]:
                target[::2] = value
                labels[::3] = value
                weight[1] = float(value % 7)
                target[...] = good
                labels[...] = good
                time.sleep(0)

    wrong: list[BaseException] = []
    calls = readers(scores(own=own), target, labels, weight)

    def read(turn: int) -> None:
        end, number = time.monotonic() + 0.4, turn
        try:
            while time.monotonic() < end or number < turn + len(calls):
                with suppress(ValueError):
                    calls[number % len(calls)]()
                number += 1
        except BaseException as error:  # noqa: BLE001 - shown by the test
            wrong.append(error)

    threads = [threading.Thread(target=write)]
    threads += [threading.Thread(target=read, args=(turn,)) for turn in (0, 7)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join()
    stop.set()
    threads[0].join()
    assert not wrong, wrong
