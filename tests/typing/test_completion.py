"""What ``help`` and completion show of module constructors and file functions: every option."""

from __future__ import annotations

import importlib
import inspect
import pydoc
import re
from typing import Any

import pytest

SIGNATURES = {
    "torch.Softmax2d": "(*, dim=-3, temperature=1.0, bias=None)",
    "torch.LogSoftmax2d": "(*, dim=-3, temperature=1.0, bias=None)",
    "torch.Segment": "(*, dim=-3, size=None, interpolation='linear', align_corners=False, "
    "temperature=1.0, bias=None, outputs=('labels', 'confidence'), top_k=None, "
    "spatial_dims=None, decode='argmax', label_dtype=None)",
    "torch.CrossEntropy2d": "(weight=None, size_average=None, ignore_index=-100, reduce=None, "
    "reduction='mean', label_smoothing=0.0, *, dim=-3, interpolation='linear', "
    "align_corners=False, temperature=1.0, bias=None, focal_gamma=0.0, top_k=None, "
    "threshold=None, hardest_by=None, binary=False)",
    "torch.DiceLoss2d": "(*, dim=-3, interpolation='linear', align_corners=False, "
    "temperature=1.0, bias=None, weight=None, ignore_index=None, smooth=1.0, squared=False, "
    "average='macro', batch=True, include_background=True, absent='count', binary=False)",
    "torch.JaccardLoss2d": "(*, dim=-3, interpolation='linear', align_corners=False, "
    "temperature=1.0, bias=None, weight=None, ignore_index=None, smooth=1.0, squared=False, "
    "average='macro', batch=True, include_background=True, absent='count', binary=False)",
    "torch.TverskyLoss2d": "(*, alpha=0.5, beta=0.5, dim=-3, interpolation='linear', "
    "align_corners=False, temperature=1.0, bias=None, weight=None, ignore_index=None, "
    "smooth=1.0, squared=False, average='macro', batch=True, include_background=True, "
    "absent='count', binary=False)",
    "torch.LovaszSoftmaxLoss2d": "(*, dim=-3, interpolation='linear', align_corners=False, "
    "temperature=1.0, bias=None, classes='present', weight=None, ignore_index=None, "
    "binary=False)",
    "torch.Evaluate": "(*, dim=-3, interpolation='linear', align_corners=False, "
    "temperature=1.0, bias=None, ignore_index=None, bins=15, per_image=False, curves=False)",
    "torch.LinearCrossEntropy2d": "(in_channels, num_classes, bias=True, *, class_weight=None, "
    "ignore_index=-100, reduction='mean', label_smoothing=0.0, interpolation='linear', "
    "align_corners=False, temperature=1.0, logit_bias=None, focal_gamma=0.0, top_k=None, "
    "threshold=None, device=None, dtype=None)",
    "stream.segment_file": "(source, result, *, axis=None, input=None, binary=False, "
    "size=None, like=None, ignore_place=False, interpolation='linear', align_corners=False, "
    "temperature=1.0, bias=None, outputs=('labels',), top_k=None, encoding='float', key=None, "
    "memory='512MB', workers=None, resume=False, overwrite=False, nodata=None, "
    "nodata_label=None, missing_as_fill=False, names=None, palette=None, cog=False, "
    "progress=None, scheduler=None, summary=None, decode='argmax', preview=None, account=None)",
    "stream.softmax2d_file": "(source, result, *, axis=None, input=None, binary=False, "
    "size=None, like=None, ignore_place=False, interpolation='linear', align_corners=False, "
    "temperature=1.0, bias=None, top_k=None, encoding='float', key=None, memory='512MB', "
    "workers=None, resume=False, overwrite=False, nodata=None, missing_as_fill=False, "
    "names=None, cog=False, progress=None, scheduler=None, summary=None, account=None)",
    "stream.evaluate_files": "(source, target, *, axis=None, input=None, binary=False, "
    "size=None, ignore_place=False, interpolation='linear', align_corners=False, "
    "temperature=1.0, bias=None, ignore_index=None, bins=15, key=None, target_key=None, "
    "memory='512MB', workers=None, nodata=None, missing_as_fill=False, progress=None, "
    "scheduler=None, summary=None, checkpoint=None, resume=False, names=None, report=None, "
    "overwrite=False, decode='argmax', account=None, per_image=False, curves=False)",
    "stream.evaluate_label_files": "(labels, target, *, classes=None, ignore_index=None, "
    "spatial_dims=None, nodata=None, ignore_place=False, key=None, target_key=None, "
    "memory='512MB', workers=None, missing_as_fill=False, progress=None, summary=None, "
    "names=None, report=None, overwrite=False, account=None, per_image=False)",
    "stream.predict": "(model, image, result, *, window=None, overlap=0.5, "
    "weighting='gaussian', test_time='none', blend='logits', batch=1, axis=None, bands=None, "
    "scale='auto', mean=None, std=None, pad='reflect', nodata=None, nodata_label=None, "
    "output=None, layout=None, input=None, binary=False, temperature=1.0, bias=None, "
    "outputs=('labels',), encoding='float', key=None, memory='512MB', resume=False, "
    "overwrite=False, names=None, palette=None, cog=False, progress=None, summary=None)",
    "calibrate.fit": "(logits, target=None, *, method='temperature', weight=None, "
    "ignore_index=None, axis=None, input=None, binary=False, size=None, ignore_place=False, "
    "interpolation='linear', align_corners=False, temperature_range=(0.01, 100.0), "
    "iterations=100, folds=None, class_names=None, data_date=None, key=None, target_key=None, "
    "memory='512MB', workers=None)",
    "calibrate.fit_local": "(logits, target=None, *, by='confidence', bins=None, "
    "ignore_index=None, axis=None, input=None, binary=False, size=None, ignore_place=False, "
    "interpolation='linear', align_corners=False, temperature_range=(0.1, 10.0), "
    "least_pixels=1000, class_names=None, data_date=None, key=None, target_key=None, "
    "memory='512MB', workers=None)",
    "calibrate.bootstrap": "(logits, target=None, *, measures=('nll', 'ece', 'ace', "
    "'adaptive_ece', 'mce', 'classwise_ece'), temperature=1.0, bias=None, bins=15, "
    "replicates=1000, level=0.95, seed=0, ignore_index=None, axis=None, input=None, "
    "binary=False, size=None, ignore_place=False, interpolation='linear', align_corners=False, "
    "key=None, target_key=None, memory='512MB', workers=None)",
    "calibrate.compare": "(logits, target=None, *, first=1.0, second, measures=('nll', 'ece', "
    "'ace', 'adaptive_ece', 'mce', 'classwise_ece'), bins=15, replicates=1000, level=0.95, "
    "seed=0, ignore_index=None, axis=None, input=None, binary=False, size=None, "
    "ignore_place=False, interpolation='linear', align_corners=False, key=None, target_key=None, "
    "memory='512MB', workers=None)",
    "calibrate.assess": "(logits, target=None, *, calibration, bins=15, ignore_index=None, "
    "axis=None, input=None, binary=False, size=None, ignore_place=False, interpolation='linear', "
    "align_corners=False, key=None, target_key=None, memory='512MB', workers=None)",
    "balance.class_counts": "(labels, *, classes=None, ignore_index=None, spatial_dims=2, "
    "names=None, key=None, memory='512MB', workers=None)",
    "balance.estimate_prior": "(logits, *, source_prior, temperature=1.0, bias=None, "
    "held_out=None, tolerance=1e-05, max_passes=200, names=None, axis=None, input=None, "
    "binary=False, size=None, ignore_place=False, interpolation='linear', align_corners=False, "
    "ignore_index=None, key=None, memory='512MB', workers=None)",
    "balance.tune_bias": "(logits, target=None, *, goal='mean_iou', at_least_accuracy=None, "
    "family='classes', prior=None, start=None, temperature=1.0, taus=None, sweeps=10, "
    "tolerance=0.0001, names=None, folds=None, force=False, margin=None, confidence=None, "
    "axis=None, input=None, binary=False, size=None, ignore_place=False, interpolation='linear', "
    "align_corners=False, ignore_index=None, key=None, target_key=None, memory='512MB', "
    "workers=None)",
    "calibrate.compare_methods": "(logits, target=None, *, methods=('temperature', 'vector', "
    "'bias', 'temperature+bias'), weight=None, ignore_index=None, axis=None, input=None, "
    "binary=False, size=None, ignore_place=False, interpolation='linear', align_corners=False, "
    "temperature_range=(0.01, 100.0), iterations=100, folds=None, class_names=None, "
    "data_date=None, key=None, target_key=None, memory='512MB', workers=None)",
    "stream.evaluate_boundary_files": "(labels, target, *, tolerance, spacing=None, "
    "classes=None, ignore_index=None, spatial_dims=None, nodata=None, ignore_place=False, "
    "key=None, target_key=None, memory='512MB', workers=None, missing_as_fill=False, "
    "progress=None, names=None, report=None, overwrite=False, account=None)",
}


def public(name: str) -> Any:
    """The function or class of that name, ``package.name``."""
    package, _, last = name.partition(".")
    return getattr(importlib.import_module(f"softmax2d.{package}"), last)


def parameters(name: str) -> list[inspect.Parameter]:
    """The parameters as ``inspect`` shows them; of TverskyLoss2d with those of DiceLoss2d."""
    found = list(inspect.signature(public(name)).parameters.values())
    if name == "torch.TverskyLoss2d" and found[-1].kind is inspect.Parameter.VAR_KEYWORD:
        found[-1:] = parameters("torch.DiceLoss2d")
    return found


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name: str) -> None:
    bare = [p.replace(annotation=p.empty) for p in parameters(name)]
    assert str(inspect.Signature(bare)) == SIGNATURES[name]


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_option_has_a_type(name: str) -> None:
    assert not [p.name for p in parameters(name) if p.annotation is p.empty]


@pytest.mark.parametrize("name", [n for n in SIGNATURES if n != "torch.TverskyLoss2d"])
def test_help_shows_every_default(name: str) -> None:
    """The text of ``help``, with annotations between names and defaults."""
    text = pydoc.plain(pydoc.render_doc(public(name)))
    for parameter in parameters(name):
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        assert re.search(rf"\b{parameter.name}: [^=]*{re.escape(default)}", text), parameter


def test_nothing_is_left_out() -> None:
    """Every module of torch, and every function of files that takes options."""
    for package in ("torch", "stream", "calibrate", "balance"):
        held = importlib.import_module(f"softmax2d.{package}")
        for name in held.__all__:
            value = getattr(held, name)
            module = inspect.isclass(value) and package == "torch"
            options = inspect.isfunction(value) and "memory" in inspect.signature(value).parameters
            assert (f"{package}.{name}" in SIGNATURES) == (module or options), name
