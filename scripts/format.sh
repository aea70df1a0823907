#!/usr/bin/env bash
# Puts Python and C++ into the form that scripts/check.sh asks for.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

ruff check --fix-only .
ruff format .
git ls-files 'cpp/*.h' 'cpp/*.cpp' | xargs clang-format -i
