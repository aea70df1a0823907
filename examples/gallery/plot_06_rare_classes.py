"""
Rare classes: a tuned bias
==========================

Thin poles cover few pixels, and the network hardly ever gives them a label. A
bias for each class, chosen on pictures that were kept back, moves that boundary without training.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import draw_labels, streets

import softmax2d as s2d
from softmax2d import balance

held_out, new = streets(seed=1), streets(seed=2)
tuned = balance.tune_bias(held_out.logits, held_out.truth, goal="mean_iou")
print(tuned.gain_in_words)

# %%
# The bias is added to the logits on the way, wherever a function takes one. Judge it on pictures
# that it was not chosen on.

size = new.truth.shape[1:]
before = s2d.evaluate(new.logits, new.truth)
after = s2d.evaluate(new.logits, new.truth, bias=tuned.bias)

figure, axes = plt.subplot_mosaic("abc;ddd", figsize=(10, 6), layout="constrained")
for name, labels, title in (
    ("a", new.truth[3], "truth"),
    ("b", s2d.segment(new.logits[3], size=size).labels, "labels"),
    ("c", s2d.segment(new.logits[3], size=size, bias=tuned.bias).labels, "labels with bias"),
):
    draw_labels(axes[name], labels, new, legend=False)
    axes[name].set_title(title)
    axes[name].set_axis_off()
place, wide = np.arange(len(new.classes)), 0.4
axes["d"].bar(place - wide / 2, before.iou, wide, color="0.6", label="as trained")
axes["d"].bar(place + wide / 2, after.iou, wide, color=new.colours, ec="k", label="with bias")
axes["d"].set_xticks(place, new.classes)
axes["d"].set(ylabel="IoU", ylim=(0, 1))
axes["d"].set_title(f"mean IoU of other pictures: {before.mean_iou:.3f} → {after.mean_iou:.3f}")
axes["d"].legend(loc="lower left")
plt.show()

# %%
# Other goals, bounds on accuracy, and when it hurts: :doc:`/rare-classes`.
