#!/usr/bin/env bash
# Builds the core with the address and undefined-behaviour sanitizers, away from the ordinary build and
# without AVX-512, and runs the tests that exercise the kernels. Usage: scripts/sanitize.sh [pytest arguments]
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
tests=(tests/core/test_special.py tests/core/test_same_bits.py tests/core/test_layouts.py tests/ops/test_derivatives.py
       tests/core/test_accuracy.py tests/core/test_sanitized.py tests/ops/test_resample.py tests/core/test_random.py
       tests/test_{resample_gradients,losses,region_losses,statistics,fit_sums,shift,shares,decode}.py)
preload="$(${CXX:-c++} -print-file-name=libasan.so) $(${CXX:-c++} -print-file-name=libubsan.so)"
SOFTMAX2D_SANITIZED="$PWD/$folder/package" PYTHONPATH="$PWD/$folder/package" \
  LD_PRELOAD="$preload" ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
  UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 PYTHONMALLOC=malloc \
  "$python" -m pytest -q -p no:cacheprovider "${tests[@]}" "$@"
