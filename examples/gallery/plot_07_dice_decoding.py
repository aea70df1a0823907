"""
Labels for a high Dice score
============================

The most probable class gives the highest expected accuracy, not the highest Dice of an image. With
``decode="dice"`` labels are chosen for the Dice that the probabilities expect.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import draw_labels, streets

import softmax2d as s2d
from softmax2d import calibrate

held_out, new = streets(seed=1), streets(seed=2)
calibration = calibrate.fit(held_out.logits, held_out.truth)  # it believes the probabilities
how = {"size": new.truth.shape[1:], "temperature": calibration}
usual = s2d.segment(new.logits, **how).labels
by_dice = s2d.segment(new.logits, **how, decode="dice").labels

# %%
# The gain is of the score of each image, averaged over the images. Overall accuracy mostly falls.

figure, axes = plt.subplot_mosaic("abc;ddd", figsize=(10, 6), layout="constrained")
shown = (new.truth, "truth"), (usual, "most probable"), (by_dice, 'decode="dice"')
for ax, (labels, title) in zip("abc", shown, strict=True):
    draw_labels(axes[ax], labels[3], new, legend=False)
    axes[ax].set_title(title)
    axes[ax].set_axis_off()
place, wide = np.arange(len(new.classes)), 0.4
for side, labels, title, colour in (
    (-wide / 2, usual, "most probable", "0.6"),
    (wide / 2, by_dice, 'decode="dice"', "#0072b2"),
):
    found = s2d.evaluate_labels(labels, new.truth, classes=6, per_image=True)
    name = f"{title}: mean {found.per_image.mean_dice():.3f}, accuracy {found.accuracy:.3f}"
    axes["d"].bar(place + side, found.per_image.class_means("dice"), wide, label=name, color=colour)
axes["d"].set_xticks(place, new.classes)
axes["d"].set(ylabel="Dice of an image, mean", ylim=(0, 1))
axes["d"].legend(loc="lower left")
plt.show()

# %%
# How it decides, and when it hurts: :doc:`/rare-classes`.
