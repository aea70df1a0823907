"""Builds the site: ``python -m _site [en] [zh]``, from scripts/docs.sh.

What is executed (the gallery, the notebooks) is executed once; then both languages are built, side
by side. Warnings are errors.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from .stage import DOCS, stage

BUILD = DOCS / "_build"


def begin(language: str) -> subprocess.Popen[bytes]:
    """Lay out a language's sources and start its build."""
    source = BUILD / "source" / language
    stage(language, source)
    out, cache = BUILD / "html" / language, BUILD / "cache" / language
    options = ["-W", "--keep-going", "-q", "-c", str(DOCS), "-d", str(cache), "-t", language]
    command = [sys.executable, "-m", "sphinx", *options, str(source), str(out)]
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(DOCS)}
    return subprocess.Popen(command, env=environment)


def main(languages: list[str]) -> int:
    """Build these languages, or both; 1 where one of them complained."""
    start = time.monotonic()
    builds = {language: begin(language) for language in languages or ["en", "zh"]}
    failed = [language for language, build in builds.items() if build.wait()]
    for language in builds:
        print(f"{BUILD / 'html' / language / 'index.html'}{' FAILED' * (language in failed)}")
    print(f"{time.monotonic() - start:.0f} s")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
