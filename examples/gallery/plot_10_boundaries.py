"""
Boundaries
==========

IoU hardly sees the outline of a large object. Boundary F and surface Dice compare outlines alone,
within a tolerance that you choose before looking.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import draw_labels, streets

import softmax2d as s2d

new = streets(seed=2)
labels = s2d.segment(new.logits, size=new.truth.shape[1:]).labels
tolerances = [1, 2, 3, 4]
near = [s2d.evaluate_boundaries(labels, new.truth, tolerance=t) for t in tolerances]

# %%
# Left: the outlines of the truth in black over the labels of one picture. Right: the surface Dice
# of each class grows with the tolerance, so a number without its tolerance says nothing.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
draw_labels(left, labels[3], new)
for c in np.unique(new.truth[3]):
    left.contour(new.truth[3] == c, [0.5], colors="k", linewidths=0.8)
left.set(title="labels, and outlines of the truth", xticks=[], yticks=[])
for c, (name, colour) in enumerate(zip(new.classes, new.colours, strict=True)):
    right.plot(tolerances, [n.surface_dice[c] for n in near], "o-", color=colour, label=name)
right.set(xlabel="tolerance, pixels", ylabel="surface Dice", ylim=(0, 1), xticks=tolerances)
right.set_title("outlines within the tolerance")
right.legend(loc="lower right")
plt.show()

# %%
# All three measures, voxel sizes and volumes: :doc:`/concepts/boundaries`.
