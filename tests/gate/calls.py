"""Random calls of the public functions, good ones and bad ones, for arrays and for tensors.

A call is a name, arrays, options, and what is wrong with it, if anything is. It is made of one
number, so that a failure is repeated by that number.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

import softmax2d as s2d
import softmax2d.torch as s2t

FORWARD = ("softmax2d", "log_softmax2d")
PAIRS = ("softmax2d_vjp", "log_softmax2d_vjp", "softmax2d_jvp")
REGIONS = ("dice_loss2d", "jaccard_loss2d", "tversky_loss2d")
LOSSES = ("cross_entropy2d", *REGIONS, "lovasz_softmax_loss2d")
WITH_GRAD = tuple(f"{name}_with_grad" for name in LOSSES)
NAMES = (*FORWARD, *PAIRS, "softmax2d_jacobian", "segment", "evaluate", "evaluate_labels")
NAMES += LOSSES + WITH_GRAD
OUTPUTS = ("labels", "confidence", "margin", "entropy")
KINDS = ("linear", "linear", "nearest", "nearest-exact")
Rng = np.random.Generator


class Call(NamedTuple):
    """A call of both faces."""

    name: str
    arrays: tuple[Any, ...]
    options: dict[str, Any]  # with "axis", which is dim= of tensors
    bad: str  # the option that was made worse, or ""

    def __str__(self) -> str:
        shown = [f"{a.dtype} {a.shape} strides {a.strides}" for a in self.arrays]
        return f"{self.name}({', '.join(shown)}, **{self.options!r}) {self.bad}"


def view_of(rng: Rng, values: Any) -> Any:
    """The same numbers in another layout."""
    values = np.asarray(values)
    how = rng.integers(6)
    if how == 1:
        return values.copy(order="F")
    if how == 2:
        order = rng.permutation(values.ndim)
        return values.transpose(order).copy().transpose(np.argsort(order))
    if how == 3 and values.ndim:
        wide = np.zeros([2 * n for n in values.shape], values.dtype)
        view = wide[tuple(slice(None, None, 2) for _ in values.shape)]
        view[...] = values
        return view
    if how == 4:
        held = np.ascontiguousarray(values)
        held.flags.writeable = False
        return held.reshape(values.shape)
    return values


def in_form(rng: Rng, number: Any) -> Any:
    """The same number as another type holds it."""
    forms: list[Callable[[Any], Any]] = [lambda v: v, lambda v: v, lambda v: np.asarray(v)[()]]
    return rng.choice(np.array([*forms, np.asarray, torch.tensor], object))(number)


ODD = (
    set(),
    object(),
    np.array(1j),
    np.array("1"),
    np.array(1, object),
    b"1",
    {1: 2},
    torch.nn.ReLU,
)
NO_INTEGERS = (
    *ODD,
    np.array(2.5),
    torch.tensor(1.5),
    torch.tensor(True),
    True,
    np.True_,
    1.5,
    np.float32(1),
    np.array(1.0),
    "1",
    [],
    1j,
    np.array([1, 2]),
)
NO_NUMBERS = (
    *ODD,
    torch.ones(2),
    torch.tensor(True),
    True,
    np.array(True),
    "0.5",
    None,
    1j,
    [0.5],
    np.array([0.5]),
    np.ma.array(0.5),
)
NO_FLOATS_IN_RANGE = (np.nan, np.inf, -1.0, 10**400, -(10**30), np.array(np.nan))
NO_MAPS = (
    *ODD,
    torch.ones(9),
    torch.tensor(True),
    torch.tensor(1j),
    "x",
    True,
    [1.0],
    np.zeros((2, 2)),
    [np.nan] * 9,
    np.ma.array([1.0, 2.0]),
    {},
    1j,
)
BAD: dict[str, tuple[Any, ...]] = {
    "axis": (*NO_INTEGERS, None, 9, -9, 2**63, -(10**30)),
    "size": (
        *ODD,
        torch.ones(9),
        np.ones(9),
        torch.tensor(1.5),
        0,
        -1,
        1.5,
        "8",
        (1,) * 7,
        (2.0, 2.0),
        True,
        10**30,
        -(10**30),
        [[2]],
        (None,),
    ),
    "interpolation": (
        object(),
        np.array("linear"),
        {},
        "cubic",
        3,
        None,
        ("linear",) * 7,
        (1,),
        b"linear",
        [["linear"]],
    ),
    "align_corners": (1, None, "yes", np.array(True)),
    "window": (
        object(),
        [],
        (1, 2),
        (slice(True),),
        (slice("1"),),
        3,
        "a",
        (slice(0.5),),
        (slice(None),) * 7,
        slice(None, None, -1),
        None.__class__,
    ),
    "spatial_dims": (*NO_INTEGERS, 7, -1, 10**30),
    "temperature": (*NO_MAPS, None, 0, -1, np.nan, np.inf, 10**400, np.array(0.0)),
    "bias": (*NO_MAPS, 1.0, [np.inf] * 2),
    "weight": (*NO_MAPS, 1.0, [-1.0, -1.0]),
    "ignore_index": NO_INTEGERS,
    "label_smoothing": (*NO_NUMBERS, *NO_FLOATS_IN_RANGE, 1.5),
    "focal_gamma": (*NO_NUMBERS, *NO_FLOATS_IN_RANGE),
    "smooth": (*NO_NUMBERS, *NO_FLOATS_IN_RANGE, (1, 2, 3), (0, -1), ("0", 1), [1.0, np.nan]),
    "squared": (0, None, "yes"),
    "average": ("mean", None, 1, ("macro",)),
    "batch": (1, None, [True]),
    "include_background": (0.0, None, "no"),
    "absent": ("ignore", None, True, b"skip"),
    "alpha": (*NO_NUMBERS, *NO_FLOATS_IN_RANGE),
    "beta": (*NO_NUMBERS, *NO_FLOATS_IN_RANGE),
    "reduction": (object(), [], True, np.array("mean"), None, "average", 3, ("mean",), b"mean"),
    "classes": (object(), [], -1, 0, 10**30, None, "some", 3, True, 1.5),
    "threshold": (*NO_NUMBERS[:3], *NO_FLOATS_IN_RANGE, 0, 1, np.array(1.0)),
    "outputs": (object(), {}, [None], 1.5, "probs", 3, (), None, ("labels", 3), [["labels"]]),
    "decode": (object(), [], None, "best", 3, ("argmax",)),
    "bins": (*NO_INTEGERS, None, 0, -1, 10**9, 10**30),
}
BAD["top_k"] = (*NO_INTEGERS[:2], "1", [], 1j, np.array([1, 2]), 0, -1, -(10**30), np.nan)


class Drawing:
    """What a call is made of: its shapes first."""

    def __init__(self, rng: Rng) -> None:
        self.rng, self.name = rng, str(rng.choice(NAMES))
        self.count = int(rng.integers(0, 4))  # of spatial axes
        most = 3 if self.count < 3 else 2
        self.own = tuple(
            int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, 4, self.count)
        )
        self.batch = tuple(int(n) for n in rng.integers(1, 3, rng.integers(0, most)))
        self.classes = int(rng.integers(1, 6))
        self.last = bool(self.count and rng.random() < 0.25)
        self.options: dict[str, Any] = {"axis": -1 if self.last else -self.count - 1}
        if self.last:
            self.options["spatial_dims"] = in_form(rng, self.count)

    def shape(self, own: tuple[int, ...], classes: bool = True) -> tuple[int, ...]:
        """Batch, classes and a grid, in the order of the call."""
        many = (self.classes,) if classes else ()
        return (*self.batch, *own, *many) if self.last else (*self.batch, *many, *own)

    def scores(self, shape: tuple[int, ...]) -> Any:
        """Logits of some kind, rarely with numbers that are none."""
        rng = self.rng
        kind = str(rng.choice(["f4", "f4", "f8", "f2"]))
        z = (rng.standard_normal(shape) * rng.choice([1, 1, 5, 40])).astype(kind)
        if z.size and rng.random() < 0.1:
            z[tuple(rng.integers(0, n) for n in shape)] = rng.choice([np.nan, -np.inf, np.inf])
        return view_of(rng, z)

    def maybe(self, name: str, chance: float, value: Callable[[], Any]) -> None:
        """An option, sometimes."""
        if self.rng.random() < chance:
            self.options[name] = value()

    def map_and_grid(self, window: bool, sized: bool) -> tuple[int, ...]:
        """Options of the map and the grid; the size of the result."""
        rng, classes = self.rng, self.classes
        vector = lambda: rng.uniform(0.5, 2, classes)  # noqa: E731
        self.maybe("temperature", 0.2, lambda: in_form(rng, float(rng.uniform(0.5, 2))))
        self.maybe("temperature", 0.1, vector)
        self.maybe("bias", 0.2, lambda: rng.standard_normal(classes).astype("f4"))
        size = self.own
        if sized and self.count and 0 not in self.own and rng.random() < 0.35:
            size = tuple(int(n) for n in rng.integers(1, 6, self.count))
            alone = len(set(size)) == 1 and rng.random() < 0.5
            self.options["size"] = in_form(rng, size[0]) if alone else size
            names = tuple(str(k) for k in rng.choice(KINDS, self.count))
            self.options["interpolation"] = names if rng.random() < 0.5 else names[0]
            self.maybe("align_corners", 0.3, lambda: rng.choice([True, False]))
        if window and self.count and rng.random() < 0.2:
            cut = [sorted(rng.integers(0, n + 1, 2).tolist()) for n in size]
            self.options["window"] = tuple(slice(*(in_form(rng, v) for v in c)) for c in cut)
        return size


def _draw_segment(draw: Drawing) -> tuple[Any, ...]:
    rng, options = draw.rng, draw.options
    draw.map_and_grid(True, True)
    names = tuple(n for n in OUTPUTS if rng.random() < 0.6) or ("labels",)
    draw.maybe("outputs", 0.7, lambda: names)
    draw.maybe("top_k", 0.3, lambda: in_form(rng, int(rng.integers(1, draw.classes + 1))))
    draw.maybe("decode", 0.1, lambda: str(rng.choice(["dice", "iou"])))
    options.setdefault("outputs", OUTPUTS)
    return (draw.scores(draw.shape(draw.own)),)


def _draw_loss(draw: Drawing) -> tuple[Any, ...]:
    rng, options = draw.rng, draw.options
    kind = draw.name.removesuffix("_with_grad")
    size = draw.map_and_grid(kind == "evaluate", True)
    window = options.get("window")
    pixels = size
    if window is not None:
        pixels = tuple(len(range(*s.indices(n))) for s, n in zip(window, size, strict=True))
    types = ["u1", "i8", "i4", "u8", ">i2"]
    labels = rng.integers(0, draw.classes, draw.shape(pixels, False)).astype(rng.choice(types))
    soft = kind in ("cross_entropy2d", *REGIONS) and rng.random() < 0.2
    if soft:
        shares = rng.dirichlet(np.ones(draw.classes), draw.shape(pixels, False))
        at = len(draw.batch) + (len(pixels) if draw.last else 0)
        labels = np.moveaxis(shares, -1, at).astype(rng.choice(["f4", "f8"]))
    elif labels.size and rng.random() < 0.3:
        ignored = int(rng.choice([0, 100]))
        labels[tuple(rng.integers(0, n) for n in labels.shape)] = ignored
        options["ignore_index"] = in_form(rng, ignored)
    _draw_terms(draw, kind)
    return draw.scores(draw.shape(draw.own)), view_of(rng, labels)


def _draw_terms(draw: Drawing, kind: str) -> None:
    rng, number = draw.rng, lambda low, high: in_form(draw.rng, float(draw.rng.uniform(low, high)))
    if kind not in ("evaluate", "lovasz_softmax_loss2d"):
        draw.maybe("weight", 0.3, lambda: rng.uniform(0, 2, draw.classes))
    if kind == "cross_entropy2d":
        draw.maybe("label_smoothing", 0.2, lambda: number(0, 1))
        draw.maybe("focal_gamma", 0.2, lambda: number(0, 3))
        draw.maybe("reduction", 0.4, lambda: str(rng.choice(["mean", "sum", "none"])))
        if draw.options.get("reduction") != "none":
            draw.maybe("top_k", 0.2, lambda: in_form(rng, rng.choice([1, 3, 10**6]).item()))
            draw.maybe("top_k", 0.1, lambda: number(0.1, 1))
            draw.maybe("threshold", 0.1, lambda: number(0.1, 0.9))
    if kind in REGIONS:
        draw.maybe("smooth", 0.4, lambda: number(0, 3))
        draw.maybe("smooth", 0.2, lambda: (number(0, 3), number(0.1, 3)))
        draw.maybe("average", 0.4, lambda: str(rng.choice(["macro", "micro", "generalized"])))
        some = ["count", "full", "skip"] if "average" not in draw.options else ["count", "skip"]
        draw.maybe("absent", 0.4, lambda: str(rng.choice(some)))
        for name in ("squared", "batch", *(["include_background"] if draw.classes > 1 else [])):
            draw.maybe(name, 0.3, lambda: rng.choice([True, False]))
    if kind == "tversky_loss2d":
        draw.maybe("alpha", 0.5, lambda: number(0, 2))
        draw.maybe("beta", 0.5, lambda: number(0, 2))
    if kind == "lovasz_softmax_loss2d":
        draw.maybe("classes", 0.4, lambda: str(rng.choice(["present", "all"])))
    if kind == "evaluate":
        draw.maybe("bins", 0.3, lambda: in_form(rng, int(rng.integers(1, 20))))


def _draw_arrays(draw: Drawing) -> tuple[Any, ...]:
    rng, name = draw.rng, draw.name
    if name == "segment":
        return _draw_segment(draw)
    if name in FORWARD:
        draw.map_and_grid(True, True)
        return (draw.scores(draw.shape(draw.own)),)
    if name == "evaluate_labels":
        draw.options = {"spatial_dims": in_form(rng, int(rng.integers(1, 4)))}
        draw.maybe("classes", 0.5, lambda: in_form(rng, draw.classes))
        draw.maybe("ignore_index", 0.3, lambda: in_form(rng, 100))
        pair = rng.integers(0, draw.classes, (2, *draw.shape(draw.own, False)))
        return view_of(rng, pair[0].astype("u1")), view_of(rng, pair[1])
    if name in LOSSES or name in WITH_GRAD or name == "evaluate":
        return _draw_loss(draw)
    draw.options.pop("spatial_dims", None)
    shape = draw.shape(draw.own)
    first = draw.scores(shape)
    first = -np.abs(first) if name.startswith("log") else first
    return (first,) if name == "softmax2d_jacobian" else (first, draw.scores(shape))


def _bad_target(rng: Rng, target: Any, classes: int) -> Any:
    """A target that is none: of another type or shape, or with what is no class."""
    kinds: list[Any] = [bool, "c8", "f2"] if target.dtype.kind in "iu" else [bool, "c16"]
    how = int(rng.integers(6))
    if how < len(kinds):
        return np.asarray(target.astype(kinds[how]) if how != 1 else target * 1j)
    if how == 3:
        return target[None]
    if how == 4:
        return target[..., None][..., [0, 0]]
    worse = np.asarray(target).astype(rng.choice(["i8", "u8", "i4"]))
    if worse.size:
        limits = np.iinfo(worse.dtype)
        worse[tuple(rng.integers(0, n) for n in worse.shape)] = (
            rng.choice(np.array([classes, 255, limits.max, limits.min - (limits.min == 0)], object))
            if limits.min
            else limits.max
        )
    return worse


def _bad_logits(rng: Rng, logits: Any) -> Any:
    """Logits that are none."""
    how = int(rng.integers(4))
    if how == 0:
        return logits.astype(bool)
    if how == 1:
        return logits.astype("c8")
    return logits[..., None] if how == 2 else logits.reshape(-1)[:1].reshape(())


def draw(number: int, seed: int) -> Call:
    """The call of that number."""
    rng = np.random.default_rng([seed, number])
    drawing = Drawing(rng)
    arrays, bad = _draw_arrays(drawing), ""
    options = drawing.options
    if rng.random() < 0.3:
        known = sorted(set(options) | _optional(drawing.name))
        bad = str(rng.choice(known))
        if len(arrays) == 2 and drawing.name not in PAIRS and rng.random() < 0.2:
            bad = "target"
            arrays = arrays[0], _bad_target(rng, arrays[1], drawing.classes)
            return Call(drawing.name, arrays, options, bad)
        if arrays[0].size and rng.random() < 0.1:
            arrays = (_bad_logits(rng, arrays[0]), *arrays[1:])
            return Call(drawing.name, arrays, options, "logits")
        worse = BAD[bad]
        options[bad] = worse[int(rng.integers(len(worse)))]
    return Call(drawing.name, arrays, options, bad)


def _optional(name: str) -> set[str]:
    """Options that a function has, of those that can be made worse."""
    held = (
        getattr(s2d, name).__signature__ if hasattr(getattr(s2d, name), "__signature__") else None
    )
    code = getattr(s2d, name)
    names = set(held.parameters) if held is not None else set(code.__kwdefaults__ or ())
    return names & set(BAD)


def as_tensor(value: Any) -> Any:
    """An array as a tensor of its strides, in an order of bytes and a memory that PyTorch knows."""
    array = value.astype(value.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def outcome(call: Call, tensors: bool) -> Any:
    """The results as arrays, by name; or the error."""
    options, arrays = dict(call.options), call.arrays
    function = getattr(s2t if tensors else s2d, call.name)
    if tensors:
        arrays = tuple(map(as_tensor, arrays))
        if "axis" in options:
            options["dim"] = options.pop("axis")
    try:
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            found = function(*arrays, **options)
    except Exception as error:  # noqa: BLE001  # judged by the test
        return error
    if hasattr(found, "confusion"):
        return {
            "confusion": found.confusion,
            "nll": np.array(found.nll),
            "ece": np.array(found.ece),
        }
    parts = found if isinstance(found, tuple) else (found,)
    named = getattr(found, "_fields", range(len(parts)))
    pairs = zip(named, parts, strict=True)
    return {n: np.asarray(p) for n, p in pairs if p is not None}
