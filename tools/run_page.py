"""Run a page of docs/start as its reader types it, and compare what it prints and draws.

    python tools/run_page.py docs/start/gis.md            # says where an output differs
    python tools/run_page.py docs/start/gis.md --write    # puts outputs and pictures into the page

Python blocks run in one namespace, shell blocks in a shell each, in order, in a fresh folder beside
`examples` and `benchmarks`, as a folder in a clone is. A block `text` shows what the block before
it printed. A picture `../images/start-PAGE-NAME.png` is the file NAME.png that the page's commands
wrote. Blocks that install are known by `pip install`, and not run. `--write` gives the page's
Chinese twin the same outputs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"\(\.\./images/(start-[\w-]+\.png)\)")
LARGEST = 120_000  # bytes of a picture
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?")
_TIME = re.compile(r"\b\d+(?:\.\d+)?(?:e\d+)? (?:ms|s)\b")
_MEMORY = re.compile(r"\b\d+(?:\.\d+)? [kMG]i?B\b")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def installs(text: str) -> bool:
    """Whether a block sets the machine up, rather than doing something with it."""
    return "pip install" in text


@contextlib.contextmanager
def beside_a_clone() -> Iterator[Path]:
    """A fresh folder, beside what a clone has; entered."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as clone:
        for name in ("examples", "benchmarks", "docs"):
            (Path(clone) / name).symlink_to(ROOT / name)
        folder = Path(clone) / "first"
        folder.mkdir()
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def in_shell(text: str) -> str:
    """What a shell block prints, on either stream."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        env=os.environ | {"PATH": path, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode} of\n{text}{done.stdout}")
    return done.stdout


def in_python(text: str, names: dict[str, Any], where: str) -> str:
    """What a Python block prints; a warning is printed as Python does, without its place."""
    said = io.StringIO()

    def show(message: Any, category: Any, *_: Any) -> None:
        said.write(f"{category.__name__}: {message}\n")

    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("always")
        for kind in (DeprecationWarning, PendingDeprecationWarning):  # as Python does elsewhere
            warnings.simplefilter("ignore", kind)
        warnings.showwarning = show
        exec(compile(text, where, "exec", dont_inherit=True), names)
    return said.getvalue()


def run(page: Path) -> Iterator[tuple[str, str, str | None]]:
    """Run the page in this folder; give of each block its text, what it printed, what is shown.

    What is shown is None where no `text` block follows.
    """
    found = blocks(page)
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, (language, text) in enumerate(found):
        if language not in ("python", "bash") or installs(text):
            continue
        where = f"{page.name}, block {number}"
        printed = in_shell(text) if language == "bash" else in_python(text, names, where)
        after = found[number + 1] if number + 1 < len(found) else ("", "")
        yield text, tidy(printed), after[1] if after[0] == "text" else None


def tidy(printed: str) -> str:
    """Printed lines without blanks at their ends."""
    return "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").splitlines())


def alike(printed: str, shown: str) -> bool:
    """Whether two outputs agree: times aside, memory to a fifth, numbers to their last digit."""
    if printed == shown:
        return True
    parts = []
    for text in (printed, shown):
        timeless = _TIME.sub("TIME", text)
        memory = [float(found.group().split()[0]) for found in _MEMORY.finditer(timeless)]
        rest = _MEMORY.sub("MEMORY", timeless)
        words = re.sub(r"\s+", " ", _NUMBER.sub("N", rest))
        parts.append((words, _NUMBER.findall(rest), memory))
    (words, numbers, memory), (words_shown, numbers_shown, memory_shown) = parts
    return (
        words == words_shown
        and all(abs(a - b) <= max(0.2 * b, 20) for a, b in zip(memory, memory_shown, strict=True))
        and all(_close(a, b) for a, b in zip(numbers, numbers_shown, strict=True))
    )


def _close(printed: str, shown: str) -> bool:
    """Whether a number is the one shown, up to one of its last digit, or a thousandth if whole."""
    mantissa, _, exponent = shown.partition("e")
    digits = len(mantissa.partition(".")[2])
    last = 10.0 ** (int(exponent or 0) - digits) if digits or exponent else 0.0
    return abs(float(printed) - float(shown)) <= max(1.01 * last, 1e-3 * abs(float(shown)))


def pictures(page: Path) -> dict[str, str]:
    """The page's own pictures: name in docs/images, and that of the file that is written."""
    prefix = f"start-{page.name.split('.')[0]}-"
    found = PICTURE.findall(page.read_text(encoding="utf-8"))
    return {name: name.removeprefix(prefix) for name in found if name.startswith(prefix)}


def write(page: Path, outputs: list[str | None]) -> None:
    """Put outputs into the `text` blocks that follow the blocks that run."""
    waiting = iter(outputs)
    output: str | None = None

    def put(block: re.Match[str]) -> str:
        nonlocal output
        language, text = block.groups()
        if language == "text" and output is not None:
            text, output = output, None
        elif language in ("python", "bash") and not installs(text):
            output = next(waiting)
        else:
            output = None
        return f"```{language}\n{text}```"

    page.write_text(FENCE.sub(put, page.read_text(encoding="utf-8")), encoding="utf-8")


def keep_pictures(page: Path, folder: Path) -> None:
    """Copy what the page drew to docs/images, with fewer pixels and colours if it is large."""
    from PIL import Image

    for name, written in pictures(page).items():
        to = IMAGES / name
        shutil.copy(folder / written, to)
        if to.stat().st_size > LARGEST:
            image = Image.open(to).convert("RGB")
            image.thumbnail((900, 900))
            image.quantize(64).save(to, optimize=True)
        print(f"{to.relative_to(ROOT)}: {to.stat().st_size} bytes")


def main(given: list[str] | None = None) -> int:
    """Run the page; compare or write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("--write", action="store_true", help="outputs and pictures into the page")
    settings = parser.parse_args(given)
    page = settings.page.resolve()
    outputs, differ = [], 0
    with beside_a_clone() as folder:
        for text, printed, shown in run(page):
            outputs.append(printed)
            print(f"--- {text}{printed}", end="", flush=True)
            if shown is not None and not alike(printed, shown):
                differ += 1
                print(f"*** shown:\n{shown}", end="")
        if settings.write:
            for each in (page, page.with_suffix(".zh.md")):
                if each.exists():
                    write(each, outputs)
            keep_pictures(page, folder)
    return 0 if settings.write else min(differ, 1)


if __name__ == "__main__":
    sys.exit(main())
