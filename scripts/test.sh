#!/usr/bin/env bash
# The tests and the docstrings' examples; arguments go to pytest: scripts/test.sh tests/documents/test_readme.py
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

exec python -m pytest "$@"
