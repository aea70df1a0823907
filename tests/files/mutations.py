"""Small files of every format, ways to damage them, and what may come of reading them then.

``python -m tests.files.mutations COUNT SEED [FORMAT]`` tries more than the test does.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import shutil
import signal
import struct
import sys
import tempfile
import warnings
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import h5py
import nibabel
import numpy as np
import PIL.Image
import rasterio
import tifffile
import zarr

from softmax2d.stream import StreamError, evaluate_files, segment_file
from softmax2d.stream.plan.inputs import open_any

SECONDS = 10  # that a case may take
_RNG = np.random.default_rng(1)
LOGITS = _RNG.normal(0, 3, (3, 12, 16)).astype(np.float32)
SMOOTH = np.round(LOGITS).astype(np.float32)  # compresses
LABELS = LOGITS.argmax(0).astype(np.uint8)
_WHERE = {"crs": "EPSG:32633", "transform": rasterio.Affine(1, 0, 5, 0, -1, 9)}


def _npz(path, packed):
    (np.savez_compressed if packed else np.savez)(path, logits=SMOOTH)


def _zarr(path, version, **options):
    made = zarr.create_array(path, shape=SMOOTH.shape, dtype="f4", zarr_format=version, **options)
    made[:] = SMOOTH


def _tiff(path, values=SMOOTH, **options):
    options = {"photometric": "minisblack", "metadata": None} | options
    tifffile.imwrite(path, values, **options)


def _geotiff(path, values=SMOOTH, **options):
    made = {"driver": "GTiff", "count": len(values), "dtype": values.dtype, **_WHERE}
    made |= {"height": values.shape[1], "width": values.shape[2]}
    with rasterio.open(path, "w", **made, **options) as file:
        file.write(values)


def _nifti(path, kind=nibabel.Nifti1Image):
    nibabel.save(kind(np.asarray(SMOOTH.T[:, :, None]), np.eye(4)), path)


def _hdf5(path, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("logits", data=SMOOTH, **options)


def _tensors(path):
    text = json.dumps(
        {"logits": {"dtype": "F32", "shape": [3, 12, 16], "data_offsets": [0, SMOOTH.nbytes]}}
    ).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + SMOOTH.tobytes())


def _picture(path, palette=False):
    image = PIL.Image.fromarray(LABELS * (40 if path.suffix == ".jpg" else 1))
    if palette:
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(path)


GOOD = {
    "npy": ("in.npy", lambda p: np.save(p, SMOOTH)),
    "npy fortran": ("in.npy", lambda p: np.save(p, np.asfortranarray(SMOOTH))),
    "npz stored": ("in.npz", lambda p: _npz(p, False)),
    "npz deflate": ("in.npz", lambda p: _npz(p, True)),
    "zarr 2": ("in.zarr", lambda p: _zarr(p, 2, chunks=(3, 6, 16))),
    "zarr 2 plain": ("in.zarr", lambda p: _zarr(p, 2, chunks=(3, 6, 16), compressors=None)),
    "zarr 3": ("in.zarr", lambda p: _zarr(p, 3, chunks=(3, 6, 16))),
    "zarr 3 gzip": (
        "in.zarr",
        lambda p: _zarr(p, 3, chunks=(3, 6, 16), compressors=zarr.codecs.GzipCodec()),
    ),
    "zarr 3 shards": ("in.zarr", lambda p: _zarr(p, 3, chunks=(3, 6, 8), shards=(3, 12, 16))),
    "tif": ("in.tif", _tiff),
    "tif deflate": ("in.tif", lambda p: _tiff(p, compression="zlib", rowsperstrip=5)),
    "tif lzw": ("in.tif", lambda p: _tiff(p, compression="lzw", predictor=True)),
    "tif zstd": ("in.tif", lambda p: _tiff(p, compression="zstd", tile=(16, 16))),
    "tif packbits": ("in.tif", lambda p: _tiff(p, compression="packbits")),
    "tif tiled": ("in.tif", lambda p: _tiff(p, tile=(16, 16), byteorder=">")),
    "tif big": ("in.tif", lambda p: _tiff(p, bigtiff=True, compression="zlib")),
    "tif ome": ("in.ome.tif", lambda p: _tiff(p, ome=True, metadata={"axes": "CYX"})),
    "geotiff": ("in.tif", _geotiff),
    "geotiff deflate": ("in.tif", lambda p: _geotiff(p, compress="deflate", blockysize=5)),
    "geotiff lzw": ("in.tif", lambda p: _geotiff(p, compress="lzw", interleave="pixel")),
    "geotiff zstd": ("in.tif", lambda p: _geotiff(p, compress="zstd", predictor=3)),
    "geotiff tiled": (
        "in.tif",
        lambda p: _geotiff(p, compress="deflate", tiled=True, blockxsize=16, blockysize=16),
    ),
    "nii": ("in.nii", _nifti),
    "nii 2": ("in.nii", lambda p: _nifti(p, nibabel.Nifti2Image)),
    "nii.gz": ("in.nii.gz", _nifti),
    "h5": ("in.h5", _hdf5),
    "h5 chunks": (
        "in.h5",
        lambda p: _hdf5(p, chunks=(3, 6, 16), compression="gzip", fletcher32=True),
    ),
    "h5 lzf": ("in.h5", lambda p: _hdf5(p, chunks=(3, 6, 16), compression="lzf")),
    "safetensors": ("in.safetensors", _tensors),
    "png": ("in.png", _picture),
    "png palette": ("in.png", lambda p: _picture(p, palette=True)),
    "jpg": ("in.jpg", _picture),
}
PICTURES = ("png", "jpg")


def _open_peer_tiff(path):
    with tifffile.TiffFile(path, _multifile=False) as file:
        return file.series[0].asarray()


def _open_peer_geotiff(path):
    with rasterio.open(path, driver="GTiff") as file:
        return file.read()


def _open_peer_hdf5(path):
    with h5py.File(path, "r") as file:
        found = [v for v in file.values() if isinstance(v, h5py.Dataset)]
        return found[0][...]


def _open_peer_npz(path):
    with np.load(path) as file:
        return file[file.files[0]]


def _open_peer_tensors(path):
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return file.get_tensor(next(iter(file.keys())))


def _open_peer_nifti(path):
    return np.asarray(nibabel.load(path).dataobj).T


def _open_peer_picture(path):
    with PIL.Image.open(path) as image:
        return np.asarray(image)


PEERS = {
    "npy": np.load, "npz": _open_peer_npz, "tif": _open_peer_tiff, "geotiff": _open_peer_geotiff,
    "nii": _open_peer_nifti, "nii.gz": _open_peer_nifti, "h5": _open_peer_hdf5,
    "safetensors": _open_peer_tensors, "png": _open_peer_picture, "jpg": _open_peer_picture,
    "zarr": lambda path: zarr.open_array(path, mode="r")[...],
}  # fmt: skip

_NUMBERS = (0, 1, 2, 3, 7, 8, 16, 255, 256, 1 << 15, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
            1 << 32, (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip
_ODD = (None, True, False, -1, 0, 1, 3, 1.5, 2**40, 10**30, "", "x", [], {}, [0], [1, 2], "<f8",
        "float64", "gzip", {"name": "bytes"}, "\ud800", 1e300)  # fmt: skip


def _place(rng, data):
    """A place in a file: half of the time in its head."""
    most = min(len(data), 600) if rng.random() < 0.5 else len(data)
    return int(rng.integers(0, max(1, most)))


def _flip(rng, data):
    for _ in range(int(rng.integers(1, 4))):
        data[_place(rng, data)] ^= 1 << int(rng.integers(0, 8))


def _set(rng, data):
    data[_place(rng, data)] = int(rng.choice([0, 255, 32, int(rng.integers(0, 256))]))


def _number(rng, data):
    at, code = _place(rng, data), str(rng.choice(list("HIQ")))
    value = int(_NUMBERS[int(rng.integers(len(_NUMBERS)))]) % (1 << 8 * struct.calcsize(code))
    packed = struct.pack(str(rng.choice(["<", ">"])) + code, value)
    data[at : at + len(packed)] = packed[: len(data) - at]


def _cut(rng, data):
    at = len(data) - int(rng.integers(1, 40)) if rng.random() < 0.5 else _place(rng, data)
    del data[max(0, at) :]


def _remove(rng, data):
    at = _place(rng, data)
    del data[at : at + int(rng.integers(1, 20))]


def _insert(rng, data):
    at = _place(rng, data)
    data[at:at] = rng.bytes(int(rng.integers(1, 20)))


def _repeat(rng, data):
    at, count = _place(rng, data), int(rng.integers(1, 64))
    data[at:at] = data[at : at + count]


def _blank(rng, data):
    at, count = _place(rng, data), int(rng.integers(1, 64))
    count = min(count, len(data) - at)
    data[at : at + count] = bytes(count)


def _digit(rng, data):
    places = [i for i, c in enumerate(data[:2000]) if 48 <= c < 58]
    if places:
        data[int(rng.choice(places))] = 48 + int(rng.integers(0, 10))


CHANGES = (_flip, _flip, _set, _number, _number, _cut, _remove, _insert, _repeat, _blank, _digit)


def _change(rng, data):
    data = bytearray(data)
    for _ in range(1 if rng.random() < 0.8 else 2):
        if data:
            CHANGES[int(rng.integers(len(CHANGES)))](rng, data)
    return bytes(data)


def _change_tag(rng, data):
    """Change one field of a TIFF's tag: its code, type, count or value."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2 if order == "<" else 3] == 43
    (at,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)
    width, first = (20, at + 8) if big else (12, at + 2)
    entry = first + width * int(rng.integers(0, count + 1))  # the last: the next page's place
    place, code = [(0, "H"), (2, "H"), (4, "Q" if big else "I"), (width - (8 if big else 4), "I")][
        int(rng.integers(4))
    ]
    value = int(_NUMBERS[int(rng.integers(len(_NUMBERS)))])
    if rng.random() < 0.3:
        value = int(rng.integers(0, 400))
    found = bytearray(data)
    struct.pack_into(order + code, found, entry + place, value % (1 << 8 * struct.calcsize(code)))
    return bytes(found)


def _leaves(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else ()
    for name, inner in enumerate(value) if isinstance(value, list) else items:
        yield from _leaves(inner, (*path, name))


def _change_json(rng, data):
    """Put an odd value somewhere into JSON, or take an entry out."""
    said = json.loads(data)
    leaves = [path for path in _leaves(said) if path]
    if not leaves:
        return b"[]"
    path = leaves[int(rng.integers(len(leaves)))]
    inner = said
    for step in path[:-1]:
        inner = inner[step]
    if rng.random() < 0.2:
        del inner[path[-1]]
    else:
        inner[path[-1]] = _ODD[int(rng.integers(len(_ODD)))]
    return json.dumps(said).encode()


def _change_store(rng, path):
    """Damage one file of a Zarr store, remove it, or put something else into its place."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    said = [p for p in files if p.name in ("zarr.json", ".zarray", ".zattrs")]
    rest = [p for p in files if p not in said]
    chosen = said if rng.random() < 0.5 else rest
    name = chosen[int(rng.integers(len(chosen)))]
    if name in said and rng.random() < 0.7:
        name.write_bytes(_change_json(rng, name.read_bytes()))
    elif name in rest and rng.random() < 0.1:
        name.unlink()
        {0: lambda: None, 1: name.mkdir, 2: name.touch, 3: lambda: os.mkfifo(name)}[
            int(rng.integers(4))
        ]()
    else:
        name.write_bytes(_change(rng, name.read_bytes()))


def _packed_again(rng, path, data):
    """The file with a change in what it packs, and the right checksums; None of other formats."""
    if path.suffix == ".gz":
        return gzip.compress(_change(rng, gzip.decompress(data)), 1)
    if path.suffix == ".npz":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (info,) = archive.infolist()
            inside, method = archive.read(info), info.compress_type
        found = io.BytesIO()
        with zipfile.ZipFile(found, "w", method) as archive:
            archive.writestr(info.filename, _change(rng, inside))
        return found.getvalue()
    if path.suffix == ".png":  # the pieces, with a change in one, each with its checksum
        at, found = 8, data[:8]
        pick = int(rng.integers(3))
        while at < len(data):
            (length,) = struct.unpack_from(">I", data, at)
            kind, inside = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
            if pick == 0 and inside:
                inside = _change(rng, inside)
            pick -= 1
            found += struct.pack(">I", len(inside)) + kind + inside
            found += struct.pack(">I", zlib.crc32(kind + inside))
            at += 12 + length
        return found
    return None


def damage(rng, path):
    """Damage a good file, in one of the ways that its format offers."""
    if path.is_dir():
        _change_store(rng, path)
        return
    data = path.read_bytes()
    changed = None
    if path.suffix == ".tif" and rng.random() < 0.5:
        changed = _change_tag(rng, data)
    elif rng.random() < 0.5:
        changed = _packed_again(rng, path, data)
    path.write_bytes(_change(rng, data) if changed is None else changed)


class TooLong(BaseException):
    """A case that takes longer than it may."""


@contextmanager
def _limited():
    def stop(*signalled):
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _errors_kept(found):
    """Keep what is written to the standard error."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            kept.seek(0)
            found.append(kept.read())


def _bytes_of(path):
    if path.is_dir():
        return {p: p.read_bytes() if p.is_file() else None for p in path.rglob("*")}
    return path.read_bytes()


def _read(path):
    with open_any(path) as source:
        source.prepare()
        return source.read(tuple(slice(0, n) for n in source.shape))


def _run(path, out):
    if path.suffix in (".png", ".jpg"):
        evaluate_files(LOGITS, path)
        return
    segment_file(path, out, axis=0)
    assert out.exists()


def _same(a, b):
    """Whether two arrays hold the same numbers, in whatever byte order and with axes of 1."""
    a, b = np.asarray(a), np.asarray(b)
    if a.size != b.size:
        return False
    if a.dtype == b.dtype:
        return np.array_equal(a.ravel(), b.ravel(), equal_nan=a.dtype.kind == "f")
    with np.errstate(over="ignore"):  # numbers with a factor: in float32 here, in float64 there
        return np.allclose(a.ravel(), b.ravel().astype(a.dtype), 1e-6, 0, equal_nan=True)


def outcome(name, path):
    """What comes of a damaged file: "refused", "read", "read alone"; or what must not happen."""
    before, found, out = _bytes_of(path), [], path.with_name("out.npy")
    said, noise = set(), []
    for step in (_read, _read, lambda p: _run(p, out)):
        try:
            with _limited(), _errors_kept(noise):
                found.append(step(path))
        except StreamError as error:
            said.add(str(error))
            if len(str(error)) > 600 or not str(error).isprintable():
                return f"said: {error}"
        except TooLong:
            return "too long"
        except Exception as error:  # noqa: BLE001 - none of which may come
            return f"{type(error).__name__}: {error}"
    left = {p.name for p in path.parent.iterdir()} - {path.name, "out.npy"}
    if left or _bytes_of(path) != before:
        return f"left {left}" if left else "changed the source"
    noise = [line for line in b"".join(noise).splitlines() if b"proj.db" not in line]  # PROJ's own
    if noise:
        return f"wrote {noise[0][:200]!r}"
    if len(found) < 2:
        if found or out.exists():
            return f"refused once of two readings: {said}"
        return "refused"
    if not np.array_equal(found[0].reshape(-1).view("u1"), found[1].reshape(-1).view("u1")):
        return "other numbers in the second reading"
    return _compared(name, path, found[0])


def _compared(name, path, found):
    """Whether the format's own library reads the same numbers."""
    kind = name.split(" ", 1)[0]
    try:
        with _limited(), _errors_kept([]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.CRITICAL)
            peer = PEERS[kind](path)
    except TooLong:
        return "read alone"
    except Exception:  # noqa: BLE001 - of any library
        return "read alone"
    finally:
        logging.disable(logging.NOTSET)
    return "read" if _same(found, peer) else "other numbers than its own library"


def try_case(name, seed, folder, good):
    """The outcome of the damaged file of that format and number."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), *np.atleast_1d(seed)])
    path = folder / GOOD[name][0]
    if good.is_dir():
        shutil.copytree(good, path)
    else:
        path.write_bytes(good.read_bytes())
    damage(rng, path)
    return outcome(name, path)


def try_cases(name, seeds, folder, keep=None):
    """The outcomes of several cases; ``keep`` is called with each."""
    folder = Path(folder)
    good = folder / "good" / GOOD[name][0]
    good.parent.mkdir()
    GOOD[name][1](good)
    found = {}
    for seed in seeds:
        place = folder / "case"
        place.mkdir()
        found[seed] = try_case(name, seed, place, good)
        if keep is not None:
            keep(seed, found[seed], place)
        shutil.rmtree(place)
    return found


def main(count, seed, only=""):
    """Print the outcomes of ``count`` cases of each format, and those that must not be."""
    for name in GOOD:
        if only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = try_cases(name, [(int(seed), i) for i in range(int(count))], folder)
        fine = ("refused", "read", "read alone")
        counts = {kind: sum(v == kind for v in found.values()) for kind in fine}
        print(f"{name}: {counts}", flush=True)
        for case, what in found.items():
            if what not in fine or (what == "read alone" and os.environ.get("ALONE")):
                print("   ", case, what[:300], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
