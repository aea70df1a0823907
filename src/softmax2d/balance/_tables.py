"""What the reports of this package say and draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softmax2d._report.charts import Bars, Curve
from softmax2d._report.figure import Figure
from softmax2d._report.text import Rows, counted, number

if TYPE_CHECKING:
    from softmax2d.balance._class_counts import ClassCounts
    from softmax2d.balance._estimated import EstimatedPrior
    from softmax2d.balance._tuned import TunedBias

_LISTED = 40  # candidates of a curve, at most, that a table lists


def listed(names: Sequence[str] | None, classes: int) -> list[str]:
    """One printable name for each class; its number where there is none."""
    given = [str(c) for c in range(classes)] if names is None else names
    return ["".join(c if c.isprintable() else " " for c in name) for name in given]


def share(value: float) -> str:
    """A share with four digits that count."""
    return "–" if np.isnan(value) else f"{value:.4g}"


def counts_figure(counts: ClassCounts, title: str = "Class counts") -> Figure:
    """Pixels and images of each class, and bars of their shares."""
    names = listed(counts.names, counts.classes)
    lines = [f"{counted(counts.total, 'pixel')} in {counted(counts.images, 'image')}"]
    if counts.ignored:
        lines[0] += f", {counts.ignored} more ignored"
    if missing := [names[c] for c in np.flatnonzero(counts.pixels == 0)]:
        lines.append(f"without a pixel: {', '.join(missing)}")
    rows: Rows = [["class", "pixels", "share", "images", "share of its images"]]
    inside = _ratio(counts.pixels, counts.pixels_with)
    for c, name in enumerate(names):
        pixels, images = str(counts.pixels[c]), str(counts.images_with[c])
        rows.append([name, pixels, share(counts.shares[c]), images, share(inside[c])])
    series = [("of all pixels", counts.shares.tolist()), ("of its images", inside.tolist())]
    bars = Bars("Share of each class", names, series)
    return Figure(title, lines, [("", rows)], [bars], {"counts": counts.to_dict()})


def _ratio(above: Any, below: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return np.true_divide(above, below)


def weights_figure(
    weights: Any, counts: ClassCounts, method: str, title: str = "Class weights"
) -> Figure:
    """The weights by class, as a table and as bars."""
    names = listed(counts.names, counts.classes)
    rows: Rows = [["class", "weight", "pixels", "share"]]
    for c, name in enumerate(names):
        numbers = f"{weights[c]:.6g}", str(counts.pixels[c]), share(counts.shares[c])
        rows.append([name, *numbers])
    drawn: list[Bars | Curve] = [Bars("Weight of each class", names, [(method, weights.tolist())])]
    plain = {"method": method, "weights": weights.tolist(), "classes": names}
    return Figure(title, [f"method {method}"], [("", rows)], drawn, plain)


def tuned_figure(tuned: TunedBias, title: str = "Tuned bias") -> Figure:
    """Before and after, a row for each class, and the trade-off."""
    names = listed(tuned.names, len(tuned.bias))
    before, after = tuned.before, tuned.after
    lines = [
        f"goal: {tuned.goal.told(names)}",
        f"chosen on {counted(int(tuned.pixels.sum()), 'pixel')} in "
        f"{counted(tuned.images, 'image')} by {counted(tuned.passes, 'pass')}".replace(
            "passs", "passe"
        ),
        "measured on the data it was chosen on: expect less elsewhere",
    ]
    if tuned.tau is not None:
        lines.insert(1, f"tau: {tuned.tau:g}")
    if not tuned.converged:
        lines.append("not converged: more sweeps may find more")
    totals: Rows = [["", "before", "after", "change"]]
    for name in ("accuracy", "mean_accuracy", "mean_iou"):
        totals.append(
            [name.replace("_", " "), *_change(getattr(before, name), getattr(after, name))]
        )
    totals.append(["negative log-likelihood", *_change(*tuned.nll)])
    rows: Rows = [
        ["class", "bias", "recall", "after", "change", "IoU", "after", "change", "pixels"]
    ]
    for c, name in enumerate(names):
        measures = (
            *_change(before.recall[c], after.recall[c]),
            *_change(before.iou[c], after.iou[c]),
        )
        rows.append([name, f"{after.bias[c]:+.4f}", *measures, str(tuned.pixels[c])])
    tables = [("", totals), ("Classes", rows), ("Trade-off", _curve_rows(tuned))]
    series = [("before", before.recall.tolist()), ("after", after.recall.tolist())]
    drawn: list[Bars | Curve] = [_trade_off(tuned, names), Bars("Recall", names, series)]
    return Figure(title, lines, tables, drawn, {"tuned": tuned.to_dict()})


def _change(before: float, after: float) -> list[str]:
    change = after - before
    return [number(before), number(after), "–" if np.isnan(change) else f"{change:+.4f}"]


def _curve_rows(tuned: TunedBias) -> Rows:
    """The curve, thinned where it is long."""
    taus = tuned.family == "tau"
    rows: Rows = [["tau" if taus else "", "accuracy", "mean accuracy", "mean IoU", "goal"]]
    curve = tuned.curve
    if len(curve) > _LISTED:
        curve = tuple(curve[i] for i in np.linspace(0, len(curve) - 1, _LISTED).astype(int))
    for c in curve:
        first = f"{c.tau:g}" if c.tau is not None else ""
        values = c.accuracy, c.mean_accuracy, c.mean_iou, tuned.goal.score(c)
        rows.append([first, *map(number, values)])
    return rows


def _trade_off(tuned: TunedBias, names: list[str]) -> Curve:
    goal = tuned.goal
    marks = [
        (name, c.accuracy, goal.score(c))
        for name, c in (("before", tuned.before), ("after", tuned.after))
    ]
    xs, ys = [c.accuracy for c in tuned.curve], [goal.score(c) for c in tuned.curve]
    told = goal.told(names).split(", accuracy")[0]
    return Curve("Trade-off", "accuracy", told, [(told, xs, ys)], marks)


def prior_figure(found: EstimatedPrior, title: str = "Estimated prior") -> Figure:
    """Source and estimate by class, the likelihood's course, and what to beware of."""
    names = listed(found.names, len(found.prior))
    state = "converged" if found.converged else "not converged"
    lines = [
        f"{counted(found.pixels, 'pixel')}, {state} after {found.iterations} steps, "
        f"{found.passes} passes; log-likelihood {found.log_likelihoods[-1]:.6g} nats a pixel",
        *(f"beware: {warning}" for warning in found.warnings),
    ]
    rows: Rows = [["class", "source", "estimate", "mean probability", "bias"]]
    for c, name in enumerate(names):
        values = map(share, (found.source_prior[c], found.prior[c], found.mean_posterior[c]))
        rows.append([name, *values, f"{found.bias[c]:+.4f}"])
    series = [("source", found.source_prior.tolist()), ("estimate", found.prior.tolist())]
    steps = list(map(float, range(len(found.log_likelihoods))))
    course = [("log-likelihood", steps, list(found.log_likelihoods))]
    drawn: list[Bars | Curve] = [
        Bars("Share of each class", names, series),
        Curve("Convergence", "step", "log-likelihood (nats a pixel)", course),
    ]
    return Figure(title, lines, [("", rows)], drawn, {"estimated": found.to_dict()})
