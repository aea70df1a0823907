"""Damaged files of every format: refused in one line, or read as their own library reads them.

More of them, with other seeds: ``python -m tests.files.mutations COUNT SEED [FORMAT]``.
"""

from __future__ import annotations

import pytest

for _name in ("h5py", "nibabel", "PIL", "rasterio", "safetensors", "tifffile", "zarr"):
    pytest.importorskip(_name)

from tests.files import mutations  # noqa: E402 - needs all of these

CASES = 72  # of each format: 2304 in all
FINE = {"refused", "read", "read alone"}


@pytest.mark.parametrize("name", mutations.GOOD)
def test_damaged_files_are_refused_or_read_as_their_library_does(name, tmp_path):
    found = mutations.try_cases(name, range(CASES), tmp_path)
    assert {seed: what for seed, what in found.items() if what not in FINE} == {}
    kinds = list(found.values())
    assert kinds.count("refused") >= CASES // 8
    assert kinds.count("read") < CASES


@pytest.mark.parametrize("name", mutations.GOOD)
def test_undamaged_files_are_read_as_their_library_does(name, tmp_path):
    path = tmp_path / mutations.GOOD[name][0]
    mutations.GOOD[name][1](path)
    assert mutations.outcome(name, path) == "read"
