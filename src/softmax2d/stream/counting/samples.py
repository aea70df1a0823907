"""Many logits with their truth, for passes of fits and searches.

Arrays are counted whole, files tile by tile within a budget of memory. Nothing as large as the
pixels is kept between two passes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from math import prod
from typing import Any, Unpack

import numpy as np

from softmax2d._errors import Refused, Unusable
from softmax2d._files.source.source import ArraySource, Source
from softmax2d._gate import arrays, checks
from softmax2d._gate.maps import Map
from softmax2d._gate.options import Resampling
from softmax2d._gate.signatures import spell_out
from softmax2d._pictures.classes import check_names
from softmax2d.stream.counting.counting import Count, Counting, Mapped, Plan, map_of, plan_of
from softmax2d.stream.counting.numbered import Chosen, MappedImage, images_of
from softmax2d.stream.counting.resident import Resident, is_resident
from softmax2d.stream.plan import meaning
from softmax2d.stream.plan.geometry import size_of
from softmax2d.stream.plan.inputs import Input
from softmax2d.stream.plan.memory import parse_memory, workers_of
from softmax2d.stream.plan.options import Pairs, check_kinds
from softmax2d.stream.plan.tiles import Tiling
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.workers import threads
from softmax2d.stream.workers.watching import note_pixels

_UNWANTED = object()  # in place of an item of a dataset


def _several(value: Any) -> bool:
    """Whether a value is a sequence of arrays or paths."""
    return isinstance(value, list | tuple) and not is_list_of_numbers(value)


def is_list_of_numbers(value: Any) -> bool:
    """Whether a value is one array as nested lists of numbers."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
        if isinstance(value, int | float | np.number):
            return True
    return False


def _as_source(where: str, name: str, value: Any) -> Any:
    """A path, a source or an array that a source is made of; DLPack and lists become NumPy's."""
    if isinstance(value, Source | str | os.PathLike):
        return value
    if all(hasattr(value, n) for n in ("shape", "dtype", "__getitem__")) and not hasattr(
        value, "__dlpack__"
    ):
        return value  # of any library, read piece by piece
    if hasattr(value, "detach"):  # a tensor that wants gradients
        value = value.detach()
    return arrays.as_array(where, name, value, "255" if name == "target" else "-np.inf")


class Samples:
    """Logits, and what is true of them: arrays, files, or many of either.

    Parameters
    ----------
    where : str
        The public function's name, for messages.
    logits : array, path, sequence of these, or dataset
        Class scores of shape (..., C, H, W). A dataset, where ``target`` is None and ``truth`` is
        True, gives pairs of logits and target each time it is gone through.
    target : the same, or None
        Integer class indices of shape (..., H, W). Of another spatial size than the logits, these
        are interpolated to it on the way.
    truth : bool
        Whether there is a target; False: logits alone.
    whole : bool
        Whether files are counted whole as well, whatever memory that takes: for counts that see
        past the edge of a tile.
    axis, size, interpolation, align_corners, ignore_index, key, target_key, memory, workers
        As in :func:`softmax2d.stream.evaluate_files`; ``size`` is that of the pixels where there is
        no target.
    """

    @spell_out(Pairs)
    def __init__(
        self,
        where: str,
        logits: Any,
        target: Any = None,
        *,
        truth: bool = True,
        whole: bool = False,
        **options: Unpack[Pairs],
    ) -> None:
        self._where, self._logits, self._target, self._truth = where, logits, target, truth
        self._keys, self._whole = (options["key"], options["target_key"]), whole
        check_kinds(where, options)
        kinds = options["interpolation"], options["align_corners"]
        self._how: dict[str, Any] = {
            "asked": meaning.Asked(options["input"], options["binary"]),
            "axis": options["axis"],
            "how": Resampling(size_of(options["size"]), *kinds),
            "ignore_index": options["ignore_index"],
            "nodata": None,
            "memory": parse_memory(options["memory"]),
            "workers": workers_of(options["workers"]),
            "where": where,
            "ignore_place": options["ignore_place"],
        }
        self._kept: dict[int, Resident] = {}
        self._checked: set[int] = set()  # whose numbers were looked at
        self._images: dict[int, int] = {}  # how many each of the pairs has
        self._whole_seen = False  # whether ``_images`` knows all pairs
        self._chosen: frozenset[int] | None = None  # of all images
        first = next(self._plans(), None)
        if first is None:
            raise Unusable(f"{where}: there are no logits.")
        self.classes: int = first[1].geometry.classes
        self.names: tuple[str, ...] | None = first[1].source.names

    @property
    def images(self) -> int:
        """The number of images, of all arrays and files; needs no pixel."""
        if self._chosen is not None:
            return len(self._chosen)
        if not self._whole_seen:
            for _ in self._plans():
                pass
            self._whole_seen = True
        return sum(self._images.values())

    def only(self, images: Iterable[int]) -> Samples:
        """A view over some images; their pixels alone are read.

        Parameters
        ----------
        images : iterable of int
            Their numbers, in [0, ``images``): counted over the axes of the batch of one array or
            file after the other. In a view, too, numbers are those of the whole.

        Returns
        -------
        Samples
            With ``total`` and ``each`` of these images, in the order of the whole.

        Raises
        ------
        IndexError
            A number of no image.
        """
        chosen = frozenset(int(number) for number in images)
        known = range(self.images) if self._chosen is None else self._chosen
        strange = [number for number in sorted(chosen) if number not in known]
        if strange:
            raise IndexError(f"{self._where}: there is no image {strange[0]}.")
        view = copy(self)
        vars(view)["_chosen"] = chosen
        return view

    def total(self, count: Count, temperature: Any = 1.0, bias: Any = None) -> Any:
        """The sum of the counts of all pixels.

        Parameters
        ----------
        count : callable
            Takes logits with their map, their target (None where there is none and every pixel
            counts), and the number of images in them; called from several threads. Its results can
            be added by ``+``.
        temperature, bias
            The map z / temperature + bias, as in :func:`softmax2d.softmax2d`.

        Returns
        -------
        Any
            The sum; None where there is no pixel.
        """
        found = None
        for counting in self._count(count, temperature, bias, apart=False):
            if counting.found is not None:
                found = counting.found if found is None else found + counting.found
        return found

    def each(self, count: Count, temperature: Any = 1.0, bias: Any = None) -> Iterator[Any]:
        """The count of every image, one after the other; as :meth:`total`."""
        for counting in self._count(count, temperature, bias, apart=True):
            yield from (counting.images[index] for index in sorted(counting.images))

    def visit(
        self,
        count: Count,
        take: Callable[[Any], Any],
        temperature: Any = 1.0,
        bias: Any = None,
    ) -> None:
        """Give the count of every image to ``take`` as soon as it is there; none is kept.

        ``count`` takes the number of the image as its third argument; ``take`` is called for one
        image after the other, in any order.
        """

        def visiting(first: int, plan: Plan, affine: Map | None) -> Counting:
            counted = MappedImage(plan, affine, count, first)
            return Chosen(counted, self._numbers(first, plan), True, take)

        for _ in self._run(visiting, temperature, bias):
            pass

    def _count(self, count: Count, temperature: Any, bias: Any, apart: bool) -> Iterator[Counting]:
        def counting(first: int, plan: Plan, affine: Map | None) -> Counting:
            counted = Mapped(plan, affine, count)
            if self._chosen is None:
                return Counting(counted, plan, apart)
            return Chosen(counted, self._numbers(first, plan), apart)

        return self._run(counting, temperature, bias)

    def _run(
        self, make: Callable[..., Counting], temperature: Any, bias: Any
    ) -> Iterator[Counting]:
        """The counting of every plan, from the number of its first image, the plan and the map."""
        for first, plan, workers in self._plans():
            affine: Map | None = map_of(plan, temperature, bias, self._where)
            counting = make(first, plan, affine)
            tiles = range(len(plan.tiling)) if prod(plan.geometry.shape) else range(0)
            if isinstance(plan, Resident):
                for tile in tiles:
                    note_pixels(counting(tile)["pixels"])
                yield counting
                continue
            try:
                threads.run(counting, tiles, _note, workers)
            except threads.TileError as error:
                raise threads.first_error(error, plan.source.path) from None
            yield counting

    def _numbers(self, first: int, plan: Plan) -> frozenset[int]:
        """The images of a plan to count, in it; its first one has the number ``first``."""
        own = range(images_of(plan))
        return frozenset(i for i in own if self._chosen is None or first + i in self._chosen)

    def _pairs(self) -> Iterator[tuple[Any, Any]]:
        """Logits and target, each one thing; None in place of a dataset's that nobody wants."""
        logits, target = self._logits, self._target
        if not self._truth:
            yield from ((each, None) for each in (logits if _several(logits) else [logits]))
            return
        if target is None:
            yield from self._dataset(logits)
            return
        if _several(logits) != _several(target):
            raise Unusable(f"{self._where}: give one target for one logits, or a list for a list.")
        if not _several(logits):
            yield logits, target
            return
        if len(logits) != len(target):
            sizes = f"{len(logits)} logits and {len(target)} targets"
            raise Unusable(f"{self._where}: every logits needs one target; got {sizes}.")
        yield from zip(logits, target, strict=True)

    def _dataset(self, dataset: Any) -> Iterator[tuple[Any, Any]]:
        """The pairs of a dataset, by number where it has a length: not every dataset ends."""
        kind = type(dataset).__name__
        if hasattr(dataset, "shape") or isinstance(dataset, str | os.PathLike):
            raise TypeError(f"{self._where}: logits are {kind}, and the target is missing.")
        counted = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
        again = hasattr(dataset, "__iter__") and iter(dataset) is not dataset
        if isinstance(dataset, Mapping) or not (counted or again):
            raise TypeError(
                f"{self._where}: a dataset gives its pairs as often as asked: a list, or a class "
                f"with __len__ and __getitem__; got {kind}."
            )
        for item in self._items(dataset) if counted else dataset:
            if item is _UNWANTED:
                yield None, None
                continue
            if not isinstance(item, list | tuple) or len(item) != len(("logits", "target")):
                kind = type(item).__name__
                raise TypeError(
                    f"{self._where}: a dataset gives pairs (logits, target); got {kind}."
                )
            logits, target = item
            yield logits, target

    def _items(self, dataset: Any) -> Iterator[Any]:
        """The items of a dataset by their numbers; ``_UNWANTED`` where no image counts."""
        first = 0
        for number in range(len(dataset)):
            yield dataset[number] if self._wanted(number, first) else _UNWANTED
            first += self._images.get(number, 0)

    def _wanted(self, number: int, first: int) -> bool:
        """Whether a pair, whose first image has the number ``first``, has an image to count."""
        if self._chosen is None or number not in self._images:
            return True
        return any(first + i in self._chosen for i in range(self._images[number]))

    def _plans(self) -> Iterator[tuple[int, Any, int]]:
        """The number of the first image, the plan and its number of workers, of each pair.

        Files are open while their plan is used.
        """
        first = 0
        for number, (logits, target) in enumerate(self._pairs()):
            if self._wanted(number, first):
                for plan, workers in self._plan(number, logits, target):
                    self._images[number] = images_of(plan)
                    yield first, plan, workers
            first += self._images[number]

    def _plan(self, number: int, logits: Any, target: Any) -> Iterator[tuple[Any, int]]:
        """The plan of a pair with its number of workers."""
        if number in self._kept:
            yield self._kept[number], 1
            return
        with ExitStack() as stack:
            meaning.check_place(logits, self._how["asked"])
            scores = self._open(stack, logits, "logits", self._keys[0])
            truth = None
            if self._truth:
                truth = self._open(stack, target, "target", self._keys[1])
            resident = is_resident(scores) and (truth is None or is_resident(truth))
            plan, workers = plan_of(scores, truth, **self._how)
            if number not in self._checked:
                meaning.check_numbers(scores.source, plan.geometry.axis, self._how["asked"])
                self._checked.add(number)
            self._check_classes(plan)
            if resident or self._whole:
                shape = plan.geometry.shape
                plan = replace(plan, tiling=Tiling(shape, shape, max(1, prod(shape))))
            if not resident:
                yield plan, workers
                return
            known = Resident(plan)
            if self._target is not None or not self._truth:  # a dataset makes them anew
                self._kept[number] = known
            yield known, 1

    def _open(self, stack: ExitStack, given: Any, name: str, key: str | None) -> Input:
        held = _as_source(self._where, name, given)
        if isinstance(held, np.ndarray):
            held, key = ArraySource(held, name), None
        opened = Input(held, key)
        if isinstance(held, Source):  # which its owner closes
            opened.source = held
            return opened
        return stack.enter_context(opened)

    def _check_classes(self, plan: Plan) -> None:
        known, found = getattr(self, "classes", plan.geometry.classes), plan.geometry.classes
        if found != known:
            raise Refused(plan.source.path, f"has {found} classes, those before it {known}.")


def names_of(
    where: str,
    argument: str,
    given: str | os.PathLike[str] | Sequence[str] | None,
    samples: Samples,
) -> tuple[str, ...] | None:
    """The names of the classes: as given, else of the file, if it has one for each class."""
    if given is None:
        return samples.names if len(samples.names or ()) == samples.classes else None
    if isinstance(given, str | os.PathLike):
        return check_names(given, samples.classes)
    names = checks.names_of(where, argument, given)
    if len(names) != samples.classes:
        raise ValueError(
            f"{where}: {argument} must be one for each of {samples.classes} classes; "
            f"got {len(names)}."
        )
    return tuple(map(str, names))


def _note(record: Record) -> None:
    note_pixels(record["pixels"])
