"""Evaluation as a module, which counts batch after batch."""

from __future__ import annotations

from typing import Annotated, Any, Unpack

import torch
from torch import Tensor

from softmax2d._gate.signatures import spell_out
from softmax2d._statistics.statistics import Statistics
from softmax2d.torch import _counts
from softmax2d.torch import _loss_functions as losses
from softmax2d.torch._options import GridOptions, WithOptions
from softmax2d.torch.gate import arguments


class EvaluateOptions(GridOptions, total=False):
    """Options of :class:`Evaluate`."""

    ignore_index: Annotated[int | None, None]
    bins: Annotated[int, 15]


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
    collects, or the tensors of their states.

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

    @spell_out(EvaluateOptions)
    def __init__(self, **options: Unpack[EvaluateOptions]) -> None:
        super().__init__(**options)
        self._seen: Statistics | None = None

    @torch.compiler.disable
    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch: ``logits``, shape (N, C, h, w), ``target``, shape (N, H, W)."""
        size = arguments.target_size("Evaluate", logits, target, self.dim)
        found = losses.evaluate(logits.detach(), target, size=size, **self._options())
        self._seen = found if self._seen is None else self._seen + found

    def forward(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch, as :meth:`update`."""
        self.update(logits, target)

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
        self._seen = found
