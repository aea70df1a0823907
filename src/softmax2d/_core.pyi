"""Types of the native core (cpp/bindings.cpp). Arrays are anything with a strided buffer."""

from typing import Any, TypeAlias

from softmax2d._gate.grids import Tables
from softmax2d._gate.maps import Map

# Dtypes. SWAPPED is added where the bytes are in the other order, PROBS for a target of
# probabilities.
FLOAT16: int
BFLOAT16: int
FLOAT32: int
FLOAT64: int
SWAPPED: int
PROBS: int
TOO_LARGE: int
# Entries of an exact sum of float32, of float64; bits of the parts of sums kept as whole and parts.
SUMS: int
WIDE_SUMS: int
PART_BITS: int
FIT_PART_BITS: int
# Of a histogram: bins of an octave, and all of them.
HISTOGRAM_STEPS: int
HISTOGRAM_BINS: int
CURVE_BINS: int

# array, dtype, axis, map, grid
Logits: TypeAlias = tuple[Any, int, int, Map | None, Tables | None]
# array, kind, ignored class: 0 and 1 stand for unsigned and signed integers, PROBS + dtype
Target: TypeAlias = tuple[Any, int, int | None]
# weight, scale, upstream, smoothing, gamma, (threshold, tie)
Terms: TypeAlias = tuple[Any, float, Any, float, float, tuple[float, float] | None]

def probs(logs: bool, logits: Logits, out: Any, out_dtype: int) -> None: ...
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
def segment(logits: Logits, outputs: tuple[Any, ...], label_bytes: int, top_k: int) -> int: ...
def count_targets(
    target: Any, is_signed: bool, classes: int, ignore: int | None, counts: Any
) -> tuple[int, int]: ...
def count_pairs(
    labels: Target, truth: Target, classes: int, confusion: Any
) -> tuple[int, int, int, int]: ...
def loss(
    logits: Logits,
    target: Target,
    terms: Terms,
    losses: Any | None,
    grad: Any | None,
    grad_dtype: int,
    sums: Any,
) -> None: ...
def region_sums(logits: Logits, target: Target, squared: bool, sums: Any) -> int: ...
def region_grad(
    logits: Logits,
    target: Target,
    slopes: tuple[Any, Any, Any | None],
    grad: Any,
    grad_dtype: int,
) -> None: ...
def statistics(
    logits: Logits, target: Target, bins: int, counts: tuple[Any, Any, Any, Any, Any]
) -> None: ...
def histogram(
    logits: Logits, target: Target | None, count: Any, sum: Any, argmax: tuple[Any, Any]
) -> None: ...
def curves(logits: Logits, target: Target, counts: tuple[Any, Any, Any, Any]) -> None: ...
def decide(
    logits: Logits,
    target: Target | None,
    rule: tuple[Any, Any, Any],
    outputs: tuple[Any, Any],
    label_bytes: int,
    given: tuple[Any, Any] | None,
) -> None: ...
def fit(
    logits: Logits,
    target: Target,
    weight: Any | None,
    sums: Any,
    left_out: Any,
    class_sums: Any | None,
) -> bool: ...
def shift(
    logits: Logits, target: Target, label: int, values: Any, counts: tuple[Any, Any, Any]
) -> None: ...
def prior(logits: Logits, weight: Any, sums: Any) -> None: ...
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
