"""Parameters said once: of functions that share them, and of keyword options.

:func:`function_of` makes public functions of a private one that has their parameters.
:func:`spell_out` shows in full what a TypedDict names, each option with its type and its default:

>>> from typing import Annotated, TypedDict, Unpack
>>> class Options(TypedDict, total=False):
...     size: Annotated[int | None, None]
...     memory: Annotated[str, "512MB"]
>>> @spell_out(Options)
... def shrink(path: str, **options: Unpack[Options]) -> str:
...     return f"{path}: {options['size']}, {options['memory']}"
>>> shrink("a.npy", size=3)
'a.npy: 3, 512MB'
>>> list(inspect.signature(shrink).parameters)
['path', 'size', 'memory']

``help``, type checkers and the errors that Python raises for wrong arguments show functions that
are written out.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from types import FunctionType
from typing import Annotated, Any, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from softmax2d._gate.arrays import Array

Function = TypeVar("Function", bound=Callable[..., Any])
P = ParamSpec("P")
Packed = TypeVar("Packed")
Result = TypeVar("Result")
# From a loss's public name, whether the gradient is wanted, and the pair's fixed arguments.
Compute = Callable[..., tuple[Any, Any]]
Text = Callable[[], None]  # gives a name and a docstring


def _dress(function: Any, signature: inspect.Signature) -> Any:
    """``function`` with a signature, and with annotations as the signature has them."""
    function.__signature__ = signature
    function.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    function.__annotations__["return"] = signature.return_annotation
    return function


def function_of(
    prepare: Callable[P, Packed], finish: Callable[[Packed, str], Result], result: str
) -> Callable[[Text], Callable[P, Result]]:
    """Make a public function of its name and docstring and of a private function's parameters.

    ``prepare`` packs the arguments, also those that :func:`spell_out` gives it; ``finish`` takes
    what it returns and the public function's name. ``result`` is the text of the result's type.
    """
    signature = inspect.signature(prepare).replace(return_annotation=result)
    own: Any = inspect.unwrap(prepare)
    spell: Callable[[Any], Any] = getattr(prepare, "spell", lambda written: written)

    def decorate(text: Text) -> Callable[P, Result]:
        name = text.__name__
        named: Any = FunctionType(own.__code__, own.__globals__, name, own.__defaults__)
        named.__kwdefaults__, named.__qualname__ = own.__kwdefaults__, name  # for Python's errors
        named = spell(named)

        @wraps(text)
        def public(*args: P.args, **kwargs: P.kwargs) -> Result:
            return finish(named(*args, **kwargs), name)

        dressed: Callable[P, Result] = _dress(public, signature)
        return dressed

    return decorate


def value_of(prepare: Callable[P, Compute], *fixed: Any) -> Callable[[Text], Callable[P, Any]]:
    """Make a public function that returns the loss."""
    return function_of(prepare, lambda compute, where: compute(where, False, *fixed)[0], "Any")


def pair_of(
    prepare: Callable[P, Compute], *fixed: Any
) -> Callable[[Text], Callable[P, tuple[Any, Array]]]:
    """Make a public function that returns the loss and its gradient."""
    result = "tuple[Any, Array]"
    return function_of(prepare, lambda compute, where: compute(where, True, *fixed), result)


def _text(annotation: Any) -> Any:
    """The type inside ``Annotated[type, default]`` as it is written."""
    written = getattr(annotation, "__forward_arg__", None)
    if written is None:
        return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    tree = ast.parse(written, mode="eval").body
    if isinstance(tree, ast.Subscript) and isinstance(tree.slice, ast.Tuple):
        outer = ast.unparse(tree.value)
        tree = tree.slice.elts[0] if outer.endswith("Annotated") else tree
    return ast.unparse(tree)


def _parameters(options: Any, order: list[str], changed: dict[str, Any]) -> list[Parameter]:
    """Keyword-only parameters for the options of a TypedDict."""
    types = get_type_hints(options, include_extras=True)
    if order and not set(types) <= set(order):
        raise TypeError(f"{options.__name__}: order must name {sorted(types)}; got {order}.")
    found = []
    for name in types:
        default = getattr(types[name], "__metadata__", (Parameter.empty,))[0]
        found.append(
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                default=changed.get(name, default),
                annotation=_text(options.__annotations__[name]),
            )
        )
    return found


def spell_out(
    options: Any, order: str | None = None, **changed: Any
) -> Callable[[Function], Function]:
    """Give a function with ``**options: Unpack[...]`` a signature that spells these options out.

    Parameters
    ----------
    options : TypedDict
        The class of the function's options, ``Annotated[type, default]`` each.
    order : str, optional
        Their names, and any of the function's own keyword-only parameters, as the signature lists
        them; what is not named stands before. By default as the class does, what it inherits first.
    **changed
        Defaults that this function has in place of those of the class.
    """
    places = {name: i for i, name in enumerate((order or "").split())}
    named = _parameters(options, list(places), changed)
    defaults = {p.name: p.default for p in named if p.default is not Parameter.empty}
    known = {p.name for p in named}

    def decorate(function: Function) -> Function:
        own = inspect.signature(function)
        first = [p for p in own.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
        positional = {p.name for p in first}

        @wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            for name in given:
                if name not in known and name not in positional:
                    raise TypeError(
                        f"{function.__qualname__}() got an unexpected keyword argument {name!r}"
                    )
            return function(*args, **(defaults | given))

        listed = sorted([*first, *named], key=lambda p: (p.kind, places.get(p.name, -1)))
        if unknown := set(places) - {p.name for p in listed}:
            raise TypeError(f"{function.__name__}: order names {sorted(unknown)}, no parameters.")
        spelled: Function = _dress(call, own.replace(parameters=listed))
        call.spell = decorate  # type: ignore[attr-defined]  # for a copy by function_of
        return spelled

    return decorate
