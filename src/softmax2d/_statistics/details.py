"""What an evaluation counts besides on request, and how such counts merge."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self

from softmax2d._gate import grids


class Details(NamedTuple):
    """The optional counts of an evaluation: one value from the doors to the core's call."""

    per_image: bool = False
    curves: bool = False

    @classmethod
    def of(cls, where: str, per_image: Any, curves: Any = False) -> Details:
        """Checked values."""
        said = {"per_image": per_image, "curves": curves}
        return cls(**{name: grids.flag(where, name, v) for name, v in said.items()})


class Detail(Protocol):
    """Counts that :class:`softmax2d.Statistics` has on request, beside those that it always has."""

    @property
    def classes(self) -> int:
        """The number of classes."""

    def __add__(self, other: Any, /) -> Self:
        """Those of both."""

    def as_one_image(self) -> Self:
        """The same pixels, as parts of one image."""

    def to_dict(self) -> dict[str, Any]:
        """Lists and whole numbers, which JSON can hold."""


def add_detail(
    name: str, one: Detail | None, other: Detail | None, starts: tuple[bool, bool]
) -> Any:
    """The sum of the detail ``name`` of two statistics.

    A side that ``starts`` a sum has counted nothing: it takes the other's.
    """
    if one is not None and other is not None:
        return one + other
    held, lacks = (other, starts[0]) if one is None else (one, starts[1])
    if held is not None and not lacks:
        raise ValueError(
            f"Statistics: only one of the two has {name}, and its sum would leave out pixels. "
            f"Evaluate both with {name}=True, or drop it first: "
            f"dataclasses.replace(statistics, {name}=None)."
        )
    return held
