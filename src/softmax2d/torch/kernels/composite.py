"""Every operation in plain, differentiable PyTorch, straight from the formula.

Arrays of the probabilities' size are built freely. This serves where that does not matter: second
derivatives, exported graphs of standard operators, and what has no kernel on a GPU. All of it
computes in the logits' own type, so callers that need accuracy pass float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from softmax2d.torch.gate.options import LossOptions, LovaszOptions, RegionOptions
from softmax2d.torch.gate.source import Source

_MODES = {
    "linear": {1: "linear", 2: "bilinear", 3: "trilinear"},
    "nearest": dict.fromkeys((1, 2, 3), "nearest"),
    "nearest-exact": dict.fromkeys((1, 2, 3), "nearest-exact"),
}


def _interpolate(z: Tensor, sizes: list[Any], name: str, align_corners: bool) -> Tensor:
    """Batch, classes and spatial dimensions, resampled by one interpolation."""
    mode = _MODES[name][len(sizes)]
    corners = align_corners if name == "linear" else None
    return functional.interpolate(z, tuple(sizes), mode=mode, align_corners=corners)


def resample(logits: Tensor, source: Source) -> Tensor:
    """The logits on the grid of the result."""
    if source.size is None and source.window is None:
        return logits
    count = source.spatial_count(logits.ndim)
    z = logits.movedim(source.dim, -count - 1)
    shape = z.shape
    own, size = list(shape[-count:]), source.size
    if size is not None and list(size) != own:
        names = source.interpolation.split(",")
        z = z.reshape(-1, *shape[-count - 1 :])
        if len(set(names)) == 1:
            z = _interpolate(z, list(size), names[0], source.align_corners)
        else:
            for axis, name in enumerate(names):
                step = [*z.shape[2:]]
                step[axis] = size[axis]
                z = _interpolate(z, step, name, source.align_corners)
        z = z.reshape(*shape[: -count - 1], *z.shape[1:])
    if source.slices is not None:
        z = z[(..., *source.slices)]  # type: ignore[index]  # PyTorch's stubs know no such tuple
    return z.movedim(-count - 1, source.dim)


def per_class(values: Tensor, z: Tensor, dim: int) -> Tensor:
    """One number for each class, shaped to go with ``z``."""
    values = values.to(z.device, z.dtype)
    return values if values.ndim == 0 else values.reshape(-1, *(1,) * (-dim - 1))


def map_logits(logits: Tensor, source: Source) -> Tensor:
    """Z / temperature + bias on the grid of the result."""
    z = resample(logits, source)
    if source.temperature is not None:
        z = z / per_class(source.temperature, z, source.dim)
    return z if source.bias is None else z + per_class(source.bias, z, source.dim)


def probs(logits: Tensor, logs: bool, source: Source) -> Tensor:
    """Softmax or log-softmax."""
    z = map_logits(logits, source)
    return z.log_softmax(source.dim) if logs else z.softmax(source.dim)


def segment(logits: Tensor, source: Source, outputs: list[str], top_k: int | None) -> list[Tensor]:
    """The requested outputs in the order of the fields of Segmentation; labels int64."""
    z = map_logits(logits, source)
    p = z.softmax(source.dim)
    found = {}
    if "labels" in outputs:
        found["labels"] = z.argmax(source.dim)
    if "confidence" in outputs:
        found["confidence"] = p.amax(source.dim)
    if "margin" in outputs:
        best = p.topk(min(2, p.shape[source.dim]), source.dim).values
        found["margin"] = best.select(source.dim, 0)
        if p.shape[source.dim] > 1:
            found["margin"] = found["margin"] - best.select(source.dim, 1)
    if "entropy" in outputs:
        found["entropy"] = torch.special.entr(p).sum(source.dim)
    names = ("labels", "confidence", "margin", "entropy")
    results = [found[name] for name in names if name in found]
    if top_k is not None:
        values, indices = p.topk(top_k, source.dim)
        results += [indices, values]
    return results


def _valid(index: Tensor, ignore: int | None) -> Tensor:
    """Whether each pixel counts."""
    return torch.ones_like(index, dtype=torch.bool) if ignore is None else index != ignore


def _shares(z: Tensor, target: Tensor, dim: int, options: LossOptions) -> Tensor:
    """weight[c] ((1 - smoothing) t[c] + smoothing / C), 0 in every class where ignored."""
    classes, ignore, smoothing = z.shape[dim], options.ignore_index, options.label_smoothing
    if target.is_floating_point():
        shares = (1 - smoothing) * target.to(z.dtype) + smoothing / classes
    else:
        index = target.long()
        valid = _valid(index, ignore)
        hot = functional.one_hot(torch.where(valid, index, 0), classes).movedim(-1, dim)
        shares = (1 - smoothing) * hot.to(z.dtype) + smoothing / classes
        shares = shares * valid.unsqueeze(dim)
    return shares if options.weight is None else shares * per_class(options.weight, z, dim)


def losses(logits: Tensor, target: Tensor, source: Source, options: LossOptions) -> Tensor:
    """Σ_c w[c] t[c] (1 - p[c])^γ (-log p[c]) at each pixel, t smoothed."""
    z, dim, gamma = map_logits(logits, source), source.dim, options.focal_gamma
    shares = _shares(z, target, dim, options)
    valid = (shares != 0).any(dim, keepdim=True) | target.is_floating_point()
    logs = torch.where(valid, z, 0.0).log_softmax(dim)
    factor = shares
    if gamma:
        rest = -torch.expm1(logs)
        factor = shares * torch.where(rest == 0, 0.0, torch.where(rest == 0, 1.0, rest) ** gamma)
    counts = shares != 0
    return -(factor * torch.where(counts, logs, 0.0)).sum(dim)


def cut_factor(each: Tensor, state: Tensor) -> Tensor:
    """How often each loss counts: once above the limit, a share where equal to it."""
    limit, ties = state[1].to(each.dtype), state[2].to(each.dtype)
    return torch.where(each > limit, 1.0, torch.where(each == limit, ties, 0.0))


def keep_hardest(each: Tensor, state: Tensor) -> Tensor:
    """The losses that count; ``state`` is 1 / divisor and, unless all count, limit and share."""
    if len(state) == 1:
        return each
    factor = cut_factor(each, state)
    return torch.where(factor == 0, 0.0, each * factor)


def mean_divisor(target: Tensor, options: LossOptions, classes: int) -> Tensor:
    """The weights of the valid targets together; the pixels where targets are probabilities."""
    if target.is_floating_point():
        return torch.tensor(target.numel() / max(classes, 1), dtype=torch.float64)
    index = target.long()
    valid = _valid(index, options.ignore_index)
    if options.weight is None:
        return valid.sum(dtype=torch.float64)
    each = options.weight.to(torch.float64)[torch.where(valid, index, 0).clamp(0, classes - 1)]
    return torch.where(valid, each, 0.0).sum()


def cross_entropy(logits: Tensor, target: Tensor, source: Source, options: LossOptions) -> Tensor:
    """The loss of all pixels."""
    each = losses(logits, target, source, options)
    if options.reduction == "none":
        return each
    if options.reduction == "sum":
        return each.sum()
    divisor = mean_divisor(target, options, logits.shape[source.dim]).to(each)
    return torch.where(divisor == 0, 0.0, each.sum() / torch.where(divisor == 0, 1.0, divisor))


def _pixels(values: Tensor, dim: int) -> Tensor:
    """Classes first, all pixels of the call after them."""
    return values.movedim(dim, 0).flatten(1)


def _probs_and_truth(
    logits: Tensor, target: Tensor, source: Source, ignore_index: int | None
) -> tuple[Tensor, Tensor]:
    """Probabilities and truth of the valid pixels, shape (C, pixels)."""
    index = target.long().flatten()
    p = _pixels(map_logits(logits, source), source.dim)
    if ignore_index is not None:
        valid = index != ignore_index
        p, index = p[:, valid], index[valid]
    return p.softmax(0), functional.one_hot(index, len(p)).T.to(p.dtype)


def region(logits: Tensor, target: Tensor, source: Source, options: RegionOptions) -> Tensor:
    """1 less the weighted mean of the scores (a I + s) / (b I + c P + d T + s)."""
    p, t = _probs_and_truth(logits, target, source, options.ignore_index)
    inside, total, truth = (p * t).sum(1), p.sum(1), t.sum(1)
    (a, b, c, d), smooth = options.factors, options.smooth
    above, below = a * inside + smooth, b * inside + c * total + d * truth + smooth
    empty = below == 0
    missing = torch.where(empty, 0.0, (below - above) / torch.where(empty, 1.0, below))
    if options.weight is None:
        return missing.mean()
    shares = options.weight.to(p)
    return (shares * missing).sum() / torch.where(shares.sum() == 0, 1.0, shares.sum())


def lovasz(logits: Tensor, target: Tensor, source: Source, options: LovaszOptions) -> Tensor:
    """Mean over classes of Σ_i m[i] (J[i] - J[i - 1]), errors m falling, J the Jaccard losses."""
    p, t = _probs_and_truth(logits, target, source, options.ignore_index)
    errors = torch.where(t > 0, 1 - p, p)
    order = errors.detach().argsort(dim=1, descending=True, stable=True)
    truth = t.gather(1, order)
    wanted = truth.sum(1, keepdim=True)
    jaccard = 1 - (wanted - truth.cumsum(1)) / (wanted + (1 - truth).cumsum(1))
    steps = torch.diff(jaccard, dim=1, prepend=torch.zeros_like(jaccard[:, :1]))
    each = (errors.gather(1, order) * steps).sum(1)
    present = wanted[:, 0]
    chosen = torch.ones_like(present) if options.classes == "all" else (present > 0).to(p.dtype)
    return (each * chosen).sum() / chosen.sum().clamp(min=1)
