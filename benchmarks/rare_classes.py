"""What each method for calibration and rare classes gains, and what it costs, in four tables.

    python -m benchmarks.rare_classes                 drawn street scenes (benchmarks/scenes.py)
    python -m benchmarks.rare_classes --docs          the same, into docs/rare-classes*.md
    python -m benchmarks.rare_classes --data val.npz --ignore-index 11 --prior .2,.3,.5

Everything is fitted on the first half of the images, in their order, and measured on the second.
With ``--data`` the file holds ``logits`` (N, C, h, w) and ``labels`` (N, H, W), and ``--prior`` the
shares of the classes in the data that the network was trained on.

Intervals are over images, nominally 95 %; those of a difference are measured on the same images for
both sides. Beside what was measured stands what the fits themselves say of it: the gain on the
images that they were made on, and the estimate of their cross-validation for others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import softmax2d as s2d
from benchmarks import documents, machine, scenes
from benchmarks.report import markdown
from softmax2d import balance, calibrate

Array = NDArray[Any]

TAUS = (0.1, 0.25, 0.5, 1.0)
REPLICATES = 1000
ACCURACY_LOST = 0.01  # of the accuracy, at most, for a higher mean accuracy


class Data(NamedTuple):
    """Logits and truth, halved, and what the network was trained on."""

    fit: tuple[Array, Array]
    test: tuple[Array, Array]
    ignore_index: int
    prior: Array
    names: Sequence[str]


class Method(NamedTuple):
    """One row: a map of the logits and how labels come of it."""

    name: str
    temperature: Any = 1.0
    bias: Any = None
    decode: str = "argmax"


class Fit(NamedTuple):
    """What a fit says of its gain, in the unit of its measure; NaN where there were no folds."""

    name: str
    measure: str
    seen: float  # on the images that it was made on
    estimated: float  # on others, by cross-validation over images
    error: float  # of that, where it is known


class Row(NamedTuple):
    """What a method gives on the second half."""

    name: str
    nll: Any
    ece: Any
    labels: dict[str, tuple[float, float, float]]
    worst_tenth: float  # IoU of the image that a tenth of the images fall short of
    recall: Array


def halved(logits: Array, target: Array, ignore_index: int, prior: Any, names: Any) -> Data:
    """The first and the second half of the images."""
    half = len(logits) // 2
    first, second = (logits[:half], target[:half]), (logits[half:], target[half:])
    return Data(first, second, ignore_index, np.asarray(prior, np.float64), names)


def _of_maps(fitted: dict[str, calibrate.Calibration]) -> list[Fit]:
    nan, found = float("nan"), []
    for name, each in fitted.items():
        checked = nan if each.nll_validated is None else each.nll_validated - each.nll_before
        found.append(Fit(name, "NLL", each.nll_after - each.nll_before, checked, nan))
    return found


def _of_biases(tuned: dict[str, balance.TunedBias]) -> list[Fit]:
    nan, found = float("nan"), []
    for name, each in tuned.items():
        chosen = each.found or each.after
        seen = each.goal.score(chosen) - each.goal.score(each.before)
        said = each.estimate
        known = (nan, nan) if said is None else (said.gain, said.gain_error)
        found.append(Fit(name, each.goal.name.replace("_", " "), seen, *known))
    return found


def methods(data: Data) -> tuple[list[Method], list[Fit]]:
    """Everything that is compared, fitted on the first half, and what the fits say."""
    how: dict[str, Any] = {"ignore_index": data.ignore_index}
    maps = {
        name: calibrate.fit(*data.fit, method=method, **how)
        for name, method in (
            ("temperature", "temperature"), ("vector", "vector"),
            ("temperature and biases", "temperature+bias"), ("bias for each class", "bias"),
        )
    }  # fmt: skip
    temperature, vector = maps["temperature"], maps["vector"]
    plain = s2d.evaluate(*data.fit, size=data.fit[1].shape[1:], **how).accuracy
    tuned = balance.tune_bias(*data.fit, goal="mean_iou", temperature=temperature, **how)
    bound = plain - ACCURACY_LOST
    careful = balance.tune_bias(
        *data.fit, goal="mean_accuracy", at_least_accuracy=bound, temperature=temperature, **how
    )
    # With biases the probabilities are for the shares of the data that these were fitted on.
    size, held = (
        data.test[1].shape[1:],
        balance.class_counts(data.fit[1], classes=len(data.prior), **how),
    )
    found = balance.estimate_prior(data.test[0], source_prior=held, temperature=vector, size=size)
    log_prior = balance.log_prior(data.prior)
    biases = {"bias tuned for mean IoU": tuned, "… for mean accuracy, −1 % accuracy": careful}
    rows = [
        Method("raw"),
        *(Method(name, each) for name, each in maps.items()),
        *(Method(f"logit adjustment, τ = {t:g}", temperature, -t * log_prior) for t in TAUS),
        *(Method(name, temperature, each.bias) for name, each in biases.items()),
        Method("prior by EM, on vector", vector, found.bias),
        Method("decoded for Dice", temperature, decode="dice"),
        Method("decoded for IoU", temperature, decode="iou"),
    ]
    return rows, [*_of_maps(maps), *_of_biases(biases)]


def confusions(data: Data, method: Method) -> Array:
    """Truth by label for every image, shape (N, C, C), int64."""
    logits, target = data.test
    classes = logits.shape[1]
    how = {"temperature": method.temperature, "bias": method.bias, "decode": method.decode}
    found = np.zeros((len(logits), classes, classes), np.int64)
    for i, (scores, truth) in enumerate(zip(logits, target, strict=True)):
        labels: Any = s2d.segment(scores, size=truth.shape, outputs="labels", **how).labels
        seen = truth != data.ignore_index
        pairs = truth[seen].astype(np.int64) * classes + labels[seen]
        found[i] = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return found


def measured(confusion: Array) -> dict[str, Array]:
    """Accuracy, mean accuracy and mean IoU of each of several matrices, shape (..., C, C)."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    truth, labels = confusion.sum(-1), confusion.sum(-2)
    with np.errstate(invalid="ignore"):
        recall, iou = right / truth, right / (truth + labels - right)
    return {
        "accuracy": right.sum(-1) / truth.sum(-1),
        "mean accuracy": np.nanmean(recall, -1),
        "mean IoU": np.nanmean(iou, -1),
    }


def in_draws(confusion: Array, draws: Array) -> dict[str, Array]:
    """Each measure in every draw of images; that of an image is of the classes in its truth."""
    drawn = (draws @ confusion.reshape(len(confusion), -1)).reshape(-1, *confusion.shape[1:])
    found, scores = measured(drawn), of_images(confusion)
    for name, measure in (("IoU of images", "iou"), ("Dice of images", "dice")):
        own = np.nan_to_num(scores.image_means(measure, present="truth"))
        found[name] = draws @ own / draws.sum(1)
    return found


def of_images(confusion: Array) -> s2d.ImageScores:
    """The scores of each image, from a matrix of truth by label for each."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    return s2d.ImageScores(confusion.sum(2), confusion.sum(1), right)


def intervals(drawn: dict[str, Array], raw: dict[str, Array]) -> dict[str, Any]:
    """Value and interval of each measure, and of the difference to ``raw`` in the same draws."""
    found = {}
    for name, values in drawn.items():
        for label, each in ((name, values), (f"Δ {name}", values - raw[name])):
            low, high = np.quantile(each[1:], (0.025, 0.975))
            found[label] = (float(each[0]), float(low), float(high))
    return found


def rows_of(data: Data, fitted: Sequence[Method], replicates: int = REPLICATES) -> list[Row]:
    """Every method, the first of them raw, measured on the second half."""
    images = len(data.test[0])
    random = np.random.default_rng(0)
    draws = np.vstack([
        np.ones((1, images), np.int64),
        random.multinomial(images, np.full(images, 1 / images), replicates),
    ])  # fmt: skip
    raw: dict[str, Array] = {}
    rows = []
    for method in fitted:
        confusion = confusions(data, method)
        whole, seen = confusion.sum(0), in_draws(confusion, draws)
        raw = raw or seen
        sure = calibrate.bootstrap(
            *data.test, measures=("nll", "ece"), temperature=method.temperature, bias=method.bias,
            ignore_index=data.ignore_index, replicates=replicates,
        )  # fmt: skip
        with np.errstate(invalid="ignore"):
            recall = whole.diagonal() / whole.sum(1)
        own = of_images(confusion).image_means("iou", present="truth")
        tenth = float(np.nanquantile(own, 0.1))
        found = intervals(seen, raw)
        rows.append(Row(method.name, sure["nll"], sure["ece"], found, tenth, recall))
    return rows


def _between(interval: Any, digits: int = 3, scale: float = 1) -> str:
    value, low, high = (scale * float(x) for x in interval)
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _changed(interval: Any) -> str:
    value, low, high = (100 * float(x) for x in interval)
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def tables(data: Data, rows: list[Row], fits: list[Fit]) -> dict[str, str]:
    """The blocks of the documents in Markdown, by name."""
    return {
        "rare-classes": _pooled(rows),
        "rare-classes-images": _by_images(rows),
        "rare-classes-folds": _promised(rows, fits),
        "rare-classes-recall": _recalls(data, rows),
    }


def _pooled(rows: list[Row]) -> str:
    """Measures of all pixels together."""
    head = ["method", "NLL", "ECE, %", "accuracy, %", "mean accuracy, %", "mean IoU, %",
            "change of mean IoU"]  # fmt: skip
    body = []
    for row in rows:
        found = row.labels
        cells = [_between(found[n], 1, 100) for n in ("accuracy", "mean accuracy", "mean IoU")]
        changes = "" if row.name == "raw" else _changed(found["Δ mean IoU"])
        body.append(
            [row.name, _between(row.nll[:3]), _between(row.ece[:3], 2, 100), *cells, changes]
        )
    return markdown(head, body)


def _by_images(rows: list[Row]) -> str:
    """Means over images of a score of each image."""
    names = ("IoU of images", "Dice of images")
    head = ["method", *(h for n in names for h in (f"{n}, %", "change")), "worst tenth, IoU, %"]
    body = []
    for row in rows:
        cells = []
        for name in names:
            cells.append(_between(row.labels[name], 1, 100))
            cells.append("" if row.name == "raw" else _changed(row.labels[f"Δ {name}"]))
        body.append([row.name, *cells, f"{100 * row.worst_tenth:.1f}"])
    return markdown(head, body)


def _promised(rows: list[Row], fits: list[Fit]) -> str:
    """What each fit says of its gain, and what was measured."""
    by_name, body = {row.name: row for row in rows}, []
    base = {"temperature": by_name["temperature"]}
    for fit in fits:
        scale, digits = (1, 3) if fit.measure == "NLL" else (100, 1)
        row = by_name[fit.name]
        if fit.measure == "NLL":
            measured_gain = row.nll[0] - by_name["raw"].nll[0]
        else:
            key = fit.measure.replace("iou", "IoU")
            measured_gain = row.labels[key][0] - base["temperature"].labels[key][0]
        said = "" if np.isnan(fit.estimated) else f"{scale * fit.estimated:+.{digits}f}"
        said += "" if np.isnan(fit.error) else f" ± {scale * fit.error:.{digits}f}"
        unit = (
            fit.measure if fit.measure == "NLL" else f"{fit.measure.replace('iou', 'IoU')}, points"
        )
        seen = f"{scale * fit.seen:+.{digits}f}"
        body.append([fit.name, unit, seen, said, f"{scale * measured_gain:+.{digits}f}"])
    head = ["fit", "change of", "on the images it saw", "on others, by folds", "on the second half"]
    return markdown(head, body)


def _recalls(data: Data, rows: list[Row]) -> str:
    truth = data.test[1]
    shares = np.bincount(truth[truth != data.ignore_index], minlength=len(data.names))
    shares = shares / shares.sum()
    recalls = [
        ["share of pixels", *(f"{100 * s:.2g}" for s in shares)],
        *([row.name, *(f"{100 * r:.1f}" for r in row.recall)] for row in rows),
    ]
    return markdown(["recall, %", *data.names], recalls)


def drawn(found: scenes.Scenes) -> Data:
    """The drawn scenes; the network's prior is that of the scenes it was trained on."""
    counts = balance.class_counts(found.train, ignore_index=scenes.VOID, classes=len(scenes.NAMES))
    prior = np.maximum(counts.pixels, 1)
    return halved(found.logits, found.target, scenes.VOID, prior, scenes.NAMES)


def _given(options: argparse.Namespace) -> Data:
    with np.load(options.data, allow_pickle=False) as file:
        logits, labels = file["logits"], file["labels"]
    prior = [float(x) for x in options.prior.split(",")]
    names = options.names.split(",") if options.names else [str(c) for c in range(len(prior))]
    return halved(logits, labels, options.ignore_index, prior, names)


def main() -> None:
    """Fit, measure, print, and on request write the tables into the documents."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rare_classes", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", type=Path, help="an .npz with logits and labels")
    parser.add_argument("--ignore-index", type=int, default=255)
    parser.add_argument("--prior", help="shares of the classes in the training data, a,b,c")
    parser.add_argument("--names", help="of the classes, a,b,c")
    parser.add_argument("--scenes", type=int, default=80, help="scenes to draw (80)")
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--json", type=Path, help="keep the numbers")
    parser.add_argument("--docs", action="store_true", help="write docs/rare-classes*.md")
    options = parser.parse_args()
    if options.data and not options.prior:
        parser.error("--data needs --prior")
    data = _given(options) if options.data else drawn(scenes.scenes(options.scenes))
    fitted, fits = methods(data)
    rows = rows_of(data, fitted, options.replicates)
    found = tables(data, rows, fits)
    print("\n\n".join(found.values()))
    if options.json:
        plain = [{**row._asdict(), "recall": row.recall.tolist()} for row in rows]
        options.json.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    if options.docs:
        for page in ("rare-classes.md", "rare-classes.zh.md"):
            documents.rewrite(machine.ROOT / "docs" / page, found, partly=True)


if __name__ == "__main__":
    main()
