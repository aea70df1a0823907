"""Functions whose keyword options are said once: what ``help`` shows, and what calls raise."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal, TypedDict, Unpack

import pytest

from softmax2d._gate.signatures import function_of, spell_out


class _Size(TypedDict, total=False):
    size: Annotated[int | None, None]


class _Options(_Size, total=False):
    memory: Annotated[str, "512MB"]
    kind: Annotated[Literal["a", "b"], "a"]


@spell_out(_Options, order="memory size kind", kind="b")
def _shrink(path: str, level: int = 3, **options: Unpack[_Options]) -> dict[str, Any]:
    """Shrink a file."""
    return {"path": path, "level": level, **options}


class _Module:
    @spell_out(_Options)
    def __init__(self, **options: Unpack[_Options]) -> None:
        self.options = options


def _written(
    path: str,
    level: int = 3,
    *,
    memory: str = "512MB",
    size: int | None = None,
    kind: Literal["a", "b"] = "b",
) -> dict[str, Any]:
    return {}


def _packed(
    path: str,
    level: int = 3,
    *,
    memory: str = "512MB",
    size: int | None = None,
    kind: Literal["a", "b"] = "b",
) -> tuple[Any, ...]:
    return path, level, memory, size, kind


@function_of(_packed, lambda packed, where: {where: packed}, "dict[str, Any]")
def _made() -> None:
    """Shrink a file."""


def test_the_signature_is_that_of_a_function_written_out() -> None:
    assert inspect.signature(_shrink) == inspect.signature(_written)
    assert str(inspect.signature(_shrink)) == str(inspect.signature(_written))
    assert _shrink.__annotations__ == _written.__annotations__
    assert _shrink.__doc__ == "Shrink a file."
    assert list(inspect.signature(_Module).parameters) == ["size", "memory", "kind"]


def test_an_order_places_own_keywords_too() -> None:
    @spell_out(_Options, order="memory level size kind")
    def shrink(path: str, *, deep: bool = False, level: int = 3, **options: Any) -> Any:
        return path, deep, level, options

    names = ["path", "deep", "memory", "level", "size", "kind"]
    assert list(inspect.signature(shrink).parameters) == names
    assert shrink("a", level=4, size=1)[2] == 4
    with pytest.raises(TypeError, match=r"order names \['depth'\], no parameters"):
        spell_out(_Options, order="memory size kind depth")(shrink)


def test_a_function_made_of_another_has_its_signature() -> None:
    assert inspect.signature(_made) == inspect.signature(_written)
    assert _made.__annotations__ == _written.__annotations__
    assert (_made.__name__, _made.__module__) == ("_made", __name__)
    assert _made.__doc__ == "Shrink a file."
    assert _made("a", size=2) == {"_made": ("a", 3, "512MB", 2, "b")}


def test_defaults_are_filled_in() -> None:
    filled = {"path": "a", "level": 3, "memory": "512MB", "size": None, "kind": "b"}
    assert _shrink("a") == filled
    assert _shrink("a", 4, size=2) == {**filled, "level": 4, "size": 2}
    assert _Module(size=1).options == {"size": 1, "memory": "512MB", "kind": "a"}


@pytest.mark.parametrize(
    ("given", "keywords"),
    [((), {}), (("a",), {"path": "a"}), (("a",), {"sizes": 3}), (("a", 1, 2), {})],
)
def test_wrong_calls_raise_what_python_raises(given: Any, keywords: Any) -> None:
    with pytest.raises(TypeError) as expected:
        _written(*given, **keywords)
    for function in (_shrink, _made):
        with pytest.raises(TypeError) as got:
            function(*given, **keywords)
        assert str(got.value) == str(expected.value).replace("_written", function.__name__)


def test_a_constructor_is_named_as_python_names_it() -> None:
    wrong: Any = {"sizes": 3}
    with pytest.raises(TypeError, match=r"^_Module\.__init__\(\) got an unexpected keyword"):
        _Module(**wrong)


def test_an_order_that_leaves_out_an_option_is_refused() -> None:
    with pytest.raises(TypeError, match="_Options: order must name"):
        spell_out(_Options, order="size memory")
