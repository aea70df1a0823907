#!/usr/bin/env bash
# Builds the core with the address and undefined-behaviour sanitizers, away from the ordinary build and
# without AVX-512, for scripts/sanitize.sh: a package in SANITIZE_DIR beside it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
folder=${SANITIZE_DIR:-build/sanitize}
generator=$(command -v ninja >/dev/null && echo "-G Ninja" || true)
# shellcheck disable=SC2086
cmake -S . -B "$folder" $generator -DSOFTMAX2D_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  "-DSOFTMAX2D_BUILDS=v2;v3" -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
  -Dnanobind_DIR="$("$python" -m nanobind --cmake_dir)" >/dev/null
cmake --build "$folder" --parallel "${JOBS:-2}"
# A package beside the build: our Python files, the sanitized core.
rm -rf "$folder/package" && mkdir -p "$folder/package"
cp -r src/softmax2d "$folder/package/"
cp "$folder"/_core*.so "$folder/package/softmax2d/"
# An editable installation would come before PYTHONPATH: its finder is taken out as Python starts.
echo 'import sys
sys.meta_path[:] = [f for f in sys.meta_path if "_editable" not in getattr(f, "__module__", "")]
' >"$folder/package/sitecustomize.py"
