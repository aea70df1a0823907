"""
Dask arrays
===========

Arrays that are Dask's already stay lazy: ``softmax2d.dask`` adds steps to the graph and computes
nothing until you ask, chunk by chunk, on this machine or on a cluster.
"""

import dask
import dask.array as da
import matplotlib.pyplot as plt
from pictures import draw_labels, retina

import softmax2d.dask

eye = retina()
lazy = da.from_array(eye.logits, chunks=(5, 128, 128))  # all classes in one chunk
found = softmax2d.dask.segment(lazy, outputs=("labels", "entropy"))
print(found.labels)

# %%
# Results that are computed together take one pass over the logits.

labels, entropy = dask.compute(found.labels, found.entropy)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.8), layout="constrained")
draw_labels(left, labels, eye)
left.set_title("labels, and the chunks that made them")
edges = [sum(lazy.chunks[1][:n]) - 0.5 for n in range(1, len(lazy.chunks[1]))]
left.hlines(edges, 0, 352, colors="w", linestyles=":")
left.vlines(edges, 0, 352, colors="w", linestyles=":")
shown = right.imshow(entropy, cmap="magma", vmin=0)
right.set_title("entropy")
figure.colorbar(shown, ax=right, label="nats", shrink=0.7)
for ax in (left, right):
    ax.set_axis_off()
plt.show()

# %%
# Schedulers, xarray and clusters: :doc:`/files`.
