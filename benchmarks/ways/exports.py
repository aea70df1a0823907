"""nnU-Net's export in steps: every class resized by scikit-image to float32, then NumPy's argmax.

Whole, it takes minutes and C x D x H x W x 4 bytes, here 19 GB. All classes and all slices are
alike, so that one class and one slab of slices tell the rest (``whole_export`` in passes.py).
"""

from __future__ import annotations

from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.ways.registry import way


@way("skimage", "export_class", "resize(x[0], size, order=1, mode='edge', anti_aliasing=False)")
def _(d: Inputs) -> Any:
    return d.lib.resize(
        d.logits.take(0, d.axis), d.case.size, order=1, mode="edge", anti_aliasing=False
    )


way("skimage", "export_argmax", "argmax(slab, 0)")(lambda d: d.slab.argmax(0))
