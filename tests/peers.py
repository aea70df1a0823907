"""Other people's packages in tests: the real ones, where they are installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

VISION = Path(sys.prefix) / "torchvision"  # the folder that holds torchvision in CI
_vision: dict[str, Any] = {}  # its modules, between two uses


@contextmanager
def quiet() -> Iterator[None]:
    """What others warn of inside is their own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def real(module: str) -> Any:
    """``module``, or the test is skipped where its package is not installed.

    A package that is there and cannot be imported is a failure. What it warns of meanwhile is its
    own affair.
    """
    with quiet():
        pytest.importorskip(module.partition(".")[0])
        return importlib.import_module(module)


def real_smp_losses() -> Any:
    """``segmentation_models_pytorch.losses`` alone.

    The package's front door imports encoders, and these torchvision, whose wheels from PyPI do not
    load beside a CPU build of PyTorch. The losses import PyTorch only.
    """
    name = "segmentation_models_pytorch"
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        if spec is None:
            pytest.skip(f"could not import {name!r}")
        front = types.ModuleType(name)
        front.__path__ = list(spec.submodule_search_locations or [])
        sys.modules[name] = front
        try:
            return real(f"{name}.losses")
        finally:
            del sys.modules[name]
    return real(f"{name}.losses")


def real_mmseg(module: str) -> Any:
    """A module of MMSegmentation, with compiled operators of mmcv that only fail when called.

    mmcv comes as source that takes an hour to compile; mmcv-lite is the same without the operators.
    Models that use them are imported with the others, and none of them here.
    """
    real("mmcv")
    if "mmcv._ext" not in sys.modules and importlib.util.find_spec("mmcv._ext") is None:
        absent = types.ModuleType("mmcv._ext")
        absent.__getattr__ = _operator  # type: ignore[method-assign]
        sys.modules["mmcv._ext"] = absent
    return real(module)


def _operator(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _absent


def _absent(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("mmcv-lite has no compiled operators")


@contextmanager
def torchvision() -> Iterator[None]:
    """``import torchvision`` works inside, or the test is skipped where it is not installed.

    Its wheel does not load beside a CPU build of PyTorch, as the compiled operators are missing;
    with two of them declared, models can be built and run. The transformers package would import
    torchvision wherever it finds it, so the wheel lies in a folder of its own, and nobody finds it
    outside.
    """
    if importlib.util.find_spec("torchvision"):
        yield
        return
    if not (VISION / "torchvision").is_dir():
        how = f"pip install --no-deps --target {VISION} torchvision==0.28.0"
        pytest.skip(f"torchvision is not installed: {how}")
    sys.path.append(str(VISION))
    try:
        with quiet():
            _import_vision()
        yield
    finally:
        sys.path.remove(str(VISION))
        names = [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
        _vision.update({name: sys.modules.pop(name) for name in names})


def _import_vision() -> None:
    """Import it, once: a second time its operators would be registered twice."""
    if not _vision:
        declared = torch.library.Library("torchvision", "DEF")
        declared.define("nms() -> ()")
        declared.define("qnms() -> ()")
        _vision["library"] = declared  # declared for as long as this lives
        importlib.import_module("torchvision.models.segmentation")
    sys.modules.update({name: it for name, it in _vision.items() if name != "library"})
