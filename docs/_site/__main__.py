"""Builds the site: ``python -m _site [--quick] [en] [zh]``, from scripts/docs.sh.

What is executed (the gallery, the notebooks) is executed once; then both languages are built, side
by side. Warnings are errors. With ``--quick`` nothing is executed: pages have what was made before.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from . import gallery, notebooks
from .stage import DOCS, sources, stage

BUILD = DOCS / "_build"
_ENVIRONMENT = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(DOCS)}
_PARTS = {"gallery": gallery, "notebooks": notebooks}


def run(*arguments: str) -> subprocess.Popen[bytes]:
    """Start this Python with arguments."""
    return subprocess.Popen([sys.executable, *arguments], env=_ENVIRONMENT)


def execute() -> None:
    """Run gallery and notebooks side by side; leave where one of them fails."""
    jobs = {part: run("-m", "_site", "execute", part) for part in _PARTS}
    failed = [part for part, job in jobs.items() if job.wait()]
    if failed:
        sys.exit(f"not every example runs: {', '.join(failed)}")


def begin(language: str) -> subprocess.Popen[bytes]:
    """Lay out a language's sources and start its build."""
    source = BUILD / "source" / language
    extra = gallery.pages(language)
    known = {page for _, page in sources(language)} | set(extra)
    stage(language, source, extra | notebooks.pages(language, known))
    options = ["-W", "--keep-going", "-q", "-c", str(DOCS), "-t", language]
    cache, out = BUILD / "cache" / language, BUILD / "html" / language
    return run("-m", "sphinx", *options, "-d", str(cache), str(source), str(out))


def main(arguments: list[str]) -> int:
    """Build these languages, or both; 1 where one of them complained."""
    if arguments[:1] == ["execute"]:
        _PARTS[arguments[1]].execute()
        return 0
    start = time.monotonic()
    if "--quick" not in arguments:
        execute()
        print(f"examples: {time.monotonic() - start:.0f} s", flush=True)
    languages = [each for each in arguments if each != "--quick"] or ["en", "zh"]
    builds = {language: begin(language) for language in languages}
    failed = [language for language, build in builds.items() if build.wait()]
    for language in builds:
        print(f"{BUILD / 'html' / language / 'index.html'}{' FAILED' * (language in failed)}")
    print(f"{time.monotonic() - start:.0f} s")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
