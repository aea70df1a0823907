"""
Files larger than memory
========================

Scores of satellite scenes and slides lie in files that do not fit in memory. ``softmax2d.stream``
works through them tile by tile, within a budget that you state, and writes files.
"""

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
from pictures import draw_labels, retina

import softmax2d.stream as stream

eye, folder = retina(), Path(mkdtemp())
np.save(folder / "scores.npy", eye.logits)  # stands for a file of many gigabytes

# %%
# The same call takes .npy, Zarr, GeoTIFF, NIfTI, HDF5 and more; the suffix says what is written.

summary = stream.segment_file(
    folder / "scores.npy",
    folder / "labels.npy",
    size=eye.image.shape[:2],
    outputs=("labels", "confidence"),
    memory="16MB",
)
print(summary.status, summary.tiles_done, "tiles,", summary.pixels, "pixels")

# %%
# The results are read back a window at a time, here the middle of the picture.

part = np.s_[500:900, 500:900]
labels = np.load(folder / "labels.npy", mmap_mode="r")[part]
confidence = np.load(folder / "labels.confidence.npy", mmap_mode="r")[part]
figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), layout="constrained")
axes[0].imshow(eye.image[part])
axes[0].set_title("photograph, a part")
draw_labels(axes[1], labels, eye)
axes[1].set_title("labels.npy")
shown = axes[2].imshow(confidence, vmin=0.2, vmax=1)
axes[2].set_title("labels.confidence.npy")
figure.colorbar(shown, ax=axes[2], label="probability of the label", shrink=0.7)
for ax in axes:
    ax.set_axis_off()
plt.show()

# %%
# On the command line: ``softmax2d segment scores.npy -o labels.npy --memory 16MB``. Formats, places
# on Earth, resuming after a crash: :doc:`/files`.
