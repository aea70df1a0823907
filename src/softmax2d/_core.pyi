"""Types of the native core (cpp/bindings.cpp). Arrays are anything with a strided buffer."""

from typing import Any

from softmax2d._gate.grids import Tables
from softmax2d._gate.maps import Map

def probs(
    logs: bool,
    logits: Any,
    out: Any,
    dtype: int,
    out_dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
) -> None: ...
def vjp(
    logs: bool,
    result: Any,
    grad: Any,
    out: Any,
    dtype: int,
    grad_dtype: int,
    out_dtype: int,
    axis: int,
) -> None: ...
def segment(
    logits: Any,
    dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
    outputs: tuple[Any, ...],
    label_bytes: int,
    top_k: int,
) -> int: ...
def count_targets(
    target: Any, is_signed: bool, classes: int, ignore: int | None, counts: Any
) -> tuple[int, int]: ...
def loss(
    logits: Any,
    dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
    target: Any,
    target_type: int,
    ignore: int | None,
    weight: Any | None,
    scale: float,
    upstream: Any | None,
    smoothing: float,
    gamma: float,
    cut: tuple[float, float] | None,
    losses: Any,
    grad: Any,
    grad_dtype: int,
    sums: Any,
) -> None: ...
def region_sums(
    logits: Any,
    dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
    target: Any,
    is_signed: bool,
    ignore: int | None,
    inside: Any,
    total: Any,
) -> bool: ...
def region_grad(
    logits: Any,
    dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
    target: Any,
    is_signed: bool,
    ignore: int | None,
    inside: Any,
    total: Any,
    grad: Any,
    grad_dtype: int,
) -> None: ...
def statistics(
    logits: Any,
    dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
    target: Any,
    is_signed: bool,
    ignore: int | None,
    bins: int,
    confusion: Any,
    top_bins: Any,
    class_bins: Any,
    nll: Any,
    brier: Any,
) -> None: ...
def histogram(
    logits: Any,
    dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
    target: Any | None,
    is_signed: bool,
    ignore: int | None,
    count: Any,
    sum: Any,
) -> None: ...

HISTOGRAM_BINS: int

def decide(
    logits: Any,
    dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
    outputs: tuple[Any, Any],
    label_bytes: int,
    rule: tuple[Any, Any, Any, Any],
) -> None: ...
def fit(
    logits: Any,
    dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
    target: Any,
    is_signed: bool,
    ignore: int | None,
    weight: Any | None,
    sums: Any,
    left_out: Any,
    class_sums: Any | None,
) -> bool: ...
def shift(
    logits: Any,
    dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
    target: Any,
    is_signed: bool,
    ignore: int | None,
    label: int,
    values: Any,
    led: Any,
    right: Any,
    own: Any,
) -> None: ...
def prior(
    logits: Any,
    dtype: int,
    axis: int,
    map: Map | None,
    grid: Tables | None,
    weight: Any,
    sums: Any,
) -> None: ...
def move_runs(write: bool, file: int, starts: Any, data: Any) -> bool: ...
def new_buffer(bytes: int) -> Any: ...
def import_bfloat16(array: Any) -> Any: ...
def elementary(name: str, x: Any, out: Any) -> None: ...
def shut_down() -> None: ...
def runnable_builds() -> list[str]: ...
def all_builds() -> list[str]: ...
def use_build(name: str) -> bool: ...
def build_in_use() -> str: ...
def num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def set_own_threads(n: int) -> None: ...
def available_processors() -> int: ...
