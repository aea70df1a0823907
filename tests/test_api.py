"""What a user meets at import: names, signatures, speed, clear words for what is missing."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import _core

HEAVY = ("torch", "scipy", "skimage", "click", "matplotlib", "ml_dtypes", "PIL", "tifffile")

# Of DESIGN.md, those that this version has.
NAMES = [
    "Boundaries",
    "Curves",
    "ImageScores",
    "Segmentation",
    "Statistics",
    "__version__",
    "cross_entropy2d",
    "cross_entropy2d_with_grad",
    "dice_loss2d",
    "dice_loss2d_with_grad",
    "evaluate",
    "evaluate_boundaries",
    "evaluate_labels",
    "get_num_threads",
    "instruction_set",
    "instruction_sets",
    "jaccard_loss2d",
    "jaccard_loss2d_with_grad",
    "log_softmax2d",
    "log_softmax2d_vjp",
    "lovasz_softmax_loss2d",
    "lovasz_softmax_loss2d_with_grad",
    "segment",
    "set_num_threads",
    "softmax2d",
    "softmax2d_jacobian",
    "softmax2d_jvp",
    "softmax2d_vjp",
    "tversky_loss2d",
    "tversky_loss2d_with_grad",
]
FORWARD = (
    "(logits, *, axis=-3, temperature=1.0, bias=None, out=None, size=None, "
    "interpolation='linear', align_corners=False, window=None, spatial_dims=None)"
)
RESAMPLED = (
    "(logits, target, *, axis=-3, size=None, interpolation='linear', align_corners=False, "
    "temperature=1.0, bias=None, "
)
ENTROPY = (
    "weight=None, ignore_index=-100, label_smoothing=0.0, focal_gamma=0.0, reduction='mean', "
    "top_k=None, threshold=None, hardest_by=None, spatial_dims=None, binary=False)"
)
REGION = (
    "weight=None, ignore_index=None, smooth=1.0, squared=False, average='macro', batch=True, "
    "include_background=True, absent='count', spatial_dims=None, binary=False)"
)
LOSSES = {
    "cross_entropy2d": ENTROPY,
    "dice_loss2d": REGION,
    "jaccard_loss2d": REGION,
    "tversky_loss2d": f"alpha=0.5, beta=0.5, {REGION}",
    "lovasz_softmax_loss2d": "classes='present', weight=None, ignore_index=None, "
    "spatial_dims=None, binary=False)",
}
SIGNATURES = {
    "softmax2d": FORWARD,
    "log_softmax2d": FORWARD,
    "softmax2d_vjp": "(probs, grad_probs, *, axis=-3, out=None)",
    "log_softmax2d_vjp": "(log_probs, grad_log_probs, *, axis=-3, out=None)",
    "softmax2d_jvp": "(probs, tangent, *, axis=-3, out=None)",
    "softmax2d_jacobian": "(probs, *, axis=-3)",
    "segment": "(logits, *, axis=-3, size=None, interpolation='linear', align_corners=False, "
    "temperature=1.0, bias=None, outputs=('labels', 'confidence'), top_k=None, window=None, "
    "spatial_dims=None, decode='argmax')",
    "evaluate": "(logits, target, *, axis=-3, size=None, interpolation='linear', "
    "align_corners=False, temperature=1.0, bias=None, ignore_index=None, bins=15, window=None, "
    "spatial_dims=None, per_image=False, curves=False)",
    "evaluate_labels": "(labels, target, *, classes=None, ignore_index=None, spatial_dims=2, "
    "per_image=False)",
    "set_num_threads": "(n)",
    "get_num_threads": "()",
    "instruction_set": "()",
    "instruction_sets": "()",
}
for loss, options in LOSSES.items():
    SIGNATURES |= {loss: RESAMPLED + options, f"{loss}_with_grad": RESAMPLED + options}


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python code in a fresh process."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SOFTMAX2D_", "COVERAGE"))}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=clean | environment
    )


def test_names_are_sorted_and_complete() -> None:
    assert s2d.__all__ == NAMES == sorted(NAMES)
    assert all(hasattr(s2d, name) for name in NAMES)


def test_nothing_public_is_left_out() -> None:
    public = {
        n for n in vars(s2d) if not n.startswith("_") and not inspect.ismodule(getattr(s2d, n))
    }
    assert public == {n for n in NAMES if not n.startswith("_")}


@pytest.mark.parametrize("name", ["balance", "calibrate", "stream"])
def test_packages_say_what_is_public(name: str) -> None:
    package = importlib.import_module(f"softmax2d.{name}")
    public = {
        n: held
        for n, held in vars(package).items()
        if not n.startswith("_") and not inspect.ismodule(held)
    }
    assert set(package.__all__) == set(public)
    for each in filter(inspect.isfunction, public.values()):
        text = inspect.getdoc(each) or ""
        for parameter in inspect.signature(each).parameters:
            assert re.search(rf"\b{parameter}\b", text), f"{each.__name__}: {parameter}"


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_signatures(name: str) -> None:
    signature = inspect.signature(getattr(s2d, name))
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    assert str(inspect.Signature(bare)) == SIGNATURES[name]
    assert signature.return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_docstrings_name_every_parameter(name: str) -> None:
    function = getattr(s2d, name)
    text = inspect.getdoc(function) or ""
    assert text.split("\n")[0].endswith(".")
    others = "Parameters, exc" in text or "are those of" in text or "the same" in text
    for parameter in inspect.signature(function).parameters:
        assert others or parameter in text, f"{name} does not explain {parameter}"


def test_fields_of_a_segmentation() -> None:
    fields = ("labels", "confidence", "margin", "entropy", "top_labels", "top_probs")
    assert s2d.Segmentation._fields == fields
    assert s2d.Segmentation() == (None,) * 6
    result = s2d.segment(np.zeros((3, 4, 5), np.float32))
    assert [f for f in fields if getattr(result, f) is not None] == ["labels", "confidence"]
    assert result.labels.shape == (4, 5)
    with_top = s2d.segment(np.zeros((2, 3, 4, 5)), outputs="margin", top_k=2)
    assert with_top.labels is None and with_top.margin.shape == (2, 4, 5)
    assert with_top.top_labels.shape == with_top.top_probs.shape == (2, 2, 4, 5)


def test_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert s2d.__version__ == version("softmax2d")


PROBE = """
import sys, time
start = time.process_time()
import numpy
alone = time.process_time() - start
{imports}
took = time.process_time() - start
heavy = [m for m in {heavy!r} if m in sys.modules]
print(took, alone, *heavy)
"""


def light_import(imports: str, tries: int = 6) -> str | None:
    """What is wrong with an import, or None: heavy modules, or over 200 ms in the best of tries.

    Processor time, so that a busy machine does not matter. Where NumPy alone takes more than half
    of that, 100 ms beside it.
    """
    best = float("inf")
    for _ in range(tries):
        done = run(PROBE.format(imports=imports, heavy=HEAVY))
        assert done.returncode == 0, done.stderr
        took, alone, *heavy = done.stdout.split()
        if heavy:
            return "imports " + ", ".join(heavy)
        best = min(best, float(took) - max(0.0, float(alone) - 0.1))
        if best <= 0.2:
            return None
    return f"takes {best * 1000:.0f} ms"


def test_import_is_light() -> None:
    """At most 200 ms, NumPy included."""
    assert light_import("import softmax2d") is None


def test_the_probe_can_fail() -> None:
    assert light_import("import softmax2d, scipy, click") == "imports scipy, click"
    assert (
        light_import("import softmax2d\nwhile time.process_time() < start + 1: pass", 1) or ""
    ).startswith("takes")


def test_only_numpy_is_needed() -> None:
    """With every optional library blocked, everything but their own arrays works."""
    code = f"""
import sys
for name in {HEAVY!r} + ("nanobind", "hypothesis", "mpmath", "threadpoolctl"):
    sys.modules[name] = None
import numpy as np, softmax2d as s2d
z = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
p = s2d.softmax2d(z)
s2d.softmax2d_vjp(p, z); s2d.softmax2d_jvp(p, z); s2d.softmax2d_jacobian(p)
s2d.log_softmax2d_vjp(s2d.log_softmax2d(z), z); s2d.segment(z, top_k=2)
print("ok")
"""
    done = run(code)
    assert done.stdout == "ok\n", done.stderr


def test_subnormals_survive_the_import() -> None:
    """A library linked with -ffast-math would turn them off in the whole process."""
    code = """
import numpy as np
import softmax2d as s2d
s2d.set_num_threads(2)
s2d.softmax2d(np.zeros((19, 256, 256), np.float32))
print(5e-324 / 1 > 0, float(np.float32(1e-45) * np.float32(1)) > 0, 2.3e-308 / 4 > 0,
      (np.full(64, 1e-40, np.float32) * np.float32(0.5) > 0).all())
"""
    assert run(code).stdout == "True True True True\n"


def test_a_missing_core_is_said() -> None:
    done = run("import sys; sys.modules['softmax2d._core'] = None; import softmax2d")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: softmax2d: its native core softmax2d._core is missing")
    assert "pip install --force-reinstall ." in last


def test_every_build_can_be_forced(isa: str) -> None:
    code = "import softmax2d; print(softmax2d.instruction_set())"
    assert run(code, SOFTMAX2D_ISA=isa).stdout.strip() == isa
    if isa.startswith("x86-64-"):
        assert run(code, SOFTMAX2D_ISA=isa[-2:]).stdout.strip() == isa


def test_the_best_build_is_chosen() -> None:
    for environment in ({}, {"SOFTMAX2D_ISA": ""}):
        done = run("import softmax2d; print(softmax2d.instruction_set())", **environment)
        assert done.stdout.strip() == _core.runnable_builds()[-1]


@pytest.mark.parametrize("name", ["x86-64-v9", "avx2", "v1", "x86-64-V3"])
def test_an_unknown_build_is_refused(name: str) -> None:
    done = run("import softmax2d", SOFTMAX2D_ISA=name)
    last = done.stderr.strip().splitlines()[-1]
    has = ", ".join(_core.all_builds())
    expected = f"softmax2d: SOFTMAX2D_ISA={name} is not available: this installation has {has}."
    assert done.returncode != 0 and last == f"RuntimeError: {expected}"


def test_a_build_that_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from softmax2d import _runtime

    class Old:
        """The core as an old processor would show it."""

        @staticmethod
        def use_build(name: str) -> bool:
            return False

        @staticmethod
        def all_builds() -> list[str]:
            return ["x86-64-v2", "x86-64-v3", "x86-64-v4"]

        @staticmethod
        def runnable_builds() -> list[str]:
            return ["x86-64-v2"]

    monkeypatch.setattr(_runtime, "core", Old)
    with pytest.raises(RuntimeError) as caught:
        _runtime._choose_build("v4")
    assert str(caught.value) == (
        "softmax2d: SOFTMAX2D_ISA=x86-64-v4 is not available: "
        "this processor cannot run it; it runs x86-64-v2."
    )
