"""Modules that load when first touched, and the way to names that are elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import softmax2d
from softmax2d import _names

LAZY = ["adapters", "balance", "calibrate", "dask", "reference", "stream", "threadpools", "torch"]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_modules_load_when_first_touched() -> None:
    code = f"""
import sys, softmax2d
names = {LAZY!r}
assert set(names) <= set(dir(softmax2d)), dir(softmax2d)
print([name for name in names if f"softmax2d.{{name}}" in sys.modules])
print("softmax2d.torch" in sys.modules, softmax2d.calibrate.Calibration.__name__)
print([getattr(softmax2d, name) is sys.modules[f"softmax2d.{{name}}"] for name in names])
"""
    assert run(code).splitlines() == ["[]", "False Calibration", str([True] * len(LAZY))]


def test_adapters_load_when_first_touched() -> None:
    code = """
import sys, softmax2d
softmax2d.adapters
print([name for name in sys.modules if name.startswith("softmax2d.adapters.")])
print(softmax2d.adapters.huggingface is sys.modules["softmax2d.adapters.huggingface"])
"""
    assert run(code).splitlines() == ["[]", "True"]
    text = "has no module 'detectron'; it has huggingface, mmsegmentation, monai, nnunet, smp"
    with pytest.raises(AttributeError, match=text):
        _ = softmax2d.adapters.detectron
    assert not hasattr(softmax2d.adapters, "_detectron")


def test_type_checkers_know_every_module() -> None:
    """What loads at run time by its place in the folder stands in ``__init__`` for them."""
    text = Path(softmax2d.__file__).read_text("utf-8")
    known = re.findall(r"^    from softmax2d import (\w+) as \1$", text, re.M)
    assert known == _names.modules()
    assert {*LAZY} < {*known}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("Softmax2d", "torch"),
        ("CrossEntropy2d", "torch"),
        ("segment_file", "stream"),
        ("predict", "stream"),
        ("Calibration", "calibrate"),
        ("ClassCounts", "balance"),
    ],
)
def test_names_that_are_elsewhere(name: str, place: str) -> None:
    text = (
        f"softmax2d has no name {name!r}: it is softmax2d.{place}.{name}. "
        f"Write `from softmax2d.{place} import {name}`."
    )
    with pytest.raises(ImportError) as imported:
        exec(f"from softmax2d import {name}")
    assert str(imported.value) == text
    with pytest.raises(AttributeError) as touched:
        getattr(softmax2d, name)
    assert str(touched.value) == text
    assert not hasattr(softmax2d, name)


def test_names_that_are_misspelt() -> None:
    with pytest.raises(AttributeError, match=r"Did you mean softmax2d\.softmax2d or "):
        _ = softmax2d.sofmax2d  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match=r"Did you mean softmax2d\.stream\.segment_file\?"):
        exec("from softmax2d import segment_files")
    with pytest.raises(ImportError, match=r"has no name 'banana'; dir\(softmax2d\) lists those"):
        exec("from softmax2d import banana")


def test_imports_and_questions_go_on_as_before() -> None:
    code = """
from softmax2d import *
from softmax2d import _runtime, cli, demo, stream
import softmax2d
for name in ("__path__", "__wrapped__", "_repr_html_", "_no_such"):
    assert hasattr(softmax2d, name) == (name == "__path__"), name
print(softmax2d.cli is cli, segment.__name__)
"""
    assert run(code) == "True segment\n"


def test_a_module_that_lacks_its_package() -> None:
    code = """
import sys
sys.modules["torch"] = None
import softmax2d
print(hasattr(softmax2d, "torch"))
for code in ("from softmax2d import torch", "import softmax2d.torch", "softmax2d.torch"):
    try:
        exec(code)
    except Exception as error:
        print(type(error).__name__, str(error))
"""
    first, *others = run(code).splitlines()
    assert first == "False"
    kinds = ["ModuleNotFoundError", "ModuleNotFoundError", "AttributeError"]
    for kind, line in zip(kinds, others, strict=True):
        assert line.startswith(f"{kind} softmax2d.torch needs PyTorch. Install it with `")
