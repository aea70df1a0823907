"""Fixtures: every build of the kernels in turn, and the process's settings put back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import hypothesis
import pytest

import softmax2d as s2d
from softmax2d import _core

# pytest looks for examples in every module here.
collect_ignore_glob = [] if find_spec("triton") else ["torch/triton_loss.py"]
# Triton reads it when kernels are decorated: they then run on tensors of the CPU.
os.environ.setdefault("TRITON_INTERPRET", "1")
# What commands print is compared with English, wherever the tests run.
os.environ["SOFTMAX2D_LANGUAGE"] = "en"

# Seeded: the same examples in every run, so that a failure is repeated by running again.
hypothesis.settings.register_profile(
    "seeded", derandomize=True, deadline=None, print_blob=True, max_examples=60, database=None
)
hypothesis.settings.load_profile("seeded")


@pytest.fixture(params=_core.runnable_builds())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each build that this processor runs, in use during the test."""
    before = _core.build_in_use()
    assert _core.use_build(request.param)
    yield request.param
    assert _core.use_build(before)


@pytest.fixture(autouse=True)
def same_settings() -> Iterator[None]:
    """No test leaves another number of threads or another build behind."""
    before = s2d.get_num_threads(), s2d.instruction_set()
    yield
    after = s2d.get_num_threads(), s2d.instruction_set()
    s2d.set_num_threads(None)
    _core.use_build(before[1])
    assert after[1] == before[1], "the test left another build in use"
