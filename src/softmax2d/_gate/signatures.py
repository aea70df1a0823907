"""Keyword options said once, in a TypedDict, and shown in full by ``help`` and ``inspect``.

A class of options names each with its type and its default, if there is one:

>>> from typing import Annotated, TypedDict, Unpack
>>> class Options(TypedDict, total=False):
...     size: Annotated[int | None, None]
...     memory: Annotated[str, "512MB"]

and a function takes them under one name, with the defaults filled in:

>>> @spell_out(Options)
... def shrink(path: str, **options: Unpack[Options]) -> str:
...     return f"{path}: {options['size']}, {options['memory']}"
>>> shrink("a.npy", size=3)
'a.npy: 3, 512MB'
>>> list(inspect.signature(shrink).parameters)
['path', 'size', 'memory']
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

Function = TypeVar("Function", bound=Callable[..., Any])


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


def _parameters(options: Any, order: str | None, changed: dict[str, Any]) -> list[Parameter]:
    """Keyword-only parameters for the options of a TypedDict."""
    types = get_type_hints(options, include_extras=True)
    names = list(types) if order is None else order.split()
    if set(names) != set(types):
        raise TypeError(f"{options.__name__}: order must name {sorted(types)}; got {names}.")
    found = []
    for name in names:
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
        Their names as the signature lists them; by default as the class does, what it inherits
        first.
    **changed
        Defaults that this function has in place of those of the class.
    """
    named = _parameters(options, order, changed)
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

        signature = own.replace(parameters=[*first, *named])
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        call.__annotations__["return"] = own.return_annotation
        return cast(Function, call)

    return decorate
