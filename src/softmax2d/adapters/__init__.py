"""Functions of other tools in their own calling conventions, computed by softmax2d.

One module for each tool; none is imported before it is touched, no tool before it is needed, and
what is missing is named with the command that installs it:

- :mod:`softmax2d.adapters.nnunet`: export of nnU-Net v2
- :mod:`softmax2d.adapters.monai`: post-processing transforms of MONAI
- :mod:`softmax2d.adapters.huggingface`: ``post_process_semantic_segmentation``
- :mod:`softmax2d.adapters.smp`: losses of segmentation_models.pytorch
- :mod:`softmax2d.adapters.mmsegmentation`: decode heads and losses of MMSegmentation
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

import softmax2d.torch as _torch  # noqa: F401  # all of them work on tensors; says how to get them

if not _TYPE_CHECKING:  # type checkers would take any name for one that is found here
    from softmax2d._names import find_adapter as __getattr__  # noqa: F401
