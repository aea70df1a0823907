"""The suffix of a path, which says its format."""

from __future__ import annotations

import os

from softmax2d._errors import Path


def suffix_of(path: Path) -> str:
    """Return the suffix in lower case; ``.nii.gz`` is one."""
    name = os.path.basename(os.path.normpath(os.fspath(path))).lower()
    return ".nii.gz" if name.endswith(".nii.gz") else os.path.splitext(name)[1]
