"""Every operation in plain, differentiable PyTorch, straight from the formula.

Second derivatives, exported graphs of standard operators, and what has no kernel on a GPU come
here: some arrays of the probabilities' size are built. Numbers are float32, float64 for float64
logits; sums over pixels end in float64. Nothing waits for a device, and no shape depends on values:
pixels that do not count are masked, and a target that is no class makes what it touches NaN.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from softmax2d.torch.gate.exporting import example, is_exporting, is_traced
from softmax2d.torch.gate.options import LossOptions, LovaszOptions, RegionOptions
from softmax2d.torch.gate.source import Source, wide
from softmax2d.torch.kernels.interpolation import resample


def per_class(values: Tensor, z: Tensor, dim: int) -> Tensor:
    """One number for each class, shaped to go with ``z``."""
    values = values.to(z.device, z.dtype)
    return values if values.ndim == 0 else values.reshape(-1, *(1,) * (-dim - 1))


def _map(z: Tensor, source: Source) -> Tensor:
    """Resampled logits by temperature and bias."""
    if source.temperature is not None:
        z = z / per_class(source.temperature, z, source.dim)
    return z if source.bias is None else z + per_class(source.bias, z, source.dim)


def map_logits(logits: Tensor, source: Source) -> Tensor:
    """Z / temperature + bias on the grid of the result, in the type that is computed with."""
    return _map(resample(logits.to(wide(logits)), source), source)


def probs(logits: Tensor, logs: bool, source: Source) -> Tensor:
    """Softmax or log-softmax, in the logits' type."""
    z = map_logits(logits, source)
    return (z.log_softmax(source.dim) if logs else z.softmax(source.dim)).to(logits.dtype)


def vjp(result: Tensor, grad: Tensor, logs: bool, dim: int) -> Tensor:
    """The gradient at the logits from softmax or log-softmax, in the type that is computed with."""
    p, g = result.to(wide(result)), grad.to(wide(result))
    if logs:
        return g - p.exp() * g.sum(dim, keepdim=True)
    return p * (g - (p * g).sum(dim, keepdim=True))


def _first_largest(z: Tensor, dim: int) -> Tensor:
    """The first of the largest, or the first NaN: ONNX has no such rule for its ArgMax."""
    found = z.argmax(dim)
    if not is_exporting():
        return found
    bad = z.isnan()
    return torch.where(bad.any(dim), bad.int().argmax(dim), found)


def _largest(z: Tensor, dim: int, count: int) -> Tensor:
    """Where the largest are, the first of equals first; ONNX has no stable sort."""
    if not is_exporting():
        return z.sort(dim=dim, descending=True, stable=True).indices.narrow(dim, 0, count)
    shape = [1] * z.ndim
    shape[dim] = -1
    every = torch.arange(z.shape[dim], device=z.device).reshape(shape)
    least = torch.finfo(torch.float32).min  # ONNX: such numbers are float32
    rest = z.masked_fill(z == -math.inf, least)
    found = []
    for _ in range(count):
        found.append(_first_largest(rest, dim).unsqueeze(dim))
        rest = rest.masked_fill(every == found[-1], -math.inf)
    return torch.cat(found, dim)


def segment(logits: Tensor, source: Source, outputs: list[str], top_k: int | None) -> list[Tensor]:
    """The requested outputs in the order of the fields of Segmentation; labels int64."""
    dim, plain = source.dim, resample(logits.to(wide(logits)), source)
    z = _map(plain, source)
    # One temperature for all keeps the order of the logits, which rounding may lose.
    same = source.bias is None and source.temperature is not None and source.temperature.ndim == 0
    ranked, p = plain if same else z, z.softmax(dim)
    found = {}
    if "labels" in outputs:
        found["labels"] = _first_largest(ranked, dim)
    if "confidence" in outputs:
        found["confidence"] = p.amax(dim)
    if "margin" in outputs:
        best = p.topk(min(2, p.shape[dim]), dim).values
        found["margin"] = best.select(dim, 0)
        if p.shape[dim] > 1:
            found["margin"] = found["margin"] - best.select(dim, 1)
    if "entropy" in outputs:
        found["entropy"] = (-p * z.log_softmax(dim)).masked_fill(p == 0, 0.0).sum(dim)
    names = ("labels", "confidence", "margin", "entropy")
    results = [found[name] for name in names if name in found]
    if top_k is not None:
        order = _largest(ranked, dim, top_k)
        results += [order, p.gather(dim, order)]
    return results


def _exact(number: float, like: Tensor) -> float | Tensor:
    """A number as it goes into graphs: exporters to ONNX round those that are no tensors."""
    if not is_exporting():
        return number
    return torch.tensor(number, dtype=like.dtype, device=like.device)


def _classes_of(
    target: Tensor, classes: int, ignore: int | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Each pixel's class, -1 where there is none; and 1, or 0 where ignored, NaN where no class."""
    index = target.long()
    known = (index >= 0) & (index < classes)
    counts = torch.ones_like(index, dtype=dtype).masked_fill(~known, math.nan)
    if ignore is not None:
        counts = counts.masked_fill(index == ignore, 0.0)
    return index.masked_fill(counts != 1, -1), counts


def _hide(z: Tensor, counts: Tensor, source: Source, ignore: int | None) -> Tensor:
    """Logits without those of ignored pixels, whatever they are."""
    return z if ignore is None else z.masked_fill((counts == 0).unsqueeze(source.dim), 0.0)


def _expm1(x: Tensor) -> Tensor:
    """exp(x) - 1 for x of at most 0; the older exporter to ONNX does not know the function."""
    return torch.tanh(x / 2) * (x.exp() + 1) if is_traced() else torch.expm1(x)


def _class_losses(logs: Tensor, gamma: float) -> Tensor:
    """(1 - p)^γ (-log p); the power is taken of 1 where p is 0 or 1, which has no derivative."""
    if not gamma:
        return -logs
    rest = (-_expm1(logs)).masked_fill(logs == -math.inf, 1.0)
    power = (rest.masked_fill(rest == 0, 1.0) ** _exact(gamma, rest)).masked_fill(rest == 0, 0.0)
    return -power * logs


def _weigh(factor: Tensor, losses: Tensor) -> Tensor:
    """The product, with 0 × inf = 0."""
    return factor * losses.masked_fill((factor == 0) & (losses == math.inf), 0.0)


def losses(logits: Tensor, target: Tensor, source: Source, options: LossOptions) -> Tensor:
    """Σ_c w[c] t[c] (1 - p[c])^γ (-log p[c]) at each pixel, t smoothed."""
    z, dim = map_logits(logits, source), source.dim
    (classes,) = example((z.shape[dim],))  # a number where a graph is traced, too
    smoothing, gamma = options.label_smoothing, options.focal_gamma
    weight = None if options.weight is None else options.weight.to(z.device, z.dtype)
    if target.is_floating_point():
        shares = _exact(1 - smoothing, z) * target.to(z.dtype) + _exact(smoothing / classes, z)
        shares = shares if weight is None else shares * per_class(weight, z, dim)
        each = _class_losses(z.log_softmax(dim), gamma)
        hidden = (shares == 0) & ~(each < math.inf)
        return (shares * each.masked_fill(hidden, 0.0)).sum(dim)
    index, counts = _classes_of(target, classes, options.ignore_index, z.dtype)
    index = index.clamp(min=0)
    logs = _hide(z, counts, source, options.ignore_index).log_softmax(dim)
    own = logs.gather(dim, index.unsqueeze(dim)).squeeze(dim)
    factor = counts if weight is None else counts * weight[index]
    found = _weigh(_exact(1 - smoothing, z) * factor, _class_losses(own, gamma))
    if smoothing:
        each = _class_losses(logs, gamma)
        each = each if weight is None else _weigh(per_class(weight, z, dim), each)
        found = found + _weigh(counts * _exact(smoothing / classes, z), each.sum(dim))
    return found


def _valid(target: Tensor, options: LossOptions) -> Tensor:
    """Whether each pixel counts: its class is not ignored."""
    index, ignore = target.long(), options.ignore_index
    return torch.ones_like(index, dtype=torch.bool) if ignore is None else index != ignore


def find_cut(each: Tensor, target: Tensor, options: LossOptions) -> tuple[Tensor, Tensor, Tensor]:
    """The limit above which losses count, the share of those equal to it, how many are kept.

    On the device all along. NaN is above every limit.
    """
    each = each.detach()
    soft = target.is_floating_point()
    valid = torch.ones_like(each, dtype=torch.bool) if soft else _valid(target, options)
    key = each.masked_fill(each.isnan(), math.inf).masked_fill(~valid, -math.inf).flatten()
    number = partial(torch.full, (), dtype=each.dtype, device=each.device)
    limit, share = number(math.inf), number(0.0)
    kept = torch.zeros((), dtype=torch.int64, device=each.device)
    if options.threshold is not None:
        limit = number(-math.log(options.threshold))  # rounded as the losses are
        kept = (key > limit).sum()
    if options.top_k is not None:
        count, top_k = valid.sum(), options.top_k
        if isinstance(top_k, int):
            least = count.clamp(max=top_k)
        else:
            share_of = count.double() * _exact(top_k, count.double())
            least = torch.minimum(share_of.round().clamp(min=1).long(), count)
        ordered = functional.pad(key, (0, 1), value=-math.inf).sort(descending=True).values
        last = ordered.gather(0, (least - 1).clamp(min=0).reshape(1)).reshape(())
        ties = (least - (key > last).sum()).double() / (key == last).sum().clamp(min=1)
        more = least > kept
        limit, kept = torch.where(more, last, limit), torch.where(more, least, kept)
        share = torch.where(more, ties.to(share.dtype), share)
    return limit, share, kept


def cut_factor(each: Tensor, limit: Tensor, share: Tensor) -> Tensor:
    """How often each loss counts: once above the limit, a share where equal to it; NaN once."""
    limit, share = limit.to(each.dtype), share.to(each.dtype)
    equal = torch.where(each == limit, share, torch.zeros_like(share))
    return equal.masked_fill(~(each <= limit), 1.0)


def keep_hardest(each: Tensor, target: Tensor, options: LossOptions) -> tuple[Tensor, Tensor]:
    """The losses that count, 0 elsewhere; and how many do."""
    limit, share, kept = find_cut(each, target, options)
    factor = cut_factor(each.detach(), limit, share)
    return (each * factor).masked_fill(factor == 0, 0.0), kept


def mean_divisor(target: Tensor, options: LossOptions, classes: int) -> Tensor:
    """The weights of the valid targets together; the pixels where targets are probabilities."""
    if target.is_floating_point():
        return target.new_full((), target.numel() / max(classes, 1), dtype=torch.float64)
    if options.weight is None:
        return _valid(target, options).sum().double()
    index, _ = _classes_of(target, classes, options.ignore_index, torch.float32)
    weight = options.weight.to(target.device, torch.float64)
    return functional.pad(weight, (1, 0))[index + 1].sum()  # of no class, -1: 0


def _divide(above: Tensor, below: Tensor) -> Tensor:
    """The quotient, 0 where the divisor is."""
    empty = below == 0
    return (above / below.masked_fill(empty, 1.0)).masked_fill(empty, 0.0)


def cross_entropy(logits: Tensor, target: Tensor, source: Source, options: LossOptions) -> Tensor:
    """The loss of all pixels."""
    each = losses(logits, target, source, options)
    if options.reduction == "none":
        return each
    counted, divisor = each, None
    if options.hardest:
        counted, divisor = keep_hardest(each, target, options)
    elif options.reduction == "mean":
        divisor = mean_divisor(target, options, logits.shape[source.dim])
    total = counted.sum(dtype=torch.float64)
    if options.reduction == "mean" and divisor is not None:
        total = _divide(total, divisor)
    return total.to(each.dtype)


def class_sums(values: Tensor) -> Tensor:
    """Sums over all dimensions but the first: rows in the values' type, then in float64."""
    kind = values.dtype if values.is_floating_point() else torch.float32
    rows = values.sum(-1, dtype=kind) if values.ndim > 1 else values
    return rows.reshape(len(values), -1).sum(1, dtype=torch.float64)


def _probs_and_truth(
    logits: Tensor, target: Tensor, source: Source, ignore: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Classes first: probabilities, and where each class is true (bool).

    Then how often each pixel counts: 1, or 0 where ignored, NaN where the target is no class.
    """
    z, dim = map_logits(logits, source), source.dim
    classes = z.shape[dim]
    index, counts = _classes_of(target, classes, ignore, z.dtype)
    p = _hide(z, counts, source, ignore).softmax(dim).movedim(dim + z.ndim, 0)
    every = torch.arange(classes, device=z.device)
    return p, index == per_class(every, index[None], -p.ndim), counts


def _region_sums(
    logits: Tensor, target: Tensor, source: Source, options: RegionOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """I = Σ p t, P = Σ p or Σ p², T = Σ t or Σ t² of each image and class, shape (images, C)."""
    t: Tensor
    if target.is_floating_point():
        p = map_logits(logits, source).softmax(source.dim)
        axis = p.ndim + source.dim  # the older exporter to ONNX takes no negative ones here
        t, p = target.to(p.dtype).movedim(axis, 0), p.movedim(axis, 0)
        counted = p
    else:
        p, t, counts = _probs_and_truth(logits, target, source, options.ignore_index)
        counted = p * counts
    terms = (p * t, counted * p, t * t) if options.squared else (p * t, counted, t)
    spatial = source.spatial_count(logits.ndim)

    def sums(values: Tensor) -> Tensor:
        if options.batch or values.ndim == spatial + 1:
            return class_sums(values)[None]
        return values.flatten(-spatial).flatten(1, -2).sum(-1, dtype=torch.float64).T

    inside, total, truth = map(sums, terms)
    return inside, total, truth


def _volume_weights(truth: Tensor, counted: Tensor) -> Tensor:
    """Sudre's 1 / T² in units of the largest, which classes that do not occur have as well."""
    occurs = truth > 0
    least = torch.where(occurs & counted, truth, math.inf).amin(1, keepdim=True)
    least = torch.where(least.isinf(), 1.0, least)
    return (least / torch.where(occurs, truth, least)) ** 2


def region(logits: Tensor, target: Tensor, source: Source, options: RegionOptions) -> Tensor:
    """1 less the mean of the scores (a I + s) / (b I + c P + d T + s), or the ratio of their sums.

    The mean over images of that, where each has its own sums.
    """
    inside, total, truth = _region_sums(logits, target, source, options)
    (a, b, c, d), (s, r), occurs = options.factors, options.smooth, truth > 0
    above, below = a * inside, b * inside + c * total + d * truth
    weights = torch.ones_like(truth) if options.weight is None else options.weight.to(truth)
    weights = weights.expand_as(truth)
    if not options.include_background:
        weights = weights * (torch.arange(weights.shape[1], device=weights.device) > 0)
    if options.absent == "skip":
        weights = weights * occurs
    if options.average == "macro":
        above, below, shares = above + s, below + r, weights.sum(1, keepdim=True)
        full = below == 0
        if options.absent == "full":
            full = full | (~occurs & ~below.isnan())
        missing = torch.where(full, 0.0, (below - above) / torch.where(below == 0, 1.0, below))
        each = (weights * missing / torch.where(shares == 0, 1.0, shares)).sum(1)
    else:
        added = torch.ones_like(truth[:, 0])
        if options.average == "generalized":
            weights = weights * _volume_weights(truth, weights > 0)
            added = weights.sum(1)
        top, bottom = (weights * above).sum(1) + added * s, (weights * below).sum(1) + added * r
        each = torch.where(bottom == 0, 0.0, (bottom - top) / torch.where(bottom == 0, 1.0, bottom))
    counts = torch.ones_like(each)
    if options.absent == "skip":
        counts = (weights > 0).any(1).to(each)
    return ((each * counts).sum() / counts.sum().clamp(min=1)).to(wide(logits))


@torch.no_grad()
def _jaccard_steps(errors: Tensor, true: Tensor, counts: Tensor) -> Tensor:
    """By how much each pixel raises a class's Jaccard loss, largest error first; 0 where ignored.

    Pixels whose error is NaN come after all numbers, as on the CPU, and ignored ones after those.
    """
    key = errors.masked_fill(errors.isnan(), -1.0).masked_fill(counts == 0, -2.0)
    order = key.sort(descending=True).indices  # of equals in any order: the sum is the same
    other = (counts != 0) & ~true
    intersection = true.sum() - true.gather(0, order).long().cumsum(0)
    union = (true.sum() + other.gather(0, order).long().cumsum(0)).clamp(min=1)
    jaccard = 1 - intersection.double() / union
    steps = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]]).to(errors.dtype)
    return torch.zeros_like(errors).scatter(0, order, steps) * counts


def lovasz(logits: Tensor, target: Tensor, source: Source, options: LovaszOptions) -> Tensor:
    """Mean over classes of Σ_i m[i] (J[i] - J[i - 1]), errors m falling, J the Jaccard losses."""
    p, true, counts = _probs_and_truth(logits, target, source, options.ignore_index)
    errors = torch.where(true, 1 - p, p)
    pairs = zip(errors.detach().unbind(0), true.unbind(0), strict=True)
    flat = counts.flatten()
    steps = [_jaccard_steps(e.flatten(), t.flatten(), flat) for e, t in pairs]
    each = class_sums(errors * torch.stack(steps).reshape(p.shape))
    present = true.reshape(len(p), -1).any(1)
    chosen = torch.ones_like(each) if options.classes == "all" else present.to(each.dtype)
    if options.weight is not None:
        chosen = chosen * options.weight.to(each)
    total = chosen.sum()
    return ((each * chosen).sum() / torch.where(total == 0, 1.0, total)).to(p.dtype)
