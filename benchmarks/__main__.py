"""``python -m benchmarks``: measure, print, keep, judge, and write the tables of the docs."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from benchmarks import cases, documents, machine, report, results
from benchmarks.cases import Case
from benchmarks.runner import Runner, Settings
from benchmarks.targets import verdicts

DOCUMENTS = ("docs/benchmarks.md", "docs/benchmarks.zh.md", "README.md", "README.zh.md")
_EPILOG = """\
examples:
  python -m benchmarks --quick                              does everything run? (20 s)
  python -m benchmarks --json benchmarks.json --check       the full measurement (20 minutes)
  python -m benchmarks --docs benchmarks.json               the docs' tables from that file
  python -m benchmarks --filter '^city / labels' --isa v4   a part of it
  python -m benchmarks --from benchmarks.json --check       judge a kept file again
  python -m benchmarks --from benchmarks.json --table       every variant, with quartiles
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks", epilog=_EPILOG, description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--quick", action="store_true", help="small arrays, few rounds: a smoke run")
    p.add_argument("--rounds", type=int, help="turns of each variant (15; 3 if quick)")
    p.add_argument("--threads", type=int, default=2, help="threads of each library (2)")
    p.add_argument("--isa", default="", help="builds of softmax2d, as v4,v3 (all that run here)")
    p.add_argument(
        "--filter", default="", help="regular expression, searched in the lines of --list"
    )
    p.add_argument("--compile", action="store_true", help="torch.compile too (needs a compiler)")
    p.add_argument("--no-memory", action="store_true", help="do not measure memory (saves minutes)")
    p.add_argument("--seed", type=int, default=0, help="of the random order of turns (0)")
    p.add_argument("--list", action="store_true", help="print the variants, measure nothing")
    p.add_argument("--json", type=Path, metavar="FILE", help="keep the results")
    p.add_argument("--from", type=Path, metavar="FILE", dest="source",
                   help="read kept results, measure nothing")  # fmt: skip
    p.add_argument("--table", action="store_true", help="print every variant (the default)")
    p.add_argument("--check", action="store_true",
                   help="print which aims are met; exit 1 if any is not, unless quick")  # fmt: skip
    p.add_argument("--docs", nargs="+", type=Path, metavar=("FILE", "MARKDOWN"),
                   help="rewrite the tables in these documents (the docs' and the README's) "
                   "from kept results, measure nothing")  # fmt: skip
    return p


def _settings(options: argparse.Namespace, p: argparse.ArgumentParser) -> Settings:
    builds = tuple(
        f"x86-64-{name}" if re.fullmatch(r"v\d", name) else name
        for name in options.isa.split(",") if name
    )  # fmt: skip
    rounds = options.rounds if options.rounds is not None else 3 if options.quick else 15
    if rounds < 1 or options.threads < 1:
        p.error("--rounds and --threads must be at least 1")
    try:
        re.compile(options.filter)
    except re.error as error:
        p.error(f"--filter is not a regular expression: {error}")
    return Settings(
        rounds=rounds, threads=options.threads, builds=builds, pattern=options.filter,
        compiled=options.compile, quick=options.quick, memory=not options.no_memory,
        seed=options.seed,
    )  # fmt: skip


def _chosen(options: argparse.Namespace) -> list[Case]:
    found = cases.quick() if options.quick else cases.full()
    return [replace(case, memory=False) for case in found] if options.no_memory else found


def _say(text: str) -> None:
    """Progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _measure(
    options: argparse.Namespace, settings: Settings, argv: Sequence[str]
) -> results.Results | None:
    """Run the benchmark, or list what it would run."""
    before, chosen = machine.describe(), _chosen(options)
    runner = Runner(settings, chosen)
    try:
        if options.list:
            print(*(str(v) for case in chosen for v in runner.variants(case)), sep="\n")
            return None
        rows: list[results.Row] = []
        for batch, members in groupby(chosen, lambda case: case.batch):
            start = time.monotonic()
            variants = runner.measure(list(members), _say)
            rows += results.rows(variants)
            if variants and not settings.quick:
                _say("")
                spent = f"{len(variants)} variants in {time.monotonic() - start:.0f} s"
                print(f"benchmarks: {batch}, {spent}", file=sys.stderr, flush=True)
        _say("")
        return results.Results(results.document(runner, rows, list(argv), before))
    finally:
        runner.close()


def _write_docs(found: results.Results, named: Sequence[Path]) -> None:
    blocks = documents.blocks(found)
    for path in named or [machine.ROOT / name for name in DOCUMENTS]:
        done = documents.rewrite(path, blocks)
        print(f"{path.name}: {', '.join(done) or 'asks for nothing'}")


def main(argv: Sequence[str]) -> int:
    p = parser()
    options = p.parse_args(argv)
    settings = _settings(options, p)
    if options.json and not os.access(options.json.parent, os.W_OK):
        p.error(f"--json: {options.json.parent} is not a folder that can be written to")
    if options.docs:
        options.source = options.docs.pop(0)
    if options.source:
        found: results.Results | None = results.load(options.source)
    else:
        found = _measure(options, settings, argv)
    if found is None:
        return 0
    if not found.rows:
        p.error("nothing was measured; see --list")
    if options.json:
        results.save(options.json, found.content)
    if options.table or not (options.json or options.check or options.docs is not None):
        print(report.about(found), report.details(found), sep="\n\n")
    if options.docs is not None:
        _write_docs(found, options.docs)
    if options.check:
        print(report.targets(found))
        if found.content["settings"]["quick"]:
            print("\nA quick run: these numbers show that everything runs, not how fast it is.")
            return 0
        return 0 if all(verdict.met for verdict in verdicts(found)) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
