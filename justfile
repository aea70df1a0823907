# The same scripts that CI runs, for those who have `just`; without it, call them directly.

default:
    @just --list

# .venv with the package in editable form, test dependencies and linters
install:
    scripts/install.sh

# pytest; arguments go to it
test *arguments:
    scripts/test.sh {{arguments}}

# ruff, mypy, clang-format: look only
check:
    scripts/check.sh

# ruff and clang-format: rewrite
format:
    scripts/format.sh

# address and undefined-behaviour sanitizers, guard pages
sanitize:
    scripts/sanitize.sh

# source archive and wheel, tried beside nothing but NumPy
wheel *pythons:
    scripts/wheel.sh {{pythons}}

# against a copy, PyTorch and SciPy
bench *arguments:
    .venv/bin/python -m benchmarks {{arguments}}

# the site in both languages, or in one: docs en
docs *languages:
    scripts/docs.sh {{languages}}

# everything, in a fresh environment
ci:
    bash .ci/run
