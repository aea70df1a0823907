"""Files that are damaged, hostile, or no files: refused in one line, before a byte is mapped."""

from __future__ import annotations

import errno
import io
import os
import pickle
import socket
import struct
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from softmax2d._errors import Failed, Refused
from softmax2d._files import npy as _npy
from softmax2d._files import npz
from softmax2d.cli import app
from softmax2d.stream import Results

BIG = 2**80


def npy(shape=(3, 4, 5), descr="<f4", data=None, fortran=False, header=None, version=(1, 0)):
    """Bytes of a .npy file whose header says what we want."""
    if header is None:
        header = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}"
    text = header if isinstance(header, bytes) else header.encode()
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text) + 1)
    if data is None:
        data = np.arange(60, dtype="<f4").tobytes()
    return b"\x93NUMPY" + bytes(version) + length + text + b"\n" + data


def pickled(value):
    return pickle.dumps(value)


def saved_objects():
    stream = io.BytesIO()
    np.save(stream, np.array([{}, None], object), allow_pickle=True)
    return stream.getvalue()


UNREADABLE = "is damaged: its .npy header cannot be read."
NO_SHAPE = "is damaged: its .npy header gives no valid shape."
HOSTILE = {
    "empty": (b"", "is empty."),
    "text": (b"1 2 3\n4 5 6\n7 8 9\n", "is not a .npy file; save the logits with numpy.save."),
    "a pickle": (
        pickled([1, 2]),
        "is a pickle, which is never loaded; save the logits with numpy.save.",
    ),
    "objects": (
        saved_objects(),
        "holds pickled Python objects, which are never loaded; save an array of",
    ),
    "magic only": (b"\x93NUMPY", "has version ? of the .npy format; 1.0 to 3.0 are known."),
    "version 9": (npy(version=(9, 0)), "has version 9.0 of the .npy format; 1.0 to 3.0 are known."),
    "cut in the header": (npy()[:40], "is truncated inside its .npy header."),
    "cut after the length": (npy()[:10], "is truncated inside its .npy header."),
    "cut in the data": (
        npy()[:-1],
        "claims 3 × 4 × 5 float32 values, 240 bytes; 239 bytes are there.",
    ),
    "no data": (npy(data=b""), "240 bytes; 0 bytes are there."),
    "2^80 elements": (
        npy((BIG,)),
        f"claims {BIG} float32 values, 4.84e+24 bytes; 240 bytes are there.",
    ),
    "2^80 elements in three axes": (
        npy((2**30, 2**30, 2**20)),
        "4.84e+24 bytes; 240 bytes are there.",
    ),
    "more than floats can count": (npy((2**127,) * 32), "∞ bytes; 240 bytes are there."),
    "overflow to a small product": (npy((2**32, 2**32, 1)), "7.38e+19 bytes; 240 bytes are there."),
    "an axis without end": (
        npy(header="{'descr': '<f4', 'fortran_order': False, 'shape': (0x" + "f" * 5000 + ",)}"),
        NO_SHAPE,
    ),
    "nothing of 2^80": (npy((0, BIG, 4), data=b""), "is damaged: no array has shape (0, "),
    "negative": (npy((-3, 4, 5)), NO_SHAPE),
    "shape of floats": (npy((3.0, 4, 5)), NO_SHAPE),
    "shape of bools": (npy((True, 4, 5)), NO_SHAPE),
    "shape a list": (npy([3, 4, 5]), NO_SHAPE),
    "40 axes": (npy((1,) * 40), NO_SHAPE),
    "no dtype": (npy(descr="<q9"), "is damaged: its .npy header names no dtype."),
    "dtype a number": (npy(descr=4), "is damaged: its .npy header names no dtype."),
    "objects inside a record": (
        npy(descr=[("a", "<f4"), ("b", "|O")]),
        "holds pickled Python objects",
    ),
    "array as dtype": (npy(descr=("<f4", (3,))), "is damaged: its .npy header names"),
    "record": (
        npy((3, 4, 5), descr=[("a", "<f4")]),
        "logits must be float16, bfloat16, float32, float64 or integer;",
    ),
    "code in the header": (
        npy(header="{'descr': print('x'), 'fortran_order': False, 'shape': (3,)}"),
        UNREADABLE,
    ),
    "missing field": (npy(header="{'descr': '<f4', 'shape': (3,)}"), UNREADABLE),
    "a list as header": (npy(header="[1, 2]"), UNREADABLE),
    "brackets without end": (npy(header="(" * 9000), UNREADABLE),
    "not UTF-8": (npy(header=b"\xff\xfe"), UNREADABLE),
    "NUL in the header": (npy(header="{'descr': '\0'}"), UNREADABLE),
    "header of 4 GB": (
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 50,
        "claims a .npy header of 4294967295 bytes; at most 10000 are read.",
    ),
    "header of nothing": (b"\x93NUMPY\x01\x00\x00\x00" + b"\0" * 50, UNREADABLE),
}


@pytest.fixture
def cli(capsys):
    """Run ``softmax2d segment`` in this process; returns exit code and error output."""

    def run(*args):
        with pytest.raises(SystemExit) as stop:
            app.main(["segment", *map(str, args)])
        out, err = capsys.readouterr()
        assert out == "" or stop.value.code == 0
        return stop.value.code, err

    return run


def refused(cli, path, text, *args, code=2):
    """Assert a one-line refusal that names ``path``, and that nothing else appeared."""
    before = sorted(path.parent.iterdir())
    found, err = cli(path, "-o", path.parent / "out.npy", *args)
    assert found == code, err
    assert err.startswith(f"softmax2d: {path}: ")
    assert text in err
    assert err.count("\n") == 1
    assert sorted(path.parent.iterdir()) == before


def member(data, name="logits.npy", compression=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr(name, data)
    return bytearray(stream.getvalue())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_npy(cli, tmp_path, name):
    content, text = HOSTILE[name]
    path = tmp_path / "bad.npy"
    path.write_bytes(content)
    refused(cli, path, text)
    assert path.read_bytes() == content


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_member_of_npz(cli, tmp_path, name, compression):
    content, text = HOSTILE[name]
    path = tmp_path / "bad.npz"
    path.write_bytes(member(content, compression=compression))
    refused(cli, path, text)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("fortran", [False, True])
def test_every_version_of_the_format_is_read(tmp_path, version, fortran):
    path = tmp_path / "good.npy"
    path.write_bytes(npy(version=version, fortran=fortran))
    with _npy.open_source(path, None) as source:
        found = source[:]
    np.testing.assert_array_equal(found, np.load(path), strict=True)


def test_not_files(cli, tmp_path):
    refused(cli, tmp_path / "none.npy", "no such file.")
    (tmp_path / "folder.npy").mkdir()
    refused(cli, tmp_path / "folder.npy", "is a directory; a regular file is needed.")
    (tmp_path / "loop.npy").symlink_to("loop.npy")
    refused(cli, tmp_path / "loop.npy", os.strerror(errno.ELOOP))
    (tmp_path / "gone.npy").symlink_to("nothing")
    refused(cli, tmp_path / "gone.npy", "no such file.")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.npy"))
        refused(cli, tmp_path / "s.npy", "is a socket; a regular file is needed.")
    (tmp_path / "null.npy").symlink_to("/dev/zero")
    refused(cli, tmp_path / "null.npy", "is a device; a regular file is needed.")


def test_a_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    start = time.monotonic()
    arguments = [sys.executable, "-m", "softmax2d", "segment", tmp_path / "pipe.npy", "-o", "a.npy"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert time.monotonic() - start < 20
    assert done.returncode == 2
    assert done.stderr == f"softmax2d: {tmp_path}/pipe.npy: is a FIFO; a regular file is needed.\n"


def test_other_suffixes(cli, tmp_path):
    path = tmp_path / "scores.pt"
    path.write_bytes(b"x")
    refused(cli, path, "has the unknown suffix '.pt'; known are .npy, .npz, .zarr")
    refused(cli, tmp_path / "none.pt", "no such file.")


def test_line_ends_in_names_stay_on_one_line(cli, tmp_path):
    code, err = cli(tmp_path / "two\nlines.npy", "-o", tmp_path / "out.npy")
    assert code == 2
    assert err == f"softmax2d: {tmp_path}/two lines.npy: no such file.\n"


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX users")
def test_unreadable_file_and_unwritable_folder(cli, tmp_path):
    path = tmp_path / "secret.npy"
    np.save(path, np.zeros((3, 4, 4), np.float32))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    root = os.geteuid() == 0
    if root:
        for folder in (tmp_path, *tmp_path.parents[:3]):  # of pytest, and of its workers
            folder.chmod(0o755)
        os.seteuid(65534)
    try:
        code, err = cli(path, "-o", closed / "out.npy")
        assert (code, err) == (3, f"softmax2d: {closed}/out.npy: Permission denied.\n")
    finally:
        if root:
            os.seteuid(0)
    path.chmod(0)
    if root:
        os.seteuid(65534)
    try:
        code, err = cli(path, "-o", tmp_path / "out.npy")
        assert (code, err) == (2, f"softmax2d: {path}: Permission denied.\n")
    finally:
        if root:
            os.seteuid(0)


def test_npz_that_is_none(cli, tmp_path):
    path = tmp_path / "bad.npz"
    path.write_bytes(npy())
    refused(cli, path, "is not a usable .npz file: File is not a zip file.")
    path.write_bytes(b"")
    refused(cli, path, "is not a usable .npz file")
    path.write_bytes(member(npy())[:-30])
    refused(cli, path, "is not a usable .npz file")
    with zipfile.ZipFile(path, "w"):
        pass
    refused(cli, path, "holds no array.")


def test_npz_with_several_arrays_wants_a_key(cli, tmp_path):
    path = tmp_path / "in.npz"
    np.savez(path, logits=np.zeros((3, 4, 4)), other=np.zeros(3))
    refused(cli, path, "holds 2 arrays (logits, other); choose one with --key NAME.")
    refused(cli, path, "holds no array 'probs'; it holds logits, other.", "--key", "probs")
    np.savez(path, **{f"a{i}": np.zeros(1) for i in range(30)})
    refused(cli, path, "holds 30 arrays (a0, a1, a2, a3, a4, a5, a6, a7, …); choose one with")


def test_damaged_members(cli, tmp_path):
    path = tmp_path / "bad.npz"
    data = npy((3, 50, 50), data=np.random.default_rng(0).bytes(30_000))
    squeezed = member(data)
    squeezed[3000:3010] = b"\xff" * 10
    path.write_bytes(squeezed)
    refused(cli, path, "is not a usable .npz file: ")
    encrypted = member(data)
    encrypted[6] |= 1
    encrypted[encrypted.rindex(b"PK\1\2") + 8] |= 1
    path.write_bytes(encrypted)
    refused(cli, path, "is encrypted.")
    unknown = member(data)
    unknown[8] = unknown[unknown.rindex(b"PK\1\2") + 10] = 97
    path.write_bytes(unknown)
    refused(cli, path, "is not a usable .npz file: ")


def test_a_stored_member_that_claims_more_than_the_file(cli, tmp_path):
    path = tmp_path / "bad.npz"
    archive = member(npy((3, 400, 500)), compression=zipfile.ZIP_STORED)
    entry = archive.rindex(b"PK\1\2")
    archive[entry + 20 : entry + 28] = struct.pack("<II", 10**7, 10**7)
    path.write_bytes(archive)
    refused(cli, path, "claims 3 × 400 × 500 float32 values, 2400000 bytes; ")


def test_a_bomb_is_refused_by_its_declared_size(cli, tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as file,
    ):
        file.write(npy((10, 1000, 2000), data=b""))
        for _ in range(80):
            file.write(bytes(10**6))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(npz, "BOMB_BYTES", 10**6)
    refused(cli, path, " to 80000000 bytes, as a zip bomb does; unpack it and give the .npy file")
    monkeypatch.undo()
    room = SimpleNamespace(f_bavail=10**7, f_frsize=1)
    monkeypatch.setattr(os, "statvfs", lambda folder: room)
    refused(cli, path, f"expands to 80000000 bytes; 10000000 bytes are free in {tmp_path}.", code=3)


def test_a_member_longer_than_its_header_says_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "long.npz"
    path.write_bytes(member(npy() + bytes(10**6)))
    read = []
    real = zipfile.ZipExtFile.read
    monkeypatch.setattr(
        zipfile.ZipExtFile, "read", lambda self, n=-1: read.append(n) or real(self, n)
    )
    with npz.open_source(path, None) as source:
        assert source.shape == (3, 4, 5)
    assert sum(read) < 1000


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from softmax2d.__main__ import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize("suffix", ["png", "tif", "npy", "npz"])
def test_files_that_cannot_grow(tmp_path, suffix):
    """Where nobody may mount a small disk, a limit on the size of files fails in the same calls."""
    source = tmp_path / ("in.npz" if suffix == "npz" else "in.npy")
    scores = np.random.default_rng(0).normal(size=(4, 200, 300)).astype(np.float32)
    (np.savez_compressed if suffix == "npz" else np.save)(source, scores)
    before = source.read_bytes()
    out = tmp_path / f"out.{'npy' if suffix == 'npz' else suffix}"
    out.write_text("earlier result")
    arguments = ["segment", source, "-o", out, "--outputs", "labels", "--overwrite"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(limit=5000), *arguments],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, f"softmax2d: {out}: File too large.\n")
    assert out.read_text() == "earlier result"
    assert source.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == sorted([source, out])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if (
        sys.platform != "linux"
        or os.geteuid()
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("only root may mount a small disk, and not everywhere")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
def test_a_disk_that_fills(cli, tmp_path, small_disk, suffix):
    scores = np.random.default_rng(0).normal(size=(100, 500, 600)).astype(np.float16)
    np.save(tmp_path / "in.npy", scores)
    out = small_disk / f"out.{suffix}"
    args = ["--confidence-as", "8bit", "--outputs", "labels,margin"]
    code, err = cli(tmp_path / "in.npy", "-o", out, *args)
    assert code == 3
    assert err.startswith(f"softmax2d: {small_disk}/out.")
    assert ": No space left on device. " in err
    assert err.endswith(" tiles are kept: the same command with --resume (resume=True) goes on.\n")
    assert all(entry.name.startswith(".out.") for entry in small_disk.iterdir())
    grown = ["mount", "-o", "remount,size=8m", str(small_disk)]
    subprocess.run(grown, check=True)
    assert cli(tmp_path / "in.npy", "-o", out, *args, "--resume") == (0, "")
    assert cli(tmp_path / "in.npy", "-o", tmp_path / f"out.{suffix}", *args) == (0, "")
    for name in (f"out.{suffix}", f"out.margin.{suffix}"):
        assert (small_disk / name).read_bytes() == (tmp_path / name).read_bytes()
    assert len(list(small_disk.iterdir())) == 2


def test_a_full_disk_is_one_line_beside_gdal(tmp_path, small_disk):
    """The last line is ours; libtiff may print the system's words before it."""
    rasterio = pytest.importorskip("rasterio")
    rng, source, out = np.random.default_rng(0), tmp_path / "in.tif", small_disk / "out.tif"
    profile = {"driver": "GTiff", "height": 400, "width": 500, "count": 4, "dtype": "float32"}
    profile |= {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 4e5, 0, -10, 5e6)}
    with rasterio.open(source, "w", **profile) as file:
        file.write(rng.normal(size=(4, 400, 500)).astype(np.float32))
    words = [sys.executable, "-m", "softmax2d", "segment", source, "-o", out, "--outputs", "labels"]
    words += ["--cog", "--quiet", "--resume"]
    for size in (256, 272, 288, 300):  # full in the draft, then in the overviews and the copy
        subprocess.run(["mount", "-o", f"remount,size={size}k", str(small_disk)], check=True)
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        said = done.stderr.splitlines()[-1]
        assert said.startswith(f"softmax2d: {out}: No space left on device."), size
        assert done.returncode == 3
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(small_disk.iterdir()) == [out]


def test_a_failing_last_step_gives_no_name(cli, tmp_path, monkeypatch):
    np.save(tmp_path / "in.npy", np.zeros((3, 4, 4), np.float32))

    def broken(number):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    code, err = cli(tmp_path / "in.npy", "-o", tmp_path / "out.npy")
    cause = f"softmax2d: {tmp_path}/out.npy: {os.strerror(errno.EIO)}. 1 of 1 tiles are kept:"
    assert code == 3
    assert err.startswith(cause)
    assert not (tmp_path / "out.npy").exists()
    monkeypatch.undo()
    assert cli(tmp_path / "in.npy", "-o", tmp_path / "out.npy", "--resume") == (0, "")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "in.npy", "out.confidence.npy", "out.npy",
    ]  # fmt: skip


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    out = tmp_path / "out.bin"
    with (
        pytest.raises(Refused, match="exists"),
        Results([out], [], overwrite=False) as results,
    ):
        results.create(out).write(b"ours")
        out.write_bytes(b"theirs")
    assert out.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [out]


def test_results_have_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        with Results([tmp_path / "a"], [], overwrite=False) as results:
            results.create(tmp_path / "a").write(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_errors_form_a_tree():
    assert Failed("f", "c").exit_code == 3
    assert Refused("f", "c").exit_code == 2
    assert str(Refused("f", "c")) == "f: c"
    assert issubclass(Refused, ValueError)
    assert issubclass(Failed, OSError)
