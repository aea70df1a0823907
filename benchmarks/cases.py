"""On which arrays it is measured, and how large they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from benchmarks.jobs import (
    ALL_JOBS,
    JOBS,
    LOSS_JOBS,
    MAIN_JOBS,
    RESAMPLED_JOBS,
    STATISTICS_JOBS,
    STEPS,
)

ITEMSIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
SLABS = 32  # parts of a volume, one of which is a slab


@dataclass(frozen=True)
class Case:
    """An array of logits, the jobs done on it, and by whom.

    Attributes
    ----------
    name : str
        What ``--filter`` and the JSON file call it.
    shape : tuple of int
        Shape of the logits.
    dtype : str
        "float16", "bfloat16", "float32" or "float64".
    axis : int
        The class axis, 0 or -1.
    jobs : tuple of str
        Keys of ``JOBS``.
    peers : tuple of str
        Libraries beside softmax2d and the copies: "torch", "scipy", "onnxruntime".
    builds : str
        "all" builds of softmax2d, or only the "best" that this processor runs.
    memory : bool
        Whether the memory beside the result is measured too.
    group : str
        The table that it belongs to.
    measured_with : str
        The case in whose rounds this one takes its turns; its own if empty.
    size : tuple of int
        Height and width, or depth, height and width, to which the logits are resampled; their own
        if empty.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    axis: int = 0
    jobs: tuple[str, ...] = ALL_JOBS
    peers: tuple[str, ...] = ("torch",)
    builds: str = "all"
    memory: bool = False
    group: str = "large"
    measured_with: str = ""
    size: tuple[int, ...] = ()

    @property
    def batch(self) -> str:
        """Cases of one batch stand beside each other in a list, and share their rounds."""
        return self.measured_with or self.name

    @property
    def classes(self) -> int:
        return self.shape[self.axis]

    @property
    def logits(self) -> int:
        return prod(self.shape)

    @property
    def pixels(self) -> int:
        """Pixels of the result."""
        return prod(self.size) if self.size else self.logits // self.classes

    @property
    def slab(self) -> tuple[int, ...]:
        """Shape of a part of the resampled logits: all classes, some slices."""
        return self.classes, -(-self.size[0] // SLABS), *self.size[1:]

    @property
    def tiny(self) -> Case:
        """The same on hardly any pixels."""
        rest = len(self.shape) - 1
        shape = (3, *[2] * rest) if self.axis == 0 else (*[2] * rest, 3)
        return replace(self, name="tiny", shape=shape, size=(4,) * len(self.size))

    @property
    def copy_bytes(self) -> int:
        """Bytes that a copy of the logits reads and writes."""
        return 2 * self.logits * ITEMSIZE[self.dtype]

    def job_bytes(self, job: str) -> int:
        """Bytes that ``job`` cannot avoid to read and write: its floor."""
        if job == "copy":
            return self.copy_bytes
        work, item = JOBS[job], ITEMSIZE[self.dtype]
        if job == "export_class":
            return self.logits // self.classes * item + 4 * self.pixels
        if job == "export_argmax":
            return (4 * self.classes + 1) * prod(self.slab[1:])
        label = 1 if self.classes <= 256 else 2
        per_pixel = work.labels * label + work.values * max(item, 4) + work.targets * 8
        return (work.reads + work.writes) * self.logits * item + per_pixel * self.pixels

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Case:
        lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **lists})


PEERS = ("torch", "scipy", "onnxruntime")
SCALING_CLASSES = (2, 8, 32, 128, 512, 1000)


TWIN = ":plain"


def _with_twin(case: Case, plain: tuple[int, ...]) -> list[Case]:
    """``case``, and beside it what it is compared with: float32, classes first, shape ``plain``."""
    twin = replace(
        case, name=case.name + TWIN, shape=plain, dtype="float32", axis=0, peers=(), group="twin",
        measured_with=case.name,
    )  # fmt: skip
    return [case, twin]


def _variations(height: int, width: int) -> list[Case]:
    """Other types and channels last, each with its twin."""
    plain = (19, height, width)
    found = []
    for dtype in ("float16", "bfloat16", "float64"):
        case = Case(f"city-{dtype}", plain, dtype, jobs=MAIN_JOBS, builds="best", group="dtypes")
        found += _with_twin(case, plain)
    last = Case(
        "city-last", (height, width, 19), axis=-1, jobs=MAIN_JOBS, builds="best", group="layout"
    )
    return found + _with_twin(last, plain)


def _scaling(logits: int, classes: Iterable[int], sides: Iterable[int]) -> list[Case]:
    """The same number of logits shared out among more and more classes; then larger images."""
    plain = Case(
        "", (1,), jobs=("softmax_out", "labels_confidence"), peers=(), builds="best",
        group="scaling",
    )  # fmt: skip
    by_class = [
        replace(plain, name=f"classes-{c}", shape=(c, max(logits // c // 256, 1), 256),
                memory=True, measured_with="classes")
        for c in classes
    ]  # fmt: skip
    by_pixel = [
        replace(plain, name=f"pixels-{n * n}", shape=(19, n, n), measured_with="pixels")
        for n in sides
    ]
    return by_class + by_pixel


def _passes(shrink: int) -> list[Case]:
    """Resampled logits, losses and statistics; every length but the classes' ``1/shrink``."""

    def case(name: str, shape: tuple[int, ...], *size: int, **given: Any) -> Case:
        shape = (shape[0], *(n // shrink for n in shape[1:]))
        settings = {"memory": shrink == 1, "size": tuple(n // shrink for n in size), **given}
        return Case(name, shape, **settings)

    up, lean = tuple(RESAMPLED_JOBS), {"peers": (), "builds": "best"}
    volume = {"dtype": "float16", "builds": "best", "group": "volumes"}
    loss = {"jobs": tuple(LOSS_JOBS), "group": "losses"}
    return [
        case("ade-up", (150, 128, 128), 512, 512, jobs=up, group="resampled"),
        case("city-up", (19, 256, 512), 1024, 2048, jobs=up, group="resampled"),
        case("wide-up", (150, 512, 512), 2048, 2048, jobs=up[1:2], group="resampled", **lean),
        case("export", (117, 128, 128, 160), 320, 320, 400, jobs=(up[0], *STEPS),
             **volume | {"peers": ("skimage",)}),
        case("body", (117, 128, 128, 100), 512, 512, 400, jobs=up[1:2], **volume | {"peers": ()}),
        case("city-loss", (19, 1024, 2048), **loss),
        case("ade-loss", (150, 512, 512), **loss),
        case("city-statistics", (19, 1024, 2048), jobs=tuple(STATISTICS_JOBS),
             peers=("torchmetrics",), group="statistics"),
    ]  # fmt: skip


def full() -> list[Case]:
    """The measurement behind the tables in the docs."""
    return [
        Case("city", (19, 1024, 2048), peers=PEERS, memory=True),
        Case("many", (150, 512, 512), peers=PEERS, memory=True),
        Case("thousand", (1000, 256, 256), jobs=MAIN_JOBS, memory=True),
        *_variations(1024, 2048),
        Case("small", (21, 64, 64), peers=PEERS, group="small"),
        Case("call", (2, 2, 2), peers=PEERS, builds="best", group="call"),
        *_scaling(2**24, SCALING_CLASSES, (256, 512, 1024)),
        *_passes(1),
    ]


def quick() -> list[Case]:
    """The same cases, small: shows that everything runs, says nothing about speed."""
    scaling = [replace(c, memory=c.classes == 32) for c in _scaling(2**18, (2, 32, 1000), (16, 64))]
    return [
        Case("city", (19, 64, 128), peers=PEERS),
        Case("many", (150, 32, 32), jobs=MAIN_JOBS),
        *_variations(32, 64),
        Case("small", (21, 64, 64), jobs=MAIN_JOBS, group="small"),
        Case("call", (2, 2, 2), jobs=MAIN_JOBS, builds="best", group="call"),
        *scaling,
        *_passes(16),
    ]
