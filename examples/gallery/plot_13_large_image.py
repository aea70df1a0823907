"""
A network over a large image
============================

A network takes windows of a fixed size; the image is larger. ``stream.predict`` shows it
overlapping windows, blends their scores with weights that add up to one, and writes the labels.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import retina

import softmax2d.stream as stream

image = retina().image[300:1100, 300:1100]


# %%
# Any callable on NumPy batches is a network, and so is a PyTorch module or an ONNX file. This one
# normalises each window by its own mean, as instance normalisation does, and scores what is darker:
# its answer depends on where the window lies.


def network(batch):  # (N, 3, h, w), values from 0 to 1 -> (N, 2, h, w)
    green = batch[:, 1:2]
    darker = 60 * (green.mean((2, 3), keepdims=True) - green)
    return np.concatenate([-darker, darker], axis=1)


# %%
# Side by side without overlap, the borders of the windows show as a grid. With half of a window of
# overlap and Gaussian weights each pixel is a blend of the windows that see it, and the grid fades.

figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
axes[0].imshow(image)
axes[0].set_title("photograph, a part")
for ax, overlap, title in ((axes[1], 0, "no overlap"), (axes[2], 0.5, "overlap of a half")):
    labels = np.empty(image.shape[:2], np.uint8)
    pixels = np.moveaxis(image, -1, 0)
    stream.predict(network, pixels, labels, window=200, overlap=overlap)
    ax.imshow(labels, cmap="cividis", interpolation="nearest")
    ax.set_title(f"darker than its window, {title}", fontsize=10)
for ax in axes:
    ax.set_axis_off()
plt.show()

# %%
# Window, weights, flips, ONNX, GeoTIFF: :doc:`/files`. A trained network and a GeoTIFF: the
# notebook :doc:`/notebooks/infer-large-image`.
