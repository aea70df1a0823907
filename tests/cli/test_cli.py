"""The command line from outside: help, exit codes, one-line errors, pipes, signals, light start."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import softmax2d
from softmax2d.cli import app
from softmax2d.extras import install_command

SLOW_SEGMENT = """
import os, signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and stays so ...
signal.signal(signal.SIGINT, signal.default_int_handler)  # ... as this is in the background
from softmax2d._ops import segment
from softmax2d.stream.plan import tiles
real = segment.segment_logits
def slow(*args, **kwargs):
    os.write(1, b"band\\n")
    time.sleep(0.02)
    return real(*args, **kwargs)
segment.segment_logits = slow
tiles.BAND_BYTES = tiles.TILE_BYTES = tiles.LEAST_BYTES = 1
from softmax2d.__main__ import main
main()
"""


@pytest.fixture
def cli(capsys):
    """Run the command line in this process; returns exit code, output, error output."""

    def run(*args):
        with pytest.raises(SystemExit) as stop:
            app.main([str(a) for a in args])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "scores.npy"
    np.save(path, np.random.default_rng(1).normal(0, 3, (4, 30, 20)).astype(np.float32))
    return path


def command(*args, **options):
    arguments = [sys.executable, "-m", "softmax2d", *map(str, args)]
    return subprocess.run(arguments, capture_output=True, timeout=60, **({"text": True} | options))


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",), *[(c, "--help") for c in app.commands]])
def test_help_says_what_how_and_exit_codes(cli, args):
    code, out, err = cli(*args)
    assert (code, err) == (0, "")
    assert "Usage: softmax2d" in out
    assert "xit codes:" in out
    if len(args) == 2:
        assert f"softmax2d {args[0]}" in out.split("Example")[1], "no example"


def test_version(cli):
    assert cli("--version") == (0, f"softmax2d {softmax2d.__version__}\n", "")


def test_info_names_versions_builds_and_threads(cli, monkeypatch):
    monkeypatch.setenv("SOFTMAX2D_NUM_THREADS", "3")
    code, out, err = cli("info")
    assert (code, err) == (0, "")
    rows = dict(line.split(None, 1) for line in out.splitlines())
    assert rows["softmax2d"] == softmax2d.__version__
    assert rows["NumPy"] == np.__version__
    assert softmax2d.instruction_set() in out
    assert rows["threads"] == f"{softmax2d.get_num_threads()} (SOFTMAX2D_NUM_THREADS=3)"
    assert "click" in rows


def test_info_lists_every_optional_package(cli, monkeypatch):
    from softmax2d import extras
    from softmax2d.cli import _info

    lines = cli("info")[1].splitlines()
    listed = {line.split()[0] for line in lines}
    every = extras.requirements()
    assert {p for e in every if e not in ("test", "dev", "docs") for p in every[e]} <= listed
    assert "sphinx" not in listed  # for who builds the site
    assert any(re.fullmatch(r"rasterio +\S+ \(geotiff\)", line) for line in lines)
    assert any(re.fullmatch(r"tifffile +\S+ \(cli, demo, tiff\)", line) for line in lines)
    monkeypatch.setattr(_info, "version_of", lambda name: None if name == "zarr" else "1.0")
    out = cli("info")[1].splitlines()
    assert f"{'zarr':<18}missing (zarr)" in out
    assert f"{'h5py':<18}1.0 (hdf5)" in out


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("segmen",), "No such command 'segmen'."),
        (("segment",), "Missing argument 'LOGITS'. Try `softmax2d segment --help`."),
        (("segment", "a.npy"), "Missing option '-o' / '--out'. Try `softmax2d segment --help`."),
        (("segment", "a.npy", "-o", "b.npy", "--axis", "x"), "'x' is not a valid integer"),
        (("segment", "a.npy", "-o", "b.npy", "--confidence-as", "int"), "'int' is not one of"),
        (("info", "--loud"), "No such option"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(cli, args, text):
    code, out, err = cli(*args)
    assert (code, out) == (2, "")
    assert err.startswith("softmax2d: ")
    assert text in err
    assert err.count("\n") == 1


def test_exit_codes_of_the_real_process(scores, tmp_path):
    done = command("segment", scores, "-o", tmp_path / "labels.png")
    assert (done.returncode, done.stderr) == (0, "")
    again = command("segment", scores, "-o", tmp_path / "labels.png")
    assert again.returncode == 2
    assert again.stderr == (
        f"softmax2d: {tmp_path}/labels.png: exists; add --overwrite to replace it.\n"
    )


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_progress_bar_on_a_terminal_and_silence_in_a_pipe(scores, tmp_path):
    ours, theirs = os.openpty()
    arguments = [sys.executable, "-m", "softmax2d", "segment", scores, "-o", tmp_path / "a.npy"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=theirs) as process:
        out = process.stdout.read().decode()
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "100%" in shown
    assert "4 classes" in out
    piped = command("segment", scores, "-o", tmp_path / "b.npy")
    assert piped.stderr == ""
    assert not {"\r", "\x1b"} & set(piped.stdout)


def test_quiet_says_nothing(cli, scores, tmp_path):
    assert cli("segment", scores, "-o", tmp_path / "a.npy", "--quiet") == (0, "", "")


def test_closed_pipe_ends_quietly():
    process = subprocess.Popen(
        [sys.executable, "-m", "softmax2d", "info"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), err) == (141, b"")


def test_closed_output_is_no_error(scores, tmp_path):
    line = f'"{sys.executable}" -m softmax2d segment "{scores}" -o "{tmp_path}/a.npy" >&-'
    done = subprocess.run(line, shell=True, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "a.npy").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        arguments = [sys.executable, "-m", "softmax2d", "info"]
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stderr == "softmax2d: standard output: No space left on device.\n"


def test_a_terminal_that_knows_few_characters(scores, tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    args = "segment", scores, "-o", tmp_path / "a.npy", "--classes", "道路,b,c,d"
    done = command(*args, env=environment, encoding="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 classes, 30 × 20 pixels" in done.stdout
    assert "0  ??" in done.stdout


FRUGAL = """
import re
from softmax2d.cli import app
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
try:
    app.main(["segment", "in.npy", "-o", "out.npy", "--quiet"])
except SystemExit as stop:
    print(stop.code, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_a_few_bands(tmp_path):
    np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.float32, (30, 1000, 1000)).flush()
    done = subprocess.run(
        [sys.executable, "-c", FRUGAL], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    code, kilobytes = map(int, done.stdout.split())
    assert code == 0
    assert kilobytes < 40_000, "of 120 MB"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_leave_what_can_be_resumed(scores, tmp_path, name):
    before = scores.read_bytes()
    folder = tmp_path / "results"
    folder.mkdir()
    arguments = [sys.executable, "-c", SLOW_SEGMENT, "segment", scores, "-o", folder / "a.tif"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"band\n"
        assert any(folder.iterdir()), "nothing to clean up yet"
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + getattr(signal, name), b"")
    assert all(entry.name.startswith(".a.") for entry in folder.iterdir())
    assert scores.read_bytes() == before
    slow = [sys.executable, "-c", SLOW_SEGMENT.replace("0.02", "0"), *arguments[3:], "--resume"]
    done = subprocess.run(slow, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(entry.name for entry in folder.iterdir()) == ["a.confidence.tif", "a.tif"]
    assert command("segment", scores, "-o", tmp_path / "a.tif").returncode == 0
    for entry in folder.iterdir():
        assert entry.read_bytes() == (tmp_path / entry.name).read_bytes()


def test_signal_handlers_are_given_back(cli):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    cli("info")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


HEAVY = ("PIL", "matplotlib", "scipy", "skimage", "tifffile", "torch")
PROBE = f"""
import sys
{{first}}
from softmax2d.__main__ import main
sys.argv = ["softmax2d", "--help"]
try:
    main()
except SystemExit:
    pass
print("loaded:", *sorted(set(sys.modules) & set({HEAVY!r})))
"""


@pytest.mark.parametrize(("first", "loaded"), [("", []), ("import PIL", ["PIL"])])
def test_help_starts_light(first, loaded):
    # The second case shows that the probe can fail.
    code = PROBE.format(first=first)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1].split()[1:] == loaded


def test_without_click_the_install_line_is_named():
    code = "import sys; sys.modules['click'] = None; from softmax2d.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "click>=8.1"' in done.stderr


@pytest.mark.parametrize(
    ("module", "suffix", "package"),
    [("tifffile", "tif", "tifffile")],
)
def test_without_a_writer_the_install_line_is_named(
    cli, scores, tmp_path, monkeypatch, module, suffix, package
):
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = cli("segment", scores, "-o", tmp_path / f"a.{suffix}", "--outputs", "labels")
    assert code == 2
    assert err == (
        f"softmax2d: this needs {package}: install it with `{install_command('cli', module)}`.\n"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["scores.npy"]
