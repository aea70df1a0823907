"""
Training curves in PyTorch
==========================

One line of the training loop changes: the loss takes the network's coarse logits as they are, and
the interpolation before it goes. The curves stay the same.
"""

import matplotlib.pyplot as plt
import torch
from pictures import draw_streets, small_network

import softmax2d.torch as s2t

images, truth = (torch.from_numpy(a) for a in draw_streets(8, seed=0))
torch.set_num_threads(1)  # more only wait for each other in so small a network


def plain(logits, target):
    fine = torch.nn.functional.interpolate(logits, target.shape[-2:], mode="bilinear")
    return torch.nn.functional.cross_entropy(fine, target.long())


# %%
# Both runs start from the same weights and see the same batches.

curves = {}
for name, loss in {"PyTorch": plain, "softmax2d": s2t.CrossEntropy2d()}.items():
    torch.manual_seed(0)
    network, curves[name] = small_network(6), []
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    for step in range(60):
        batch = [(4 * step + i) % 8 for i in range(4)]
        optimiser.zero_grad()
        value = loss(network(images[batch]), truth[batch])
        value.backward()
        optimiser.step()
        curves[name].append(value.item())

# %%
# The curves lie on each other; what differs is the memory and the time of the loss.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(curves["PyTorch"], lw=5, color="#e69f00", alpha=0.6, label="interpolate, cross_entropy")
ax.plot(curves["softmax2d"], lw=1.5, color="#0072b2", label="softmax2d: CrossEntropy2d")
ax.set(xlabel="step", ylabel="cross-entropy, nats", title="training loss", ylim=(0, None))
ax.legend()
plt.show()

# %%
# Modules and memory: :doc:`/concepts/pytorch`; losses: :doc:`/concepts/losses`; a whole
# training: the notebook :doc:`/notebooks/train`.
