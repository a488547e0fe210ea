"""One update of a network: forward, loss, backward, optimizer step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from convatlas.batch import Batch
from convatlas.training.losses import Loss


class StepResult(NamedTuple):
    """What one update measured. Tensors stay on the device, so that the host does not wait for them."""

    loss: Tensor  # mean over the batch
    hits: Tensor  # images whose largest logit is the label's; 0 where the targets are images
    images: int  # images that this process counts: those of the batch, or 0 where another rank counts them
    grad_norm: Tensor | None  # L2 norm of all gradients before clipping; None where nothing is clipped


def train_step(
    net: nn.Module,
    batch: Batch,
    loss_fn: Loss,
    optimizer: torch.optim.Optimizer,
    *,
    autocast: AbstractContextManager[Any] | None = None,
    max_grad_norm: float | None = None,
    accumulate: int = 1,
) -> StepResult:
    """Make one update of ``net``.

        train_step(net, Batch(images, labels), losses.cross_entropy(), optimizer)

    Args:
        batch: images (N, C, H, W) float32 and their targets; of several processes, the rows of this one.
        autocast: the context of the forward pass.
        max_grad_norm: clip the gradients to this L2 norm.
        accumulate: split the batch into so many parts, which needs less memory, and add up their gradients. Loss and
            gradient are the mean over all N images, also where the parts differ in size. Batch norm computes its
            statistics over each part.
        loss_fn: from outputs and targets to the mean loss.
        optimizer: of the parameters of ``net``.
    """
    optimizer.zero_grad(set_to_none=True)
    losses, hits = [], []
    for part, is_last in in_parts(batch, accumulate):
        with nullcontext() if is_last else without_gradient_exchange(net):
            with autocast or nullcontext():
                outputs = net(part.images)  # (N, K) logits, or logits and auxiliary heads, or images
            logits = getattr(outputs, "logits", outputs).float()  # the loss is computed in float32
            loss = loss_fn(logits, part.targets)
            for head in getattr(outputs, "auxiliary", ()):  # GoogLeNet and Inception-v3, in training only
                loss = loss + outputs.weight * loss_fn(head.float(), part.targets)
            if len(part.images) < len(batch.images):
                loss = loss * (len(part.images) / len(batch.images))
            weight = batch.share.weight
            (loss if weight == 1 else loss * weight).backward()
        losses.append(loss.detach())
        hits.append(count_hits(logits.detach(), part.targets))
    grad_norm = None
    if max_grad_norm is not None:
        grad_norm = nn.utils.clip_grad_norm_(net.parameters(), max_grad_norm)
    optimizer.step()
    if not batch.share.counted:
        hits = [torch.zeros_like(hits[0])]
    return StepResult(sum(losses[1:], losses[0]), sum(hits[1:], hits[0]), batch.counted_images, grad_norm)


def in_parts(batch: Batch, parts: int) -> Iterator[tuple[Batch, bool]]:
    """Split a batch into ``parts`` parts of nearly equal size, or fewer where a rank has fewer rows.

    Yields each part and whether it is the last one.
    """
    parts = min(parts, batch.most_parts)
    if parts == 1:
        yield batch, True
        return
    images, targets = batch.images.tensor_split(parts), batch.targets.tensor_split(parts)
    for number in range(parts):
        yield Batch(images[number], targets[number], batch.share), number == parts - 1


def without_gradient_exchange(net: nn.Module) -> AbstractContextManager[None]:
    """The context in which the processes of a group add up their gradients without exchanging them.

    Gradients are exchanged once an update, in the backward pass of the last part.
    """
    if not isinstance(net, DistributedDataParallel):
        return nullcontext()
    context: AbstractContextManager[None] = net.no_sync()
    return context


def count_hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Count the images whose largest logit is the label's, or the most probable class's; 0 where targets are images."""
    if targets.ndim > 2:
        return logits.new_zeros((), dtype=torch.int64)
    classes = targets if targets.ndim == 1 else targets.argmax(dim=1)
    return (logits.argmax(dim=1) == classes).sum()
