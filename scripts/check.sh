#!/usr/bin/env bash
# Everything that looks at the code without running it: the linter, the formatters, the type checker.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

ruff check .
ruff format --check .
mypy
git ls-files 'cpp/*.h' 'cpp/*.cpp' | xargs clang-format --dry-run -Werror
