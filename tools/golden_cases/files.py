"""Files: every format, options, resuming, predicting."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from softmax2d.stream import evaluate_files, predict, segment_file, softmax2d_file

C, H, W = 4, 37, 45
OUTPUTS = ("labels", "confidence", "margin", "entropy")
SOURCES = ("npy", "npz", "zarr", "tif", "nii", "nii.gz", "h5", "safetensors")
RESULTS = (*SOURCES, "png")
TEXT = 4000  # longer files are kept as their digest


def scores(*front: int) -> Any:
    """Logits (..., C, H, W) with NaN, -inf and pixels of a nodata value among them."""
    z = np.random.default_rng(3).normal(0, 3, (*front, C, H, W)).astype(np.float32)
    z[..., 2, 5, 6], z[..., :, 8, 9], z[..., :, 20:24, 30:33] = np.nan, -np.inf, -9999
    return z


def truth(*front: int) -> Any:
    """Labels (..., H, W), 255 where there is none."""
    t = np.random.default_rng(4).integers(0, C, (*front, H, W)).astype(np.uint8)
    t[..., :3, :] = 255
    return t


def write(path: Path, z: Any) -> Path:
    """A source file of any format, by that format's own library."""
    kind = path.name.split(".", 1)[1]
    if kind == "npy":
        np.save(path, z)
    elif kind == "npz":
        np.savez(path, logits=z)
    elif kind == "zarr":
        import zarr

        chunks = tuple(min(n, 16) for n in z.shape)
        zarr.create_array(str(path), shape=z.shape, chunks=chunks, dtype=z.dtype)[...] = z
    elif kind == "tif":
        import rasterio
        from rasterio.transform import from_origin

        bands = z if z.ndim == 3 else z[None]
        with rasterio.open(path, "w", driver="GTiff", width=z.shape[-1], height=z.shape[-2],
                           count=len(bands), dtype=z.dtype, tiled=True, blockxsize=16,
                           blockysize=16, crs="EPSG:32633", compress="deflate",
                           transform=from_origin(5e5, 4e6, 10, 10)) as file:  # fmt: skip
            file.write(bands)
    elif kind in ("nii", "nii.gz"):
        import nibabel

        affine = np.array([[-2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, -30], [0, 0, 0, 1.0]])
        volume = z[:, None] if z.ndim == 3 and len(z) == C else z
        nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(volume.T), affine), path)
    elif kind == "h5":
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("logits", data=z, chunks=tuple(min(n, 16) for n in z.shape))
    elif kind == "safetensors":
        import safetensors.numpy

        safetensors.numpy.save_file({"logits": z}, path)
    else:
        from PIL import Image

        Image.fromarray(z).save(path)
    return path


def png_parts(path: Path) -> Any:
    """Mode, colours and pixels of a picture."""
    from PIL import Image

    with Image.open(path) as picture:
        about = {k: str(v) for k, v in picture.info.items() if k != "Software"}
        return picture.mode, picture.getpalette(), about, np.asarray(picture)


def tiff_parts(path: Path) -> Any:
    """Tags and pixels of every page, without places in the file and the writing program."""
    import tifffile

    left_out = {"Software", "DateTime", "StripOffsets", "TileOffsets", "StripByteCounts",
                "TileByteCounts"}  # fmt: skip
    with tifffile.TiffFile(path) as file:
        return [({t.name: str(t.value) for t in page.tags if t.name not in left_out},
                 page.asarray()) for page in file.pages]  # fmt: skip


def hdf5_parts(path: Path) -> Any:
    """Attributes and values of everything in the file."""
    import h5py

    found: dict[str, Any] = {}

    def look(name: str, item: Any) -> None:
        about = {k: str(v) for k, v in sorted(item.attrs.items())}
        values = item[()] if isinstance(item, h5py.Dataset) else None
        found[name] = about, getattr(item, "chunks", None), values

    with h5py.File(path) as file:
        file.visititems(look)
        return {k: str(v) for k, v in sorted(file.attrs.items())}, found


def note_files(r: Any, name: str, folder: Path) -> None:
    """One case for each file in a folder, then empty it."""
    stores: dict[str, list[Any]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        place, data = path.relative_to(folder).as_posix(), path.read_bytes()
        key, store = f"{name}, {place}", place.partition(".zarr/")[0]
        if store != place:
            stores.setdefault(f"{name}, {store}.zarr", []).append((place, digest(data)))
            continue
        parts = {".png": png_parts, ".tif": tiff_parts, ".h5": hdf5_parts}.get(path.suffix)
        if path.name in ("lock", "checkpoint", "journal"):
            r.note(key, "is there")
        elif parts is not None:
            r.note(key, parts(path))
        elif path.suffix in (".json", ".txt", ".html", ".csv"):
            text = r.masked(data.decode())
            r.note(
                key,
                text if len(text) < TEXT else f"{len(text)} characters " + digest(text.encode()),
            )
        else:
            r.note(
                key, np.frombuffer(gzip.decompress(data) if path.suffix == ".gz" else data, "u1")
            )
    for key, parts in stores.items():
        r.note(key, parts)
    shutil.rmtree(folder)
    folder.mkdir()


def digest(data: bytes) -> str:
    """As of any long value."""
    return hashlib.sha256(data).hexdigest()[:16]


def record_formats(r: Any) -> None:
    """From every format to every format, and every option of results."""
    given, out = r.folder / "given", r.folder / "out"
    given.mkdir()
    out.mkdir()
    sources = {kind: write(given / f"z.{kind}", scores()) for kind in SOURCES}
    for kind, source in sources.items():
        name = f"files/segment_file/{kind}"
        r.case(name, segment_file, source, out / f"r.{kind}", outputs=OUTPUTS, memory="1MB")
        note_files(r, name, out)
        name, flat = f"files/softmax2d_file/{kind}", not kind.startswith("nii")
        how: dict[str, Any] = {"size": (50, 50) if flat else (1, 50, 50), "temperature": 1.5}
        r.case(name, softmax2d_file, source, out / f"p.{kind}", **how)
        note_files(r, name, out)
        name = f"files/evaluate_files/{kind}"
        labels = write(given / f"t.{kind}", truth() if flat else truth()[None])
        r.case(name, evaluate_files, source, labels, ignore_index=255)
    for kind in RESULTS:
        for source in (sources["tif"], sources["npy"]):
            name = f"files/segment_file/{source.suffix[1:]} to {kind}"
            r.case(name, segment_file, source, out / f"r.{kind}", outputs="labels", nodata=-9999)
            note_files(r, name, out)
        for encoding in ("float16", "uint8"):
            name = f"files/softmax2d_file/npy to {kind}, {encoding}"
            r.case(name, softmax2d_file, sources["npy"], out / f"p.{kind}", encoding=encoding)
            note_files(r, name, out)
    volume = np.moveaxis(scores(3), 0, 1)  # C, Z, Y, X
    for kind in ("npy", "zarr", "nii", "h5"):
        source = write(given / f"volume.{kind}", np.ascontiguousarray(volume))
        name = f"files/segment_file/volume {kind}"
        how = {"axis": 0, "size": (5, 40, 45), "interpolation": ("nearest", "linear", "linear")}
        r.case(name, segment_file, source, out / f"r.{kind}", **how)
        note_files(r, name, out)
    record_options(r, sources, out)


def record_options(r: Any, sources: dict[str, Path], out: Path) -> None:
    """Options of the file functions, and their refusals."""
    z, t = sources["npy"], sources["npy"].with_name("t.npy")
    np.save(out / "in the way.npy", np.zeros(3))
    options: dict[str, dict[str, Any]] = {
        "like": {"like": sources["tif"]}, "like nii": {"like": sources["nii"]},
        "size": {"size": (20, 70), "align_corners": True}, "axis": {"axis": 1},
        "top_k": {"top_k": 2}, "decode": {"decode": "dice"}, "iou": {"decode": "iou", "size": (50, 60)},
        "encoding": {"outputs": OUTPUTS, "encoding": "uint8"},
        "map": {"temperature": [1, 2, 3, 4.0], "bias": [0, -np.inf, 1, 2]},
        "nodata": {"nodata": -9999, "nodata_label": 200}, "workers": {"workers": 3, "memory": "1MB"},
        "look": {"names": list("abcd"), "palette": np.arange(12)[::-1].reshape(4, 3)},
        "colours": {"palette": np.arange(12).reshape(4, 3), "cog": True},
        "summary": {"summary": out / "account.json"},
        "bad axis": {"axis": 7}, "bad memory": {"memory": "lots"}, "small memory": {"memory": 10},
        "bad workers": {"workers": 0}, "bad size": {"size": 0}, "bad outputs": {"outputs": "probs"},
        "bad encoding": {"encoding": "int8"}, "bad decode": {"decode": "x"}, "bad top_k": {"top_k": 9},
        "bad key": {"key": "x"}, "bad like": {"like": "nowhere.tif"}, "size and like": {
            "size": 3, "like": sources["tif"]}, "bad map": {"temperature": -1}, "bad bias": {"bias": [1]},
        "bad nodata_label": {"nodata": 0, "nodata_label": 2}, "bad names": {"names": ["a"]},
        "bad palette": {"palette": "x"}, "bad interpolation": {"interpolation": "cubic"},
        "bad corners": {"align_corners": 1},
    }  # fmt: skip
    for word, given in options.items():
        for kind in ("npy", "tif"):
            name = f"files/segment_file/{word}, {kind}"
            r.case(name, segment_file, z, out / f"r.{kind}", **given)
            note_files(r, name, out)
        if word not in ("look", "colours", "decode", "iou"):
            plain = {
                k: v for k, v in given.items() if k not in ("outputs", "nodata_label", "palette")
            }
            name = f"files/softmax2d_file/{word}"
            r.case(name, softmax2d_file, z, out / "p.npy", **plain)
            note_files(r, name, out)
        plain = {k: v for k, v in given.items() if k in (
            "axis", "temperature", "bias", "workers", "memory", "key", "nodata", "interpolation",
            "align_corners", "summary", "scheduler")}  # fmt: skip
        if plain:
            name = f"files/evaluate_files/{word}"
            r.case(name, evaluate_files, z, t, ignore_index=255, **plain)
            note_files(r, name, out)
    for word, source, result in (
        ("no file", "nowhere.npy", out / "r.npy"), ("suffix", "z.xyz", out / "r.npy"),
        ("result suffix", z, out / "r.xyz"), ("onto itself", z, z), ("number", 3, out / "r.npy"),
        ("shape", z, np.empty((3, 3), np.uint8)), ("dtype", z, np.empty((H, W), np.int8)),
        ("folder", z, out / "missing" / "r.npy"), ("jpg", z, out / "r.jpg"),
        ("mapping", z, {"labels": out / "a.npy", "entropy": out / "b.npy"}),
    ):  # fmt: skip
        name = f"files/segment_file/{word}"
        r.case(name, segment_file, source, result)
        note_files(r, name, out)
    for kind, source in sources.items():
        if source.is_dir():
            continue
        whole, path = source.read_bytes(), z.with_name(f"bad.{kind}")
        for word, data in (("empty", b""), ("text", b"hello"), ("cut", whole[: len(whole) // 2]),
                           ("header", whole[:40]), ("longer", whole + b"more")):  # fmt: skip
            path.write_bytes(data)
            name = f"files/segment_file/{word} {kind}"
            r.case(name, segment_file, path, out / "r.npy")
            note_files(r, name, out)
    np.save(out / "r.npy", np.zeros(3))
    r.case("files/segment_file/exists", segment_file, z, out / "r.npy")
    r.case("files/segment_file/overwrite", segment_file, z, out / "r.npy", overwrite=True)
    note_files(r, "files/segment_file/overwrite", out)


class Stop(Exception):  # noqa: N818 - no error
    """Ends a run between two tiles."""


def stop_after(count: int) -> Any:
    """A progress callback that ends the run at its ``count``-th call."""
    calls: list[Any] = []

    def progress(*_: Any) -> None:
        calls.append(1)
        if len(calls) == count:
            raise Stop

    return progress


def resumed(call: Any, **options: Any) -> Any:
    """What a resumed run returns, without how many tiles it found: threads run ahead of a stop."""
    found = call(resume=True, **options)
    if not hasattr(found, "tiles_resumed"):
        return found
    whole = found.tiles_resumed + found.tiles_done == found.tiles
    return found.status, found.shape, found.tiles_resumed > 0, whole, vars(found.counts)


def record_resumed(r: Any) -> None:
    """Runs that stop and go on: what is left, what comes of it, the account."""
    out = r.folder / "resumed"
    out.mkdir()
    large = np.random.default_rng(6).normal(0, 3, (3, C, 300, 260)).astype(np.float32)
    z, t = write(r.folder / "large.zarr", large), r.folder / "large-truth.npy"
    np.save(t, np.random.default_rng(7).integers(0, C, (3, 300, 260)).astype(np.uint8))
    image = write(r.folder / "image.npy", large[0, :3])
    small = {"memory": "1MB", "workers": 1}
    for word, call, more in (
        ("segment_file", lambda **k: segment_file(z, out / "r.zarr", axis=1, **k), {}),
        ("segment_file tif", lambda **k: segment_file(z, out / "r.tif", axis=1, **k), {}),
        ("softmax2d_file", lambda **k: softmax2d_file(z, out / "p.zarr", axis=1, **k), {}),
        ("evaluate_files", lambda **k: evaluate_files(z, t, axis=1, checkpoint=out / "kept", **k), {}),
        ("predict", lambda **k: predict(positional, image,
                                        out / "r.npy", window=64, **k), {"memory": "1MB"}),
    ):  # fmt: skip
        options = more or small
        name = f"resumed/{word}"
        r.case(f"{name}, stopped", call, progress=stop_after(2), **options)
        left = sorted(p.relative_to(out).parts[0] for p in out.rglob("*") if p.is_file())
        r.note(f"{name}, left", sorted(set(left)))
        r.case(f"{name}, resumed", resumed, call, **options)
        note_files(r, f"{name}, resumed", out)
        r.case(f"{name}, whole", call, **options)
        note_files(r, f"{name}, whole", out)


def positional(batch: Any) -> Any:
    """Scores that depend on the place in the window: the blend shows."""
    mean = batch.mean(1, keepdims=True)
    found = np.concatenate([mean * 3, batch[:, :1] - 0.2, 0.7 - mean], axis=1)
    ramps = np.indices(found.shape[2:]).sum(0) / 40
    return found * (1 + ramps) + np.sin(ramps * 9)


def save_onnx(path: Path) -> Path:
    """A network of one strided convolution."""
    import onnx

    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.random.default_rng(2).integers(-4, 5, (C, 3, 2, 2)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["scores"], strides=[2, 2])],
        "net",
        [helper.make_tensor_value_info("image", floats, [None, 3, None, None])],
        [helper.make_tensor_value_info("scores", floats, None)],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def record_predict(r: Any) -> None:
    """A network over images."""
    out, rng = r.folder / "predicted", np.random.default_rng(8)
    out.mkdir()
    image = rng.random((3, 60, 70)).astype(np.float32)
    picture = write(r.folder / "photo.png", (np.moveaxis(image, 0, -1) * 255).astype(np.uint8))
    scene = write(r.folder / "image.tif", (image * 200).astype(np.uint16))
    net = save_onnx(r.folder / "net.onnx")
    cases: dict[str, dict[str, Any]] = {
        "plain": {}, "overlap": {"overlap": 0.25, "weighting": "hann"}, "flat": {"weighting": "flat"},
        "flips": {"test_time": "flips"}, "probabilities": {"blend": "probabilities", "temperature": 2},
        "batch": {"batch": 3}, "window": {"window": (24, 40)}, "large": {"window": 128, "pad": "edge"},
        "scale": {"scale": 0.01, "pad": "constant"}, "nodata": {"nodata": 0, "nodata_label": 9},
        "outputs": {"outputs": OUTPUTS, "encoding": "uint8"}, "bias": {"bias": [0, 1, 2.0]},
        "account": {"summary": out / "account.json", "names": list("abc"), "palette": np.eye(3, dtype=int)},
        "bad window": {"window": 0}, "bad overlap": {"overlap": 1}, "bad weighting": {"weighting": "x"},
        "bad batch": {"batch": 0}, "bad blend": {"blend": "x"}, "bad pad": {"pad": "x"},
        "bad flips": {"test_time": "x"}, "bad scale": {"scale": "x"}, "bad axis": {"axis": 5},
        "bad outputs": {"outputs": "x"}, "bad map": {"temperature": 0}, "bad key": {"key": "x"},
    }  # fmt: skip
    for word, more in cases.items():
        options = {"window": 32, **more}
        for kind, given in (("array", image), ("png", picture), ("tif", scene)):
            name = f"predict/{word}, {kind}"
            r.case(name, predict, positional, given, out / "r.npy", **options)
            note_files(r, name, out)
        if "bias" not in options and "names" not in options:
            name = f"predict/{word}, onnx"
            r.case(name, predict, net, picture, out / "r.png", **options)
            note_files(r, name, out)
    for word, model in (("number", 3), ("no file", "nowhere.onnx"), ("text", str(picture)),
                        ("none", lambda b: None), ("shape", lambda b: b[0])):  # fmt: skip
        r.case(f"predict/bad model {word}", predict, model, image, out / "r.npy", window=32)
        note_files(r, f"predict/bad model {word}", out)
