"""Assert that everything the tests and checks need is here, so that nothing is skipped in silence.

    TRITON_INTERPRET=1 python tools/check_machine.py

The native core with every build that the processor runs, PyTorch, Triton's interpreter, the type
checkers, and a headless Chromium driven by playwright (the browser comes from the system, nothing
is downloaded).
"""

import platform
import shutil
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

import numpy as np
import torch
import triton
import triton.language as tl
from playwright.sync_api import sync_playwright

from softmax2d import _core

# Flags of /proc/cpuinfo that tell the levels of x86-64 apart; the compiler needs no others here.
LEVELS = {
    "x86-64-v2": {"sse4_2", "popcnt"},
    "x86-64-v3": {"avx2", "fma", "bmi1", "bmi2", "f16c"},
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}
PEERS = (
    "click",
    "dask",
    "distributed",
    "h5py",
    "hypothesis",
    "imagecodecs",
    "ipykernel",
    "matplotlib",
    "ml_dtypes",
    "mmsegmentation",
    "monai",
    "mpmath",
    "myst-nb",
    "nibabel",
    "nnunetv2",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pillow",
    "psutil",
    "pydata-sphinx-theme",
    "rasterio",
    "safetensors",
    "scikit-image",
    "scipy",
    "segmentation-models-pytorch",
    "sphinx",
    "sphinx-copybutton",
    "sphinx-design",
    "sphinx-gallery",
    "sphinx-mathjax-offline",
    "threadpoolctl",
    "tifffile",
    "torchmetrics",
    "transformers",
    "xarray",
    "zarr",
)
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE = "data:text/html,<canvas id=c></canvas><script>document.title = c.width</script>"


# Without a font for them, two Chinese characters are drawn as the same box.
DRAWN = """() => {
  const draw = (text) => {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    context.font = "40px sans-serif";
    context.fillText(text, 10, 60);
    return canvas.toDataURL();
  };
  return draw("语") !== draw("分");
}"""


@triton.jit
def _double(x_ptr, out_ptr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, 2 * tl.load(x_ptr + offsets))


def expect(what: str, found: object, expected: object) -> None:
    """Print what was found; leave with an error where it is not what was expected."""
    print(f"{what}: {found}")
    if found != expected:
        sys.exit(f"{what}: expected {expected}; got {found}")


def check_peers() -> None:
    """What tests compare with, or would skip without."""
    for name in PEERS:
        print(f"{name}: {version(name)}")


def check_torchvision() -> None:
    """Look for torchvision in the folder from which tests/peers.py takes it."""
    folder = Path(sys.prefix) / "torchvision"
    found = [one.version for one in distributions(name="torchvision", path=[str(folder)])]
    expect(f"torchvision in {folder}", found, ["0.28.0"])


def check_type_checkers() -> None:
    """Ask mypy and pyright for their versions; pyright needs a Node.js that runs."""
    for name in ("mypy", "pyright"):
        program = shutil.which(name, path=Path(sys.executable).parent) or name
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        print(done.stdout.strip())


def check_builds() -> None:
    """Compare the builds that the core can run with the flags that the kernel lists."""
    expected = ["baseline"]
    if platform.machine() in ("x86_64", "AMD64") and sys.platform == "linux":
        flags = set(Path("/proc/cpuinfo").read_text().split())
        expected = [level for level, needed in LEVELS.items() if needed <= flags]
        expect("builds in the library", _core.all_builds(), list(LEVELS))
    expect("builds that run here", _core.runnable_builds(), expected)


def check_triton() -> None:
    """Run a kernel of one line in the interpreter."""
    x, out = torch.arange(4.0), torch.empty(4)
    _double[(1,)](x, out, BLOCK=4)
    expect(f"triton {version('triton')} doubles", out.tolist(), [0.0, 2.0, 4.0, 6.0])


def check_browser() -> None:
    """Open a page whose script sets its title to the width that HTML gives a canvas."""
    executable = shutil.which("chromium")
    if executable is None:
        sys.exit("chromium is missing: install the system's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
        page = browser.new_page()
        page.goto(PAGE)
        expect(f"chromium {browser.version} draws a title", page.title(), "300")
        expect("a font draws Chinese", page.evaluate(DRAWN), True)
        browser.close()


if __name__ == "__main__":
    print(f"Python {platform.python_version()}, NumPy {np.__version__}")
    check_builds()
    expect("torch", torch.__version__.split("+")[0], "2.13.0")
    check_triton()
    check_peers()
    check_torchvision()
    check_type_checkers()
    check_browser()
