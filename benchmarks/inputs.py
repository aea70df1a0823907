"""The arrays that a library works on: the same numbers for all, in memory of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.jobs import LOSS_JOBS, STATISTICS_JOBS

Array = np.ndarray[Any, np.dtype[Any]]

# What each job is given; everything here exists, and has been touched, before the clock starts.
NEEDS = {
    "copy": ("logits", "out"),
    "softmax_out": ("logits", "out"),
    "log_softmax": ("logits", "out"),
    "vjp": ("probs", "grad", "out"),
    "log_vjp": ("log_probs", "grad", "out"),
    **dict.fromkeys((*LOSS_JOBS, *STATISTICS_JOBS, "up_loss_grad"), ("logits", "target")),
    "export_argmax": ("slab",),
}
BLOCK = 16  # pixels along each side of a patch of one class in the truth


def numpy_dtype(name: str) -> np.dtype[Any]:
    """``name`` as a NumPy dtype; bfloat16 is ml_dtypes'."""
    if name == "bfloat16":
        import ml_dtypes

        name = ml_dtypes.bfloat16
    return np.dtype(name)


class Inputs:
    """The arguments of one case for one library, made when first asked for.

    All of them are NumPy arrays, which ask for huge pages; other libraries see the same memory
    through ``view``, so that none has an advantage by its allocator. Results that a library
    allocates itself are its own affair.

    Parameters
    ----------
    case : Case
    lib : module
        The library.
    threads : int
    view : callable
        Makes the library's array from a NumPy array without a copy.
    """

    def __init__(
        self, case: Case, lib: ModuleType, threads: int, view: Callable[[Array], Any] = lambda a: a
    ) -> None:
        self.case, self.lib, self.threads, self.view = case, lib, threads, view
        self.axis = case.axis
        self.dtype = numpy_dtype(case.dtype)
        self.kept: dict[Any, Any] = {}  # sessions, compiled functions, thread pools

    def _normal(self, seed: int, scale: float) -> Array:
        numbers = np.random.default_rng(seed).standard_normal(self.case.shape, np.float32)
        numbers *= scale
        return numbers.astype(self.dtype, copy=False)

    def _log_probs(self) -> Array:
        z = self._normal(1, 3.0).astype(np.float32, copy=False)
        z -= z.max(self.axis, keepdims=True)
        z -= np.log(np.exp(z).sum(self.axis, keepdims=True))
        return z

    @cached_property
    def logits(self) -> Any:
        """Normal numbers with standard deviation 3: neither flat nor always certain."""
        return self.view(self._normal(1, 3.0))

    @cached_property
    def out(self) -> Any:
        """Room for a result of the logits' shape, its pages already there."""
        room = np.empty(self.case.shape, self.dtype)
        room.fill(1)
        return self.view(room)

    @cached_property
    def log_probs(self) -> Any:
        return self.view(self._log_probs().astype(self.dtype, copy=False))

    @cached_property
    def probs(self) -> Any:
        return self.view(np.exp(self._log_probs()).astype(self.dtype, copy=False))

    @cached_property
    def grad(self) -> Any:
        return self.view(self._normal(2, 1.0))

    @cached_property
    def target(self) -> Any:
        """The truth, int64: patches of random classes, as in segmented images."""
        sides = self.case.size or tuple(np.delete(self.case.shape, self.axis))
        patches = tuple(-(-side // BLOCK) for side in sides)
        truth = np.random.default_rng(3).integers(0, self.case.classes, patches)
        for axis, side in enumerate(sides):
            truth = truth.repeat(BLOCK, axis).take(range(side), axis)
        return self.view(np.ascontiguousarray(truth))

    @cached_property
    def slab(self) -> Any:
        """Resampled logits of some slices of a volume, float32."""
        return np.random.default_rng(4).standard_normal(self.case.slab, np.float32)

    def make_ready(self, job: str) -> None:
        """Make what ``job`` needs."""
        for name in NEEDS.get(job, ("logits",)):
            getattr(self, name)
