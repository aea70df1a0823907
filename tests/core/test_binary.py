"""What the compiled objects export and need, seen with nm.

Objects compiled with different flags must share no inline symbol: the linker keeps one copy, and
an AVX-512 copy of std::max crashes an SSE machine. So each kernel object exports its rows of the
table and nothing weak.
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
    found = dict(re.findall(r"add_kernels\((\w+)([^)]*)\)", text))
    builds = [build.removeprefix("x86-64-") for build in _core.all_builds()]
    assert builds == [name for name in found if name in builds]
    start = common[1].split()
    return {n: [*start, f"-DSOFTMAX2D_BUILD=kernels_{n}", *found[n].split()] for n in builds}


PARTS = sorted(ROOT.glob("cpp/kernels/*.cpp"))


def built_object(name: str, part: Path) -> Path | None:
    """The object of the last build, if it is newer than all its sources and not a sanitizer's."""
    headers = [*ROOT.glob("cpp/impl/**/*.h"), *ROOT.glob("cpp/kernels/*.h")]
    headers += [ROOT / "cpp/kernels.h", ROOT / "cpp/read_once.h"]
    sources = [part, ROOT / "CMakeLists.txt", *headers]
    newest = max(path.stat().st_mtime for path in sources)
    place = f"CMakeFiles/kernels_{name}.dir/cpp/kernels/{part.name}.o"
    for path in ROOT.glob(f"build/cp*/{place}"):
        if path.stat().st_mtime >= newest:
            return path
    return None


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The kernel objects of each instruction set: as built, or compiled here alike."""
    folder = tmp_path_factory.mktemp("kernels")
    compiler = next((c for c in ("c++", "g++", "clang++") if shutil.which(c)), None)
    flags = recipes()

    def make(item: tuple[str, Path]) -> Path:
        name, part = item
        if (ready := built_object(name, part)) is not None:
            return ready
        assert compiler, "no C++ compiler and no built objects"
        path = folder / f"{name}-{part.stem}.o"
        command = [compiler, "-std=c++17", "-fPIC", "-DNDEBUG", *flags[name], "-c", "-o", str(path)]
        subprocess.run([*command, str(part)], check=True)
        return path

    pairs = [(name, part) for name in flags for part in PARTS]
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(make, pairs))
    return {n: [p for (name, _), p in zip(pairs, paths, strict=True) if name == n] for n in flags}


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
    if not data or any(f"kernels_{name}_" not in s for s in data):
        found.append(f"data {data}")
    return found


def test_strong_constants_and_nothing_weak(objects: dict[str, list[Path]]) -> None:
    for name, paths in objects.items():
        for path in paths:
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


def registers(paths: list[Path]) -> set[str]:
    """Kinds of vector registers that the objects' code names."""
    command = ["objdump", "-d", "--no-show-raw-insn", *map(str, paths)]
    code = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {kind for kind in ("xmm", "ymm", "zmm") if f"%{kind}" in code}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86-64")
def test_each_build_keeps_to_its_registers(objects: dict[str, list[Path]]) -> None:
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
