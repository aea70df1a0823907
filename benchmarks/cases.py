"""What is measured: the jobs, and the arrays they are done on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
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


def _scaling(logits: int, classes: Iterable[int]) -> list[Case]:
    """The same number of logits, shared out among more and more classes."""
    jobs = ("softmax_out", "labels_confidence")
    return [
        Case(f"classes-{c}", (c, max(logits // c // 256, 1), 256), jobs=jobs, peers=(), memory=True,
             builds="best", group="scaling")
        for c in classes
    ]  # fmt: skip


def full() -> list[Case]:
    """The measurement behind the tables in the docs."""
    city = (19, 1024, 2048)
    return [
        Case("city", city, peers=PEERS, memory=True),
        Case("many", (150, 512, 512), peers=PEERS, memory=True),
        Case("thousand", (1000, 256, 256), jobs=MAIN_JOBS, memory=True),
        Case("city-float16", city, "float16", jobs=MAIN_JOBS, group="dtypes"),
        Case("city-bfloat16", city, "bfloat16", jobs=MAIN_JOBS, group="dtypes"),
        Case("city-float64", city, "float64", jobs=MAIN_JOBS, builds="best", group="dtypes"),
        Case("city-last", (1024, 2048, 19), axis=-1, jobs=MAIN_JOBS, group="layout"),
        Case("small", (21, 64, 64), peers=PEERS, group="small"),
        Case("call", (2, 2, 2), peers=PEERS, builds="best", group="call"),
        *_scaling(2**24, SCALING_CLASSES),
        *(
            Case(f"pixels-{n}", (19, n, n), jobs=("softmax_out", "labels_confidence"), peers=(),
                 builds="best", group="scaling")
            for n in (256, 512, 1024)
        ),
    ]  # fmt: skip


def quick() -> list[Case]:
    """The same cases, small: shows that everything runs, says nothing about speed."""
    city = (19, 64, 128)
    return [
        Case("city", city, peers=PEERS),
        Case("many", (150, 32, 32), jobs=MAIN_JOBS),
        Case("city-float16", city, "float16", jobs=MAIN_JOBS, group="dtypes"),
        Case("city-bfloat16", city, "bfloat16", jobs=MAIN_JOBS, group="dtypes"),
        Case("city-last", (64, 128, 19), axis=-1, jobs=MAIN_JOBS, group="layout"),
        Case("small", (21, 64, 64), jobs=MAIN_JOBS, group="small"),
        Case("call", (2, 2, 2), jobs=MAIN_JOBS, builds="best", group="call"),
        *_scaling(2**18, (2, 32, 1000)),
    ]
