"""One update, as the textbook has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convatlas.training.distributed import SINGLE_PROCESS, ProcessGroup, Share
from convatlas.training.losses import Loss


class StepResult(NamedTuple):
    """What an update saw: tensors stay on the device, so that nothing waits for them."""

    loss: Tensor  # mean over the batch
    hits: Tensor  # images whose largest logit is the label's; none where the target is an image
    images: int  # that count; of a rank in a batch smaller than the process group it may be none
    grad_norm: Tensor | None  # L2 over all gradients before clipping; None when nothing is clipped


def train_step(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    loss_fn: Loss,
    optimizer: torch.optim.Optimizer,
    autocast: AbstractContextManager[Any] | None = None,
    max_grad_norm: float | None = None,
    accumulate: int = 1,
    share: Share | None = None,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> StepResult:
    """Make one update of ``net`` on images (N, C, H, W) float32 and labels (N,) int64, or (N, K) shares.

    With ``accumulate`` the batch goes through the network in so many parts, which takes less memory, and their
    gradients are added: loss and gradient are the mean over all N images, however uneven the parts. Batch norm sees
    each part by itself.

    Args:
        share: where these images are one rank's rows of a batch of ``team``; then ``net`` is its replica.
    """
    share = share or Share(len(images), len(images))
    process_group.counts(share)
    optimizer.zero_grad(set_to_none=True)
    losses, hits = [], []
    parts = list(in_parts(images, labels, min(accumulate, share.least_rows)))
    for number, (part, targets) in enumerate(parts, start=1):
        with nullcontext() if number == len(parts) else process_group.alone(net):
            with autocast or nullcontext():
                outputs = net(part)  # (N, K), or with auxiliary heads (N, K) each
            logits = getattr(outputs, "logits", outputs).float()  # the loss is computed in fp32 whatever the net was
            loss = loss_fn(logits, targets)
            for head in getattr(outputs, "auxiliary", ()):  # GoogLeNet's and Inception-v3's, in training only
                loss = loss + outputs.weight * loss_fn(head.float(), targets)
            if len(parts) > 1:
                loss = loss * (len(part) / len(images))
            (loss if share.weight == 1 else loss * share.weight).backward()
        losses.append(loss.detach())
        hits.append(count_hits(logits.detach(), targets))
    grad_norm = None
    if max_grad_norm is not None:
        grad_norm = nn.utils.clip_grad_norm_(net.parameters(), max_grad_norm)
    optimizer.step()
    if share.images == 0:
        hits = [torch.zeros_like(hits[0])]  # another rank counts these images
    return StepResult(sum(losses[1:], losses[0]), sum(hits[1:], hits[0]), share.images, grad_norm)


def in_parts(images: Tensor, labels: Tensor, parts: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batch in ``parts`` parts, at most as many as images, of as equal size as may be."""
    if parts == 1:
        yield images, labels
        return
    yield from zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True)


def count_hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Images whose largest logit is the label's, of mixed labels the larger share's; 0 where targets are images."""
    if targets.ndim > 2:
        return logits.new_zeros((), dtype=torch.int64)
    classes = targets if targets.ndim == 1 else targets.argmax(dim=1)
    return (logits.argmax(dim=1) == classes).sum()
