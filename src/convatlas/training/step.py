"""One update, as the textbook has it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.training.losses import Loss


@dataclass(frozen=True)
class StepResult:
    """What an update saw: tensors stay on the device, so that nothing waits for them."""

    loss: Tensor  # mean over the batch, nats
    hits: Tensor  # images whose largest logit is the label's
    images: int
    grad_norm: Tensor | None  # L2 over all gradients before clipping; None when nothing is clipped


def train_step(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    loss_fn: Loss,
    optimizer: torch.optim.Optimizer,
    autocast: AbstractContextManager[Any] | None = None,
    max_grad_norm: float | None = None,
) -> StepResult:
    """Make one update of ``net`` on images (N, C, H, W) float32 and labels (N,) int64, or (N, K) shares."""
    with autocast or nullcontext():
        outputs = net(images)  # (N, K), or with auxiliary heads (N, K) each
    logits = getattr(outputs, "logits", outputs).float()  # the loss is computed in fp32 whatever the network was
    loss = loss_fn(logits, labels)
    for head in getattr(outputs, "auxiliary", ()):  # GoogLeNet's and Inception-v3's, in training only
        loss = loss + outputs.weight * loss_fn(head.float(), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    grad_norm = None
    if max_grad_norm is not None:
        grad_norm = nn.utils.clip_grad_norm_(net.parameters(), max_grad_norm)
    optimizer.step()
    classes = labels if labels.ndim == 1 else labels.argmax(dim=1)  # of mixed labels the larger share
    hits = (logits.detach().argmax(dim=1) == classes).sum()
    return StepResult(loss.detach(), hits, len(labels), grad_norm)
