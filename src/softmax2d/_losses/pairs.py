"""Two public functions of one loss: its value, and its value with its gradient.

A private function, fully typed, has the parameters of both and packs what it was given; it returns
what computes the loss under the public function's name. The public functions are made of it and of
a name and a docstring each, and look as if they had been written out: to ``help``, to type
checkers, and in the errors that Python raises for wrong arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, ParamSpec, cast

from softmax2d._gate.arrays import Array

P = ParamSpec("P")
# The public function's name, whether the gradient is wanted, and what else a pair fixes, to both.
Compute = Callable[..., tuple[Any, Any]]
Text = Callable[[], None]  # a name and a docstring


def _rename(prepare: Callable[P, Compute], text: Text) -> Callable[P, Compute]:
    """The same function under a public name, which Python's own errors give."""
    own = cast(FunctionType, prepare)
    copy = FunctionType(own.__code__, own.__globals__, text.__name__, own.__defaults__)
    copy.__kwdefaults__, copy.__qualname__ = own.__kwdefaults__, text.__qualname__
    return cast("Callable[P, Compute]", copy)


def _dress(function: Any, prepare: Any, text: Text, result: str) -> Any:
    """``function`` with the text's name and docstring and with the parameters of ``prepare``."""
    signature = inspect.signature(prepare).replace(return_annotation=result)
    dressed: Any = wraps(text)(function)
    dressed.__annotations__ = {**prepare.__annotations__, "return": result}
    dressed.__signature__ = signature
    return dressed


def value_of(prepare: Callable[P, Compute], *fixed: Any) -> Callable[[Text], Callable[P, Any]]:
    """Make a public function that returns the loss."""

    def decorate(text: Text) -> Callable[P, Any]:
        own, where = _rename(prepare, text), text.__name__

        def loss(*args: P.args, **kwargs: P.kwargs) -> Any:
            return own(*args, **kwargs)(where, False, *fixed)[0]

        return cast("Callable[P, Any]", _dress(loss, prepare, text, "Any"))

    return decorate


def pair_of(
    prepare: Callable[P, Compute], *fixed: Any
) -> Callable[[Text], Callable[P, tuple[Any, Array]]]:
    """Make a public function that returns the loss and its gradient."""

    def decorate(text: Text) -> Callable[P, tuple[Any, Array]]:
        own, where = _rename(prepare, text), text.__name__

        def both(*args: P.args, **kwargs: P.kwargs) -> tuple[Any, Array]:
            return own(*args, **kwargs)(where, True, *fixed)

        return cast(
            "Callable[P, tuple[Any, Array]]", _dress(both, prepare, text, "tuple[Any, Array]")
        )

    return decorate
