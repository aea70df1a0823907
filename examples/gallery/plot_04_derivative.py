"""
The derivative of the softmax
=============================

How does the probability of one class change when the logit of another rises? The Jacobian says it:
a matrix of C × C numbers for each pixel.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import retina

import softmax2d as s2d

eye = retina()
probs = s2d.softmax2d(eye.logits)
unsure = np.unravel_index(s2d.segment(eye.logits, outputs="entropy").entropy.argmax(), (353, 353))
row, column = map(int, unsure)
jacobian = s2d.softmax2d_jacobian(probs[:, row : row + 1, column : column + 1])[:, :, 0, 0]

# %%
# On the left the matrix at the pixel of largest entropy. The diagonal is positive, everything else
# negative, and each row sums to zero: what one class gains the others lose. On the right the
# derivative of the vessels' probability by their own logit, p (1 − p), at all pixels: a change of
# the logit only matters where the classifier is in doubt.

vessel = eye.classes.index("vessel")
grad_probs = np.zeros_like(probs)
grad_probs[vessel] = 1
slope = s2d.softmax2d_vjp(probs, grad_probs)[vessel]

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
limit = np.abs(jacobian).max()
shown = left.imshow(jacobian, cmap="RdBu_r", vmin=-limit, vmax=limit)
for (i, j), value in np.ndenumerate(jacobian):
    dark = abs(value) > 0.6 * limit
    left.text(j, i, f"{value:.2f}", ha="center", va="center", color="w" if dark else "k")
left.set_xticks(range(5), eye.classes, rotation=30)
left.set_yticks(range(5), eye.classes)
left.set(xlabel="logit of …", ylabel="probability of …", title=f"Jacobian at ({row}, {column})")
figure.colorbar(shown, ax=left, label="∂p / ∂z", shrink=0.8)
shown = right.imshow(slope, cmap="magma", vmin=0, vmax=0.25)
right.set(title="∂p / ∂z of the vessels, every pixel", xticks=[], yticks=[])
figure.colorbar(shown, ax=right, label="∂p / ∂z", shrink=0.8)
plt.show()

# %%
# Derivation and worked example: :doc:`/concepts/derivative`.
