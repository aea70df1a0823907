"""What is measured: the jobs, and the arrays they are done on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

ITEMSIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


@dataclass(frozen=True)
class Job:
    """One thing that users want done.

    Attributes
    ----------
    title : str
        Its name in the tables.
    reads, writes : int
        Arrays of the logits' size that it must read and must write.
    labels, values : int
        Results that it must write for every pixel: labels, and floating-point numbers.
    """

    title: str
    reads: int
    writes: int = 0
    labels: int = 0
    values: int = 0


JOBS = {
    "softmax_out": Job("softmax, out= given", 1, 1),
    "softmax": Job("softmax, fresh output", 1, 1),
    "log_softmax": Job("log-softmax, out= given", 1, 1),
    "labels": Job("labels", 1, labels=1),
    "labels_confidence": Job("labels + confidence", 1, labels=1, values=1),
    "all": Job("labels + confidence + margin + entropy", 1, labels=1, values=3),
    "top3": Job("top-3 labels and probabilities", 1, labels=3, values=3),
    "vjp": Job("softmax gradient (vjp), out= given", 2, 1),
    "log_vjp": Job("log-softmax gradient (vjp), out= given", 2, 1),
}
ALL_JOBS = tuple(JOBS)
MAIN_JOBS = ("softmax_out", "labels", "labels_confidence", "vjp")


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
        return self.logits // self.classes

    @property
    def copy_bytes(self) -> int:
        """Bytes that a copy of the logits reads and writes."""
        return 2 * self.logits * ITEMSIZE[self.dtype]

    def job_bytes(self, job: str) -> int:
        """Bytes that ``job`` cannot avoid to read and write: its floor."""
        if job == "copy":
            return self.copy_bytes
        work, item = JOBS[job], ITEMSIZE[self.dtype]
        label = 1 if self.classes <= 256 else 2
        per_pixel = work.labels * label + work.values * max(item, 4)
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
    ]
