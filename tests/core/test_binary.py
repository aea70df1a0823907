"""What the compiled objects export and need, seen with nm.

Objects compiled with different flags must share no inline symbol: the linker keeps one copy, and
an AVX-512 copy of std::max crashes an SSE machine. So each kernel object exports one table and
nothing weak.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from softmax2d import _core

ROOT = Path(__file__).parents[2]
LIBC = {"memcpy", "memset", "memmove", "memcmp", "log", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("nm") is None, reason="needs nm of Linux"
)


def recipes() -> dict[str, list[str]]:
    """From CMakeLists.txt: each build of this processor and its compiler flags."""
    text = (ROOT / "CMakeLists.txt").read_text()
    common = re.search(r"set\(kernel_flags (.*?)\)", text, re.DOTALL)
    assert common, "CMakeLists.txt has no kernel_flags"
    found = re.findall(r"add_kernels\((\w+) ([\w-]+)([^)]*)\)", text)
    builds = {n: (isa, f.split()) for n, isa, f in found if isa in _core.all_builds()}
    assert [isa for isa, _ in builds.values()] == _core.all_builds()
    names = {
        n: [f"-DSOFTMAX2D_TABLE=kernels_{n}", f"-DSOFTMAX2D_ISA_NAME={i}"]
        for n, (i, _) in builds.items()
    }
    return {n: common[1].split() + names[n] + flags for n, (_, flags) in builds.items()}


def sources() -> list[Path]:
    """What a kernel object is made from."""
    cpp = ROOT / "cpp"
    headers = cpp.glob("impl/**/*.h")
    return [cpp / "kernels.cpp", cpp / "kernels.h", ROOT / "CMakeLists.txt", *headers]


def built_object(name: str) -> Path | None:
    """The object of the last build, if it is newer than all its sources and not a sanitizer's."""
    newest = max(path.stat().st_mtime for path in sources())
    for path in ROOT.glob(f"build/cp*/CMakeFiles/kernels_{name}.dir/cpp/kernels.cpp.o"):
        if path.stat().st_mtime >= newest:
            return path
    return None


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A kernel object for each instruction set: as built, or compiled here alike."""
    folder = tmp_path_factory.mktemp("kernels")
    compiler = next((c for c in ("c++", "g++", "clang++") if shutil.which(c)), None)

    def make(item: tuple[str, list[str]]) -> tuple[str, Path]:
        name, flags = item
        if (ready := built_object(name)) is not None:
            return name, ready
        assert compiler, "no C++ compiler and no built objects"
        path = folder / f"{name}.o"
        command = [compiler, "-std=c++17", "-fPIC", "-DNDEBUG", *flags, "-c", "-o", str(path)]
        subprocess.run([*command, str(ROOT / "cpp" / "kernels.cpp")], check=True)
        return name, path

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(make, recipes().items()))


def symbols(path: Path) -> dict[str, list[str]]:
    """Names by nm's letter, the local ones left out."""
    lines = subprocess.run(["nm", str(path)], check=True, capture_output=True, text=True).stdout
    table: dict[str, list[str]] = {}
    for line in lines.splitlines():
        *_, letter, name = line.split()
        if not letter.islower() or letter in "vwu":
            table.setdefault(letter, []).append(name)
    return table


def offences(table: dict[str, list[str]], name: str) -> list[str]:
    """What a kernel object must not have."""
    found = [f"{letter} {s}" for letter in "VWvwuTBC" for s in table.get(letter, [])]
    found += [f"U {s}" for s in table.get("U", []) if s not in LIBC]
    data = [s for letter in "DRG" for s in table.get(letter, [])]
    if not (len(data) == 1 and f"kernels_{name}" in data[0]):
        found.append(f"data {data}")
    return found


def test_one_strong_table_and_nothing_weak(objects: dict[str, Path]) -> None:
    for name, path in objects.items():
        assert offences(symbols(path), name) == [], f"{path}"


def test_the_gate_can_fail(tmp_path: Path) -> None:
    if shutil.which("c++") is None:
        pytest.skip("needs a compiler")
    source, path = tmp_path / "bad.cpp", tmp_path / "bad.o"
    source.write_text(
        "#include <algorithm>\n#include <vector>\n"
        "extern const int kernels_v2; const int kernels_v2 = 1;\n"
        "int worst(std::vector<int>& v) {\n"
        "  std::sort(v.begin(), v.end());\n  return std::max(v[0], v[1]);\n}\n"
    )
    subprocess.run(["c++", "-O0", "-c", str(source), "-o", str(path)], check=True)
    found = offences(symbols(path), "v2")
    assert any(f.startswith("W ") for f in found) and any(f.startswith("T ") for f in found)


def registers(path: Path) -> set[str]:
    """Kinds of vector registers that an object's code names."""
    command = ["objdump", "-d", "--no-show-raw-insn", str(path)]
    code = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {kind for kind in ("xmm", "ymm", "zmm") if f"%{kind}" in code}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86-64")
def test_each_build_keeps_to_its_registers(objects: dict[str, Path]) -> None:
    if shutil.which("objdump") is None:
        pytest.skip("needs objdump")
    assert registers(objects["v2"]) == {"xmm"}
    assert "zmm" not in registers(objects["v3"]) and "ymm" in registers(objects["v3"])
    assert "zmm" in registers(objects["v4"])


def test_the_module_exports_little() -> None:
    path = Path(_core.__file__ or "")
    command = ["nm", "-D", "--defined-only", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    names = {line.split()[-1] for line in lines if line.split()[-2] in "TDRB"}
    assert names == {"PyInit__core", "softmax2d_get_num_threads", "softmax2d_set_num_threads"}


def test_no_openmp_and_no_fast_math_startup() -> None:
    """libgomp hangs in forked children; crtfastm.o turns subnormals off in the whole process."""
    path = str(Path(_core.__file__ or ""))
    needed = subprocess.run(
        ["readelf", "-d", path], check=True, capture_output=True, text=True
    ).stdout
    assert "gomp" not in needed and "libomp" not in needed
    assert (
        "set_fast_math" not in subprocess.run(["nm", path], capture_output=True, text=True).stdout
    )
