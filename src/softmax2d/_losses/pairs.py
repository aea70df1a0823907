"""Two public functions of one loss: its value, and its value with its gradient.

A private function, fully typed, has the parameters of both; it packs them and returns a function
that computes the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec

from softmax2d._gate.arrays import Array
from softmax2d._gate.signatures import Text, function_of

P = ParamSpec("P")
# From the public function's name, whether the gradient is wanted, and the pair's fixed arguments.
Compute = Callable[..., tuple[Any, Any]]


def value_of(prepare: Callable[P, Compute], *fixed: Any) -> Callable[[Text], Callable[P, Any]]:
    """Make a public function that returns the loss."""
    return function_of(prepare, lambda compute, where: compute(where, False, *fixed)[0], "Any")


def pair_of(
    prepare: Callable[P, Compute], *fixed: Any
) -> Callable[[Text], Callable[P, tuple[Any, Array]]]:
    """Make a public function that returns the loss and its gradient."""
    result = "tuple[Any, Array]"
    return function_of(prepare, lambda compute, where: compute(where, True, *fixed), result)
