"""Which of several outputs holds the class scores: by its name, its shape, or as the caller says.

Names are known in the words of torchvision, Hugging Face and exporters. Where neither a name nor a
shape decides, the outputs are listed and the caller is asked: an auxiliary output looks as the main
one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from softmax2d._errors import Unusable
from softmax2d._files.source.source import Array

KNOWN = ("logits", "out", "output", "scores", "seg_logits", "semantic_logits")
_VECTORS = 2  # axes of one vector an image
_WAY = "say which holds the class scores with output= (--output)"


def choose_declared(
    names: Sequence[str], ranks: Sequence[int | None], rank: int | None, asked: Any, where: str
) -> str:
    """The output of a graph that holds the scores, of ``rank`` axes; ranks are None where unknown.

    Raises
    ------
    Unusable
        Unknown, or several that may be meant; the message lists them.
    """
    if asked is not None:
        number = _number(asked)
        if asked in names:
            return str(asked)
        if number is not None and number < len(names):
            return names[number]
        raise Unusable(f"{where}: has no output {asked!r}; it has {', '.join(names)}.")
    if len(names) == 1:
        return names[0]
    known = [name for name in names if _is_known(name)]
    if len(known) == 1:
        return known[0]
    # Vectors of one entry an image (a class, a count) are no scores of pixels.
    spatial = [n for n, r in zip(names, ranks, strict=True) if r is None or r > _VECTORS]
    fits = [n for n, r in zip(names, ranks, strict=True) if r is not None and r == rank]
    if len(spatial) == len(fits) == 1:
        return fits[0]
    raise Unusable(f"{where}: has {len(names)} outputs, {', '.join(names)}; {_WAY}.")


def _is_known(name: str) -> bool:
    """Whether a name says scores; TensorFlow's come with a scope and a number."""
    return name.lower().split(":")[0].rsplit("/", 1)[-1] in KNOWN


def _number(asked: Any) -> int | None:
    """The position that ``output=`` names; None for a name."""
    if isinstance(asked, bool):
        return None
    if isinstance(asked, int | np.integer):
        return int(asked) if asked >= 0 else None
    return int(asked) if isinstance(asked, str) and asked.isdecimal() else None


def choose_returned(found: Any, rank: int, asked: Any = None) -> Array:
    """The array of scores in what a network returned: an array, or several, named or in a row.

    Raises
    ------
    Unusable
        No array, nothing of that name, or several that may be meant.
    """
    if asked is not None:
        return as_array(_one_of(_pick(found, asked), rank))
    return as_array(_one_of(found, rank))


def _by_name(found: Any) -> Mapping[str, Any] | None:
    """Outputs by name: of a mapping, a named tuple, or an object with one of the known names."""
    if isinstance(found, Mapping):
        return {str(name): value for name, value in found.items() if value is not None}
    fields = getattr(found, "_fields", None)
    if isinstance(found, tuple) and isinstance(fields, tuple):
        return dict(zip(fields, found, strict=True))
    if is_array(found) or isinstance(found, tuple | list):
        return None
    held = {n: getattr(found, n) for n in KNOWN if getattr(found, n, None) is not None}
    return held or None


def _pick(found: Any, asked: Any) -> Any:
    named, number = _by_name(found), _number(asked)
    if named is not None:
        if str(asked) in named:
            return named[str(asked)]
        if hasattr(found, str(asked)):
            return getattr(found, str(asked))
        listed = ", ".join(named)
    elif isinstance(found, tuple | list):
        if number is not None and number < len(found):
            return found[number]
        listed = f"a sequence of {len(found)}, counted from 0"
    else:
        if hasattr(found, str(asked)) and not is_array(found):
            return getattr(found, str(asked))
        listed = f"one {type(found).__name__}: leave out output="
    raise Unusable(f"the model returned no output {asked!r}; it returned {listed}.")


def _one_of(found: Any, rank: int) -> Any:
    """The one output among several; arrays as they are."""
    named = _by_name(found)
    if named is not None:
        known = [name for name in named if _is_known(name)]
        if len(known) == 1:
            return _one_of(named[known[0]], rank)
        fits = [name for name in named if _rank(named[name]) == rank]
        if not known and len(fits) == 1 and _alone(named.values()):
            return named[fits[0]]
        raise Unusable(f"the model returned {', '.join(named) or 'nothing'}; {_WAY}.")
    if not isinstance(found, tuple | list) or not found:
        return found
    if len(found) == 1:
        return _one_of(found[0], rank)
    return _first_of(found, rank)


def _first_of(found: Sequence[Any], rank: int) -> Any:
    """The scores in a sequence: the only array of that rank, or the first and finest of them.

    Deep supervision gives the same classes again at coarser cells; those are passed over.
    """
    fits = [entry for entry in found if _rank(entry) == rank]
    if len(fits) == 1 and _alone(found):
        return fits[0]
    if not fits:
        nested = [entry for entry in found if isinstance(entry, tuple | list | Mapping) and entry]
        return _one_of(nested[0], rank) if len(nested) == 1 else found[0]
    first, others = fits[0], fits[1:]
    coarser = all(np.prod(first.shape[2:]) > np.prod(entry.shape[2:]) for entry in others)
    same = all(entry.shape[1] == first.shape[1] for entry in others)
    if first is found[0] and others and coarser and same and len(fits) == len(found):
        return first
    shapes = ", ".join(str(tuple(e.shape)) if is_array(e) else type(e).__name__ for e in found)
    raise Unusable(f"the model returned {len(found)} outputs, {shapes}; {_WAY}, counted from 0.")


def _alone(found: Iterable[Any]) -> bool:
    """Whether all but one are numbers of an image (losses, classes of the whole), no maps."""
    ranks = [_rank(entry) for entry in found]
    return sum(rank is None or rank > _VECTORS for rank in ranks) == 1


def is_array(value: Any) -> bool:
    """Whether it is an array or a tensor."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _rank(value: Any) -> int | None:
    return len(value.shape) if is_array(value) else None


def as_array(found: Any) -> Array:
    """A NumPy array of numbers, its dtype kept; half types that NumPy has not become float32."""
    if hasattr(found, "detach"):
        found = found.detach().cpu()
        found = (found.float() if found.is_floating_point() else found).numpy()
    try:
        held = np.asarray(found)
        if held.dtype.kind not in "biuf":
            held = np.asarray(held.astype(np.float32)) if held.dtype.name == "bfloat16" else held
        if held.dtype.kind not in "biuf":
            raise TypeError(held.dtype)
        return held
    except (TypeError, ValueError):
        kind = type(found).__name__
        raise Unusable(f"the model returned {kind}; an array of class scores is needed.") from None
