"""One of two processes of data-parallel training, each with half of a batch.

    python -m tests.torch.data_parallel RANK PORT

Prints the mean of the processes' losses and the gradient that they agree on.
"""

from __future__ import annotations

import json
import os
import sys

import torch
from torch import Tensor, distributed, nn

import softmax2d.torch as s2t


def problem() -> tuple[nn.Conv2d, Tensor, Tensor]:
    """A network, two images, and targets of twice the logits' size."""
    torch.manual_seed(7)
    network = nn.Conv2d(3, 5, 1)
    return network, torch.rand(2, 3, 6, 7), torch.randint(0, 5, (2, 12, 14))


def main(rank: int, port: int) -> None:
    address = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    network, image, target = problem()
    network = nn.parallel.DistributedDataParallel(network)
    half = slice(rank, rank + 1)
    loss = s2t.CrossEntropy2d()(network(image[half]), target[half])
    loss.backward()
    total = loss.detach()
    distributed.all_reduce(total)
    print(json.dumps([total.item() / 2, network.module.weight.grad.flatten().tolist()]), flush=True)
    os._exit(0)  # gloo's own end waits at times for a peer that has gone


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
