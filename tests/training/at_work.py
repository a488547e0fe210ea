"""What the processes of test_distributed.py do: ``python at_work.py TASK FOLDER``, with torchrun's variables set.

Each task is a function of a process group, so that the same lines run in one process and in several. What it
returns is written to FOLDER/RANK.safetensors.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from convatlas.batch import EpochBatches
from convatlas.data import Augmentation, Batches, ImageStore, Preprocessing
from convatlas.data.ranks import RankBatches
from convatlas.errors import ConvAtlasError, DataError, LostRankError
from convatlas.training import losses, train_step
from convatlas.training.distributed import SINGLE_PROCESS, ProcessGroup, join
from convatlas.training.freezing import Freezing


def batches(process_group: ProcessGroup) -> EpochBatches:
    """57 images in batches of 18, 18, 18 and 3, augmented and mixed.

    Four ranks share 18 unevenly (5, 5, 4, 4) and cannot share 3, two ranks share 3 unevenly (2, 1).
    """
    draw = np.random.default_rng(0)
    pixels = torch.from_numpy(draw.integers(0, 256, (57, 8, 8, 3), dtype=np.uint8))
    store = ImageStore(pixels, Preprocessing(size=(8, 8), channels=3, mean=(0.5,) * 3, std=(0.3,) * 3))
    whole = Batches(
        store,
        draw.integers(0, 4, 57),
        np.arange(57),
        batch_size=18,
        seed=7,
        augment=Augmentation(pad=1, mixup=0.4, flip="off"),
    )
    return RankBatches(whole, process_group.rank, process_group.size) if process_group.size > 1 else whole


def network(norm: bool) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=not norm),
        nn.BatchNorm2d(8) if norm else nn.Identity(),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, bias=not norm),
        nn.BatchNorm2d(8) if norm else nn.Identity(),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 2 * 2, 4),
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def updates(
    process_group: ProcessGroup, net: nn.Module, accumulate: int = 1, freezing: Freezing | None = None
) -> dict[str, Tensor]:
    """Epochs of updates: the gradient of each, all its losses added up, and what the network holds in the end.

    One epoch, or until nothing is frozen any more; a parameter without a gradient has zeros in ``gradients`` and
    counted in ``without``.
    """
    source, module = batches(process_group), None
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    gradients, without, seen = [], [], torch.zeros(3, dtype=torch.float64)
    for epoch in range(1 + (freezing.count if freezing else 0)):
        net.train()
        if freezing:
            freezing.before_epoch(epoch)
        module = process_group.distributed_module(net, module)
        for batch in source.epoch(epoch):
            process_group.set_batch_share(batch)
            loss_fn = losses.cross_entropy(0.1)
            result = train_step(module, batch, loss_fn, optimizer, max_grad_norm=0.5, accumulate=accumulate)
            process_group.average_statistics(net)
            given = [parameter.grad for parameter in net.parameters()]
            found = zip(net.parameters(), given, strict=True)
            gradients.append(torch.cat([torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in found]))
            without.append(sum(grad is None for grad in given))
            seen += torch.tensor([float(result.loss) * result.images, float(result.hits), result.images])
    held = {f"net.{name}": tensor.clone() for name, tensor in net.state_dict().items()}
    seen = process_group.sum_over_ranks(seen)
    return {"gradients": torch.stack(gradients), "without": torch.tensor(without), "seen": seen} | held


def plain(process_group: ProcessGroup) -> dict[str, Tensor]:
    return updates(process_group, network(norm=False))


def in_parts(process_group: ProcessGroup) -> dict[str, Tensor]:
    return updates(process_group, network(norm=False), accumulate=3)


def synced(process_group: ProcessGroup) -> dict[str, Tensor]:
    return updates(process_group, process_group.with_synced_batchnorm(network(norm=True)))


def unfreezing(process_group: ProcessGroup) -> dict[str, Tensor]:
    """Of three stages two are frozen with their norms, then one, then none."""
    net = process_group.with_synced_batchnorm(network(norm=True))
    return updates(
        process_group, net, freezing=Freezing([[net[0], net[1]], [net[4], net[5]], [net[8]]], 2, unfreeze_every=1)
    )


def frozen(process_group: ProcessGroup) -> dict[str, Tensor]:
    """The first two stages stay frozen: batch norm is by itself on each rank, and does not move."""
    net = network(norm=True)
    return updates(process_group, net, freezing=Freezing([[net[0], net[1]], [net[4], net[5]], [net[8]]], 2))


class Skipping(nn.Module):
    """A residual branch that every second update goes without, on all ranks alike."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.branch, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 4)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 8, 8) -> (N, 4)
        self.calls += 1
        x = self.stem(x).relu()
        x = x + self.branch(x) if self.calls % 2 else x
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def unused(process_group: ProcessGroup) -> dict[str, Tensor]:
    return updates(process_group, Skipping())


def statistics(process_group: ProcessGroup) -> dict[str, Tensor]:
    """Batch norm by itself on each rank: the rows' own means, averaged afterwards."""
    norm = nn.BatchNorm2d(1, momentum=1.0)
    module = process_group.distributed_module(norm)
    module(torch.full((2, 1, 2, 2), float(process_group.rank)) + torch.tensor([-1.0, 1.0]))
    process_group.average_statistics(norm)
    return {"mean": norm.running_mean, "variance": norm.running_var}


def talk(process_group: ProcessGroup) -> dict[str, Tensor]:
    """Everything the ranks tell each other; what was raised where has its length."""
    agreed = torch.tensor(process_group.max_over_ranks(process_group.rank, -process_group.rank, 5))
    added = process_group.sum_over_ranks(torch.tensor([0.1 * (process_group.rank + 1), 1.0], dtype=torch.float64))
    assert process_group.broadcast_text(f"rank {process_group.rank}, überall") == "rank 0, überall"
    with process_group.raise_on_all_ranks():
        pass
    met = ""
    try:
        with process_group.raise_on_all_ranks():
            if process_group.rank == process_group.size - 1:
                raise DataError("no images here")
    except ConvAtlasError as error:
        met = f"{type(error).__name__}: {error}"
    assert met == f"LostRankError: rank {process_group.size - 1}: no images here", met
    turns = time.monotonic()
    with process_group.main_process_first():
        if process_group.rank == 0:
            time.sleep(0.3)
    waited = time.monotonic() - turns
    return {"agreed": agreed, "added": added, "waited": torch.tensor([waited])}


def hang(process_group: ProcessGroup) -> dict[str, Tensor]:
    """Rank 1 stays away from an agreement; the others are to give up after the timeout, here of two seconds."""
    process_group.max_over_ranks(0)
    began = time.monotonic()
    try:
        if process_group.rank == 1:
            time.sleep(6)
        else:
            process_group.max_over_ranks(0)
    except LostRankError:
        return {"gave_up_after": torch.tensor([time.monotonic() - began])}
    return {}


TASKS = {task.__name__: task for task in (plain, in_parts, synced, unfreezing, frozen, unused, statistics, talk, hang)}

if __name__ == "__main__":
    torch.set_num_threads(1)
    names, folder = sys.argv[1].split(","), Path(sys.argv[2])
    process_group = join(2.0) if "hang" in names else join()
    assert process_group is not SINGLE_PROCESS
    for name in names:
        results = {key: tensor.contiguous() for key, tensor in TASKS[name](process_group).items()}
        save_file(results, folder / f"{name}-{process_group.rank}.safetensors")
    if "hang" in names:
        os._exit(0)  # the connection is in pieces
