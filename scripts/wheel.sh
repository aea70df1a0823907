#!/usr/bin/env bash
# Builds the source archive and, from it, a wheel with the first interpreter given (python3 if none);
# tries that wheel with each of them, beside nothing but NumPy: the newest, then the oldest we support.
# DIST names a folder for both archives: what it holds already is tried, not built again.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

builder=${1:-python3}
dist=${DIST:-$work/dist}
if ! compgen -G "$dist/*.whl" >/dev/null; then
  "$builder" -m venv "$work/build"
  "$work/build/bin/pip" install -q build
  "$work/build/bin/python" -m build --outdir "$dist" . >"$work/log" || { cat "$work/log"; exit 1; }
  ls -sh "$dist"
  [ -z "${BUILD_ONLY:-}" ] || exit 0
fi
for python in "${@:2}" "$builder"; do  # the builder's environment comes last: the oldest NumPy takes it
  "$python" -m venv --clear "$work/try"
  "$work/try/bin/pip" install -q "$dist"/*.whl numpy
  "$work/try/bin/python" -I tools/smoke.py
done
"$work/try/bin/pip" install -q "numpy==1.26.4; python_version < '3.13'"
"$work/try/bin/python" -I tools/smoke.py
