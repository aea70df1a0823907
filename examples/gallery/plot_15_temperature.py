"""
Temperature
===========

Dividing all logits by one number, the temperature, changes how sure the probabilities are and never
which class is the largest.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import retina

import softmax2d as s2d

eye = retina()
temperatures = (0.5, 1, 2, 4)
part = np.s_[:, 100:190, 20:110]  # around the optic disc

# %%
# A temperature above 1 flattens, one below 1 sharpens. The outlines of the labels, in white, stay.

labels = s2d.segment(eye.logits[part]).labels
figure, axes = plt.subplots(1, 4, figsize=(12, 3.6), layout="constrained")
for ax, temperature in zip(axes, temperatures, strict=True):
    found = s2d.segment(eye.logits[part], temperature=temperature)
    assert (found.labels == labels).all()
    shown = ax.imshow(found.confidence, vmin=0.2, vmax=1)
    for c in range(5):
        if (labels == c).any() and not (labels == c).all():
            ax.contour(labels == c, [0.5], colors="w", linewidths=0.7)
    ax.set_title(f"T = {temperature}: mean confidence {found.confidence.mean():.2f}", fontsize=10)
    ax.set_axis_off()
figure.colorbar(shown, ax=axes, label="confidence", shrink=0.8)
plt.show()

# %%
# A temperature that makes confidence agree with accuracy is fitted, not guessed:
# :doc:`plot_05_calibration`. Temperatures and biases of classes:
# :doc:`/concepts/temperature-and-bias`.
