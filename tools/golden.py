"""Record what the installed softmax2d returns, prints and writes; compare it with a later version.

    python tools/golden.py record before.json
    python tools/golden.py compare before.json

Every case has a name and a text: the digest of an array's bits, a number, an error's words, a
command's output. ``compare`` computes them all again, prints each that differs and exits with 1 if
there is one. The cases use public names alone, so that they outlive any change of the inside.
Record and compare on one machine with one SOFTMAX2D_ISA: other builds round otherwise.

Masked in texts: folders, times, the version. Every NaN counts as the same. ``--only PREFIX`` does
the cases whose names begin so.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import enum
import hashlib
import json
import os
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

LONG = 400  # longer texts of values are kept as their digest
SHOWN = 30  # lines of one difference


def digest(data: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def array_text(array: np.ndarray) -> str:
    """The dtype, shape, strides and digest of the bits of an array; its values where few."""
    bare = np.array(array, array.dtype.newbyteorder("="), order="C")
    if bare.dtype.kind not in "biuOSU" and bare.dtype.names is None:
        bare[np.isnan(bare)] = np.nan
    strides = f" strides {array.strides}" if array.size > 1 else ""
    few = f" {bare.ravel().tolist()}" if bare.size <= 4 else ""
    return f"{array.dtype}{array.shape}{strides} {digest(bare.tobytes())}{few}"


def tensor_text(tensor: Any) -> str:
    """As :func:`array_text`, for a tensor of PyTorch."""
    import torch

    values = tensor.detach()
    values = values.float() if values.dtype == torch.bfloat16 else values
    return f"{tensor.dtype} grad={tensor.requires_grad} {array_text(values.numpy())}"


def inner_text(value: Any) -> str:
    """The text of any value, however long."""
    if isinstance(value, np.ndarray):
        return array_text(value)
    if type(value).__module__.startswith("torch") and hasattr(value, "detach"):
        return tensor_text(value)
    if type(value).__module__.startswith("dask"):  # lazy; its name is of the code that made it
        return type(value).__name__
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"{type(value).__name__}({inner_text(value._asdict())})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {inner_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple | frozenset | set):
        return f"{type(value).__name__}[" + ", ".join(map(inner_text, value)) + "]"
    for way in ("to_dict", "to_json"):
        if hasattr(type(value), way):
            return f"{type(value).__name__}({inner_text(getattr(value, way)())})"
    if dataclasses.is_dataclass(value):
        return f"{type(value).__name__}({inner_text(vars(value))})"
    if isinstance(value, enum.Enum | Path | type):
        return str(value)
    return repr(value)


class Recorder:
    """The texts of all cases, by name."""

    def __init__(self, folder: Path, only: str) -> None:
        self.folder, self.only = folder, only
        self.texts: dict[str, str] = {}

    def masked(self, text: str) -> str:
        """Without what differs from run to run."""
        import softmax2d

        text = text.replace(str(self.folder), "<folder>")
        text = text.replace(str(Path(softmax2d.__file__).parent), "<softmax2d>")
        text = text.replace(softmax2d.__version__, "<version>")
        text = re.sub(r"\b\d+(\.\d+)? (m?s)\b", r"<time> \2", text)
        text = re.sub(r'"seconds": [\d.e-]+', '"seconds": 0', text)
        text = re.sub(r"\bseconds: [\d.e-]+", "seconds: 0", text)
        return re.sub(r"\b(pid |name=)\d+", r"\g<1>0", re.sub(r"0x[0-9a-f]{6,}", "0x0", text))

    def note(self, name: str, value: Any) -> None:
        """Keep ``value`` as the text of the case ``name``."""
        if not name.startswith(self.only):
            return
        if name in self.texts:
            raise ValueError(f"two cases are named {name}")
        text = self.masked(value if isinstance(value, str) else inner_text(value))
        if not isinstance(value, str | BaseException) and len(text) > LONG:
            text = f"{text[:60]}… {digest(text.encode())}"
        self.texts[name] = text

    def case(self, name: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Keep what a call returns, or how it fails, with its warnings; returns the result."""
        found: Any = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found = text = call(*args, **options)
            except Exception as error:  # noqa: BLE001 - the error is the result
                text = error
        self.note(name, text)
        words = [
            f"{w.category.__name__}: {w.message}"
            for w in caught
            if w.category is UserWarning and "can be slow" not in str(w.message)  # by the clock
        ]
        if words:
            self.note(f"{name}, warnings", "\n".join(words))
        return found


def rooms() -> dict[str, Callable[[Recorder], None]]:
    """The functions that record the cases, by the first word of the cases' names."""
    from golden_cases import arrays, commands, files, fits, refusals, signatures, tensors

    return {
        "signatures": signatures.record_signatures,
        "numpy": arrays.record_numpy,
        "losses": arrays.record_losses,
        "torch": tensors.record_torch,
        "dask": arrays.record_dask,
        "calibrate": fits.record_calibrate,
        "balance": fits.record_balance,
        "adapters": fits.record_adapters,
        "errors": refusals.record_errors,
        "files": files.record_formats,
        "resumed": files.record_resumed,
        "predict": files.record_predict,
        "commands": commands.record_commands,
    }


def record(only: str) -> dict[str, str]:
    """Compute all cases whose names begin with ``only``."""
    os.environ.update(COLUMNS="80", LANG="C.UTF-8", TZ="UTC", PYTHONHASHSEED="0")
    os.environ.pop("TRITON_INTERPRET", None)
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder).resolve(), only)
        for name, room in rooms().items():
            if not (name.startswith(only) or only.startswith(name)):
                continue
            before, start = len(recorder.texts), time.perf_counter()
            try:
                room(recorder)
            except Exception:  # noqa: BLE001 - the other rooms are compared all the same
                recorder.note(f"{name}/did not end", traceback.format_exc().splitlines()[-1])
                traceback.print_exc()
            spent = time.perf_counter() - start
            print(f"{name}: {len(recorder.texts) - before} cases, {spent:.1f} s", file=sys.stderr)
        return recorder.texts


def difference(name: str, before: str | None, now: str | None) -> str:
    """The lines that tell one case's two texts apart."""
    if before is None or now is None:
        return f"{name}: " + ("is new" if before is None else "is gone")
    if "\n" not in before + now:
        return f"{name}:\n  - {before}\n  + {now}"
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), lineterm="", n=1)
    return "\n  ".join([f"{name}:", *list(lines)[2:SHOWN]])


def main() -> int:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", default="", metavar="PREFIX")
    arguments = parser.parse_args()
    import softmax2d

    texts = record(arguments.only)
    build = softmax2d.instruction_set()
    if arguments.what == "record":
        plain = {"instruction set": build, "cases": texts}
        arguments.file.write_text(json.dumps(plain, indent=0, ensure_ascii=False), "utf-8")
        print(f"{len(texts)} cases, {build}: {arguments.file}")
        return 0
    plain = json.loads(arguments.file.read_text("utf-8"))
    if plain["instruction set"] != build:
        print(f"recorded with {plain['instruction set']}, compared with {build}: set SOFTMAX2D_ISA")
    before = {k: v for k, v in plain["cases"].items() if k.startswith(arguments.only)}
    names = [*before, *(n for n in texts if n not in before)]
    differing = [n for n in names if before.get(n) != texts.get(n)]
    for name in differing:
        print(difference(name, before.get(name), texts.get(name)))
    print(f"{len(texts)} cases, {build}: {len(differing)} differ from {arguments.file}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
