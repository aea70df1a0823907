"""NumPy and Dask: functions, losses, derivatives, statistics."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import softmax2d as s2d
from golden_cases.inputs import (
    DTYPES,
    FORWARD,
    GRID,
    KINDS,
    LOSSES,
    OUTPUTS,
    SIZE,
    TERMS,
    WINDOWS,
    C,
    file_text,
    finite,
    labels,
    layouts,
    named,
    sampled,
    values,
)


def record_numpy(r: Any) -> None:
    """Forward functions, derivatives and statistics of NumPy arrays."""
    for dtype, classes in itertools.product([*DTYPES, "int8", "uint16", "int64"], (1, 2, 19, 300)):
        item = 8 if dtype in ("float64", "int64") else 4
        tile = max(64, min(2048, (192 * 1024) // (item * classes) // 64 * 64))
        with np.errstate(all="ignore"):
            for size in ((1, 1), (7, 31), (1, tile - 1), (1, tile), (3, tile // 3 + 1)):
                z = values(classes, size, dtype)
                for name in FORWARD:
                    more = (
                        {"outputs": OUTPUTS, "top_k": min(3, classes)} if name == "segment" else {}
                    )
                    key = f"numpy/{name}/{dtype}, C={classes}, {size}"
                    r.case(key, getattr(s2d, name), z, **more)
    for dtype in DTYPES:
        for word, z, axis in layouts(values(19, (7, 31), dtype)):
            for name in FORWARD:
                r.case(f"numpy/{name}/{dtype}, {word}", getattr(s2d, name), z, axis=axis)
        for word, z, axis in layouts(values(256, (3, 5), dtype)):
            r.case(f"numpy/segment/{dtype}, C=256, {word}", s2d.segment, z, axis=axis, top_k=2)
    for name in FORWARD:
        more = {"window": WINDOWS, "axis": {"-3": -3, "-1": -1}}
        if name == "segment":
            more |= {"outputs": {"-": ..., "all": OUTPUTS}, "top_k": named(..., 2),
                     "decode": named(..., "dice", "iou")}  # fmt: skip
        for words, options in sampled(name, 400, kind=KINDS, **GRID, **more):
            z = values(C, SIZE, options.pop("kind")[0])
            z = np.moveaxis(z, 0, -1) if options["axis"] == -1 else z
            r.case(f"numpy/{name}/{words}", getattr(s2d, name), z, **options)
    record_derivatives(r)
    for words, options in sampled(
        "evaluate", 200, kind=KINDS, **GRID, ignore_index=named(..., 255), bins=named(..., 7)
    ):
        z, t = finite(options.pop("kind")[0]), labels(options.get("size"), ignored=255)
        options.setdefault("ignore_index", 255)
        r.case(f"numpy/evaluate/{words}", s2d.evaluate, z, t, **options)
    record_statistics(r)


def record_derivatives(r: Any) -> None:
    """Products with the Jacobian, and out=."""
    for dtype in DTYPES:
        z = values(C, SIZE, dtype)
        p, g = s2d.softmax2d(z), values(C, SIZE, dtype, 1)
        for (word, a, axis), (_, b, _) in zip(layouts(p), layouts(g), strict=True):
            for name in ("softmax2d_vjp", "softmax2d_jvp", "log_softmax2d_vjp"):
                r.case(f"numpy/{name}/{dtype}, {word}", getattr(s2d, name), a, b, axis=axis)
        r.case(f"numpy/softmax2d_jacobian/{dtype}", s2d.softmax2d_jacobian, p)
        for name in ("softmax2d", "log_softmax2d"):
            out = np.asfortranarray(z)
            r.case(f"numpy/{name}/{dtype}, out", getattr(s2d, name), z, out=out)
            whole = np.empty((C, 13, 20), s2d.softmax2d(z, size=(13, 20)).dtype)
            r.case(f"numpy/{name}/{dtype}, size, out", getattr(s2d, name), z, out=whole,
                   size=(13, 20))  # fmt: skip


def record_statistics(r: Any) -> None:
    """Measures, sums, and reports of statistics."""
    z, t = finite("float32"), labels(None, ignored=255)
    one, two = (s2d.evaluate(x, t, ignore_index=255) for x in (z, z * 2))
    for word, found in (("one", one), ("sum", one + two), ("image", one.as_one_image()),
                        ("none", s2d.Statistics.empty(C))):  # fmt: skip
        for name in sorted(dir(s2d.Statistics)):
            if not name.startswith("_") and isinstance(getattr(s2d.Statistics, name), property):
                r.case(f"numpy/Statistics.{name}/{word}", getattr, found, name)
        r.case(f"numpy/Statistics.report/{word}", found.report)
        r.case(f"numpy/Statistics.report/{word}, names", found.report, list("abcde"))
        r.case(f"numpy/Statistics.repr/{word}", repr, found)
        again = s2d.Statistics.from_dict(found.to_dict())
        r.note(f"numpy/Statistics.from_dict/{word}", str(again == found))
    for suffix in ("html", "txt", "json", "png", "pdf"):
        path = r.folder / f"report.{suffix}"
        r.case(f"numpy/Statistics.save_report/{suffix}", one.save_report, path, list("abcde"))
        r.note(f"numpy/Statistics.save_report/{suffix}, file", file_text(path))


def record_losses(r: Any) -> None:
    """The losses of NumPy arrays, with their gradients."""
    targets = {k: (k,) for k in ("uint8", "int64", "int16")}
    for name in LOSSES:
        more = {"axis": {"-3": -3, "-1": -1}, "target": targets}
        for words, options in sampled(name, 300, kind=KINDS, **more, **GRID, **TERMS[name]):
            z = finite(options.pop("kind")[0])
            ignored = options.get("ignore_index")
            t = labels(options.get("size"), ignored=ignored).astype(options.pop("target")[0])
            z = np.ascontiguousarray(np.moveaxis(z, 1, -1)) if options["axis"] == -1 else z
            r.case(f"losses/{name}/{words}", getattr(s2d, name), z, t, **options)
            way = getattr(s2d, f"{name}_with_grad")
            r.case(f"losses/{name}_with_grad/{words}", way, z, t, **options)
        for dtype in DTYPES:
            z = values(C, SIZE, dtype)
            t = labels(None)[0]
            way = getattr(s2d, f"{name}_with_grad")
            r.case(f"losses/{name}/special, {dtype}", way, z, t)
            cube = np.stack([z, z[:, ::-1]], 1)
            r.case(f"losses/{name}/volume, {dtype}", way, cube, labels(None), axis=-4)
            r.case(f"losses/{name}/empty, {dtype}", way, z[:, :0], t[:0])


def record_dask(r: Any) -> None:
    """Lazy results of dask arrays and DataArrays."""
    import dask
    import dask.array as da
    import xarray

    import softmax2d.dask as s2a

    def computed(way: Any, *given: Any, **options: Any) -> Any:
        found = way(*given, **options)
        if not hasattr(type(found), "dtype") and not isinstance(found, tuple):
            return type(found).__name__, found.compute(scheduler="synchronous")
        parts = tuple(found) if isinstance(found, tuple) else (found,)
        about = [(type(p).__name__, str(getattr(p, "dtype", "")), getattr(p, "chunks", None),
                  getattr(p, "dims", None), getattr(p, "name", None) if hasattr(p, "dims") else "",
                  sorted(map(str, p.coords)) if hasattr(p, "dims") else "")
                 for p in parts if p is not None]  # fmt: skip
        done = dask.compute(*parts, scheduler="synchronous")
        return about, [getattr(p, "values", p) for p in done]

    more = {"window": WINDOWS, "chunks": {k: (k,) for k in ("whole", "parts", "classes", "frame")}}
    for name in (*FORWARD, "evaluate"):
        extra = dict(more)
        if name == "segment":
            extra |= {"outputs": {"all": OUTPUTS}, "top_k": named(..., 2),
                      "decode": named(...)}  # fmt: skip
        for words, options in sampled(f"dask {name}", 80, kind=KINDS, **GRID, **extra):
            if name == "evaluate" and options.pop("window", None):
                continue
            kind, how = options.pop("kind")[0], options.pop("chunks")[0]
            z, t = finite(kind), labels(options.get("size"))
            lazy = da.from_array(z, {"whole": z.shape, "parts": (1, C, 3, 4), "frame": z.shape,
                                     "classes": (2, 2, 7, 5)}[how])  # fmt: skip
            target = (da.from_array(t, (1, 3, 4)) if how != "whole" else t,)
            if how == "frame":
                lazy = xarray.DataArray(lazy, dims=("n", "c", "y", "x"), name="scores",
                                        coords={"y": np.arange(7.0), "n": [3, 4]})  # fmt: skip
                options["axis"] = "c"
            given = target if name == "evaluate" else ()
            way = getattr(s2a, name)
            r.case(f"dask/{name}/{words}", computed, way, lazy, *given, **options)
