"""
Evaluation: confusion matrix, and image by image
================================================

``evaluate`` compares logits with the truth in one pass and keeps counts only. From these come
accuracy, IoU, Dice, calibration, the confusion matrix, and the scores of each image.
"""

import matplotlib.pyplot as plt
import numpy as np
from pictures import streets

import softmax2d as s2d

new = streets(seed=2)
found = s2d.evaluate(new.logits, new.truth, per_image=True)
print(f"accuracy {found.accuracy:.3f}, mean IoU {found.mean_iou:.3f}, ECE {found.ece:.3f}")

# %%
# Left: what became of the pixels of each class. Right: the mean IoU of each image, from the worst
# to the best. The pooled mean IoU, in which large objects weigh more, is another number.

share = found.confusion / found.confusion.sum(1, keepdims=True)
each = found.per_image.image_means("iou")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
shown = left.imshow(share, cmap="Blues", vmin=0, vmax=1)
for (i, j), value in np.ndenumerate(share):
    left.text(
        j, i, f"{100 * value:.0f}", ha="center", va="center", color="w" if value > 0.5 else "k"
    )
left.set_xticks(range(6), new.classes, rotation=30)
left.set_yticks(range(6), new.classes)
left.set(title="confusion, % of the true class", xlabel="label", ylabel="truth")
figure.colorbar(shown, ax=left, label="share of the true class", shrink=0.8)
right.bar(range(len(each)), np.sort(each), color="#0072b2")
right.axhline(np.nanmean(each), color="#d55e00", label=f"mean over images {np.nanmean(each):.3f}")
right.axhline(found.mean_iou, color="k", ls="--", label=f"pooled mean IoU {found.mean_iou:.3f}")
right.set(
    title="image by image", xlabel="image, from worst to best", ylabel="mean IoU", ylim=(0, 1)
)
right.legend(loc="lower right")
plt.show()

# %%
# Every measure and its formula: :doc:`/concepts/evaluation`; scores of images:
# :doc:`/concepts/image-by-image`.
