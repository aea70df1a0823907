"""Calibration, rare classes, and the adapters that need none of their tools."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np

import softmax2d as s2d
from golden_cases.inputs import (
    file_text,
    finite,
    labels,
)
from softmax2d import balance, calibrate


def scene(seed: int = 0) -> tuple[Any, Any]:
    """Overconfident logits of rare classes (3, 4, 20, 24), and the truth."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.6, 0.25, 0.1, 0.05])
    target = rng.choice(4, (3, 20, 24), p=shares)
    seen = 1.8 * np.eye(4)[target] + rng.normal(0, 1, (3, 20, 24, 4))
    logits = np.moveaxis(2 * (seen * 1.8 + np.log(shares)), -1, 1).astype(np.float32)
    return np.ascontiguousarray(logits), target.astype(np.uint8)


def kept(r: Any, name: str, value: Any) -> None:
    """The file that ``save`` writes, what ``load`` makes of it, and reports of each kind."""
    if value is None:
        return
    path = r.folder / "saved.json"
    r.case(f"{name}, save", value.save, path)
    r.note(f"{name}, file", file_text(path))
    r.case(f"{name}, load", type(value).load, path)
    if hasattr(value, "report"):
        r.case(f"{name}, report", value.report)
        for suffix in ("html", "txt", "json", "png"):
            report = r.folder / f"saved-report.{suffix}"
            r.case(f"{name}, save_report, {suffix}", value.save_report, report)
            r.note(f"{name}, save_report, {suffix}, file", file_text(report))


def record_calibrate(r: Any) -> None:
    """Fitted maps and measured intervals."""
    z, t = scene()
    small, names = z[:, :, ::2, ::2], list("abcd")
    t[:, :2] = 255
    both = {"ignore_index": 255}
    for method in ("temperature", "vector", "bias", "temperature+bias"):
        for word, options in (
            ("plain", {}), ("weight", {"weight": [1, 2, 3, 4.0]}),
            ("range", {"temperature_range": (0.5, 1.5), "iterations": 3, "class_names": names}),
        ):  # fmt: skip
            found = r.case(f"calibrate/fit/{method}, {word}", calibrate.fit, z, t, method=method,
                           **options, **both)  # fmt: skip
            kept(r, f"calibrate/fit/{method}, {word}", found)
        r.case(f"calibrate/fit/{method}, size", calibrate.fit, small, t, method=method, **both)
        r.case(f"calibrate/fit/{method}, last", calibrate.fit, np.moveaxis(small, 1, -1), t,
               method=method, axis=-1, interpolation="nearest", **both)  # fmt: skip
    r.case("calibrate/fit/pairs", calibrate.fit, list(zip(z, t, strict=True)), **both)
    np.save(r.folder / "z.npy", z)
    np.save(r.folder / "t.npy", t)
    r.case("calibrate/fit/files", calibrate.fit, r.folder / "z.npy", r.folder / "t.npy", **both)
    for by in ("confidence", "boundary"):
        found = r.case(f"calibrate/fit_local/{by}", calibrate.fit_local, z, t, by=by, **both)
        kept(r, f"calibrate/fit_local/{by}", found)
        if found is not None:
            r.case(f"calibrate/fit_local/{by}, segment", found.segment, z)
            r.case(f"calibrate/fit_local/{by}, segment, size", found.segment, small, size=(20, 24))
    few = {"replicates": 50, **both}
    r.case("calibrate/bootstrap", calibrate.bootstrap, z, t, measures=calibrate.MEASURES, **few)
    r.case("calibrate/bootstrap/map", calibrate.bootstrap, z, t, temperature=2.0, seed=3, **few)
    r.case("calibrate/compare", calibrate.compare, z, t, second=2.0, level=0.9, **few)
    counted = s2d.evaluate(z, t, **both)
    r.case("calibrate/adaptive", calibrate.adaptive_calibration_error, counted)
    for word, bad in BAD_CALIBRATION.items():
        r.case(f"calibrate/bad/{word}", bad, z, t)


BAD_CALIBRATION = {
    "method": lambda z, t: calibrate.fit(z, t, method="platt"),
    "weight": lambda z, t: calibrate.fit(z, t, weight=[1, 2]),
    "negative weight": lambda z, t: calibrate.fit(z, t, weight=[1, 2, 3, -4]),
    "range": lambda z, t: calibrate.fit(z, t, temperature_range=(2, 1)),
    "iterations": lambda z, t: calibrate.fit(z, t, iterations=0),
    "no target": lambda z, *_: calibrate.fit(z),
    "shape": lambda z, t: calibrate.fit(z, t[0]),
    "labels": calibrate.fit,
    "names": lambda z, t: calibrate.fit(z, t, ignore_index=255, class_names=["a"]),
    "memory": lambda z, t: calibrate.fit(z, t, ignore_index=255, memory="much"),
    "workers": lambda z, t: calibrate.fit(z, t, ignore_index=255, workers=0),
    "key": lambda z, t: calibrate.fit(z, t, ignore_index=255, key="a"),
    "by": lambda z, t: calibrate.fit_local(z, t, by="size"),
    "bins": lambda z, t: calibrate.fit_local(z, t, bins=[0.5, 0.5]),
    "measures": lambda z, t: calibrate.bootstrap(z, t, measures="beauty"),
    "replicates": lambda z, t: calibrate.bootstrap(z, t, replicates=0),
    "level": lambda z, t: calibrate.bootstrap(z, t, level=1.0),
    "one image": lambda z, t: calibrate.bootstrap(z[0], t[0], ignore_index=255),
    "Calibration": lambda z, t: calibrate.Calibration(-1.0, None, "temperature", (1,)),
    "Calibration method": lambda z, t: calibrate.Calibration(1.0, None, "x", (1,)),
    "from_dict": lambda z, t: calibrate.Calibration.from_dict({"format": "x"}),
    "from_dict list": lambda z, t: calibrate.Calibration.from_dict([]),
    "load": lambda z, t: calibrate.Calibration.load("/nowhere/c.json"),
}


def record_balance(r: Any) -> None:
    """Counts, weights, priors and biases."""
    z, t = scene()
    t[:, :2] = 255
    counts = r.case("balance/class_counts", balance.class_counts, t, ignore_index=255)
    kept(r, "balance/class_counts", counts)
    many = balance.class_counts(list(t), classes=6, ignore_index=255, names=list("abcdef"))
    kept(r, "balance/class_counts, names", many)
    r.note("balance/class_counts, sum", counts + counts)
    for method, normalize in itertools.product(
        ("inverse", "median", "enet", "effective", "x"), ("none", "mean", "sum", "x")
    ):
        key = f"balance/class_weights/{method}, {normalize}"
        r.case(key, balance.class_weights, counts, method, normalize=normalize)
    for word, options in (("plain", {}), ("tau", {"tau": 0.5}), ("smooth", {"smoothing": 1.0})):
        for what, of in (("counts", counts), ("shares", [0.5, 0.3, 0.2]), ("zero", [0.5, 0.0])):
            r.case(f"balance/log_prior/{word}, {what}", balance.log_prior, of, **options)
    prior = [0.25] * 4
    for word, options in (
        ("plain", {}), ("temperature", {"temperature": 2.0}), ("few", {"max_passes": 3}),
        ("held out", {"held_out": (z[:1], t[:1]), "ignore_index": 255}),
        ("size", {"size": (30, 30)}), ("bias", {"bias": [0, 1, 0, 1.0], "names": list("abcd")}),
    ):  # fmt: skip
        key = f"balance/estimate_prior/{word}"
        kept(r, key, r.case(key, balance.estimate_prior, z, source_prior=prior, **options))
    for word, options in (
        ("plain", {}), ("accuracy", {"goal": "mean_accuracy", "at_least_accuracy": 0.6}),
        ("recall", {"goal": ("recall", [2, 3]), "names": list("abcd"), "sweeps": 2}),
        ("tau", {"family": "tau", "prior": counts}), ("start", {"start": [0, 1, 0, 1.0]}),
        ("taus", {"family": "tau", "prior": [0.4, 0.3, 0.2, 0.1], "taus": [0, 0.5, 1.0]}),
    ):  # fmt: skip
        key = f"balance/tune_bias/{word}"
        found = r.case(key, balance.tune_bias, z, t, ignore_index=255, **options)
        kept(r, key, found)
        if found is not None:
            r.note(f"{key}, calibration", found.calibration())
    for word, bad in BAD_BALANCE.items():
        r.case(f"balance/bad/{word}", bad, z, t, counts)


BAD_BALANCE = {
    "goal": lambda z, t, n: balance.tune_bias(z, t, goal="beauty"),
    "goal classes": lambda z, t, n: balance.tune_bias(z, t, goal=("recall", [9])),
    "family": lambda z, t, n: balance.tune_bias(z, t, family="x"),
    "tau without prior": lambda z, t, n: balance.tune_bias(z, t, family="tau"),
    "accuracy": lambda z, t, n: balance.tune_bias(z, t, at_least_accuracy=2),
    "sweeps": lambda z, t, n: balance.tune_bias(z, t, sweeps=0),
    "start": lambda z, t, n: balance.tune_bias(z, t, start=[1.0]),
    "prior": lambda z, t, n: balance.estimate_prior(z, source_prior=[1.0, 2.0]),
    "prior zero": lambda z, t, n: balance.estimate_prior(z, source_prior=[0, 1, 1, 1]),
    "passes": lambda z, t, n: balance.estimate_prior(z, source_prior=[1.0] * 4, max_passes=0),
    "beta": lambda z, t, n: balance.class_weights(n, "effective", beta=2.0),
    "offset": lambda z, t, n: balance.class_weights(n, "enet", offset=0.5),
    "no counts": lambda z, t, n: balance.class_weights([1, 2]),
    "tau": lambda z, t, n: balance.log_prior(n, "x"),
    "smoothing": lambda z, t, n: balance.log_prior(n, smoothing=-1),
    "labels": lambda z, t, n: balance.class_counts(t, classes=2),
    "float labels": lambda z, *_: balance.class_counts(z, classes=4),
    "spatial_dims": lambda z, t, n: balance.class_counts(t, spatial_dims=9),
    "names": lambda z, t, n: balance.class_counts(t, ignore_index=255, names=["a"]),
    "add": lambda z, t, n: n + balance.class_counts(t, classes=9, ignore_index=255),
    "load": lambda z, t, n: balance.ClassCounts.load("/nowhere/counts.json"),
    "from_dict": lambda z, t, n: balance.TunedBias.from_dict({"format": "x"}),
}


def record_adapters(r: Any) -> None:
    """Adapters that need none of their tools."""
    import torch

    from softmax2d.adapters import huggingface, mmsegmentation, smp

    z = torch.from_numpy(finite("float32"))
    t = torch.from_numpy(labels(None)).long()
    process = huggingface.post_process_semantic_segmentation
    held = SimpleNamespace(logits=z)
    for word, options in (("own", {}), ("sizes", {"target_sizes": [(13, 20), (4, 5)]}),
                          ("scores", {"scores": ("confidence", "entropy")}), ("small", {"dtype": None}),
                          ("bad", {"target_sizes": [(1, 2)]})):  # fmt: skip
        r.case(f"adapters/huggingface/{word}", process, held, **options)
    for name, options in (
        ("DiceLoss", {}), ("DiceLoss", {"smooth": 3.0, "ignore_index": 255, "classes": [0, 2]}),
        ("JaccardLoss", {"class_weights": [1.0, 2, 3, 4, 5]}), ("JaccardLoss", {"log_loss": True}),
        ("TverskyLoss", {"alpha": 0.3, "gamma": 1.5, "ignore_index": 255}),
        ("LovaszLoss", {"per_image": True, "ignore_index": 255}), ("DiceLoss", {"mode": "binary"}),
        ("SoftCrossEntropyLoss", {"smooth_factor": 0.1, "ignore_index": 255}),
    ):  # fmt: skip
        given = {} if name.startswith("Soft") or "mode" in options else {"mode": "multiclass"}
        way = lambda n=name, o={**given, **options}: getattr(smp, n)(**o)(z, t)  # noqa: E731
        r.case(f"adapters/smp/{name} {sorted(options)}", way)
    for word, options in (("plain", {}), ("sum", {"reduction": "sum"}), ("none", {"reduction": "none"}),
                          ("weight", {"class_weight": [1.0, 2, 3, 4, 5], "avg_non_ignore": True}),
                          ("sigmoid", {"use_sigmoid": True})):  # fmt: skip
        way = lambda o=options: mmsegmentation.CrossEntropyLoss(**o)(z, t, ignore_index=255)  # noqa: E731
        r.case(f"adapters/mmsegmentation/{word}", way)
