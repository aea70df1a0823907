"""
Confidence and entropy
======================

A label map does not say where the network was in doubt. Confidence, margin and entropy do, and
``segment`` computes them in the same pass as the labels.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import retina

import softmax2d as s2d

eye = retina()
outputs = ("labels", "confidence", "margin", "entropy")
found = s2d.segment(eye.logits, size=eye.image.shape[:2], outputs=outputs)

# %%
# Confidence is the probability of the label; margin is how far the runner-up lies behind; entropy
# is 0 where one class has all the probability, and log C where all classes have the same.

part = np.s_[380:780, 60:460]  # the optic disc and the vessels that leave it
figure, axes = plt.subplots(2, 2, figsize=(8, 7), layout="constrained")
axes[0, 0].imshow(eye.image[part])
axes[0, 0].set_title("photograph, a part")
for ax, name, unit, limits, colours in (
    (axes[0, 1], "confidence", "probability of the label", (0.2, 1), "viridis"),
    (axes[1, 0], "margin", "lead over the runner-up", (0, 1), "viridis"),
    (axes[1, 1], "entropy", "nats", (0, np.log(5)), "magma"),
):
    shown = ax.imshow(getattr(found, name)[part], vmin=limits[0], vmax=limits[1], cmap=colours)
    figure.colorbar(shown, ax=ax, label=unit, shrink=0.8)
    ax.set_title(name)
for ax in axes.flat:
    ax.set_axis_off()
plt.show()

# %%
# The doubt lies along the outlines. All of these are the classifier's own word: whether nine of ten
# pixels of confidence 0.9 are right, only a comparison with the truth says
# (:doc:`plot_05_calibration`). Definitions: :doc:`/concepts/labels`.
