#!/usr/bin/env bash
# What a developer needs, in .venv: the package in editable form, test dependencies, linters.
# Run it again after a change in cpp/ or CMakeLists.txt; changes in Python need nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

python3 -m venv .venv
.venv/bin/pip install -e ".[test,dev]"
