#!/usr/bin/env bash
# Runs the tests that exercise the kernels under the address and undefined-behaviour sanitizers: all of
# them with the kernels of x86-64-v2, guard pages with those of v3. Usage: scripts/sanitize.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/sanitize_build.sh
package=$(cd "${SANITIZE_DIR:-build/sanitize}/package" && pwd)
# Every kernel of cpp/kernels.h is called by one of these.
tests=(tests/core/test_{special,same_bits,layouts,accuracy,sanitized,random,changing}.py
       tests/ops tests/losses/test_{losses,region_losses}.py tests/statistics
       tests/calibrate/test_fit_sums.py tests/balance/test_{shift,shares}.py)
preload="$(${CXX:-c++} -print-file-name=libasan.so) $(${CXX:-c++} -print-file-name=libubsan.so)"
under_sanitizers() {
  SOFTMAX2D_SANITIZED="$package" PYTHONPATH="$package" LD_PRELOAD="$preload" PYTHONMALLOC=malloc \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
    "${PYTHON:-python}" -m pytest -q -p no:cacheprovider "$@"
}
under_sanitizers -m "" -k "not x86-64-v3" "${tests[@]}" "$@"
under_sanitizers -m "" -k x86-64-v3 tests/core/test_guard_pages.py "$@"
