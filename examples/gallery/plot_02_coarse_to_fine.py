"""
Coarse to fine
==============

Networks give their logits at a quarter or an eighth of the picture's size. Whoever labels first and
enlarges the labels gets stairs; interpolating the logits first gives smooth outlines.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import draw_labels, retina

import softmax2d as s2d

eye = retina()
height, width = eye.image.shape[:2]

# %%
# ``segment`` with ``size`` interpolates the logits of one tile of pixels after the other. The
# interpolated logits, five classes at the size of the photograph, are never built.

fine = s2d.segment(eye.logits, size=(height, width)).labels
coarse = s2d.segment(eye.logits).labels

# %%
# For comparison: the coarse labels, each pixel taking that of the cell it lies in.

rows = np.arange(height) * coarse.shape[0] // height
columns = np.arange(width) * coarse.shape[1] // width
stairs = coarse[rows[:, None], columns]

part = np.s_[430:730, 380:680]
figure, axes = plt.subplots(1, 3, figsize=(10, 4), layout="constrained")
axes[0].imshow(eye.image[part])
axes[0].set_title("photograph, a part")
for ax, labels, title in (
    (axes[1], stairs, f"labels of {coarse.shape[0]} × {coarse.shape[1]}, enlarged"),
    (axes[2], fine, "logits interpolated, then labels"),
):
    draw_labels(ax, labels[part], eye, legend=labels is fine)
    ax.set_title(title)
for ax in axes:
    ax.set_axis_off()
plt.show()

# %%
# Which interpolation, and what it costs: :doc:`/concepts/coarse-logits`.
