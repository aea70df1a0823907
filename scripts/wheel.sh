#!/usr/bin/env bash
# Builds the source archive and, from it, a wheel with the first interpreter given (python3 if none);
# installs that wheel for each of them beside nothing but NumPy, then beside the oldest one, and tries it.
set -euo pipefail
cd "$(dirname "$0")/.."
pythons=("${@:-python3}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${pythons[0]}" -m venv "$work/build"
"$work/build/bin/pip" install -q build
"$work/build/bin/python" -m build --outdir "$work/dist" . >"$work/log" || { cat "$work/log"; exit 1; }
ls -sh "$work/dist"
for python in "${pythons[@]}"; do
  "$python" -m venv --clear "$work/try"
  "$work/try/bin/pip" install -q "$work"/dist/*.whl
  "$work/try/bin/python" -I tools/smoke.py
done
"${pythons[0]}" -m venv --clear "$work/try"
"$work/try/bin/pip" install -q "$work"/dist/*.whl numpy==1.26.4
"$work/try/bin/python" -I tools/smoke.py
