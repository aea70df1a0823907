#!/usr/bin/env bash
# The site in both languages, into docs/_build/html/{en,zh}; warnings are errors. `docs.sh en` builds
# one. Needs an environment with `.[all,docs]`: .venv, or the Python that is active.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$PWD/.venv/bin/python
[ -x "$python" ] || python=python
export PYTHONPATH="$PWD/docs${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m _site "$@"
