"""
Probabilities of a photograph
=============================

A segmentation network ends in scores, one for each class at every pixel. The softmax over the
classes turns them into probabilities: numbers between 0 and 1 that sum to one at every pixel.
"""

import matplotlib.pyplot as plt
from pictures import retina

import softmax2d as s2d

eye = retina()  # a photograph, and the scores (logits) of a classifier of its pixels
print("logits:", eye.logits.shape, " photograph:", eye.image.shape)

# %%
# The logits lie on a coarser grid than the photograph, as those of most networks do. With ``size``
# they are interpolated on the way.

probs = s2d.softmax2d(eye.logits, size=eye.image.shape[:2])
print("probabilities:", probs.shape, " sums of some pixels:", probs.sum(0)[::700, ::700].ravel())

# %%
# Each class has a picture of its own: bright where the classifier sees that class.

figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
axes[0, 0].imshow(eye.image)
axes[0, 0].set_title("photograph")
for ax, name, prob in zip(axes.flat[1:], eye.classes, probs, strict=True):
    shown = ax.imshow(prob, vmin=0, vmax=1, cmap="magma")
    ax.set_title(name)
for ax in axes.flat:
    ax.set_axis_off()
figure.colorbar(shown, ax=axes, label="probability", shrink=0.7)
plt.show()

# %%
# Formula and properties: :doc:`/concepts/formula`; logits of another size:
# :doc:`/concepts/coarse-logits`.
