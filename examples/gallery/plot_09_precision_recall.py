"""
Precision and recall at every threshold
=======================================

A rare class may win few labels only because its probability is seldom the largest. Its
precision-recall curve shows what each threshold would find.
"""

import matplotlib.pyplot as plt
from pictures import streets

import softmax2d as s2d

new = streets(seed=2)
found = s2d.evaluate(new.logits, new.truth, curves=True)

# %%
# One curve for each class; the ring is what the labels reach. For the poles it lies far to the
# left: a lower threshold finds many more of them, at the price that the curve shows.

figure, ax = plt.subplots(figsize=(9.5, 5), layout="constrained")
for c, (name, colour) in enumerate(zip(new.classes, new.colours, strict=True)):
    threshold, precision, recall = found.curves.precision_recall(c)
    area = found.curves.average_precision[c]
    ax.plot(recall, precision, color=colour, lw=2, label=f"{name}: average precision {area:.2f}")
    ax.plot(found.recall[c], found.precision[c], "o", ms=9, mfc="none", mec="k")
ax.plot([], [], "o", ms=9, mfc="none", mec="k", label="of the labels")
ax.set(xlabel="recall: share of the class that is found", xlim=(0, 1.02), ylim=(0, 1.02))
ax.set(ylabel="precision: share of the found that is right", title="precision and recall")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %%
# How the counts are kept small: :doc:`/concepts/curves`.
