"""Saved results whose JSON holds what no number, list or text of ours is."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import balance, calibrate
from softmax2d.stream import Refused


def _nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


ODD = [10**400, 10**5000, -(10**400), 2**70, 2**63, 2**62, -1, 1e308, float("nan"), float("inf")]
ODD += [_nested(900), {"a": _nested(900)}, [1, [2]], [[]], [None], [], {}, "x", "\ud800", "", None]


@cache
def _results() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (8, 8))
    logits = np.eye(3)[truth].transpose(2, 0, 1) + rng.normal(size=(3, 8, 8))
    return {
        "tuned": balance.tune_bias(logits, truth, sweeps=1),
        "counts": balance.class_counts(truth, classes=3),
        "prior": balance.estimate_prior(logits, source_prior=[0.3, 0.3, 0.4]),
        "statistics": s2d.evaluate(logits, truth),
        "calibration": calibrate.fit(logits, truth, method="vector"),
        "local": calibrate.fit_local(logits, truth, by="confidence"),
    }


def _places(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """Where something stands in nested JSON; of a list, its first and its last entry."""
    if path:
        yield path
    if isinstance(value, dict):
        for name in value:
            yield from _places(value[name], (*path, name))
    elif isinstance(value, list) and value:
        for i in {0, len(value) - 1}:
            yield from _places(value[i], (*path, i))


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    found = inner = copy.deepcopy(value)
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return found


@pytest.mark.parametrize("name", ["tuned", "counts", "prior", "statistics", "calibration", "local"])
def test_odd_values_are_refused_in_our_words_or_can_be_used(name: str) -> None:
    kind, plain = type(_results()[name]), json.loads(_results()[name].to_json())
    refused: list[str] = []
    for path in _places(plain):
        for odd in ODD:
            try:
                found = kind.from_dict(_changed(plain, path, odd))
            except (TypeError, ValueError) as error:
                refused.append(str(error))
                continue
            found.to_json()
            if hasattr(found, "figure"):
                found.figure().text()
    ours = re.compile(f"{kind.__name__}: .*( must |expected an object|goal names|needs at_least)")
    assert [said for said in refused if not ours.match(said) or len(said) > 250] == []
    assert len(refused) > 200


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda d: d["confusion"][0].__setitem__(0, 2**70),
            r"confusion must be counts below 2\^63",
        ),
        (lambda d: d["confusion"].__setitem__(0, [1]), r"confusion must have shape \(C, C\)"),
        (lambda d: d["class_sums"][0].__setitem__(0, [1]), "class_sums must have shape"),
        (lambda d: d["top_sums"][2].__setitem__(0, 99), "must not have more right labels"),
        (lambda d: d["confusion"].__setitem__(0, [2**62] * 3), r"fewer than 2\^63 pixels"),
        (lambda d: d.__setitem__("images", 2**64), "images must be a count"),
        (lambda d: d["nll_sum"].__setitem__("units", 2**600), "a sum must have three counts"),
    ],
)
def test_counts_that_no_statistics_have(change: Any, text: str) -> None:
    plain = _results()["statistics"].to_dict()
    change(plain)
    with pytest.raises(ValueError, match=f"^Statistics: .*{text}"):
        s2d.Statistics.from_dict(plain)


@pytest.mark.parametrize(("digits", "text"), [(400, "nll must be two"), (9000, "no JSON that can")])
def test_integers_of_many_digits_in_a_file(tmp_path: Any, digits: int, text: str) -> None:
    path = tmp_path / "tuned.json"
    plain = _results()["tuned"].to_dict() | {"nll": [0, "here"]}
    path.write_text(json.dumps(plain).replace('"here"', "1" * digits))
    with pytest.raises(Refused, match=text) as error:
        balance.TunedBias.load(path)
    assert len(str(error.value)) < 250 + len(str(path))


def test_shares_and_counts_past_all_bounds() -> None:
    prior = _results()["prior"].to_dict() | {"prior": [1e308, 0, 0]}
    with pytest.raises(ValueError, match="EstimatedPrior: .* must be shares"):
        balance.EstimatedPrior.from_dict(prior)
    counts = _results()["counts"].to_dict()
    counts |= {name: [2**62] * 3 for name in ("pixels", "pixels_with")}
    with pytest.raises(ValueError, match=r"ClassCounts: pixels must be fewer than 2\^63 in all"):
        balance.ClassCounts.from_dict(counts)
