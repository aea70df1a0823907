"""
Calibration, before and after
=============================

Networks that were trained for long on few pictures are too sure of themselves. One number, the
temperature, fitted on pictures that were kept back, brings confidence nearer to accuracy and
changes no label.
"""

import matplotlib.pyplot as plt
from pictures import streets

import softmax2d as s2d
from softmax2d import calibrate

held_out, new = streets(seed=1), streets(seed=2)  # the network has seen neither

# %%
# Fit on the first pictures, judge on the others: what is fitted on some pictures looks better there
# than it is.

calibration = calibrate.fit(held_out.logits, held_out.truth)
print("temperature:", round(calibration.temperature, 2))
before = s2d.evaluate(new.logits, new.truth)
after = s2d.evaluate(new.logits, new.truth, temperature=calibration)

# %%
# A reliability diagram sorts pixels by confidence. Below the diagonal the network promises more
# than it keeps.

figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), sharey=True, layout="constrained")
for ax, found, title in zip(axes, (before, after), ("as trained", "with temperature"), strict=True):
    bins = found.bins
    many = bins.pixels >= 50
    ax.plot([0, 1], [0, 1], ":", color="0.5", label="confidence = accuracy")
    ax.plot(bins.confidence[many], bins.accuracy[many], "o-", color="#0072b2", label="pixels")
    ax.set(title=f"{title}: ECE {100 * found.ece:.1f} %", xlabel="confidence", aspect=1)
    ax.set(xlim=(0.2, 1), ylim=(0.2, 1))
axes[0].set_ylabel("share of right labels")
axes[0].legend()
plt.show()

# %%
# Which method, how many pictures, and when it hurts: :doc:`/rare-classes`.
