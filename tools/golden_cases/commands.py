"""The command line: what it prints and writes."""

from __future__ import annotations

import contextlib
import io
import runpy
import subprocess
import sys
from typing import Any
from unittest import mock

import numpy as np

from golden_cases.files import C, note_files, save_onnx, scores, truth, write
from softmax2d import balance, calibrate


def run_command(arguments: list[str]) -> str:
    """What ``python -m softmax2d`` prints, and its exit code, in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    given = mock.patch.object(sys, "argv", ["softmax2d", *arguments])
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), given:
        try:
            runpy.run_module("softmax2d", run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            code = stop.code
    return f"exit code {code}\n{out.getvalue()}--- error output\n{err.getvalue()}"


def run_process(arguments: list[str]) -> str:
    """As :func:`run_command`, in a process of its own."""
    command = [sys.executable, "-m", "softmax2d", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return f"exit code {done.returncode}\n{done.stdout}--- error output\n{done.stderr}"


COMMANDS = """
--version
info
nonsense
segment
segment {z} -o {out}/r.npy
segment {z} -o {out}/r.png --classes a,b,c,d --palette voc --preview {out}/preview.png
segment {z} -o {out}/r.tif --outputs labels,confidence,margin,entropy --confidence-as 8bit
segment {tif} -o {out}/r.tif --cog --nodata -9999 --summary {out}/account.json
segment {z} -o {out}/r.npy --size 50x60 --interpolation nearest --temperature 1.5 --memory 1MB
segment {z} -o {out}/r.npy --like {tif} --align-corners --decode dice
segment {z} -o {out}/r.zarr --calibration {calibration} --axis 0
segment {zarr} -o {out}/r.zarr --resume --quiet --missing-as-fill
segment {z} -o {out}/r.npy --size big
segment {z} -o {out}/r.npy --temperature 0
segment {z} -o {out}/r.npy --outputs labels,beauty
segment {z} -o {out}/r.npy --palette nowhere
segment {z} -o {out}/r.npy --workers 0
segment {z} -o {out}/r.npy --classes a,b
segment {z} -o {out}/r.xyz
segment nowhere.npy -o {out}/r.npy
segment {z} -o {out}/missing/r.npy
segment {z} -o {z}
segment {npz} -o {out}/r.npy --key nothing
segment {z} -o {out}/r.npy --temperature 2 --calibration {calibration}
probs {z} -o {out}/p.npy --as float16
probs {z} -o {out}/p.tif --as 8bit --size 20x20
probs {z} -o {out}/p.zarr --top-k 2
probs {z} -o {out}/p.npy --top-k 9
probs {z} -o {out}/p.png
evaluate {z} {t} --ignore-index 255
evaluate {z} {t} --ignore-index 255 --report {out}/r.html --classes a,b,c,d --bins 5
evaluate {z} {t} --ignore-index 255 --report {out}/r.json --summary {out}/account.json --resume
evaluate {z} {t} --ignore-index 255 --report {out}/r.txt --quiet --temperature 2
evaluate {z} {t} --ignore-index 255 --report {out}/r.png --calibration {calibration}
evaluate {z} {t}
evaluate {z} {z}
evaluate {z} {t} --ignore-index 255 --report {out}/r.pdf
evaluate {z} {t} --ignore-index 255 --bins 0
calibrate {zs} {ts} -o {out}/c.json --ignore-index 255
calibrate {zs} {ts} -o {out}/c.json --ignore-index 255 --method vector --report {out}/r.html
calibrate {zs} {ts} -o {out}/c.json --ignore-index 255 --method bias --weight 1,2,3,4 --classes a,b,c,d
calibrate {zs} {ts} -o {out}/c.json --ignore-index 255 --report {out}/r.json --data-date 2026-05
calibrate {zs} {ts} -o {out}/c.json --ignore-index 255 --report {out}/r.txt --quiet
calibrate {zs} {ts} -o {out}/c.txt
calibrate {zs} {ts} -o {out}/c.json --method platt
counts {ts} --ignore-index 255 -o {out}/counts.json --report {out}/counts.html
counts {ts} --ignore-index 255 --classes a,b,c,d --report {out}/counts.txt
counts {ts} --classes 2
counts {folder} --ignore-index 255
weights {counts} --method median -o {out}/w.json --report {out}/w.json.html
weights {ts} --ignore-index 255 --method effective --normalize mean --beta 0.9
weights {counts} --method x
tune {zs} {ts} -o {out}/b.json --ignore-index 255 --report {out}/r.html
tune {zs} {ts} -o {out}/b.json --ignore-index 255 --family tau --counts {counts} --report {out}/r.txt
tune {zs} {ts} -o {out}/b.json --ignore-index 255 --goal recall:3,b --at-least-accuracy 0.5 --classes a,b,c,d
tune {zs} {ts} -o {out}/b.json --ignore-index 255 --goal beauty
tune {zs} {ts} -o {out}/b.json --ignore-index 255 --family tau
predict {net} {photo} -o {out}/r.png --window 16x32 --classes a,b,c,d --palette voc
predict {net} {photo} -o {out}/r.npy --window 32 --overlap 0.25 --test-time flips --summary {out}/a.json
predict {net} {photo} -o {out}/r.tif --window 32 --outputs labels,entropy --confidence-as 8bit --quiet
predict {net} {photo} -o {out}/r.npy --window big
predict {z} {photo} -o {out}/r.npy
""".strip().splitlines()
PROCESSES = (
    "",
    "segment {z} -o {out}/r.zarr --workers 2 --summary {out}/account.json",
    "evaluate {z} nowhere.png",
    "demo --no-timing -o {out}/demo",
)


def record_commands(r: Any) -> None:
    """The command line: what it prints and writes."""
    given, out = r.folder / "input", r.folder / "output"
    pairs = {"zs": given / "zs", "ts": given / "ts", "folder": given / "empty"}
    for folder in (given, out, *pairs.values()):
        folder.mkdir()
    for i in range(3):
        z, t = scores(3)[i], truth(3)[i]
        z[np.arange(C)[:, None, None] == t] += 2
        np.save(pairs["zs"] / f"{i}.npy", np.nan_to_num(z, nan=0, neginf=-50))
        write(pairs["ts"] / f"{i}.png", t)
    names: dict[str, Any] = {k: write(given / f"z.{k}", scores()) for k in ("tif", "zarr", "npz")}
    names |= {"z": write(given / "z.npy", scores()), "t": write(given / "t.png", truth()), **pairs}
    names |= {"net": save_onnx(given / "net.onnx"), "out": out, "counts": given / "counts.json",
              "calibration": given / "calibration.json"}  # fmt: skip
    colours = np.random.default_rng(9).integers(0, 256, (45, 50, 3)).astype(np.uint8)
    names["photo"] = write(given / "photo.png", colours)
    balance.class_counts(list(truth(3)), ignore_index=255).save(names["counts"])
    calibrate.Calibration(2.0, None, "temperature", (9,) * C).save(names["calibration"])
    helps = ["--help", *(f"{c} --help" for c in ("calibrate", "counts", "demo", "evaluate", "info",
             "predict", "probs", "segment", "tune", "weights"))]  # fmt: skip
    for line in (*helps, *COMMANDS, *PROCESSES):
        run = run_process if line in PROCESSES else run_command
        name = f"commands/softmax2d {line}"
        r.note(name, run([word.format(**names) for word in line.split()]))
        note_files(r, name, out)
