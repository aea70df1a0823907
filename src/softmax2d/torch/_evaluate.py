"""Evaluation of tensors: functions, and a module that counts batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ParamSpec, TypeVar, Unpack, cast

import torch
from torch import Tensor

import softmax2d as numpy_functions
from softmax2d._gate.options import Window
from softmax2d._gate.signatures import spell_out
from softmax2d._statistics.statistics import Statistics
from softmax2d.torch import _counts
from softmax2d.torch._functions import Names, Size
from softmax2d.torch._options import GridOptions, WithOptions
from softmax2d.torch.gate import arguments, tensors
from softmax2d.torch.gate.exporting import refuse_graph
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels.cpu import array_of, keywords

P = ParamSpec("P")
Result = TypeVar("Result")
_OUTSIDE = "Export the network, and judge what its graph returns."


def _run_eagerly(function: Callable[P, Result]) -> Callable[P, Result]:
    """Have torch.compile leave a function alone; type checkers still see its parameters."""
    disable: Callable[..., Any] = torch.compiler.disable
    return cast("Callable[P, Result]", disable(function))


@_run_eagerly
def evaluate_labels(
    labels: Tensor,
    target: Tensor,
    *,
    classes: int | None = None,
    ignore_index: int | None = None,
    spatial_dims: int = 2,
    per_image: bool = False,
) -> Statistics:
    """Judge labels by a target: :func:`softmax2d.evaluate_labels` for tensors.

    Counts are made on the CPU: tensors on another device are copied there first.
    """
    where = "evaluate_labels"
    refuse_graph(where, _OUTSIDE)
    given = tensors.tensor(where, "labels", labels)
    truth = tensors.companion(where, "target", target, ("labels", given))
    arrays = array_of(given.detach().cpu()), array_of(truth.detach().cpu())
    how: Any = {"classes": classes, "ignore_index": ignore_index, "spatial_dims": spatial_dims}
    return numpy_functions.evaluate_labels(*arrays, per_image=per_image, **how)


@_run_eagerly
def evaluate(
    logits: Tensor,
    target: Tensor,
    *,
    dim: int = -3,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    ignore_index: int | None = None,
    bins: int = 15,
    window: Window | None = None,
    spatial_dims: int | None = None,
    per_image: bool = False,
    curves: bool = False,
) -> Statistics:
    """Judge logits by a target, in one pass: :func:`softmax2d.evaluate` for tensors.

    Counts are made on the CPU: tensors on another device are copied there first, coarse logits
    before they are resampled.

    Returns
    -------
    Statistics
        Whole counts, which add up to the same bits over batches and processes in any order.
    """
    refuse_graph("evaluate", _OUTSIDE)
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)
    logits, target, source = arguments.problem("evaluate", logits, target, given, window is None)
    arrays = array_of(logits.cpu()), array_of(target.cpu())
    options = keywords(source.constant) | {"window": window}
    options |= {"per_image": per_image, "curves": curves}
    return numpy_functions.evaluate(*arrays, ignore_index=ignore_index, bins=bins, **options)


class EvaluateOptions(GridOptions, total=False):
    """Options of :class:`Evaluate`."""

    ignore_index: Annotated[int | None, None]
    bins: Annotated[int, 15]
    per_image: Annotated[bool, False]
    curves: Annotated[bool, False]


class Evaluate(WithOptions):
    """Statistics of all logits and targets that it has seen since the last ``reset``.

    Options are those of :func:`softmax2d.torch.evaluate`; a larger target gives the size. The
    methods are those of torchmetrics: ``update`` adds a batch, as a call does, ``compute`` gives
    the statistics of all batches, ``reset`` forgets them.

    Notes
    -----
    ``state_dict`` keeps the counts, whole numbers in tensors of int64 under ``counts.``, and
    ``load_state_dict`` restores them, also in a new module; a state without them changes none.
    Statistics of processes are added: ``sum`` of those that ``torch.distributed.all_gather_object``
    collects, or the tensors of their states. With ``per_image`` or ``curves`` only the first way is
    open, as rows of other images and marks cannot be added up; it puts the images of one process
    behind those of another.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> judge = s2t.Evaluate(ignore_index=255)
    >>> logits = torch.tensor([0.0, 2.0]).reshape(1, 2, 1, 1)
    >>> judge.update(logits, torch.ones(1, 2, 2, dtype=torch.uint8))
    >>> judge.compute().accuracy
    1.0
    """

    _PREFIX = "counts."
    per_image: bool
    curves: bool

    @spell_out(EvaluateOptions)
    def __init__(self, **options: Unpack[EvaluateOptions]) -> None:
        super().__init__(**options)
        self._seen: Statistics | None = None

    @torch.compiler.disable
    def update(self, logits: Tensor, target: Tensor, names: Sequence[str] | None = None) -> None:
        """Add a batch: ``logits``, shape (N, C, h, w), ``target``, shape (N, H, W).

        ``names``, one for each of the N images, are kept with ``per_image=True``: those of the
        worst images, for example.
        """
        size = arguments.target_size("Evaluate", logits, target, self.dim)
        if names is not None and not self.per_image:
            raise ValueError("Evaluate: names need per_image=True, which counts each image.")
        found = evaluate(logits.detach(), target, size=size, **self._options())
        if names is not None:
            found = found.with_image_names(names)
        self._seen = found if self._seen is None else self._seen + found

    def forward(self, logits: Tensor, target: Tensor, names: Sequence[str] | None = None) -> None:
        """Add a batch, as :meth:`update`."""
        self.update(logits, target, names)

    def compute(self) -> Statistics:
        """What has been seen.

        Raises
        ------
        ValueError
            Nothing has.
        """
        if self._seen is None:
            raise ValueError("Evaluate: compute needs at least one batch; got none since reset.")
        return self._seen

    def reset(self) -> None:
        """Forget everything."""
        self._seen = None

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, value in _counts.to_tensors(self._seen).items():
            destination[prefix + self._PREFIX + name] = value

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        first = prefix + self._PREFIX
        counts = {key.removeprefix(first): state[key] for key in state if key.startswith(first)}
        others = {key: value for key, value in state.items() if not key.startswith(first)}
        super()._load_from_state_dict(others, prefix, *rest)
        if not counts:
            return
        *_, errors = rest
        try:
            found = _counts.from_tensors(counts)
        except (TypeError, ValueError) as error:
            errors.append(str(error))
            return
        bins = None if found is None else found.top_sums.shape[1]
        if bins not in (None, self.bins):
            errors.append(f"Evaluate: the state has {bins} bins; got a module of {self.bins}.")
            return
        for name, words in (("per_image", "counts of each image"), ("curves", "curves")):
            wanted = getattr(self, name)
            held = wanted if found is None else getattr(found, name) is not None
            if held != wanted:
                has, asked = ("has", "without") if held else ("has no", "with")
                cause = f"the state {has} {words}; got a module {asked} {name}=True"
                errors.append(f"Evaluate: {cause}.")
                return
        self._seen = found
