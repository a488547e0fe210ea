"""Batch norm over the global batch of several processes, on CPUs."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm


class SyncedBatchNorm(_BatchNorm):
    """Batch norm whose means and variances are those of one process with the global batch.

    The count, mean and sum of squared deviations of each rank are gathered and combined by the rule of Chan, Golub and
    LeVeque (1979); the gradient passes through the gathering. `torch.nn.SyncBatchNorm` supports GPUs only.

    Attributes:
        counted: False where another rank has the same rows and counts them. Then the n / (n - 1) of the unbiased
            variance is that of one process.
    """

    group: dist.ProcessGroup | None = None
    counted = True

    @classmethod
    def of(cls, norm: _BatchNorm, group: dist.ProcessGroup) -> SyncedBatchNorm:
        """Return the synchronised form of ``norm``, which shares its parameters and buffers."""
        synced = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        synced.group, synced.weight, synced.bias = group, norm.weight, norm.bias
        synced.running_mean, synced.running_var = norm.running_mean, norm.running_var
        synced.num_batches_tracked = norm.num_batches_tracked
        return synced.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected (N, C, ...); got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:  # (N, C, ...)
        if not self.training or self.group is None:
            return super().forward(input)
        self._check_input_dim(input)
        values = input.float()
        rest = [0, *range(2, input.ndim)]  # all dimensions but the channels
        shape = [1, -1] + [1] * (input.ndim - 2)
        own_count = values.new_tensor([self.counted * input.numel() / input.shape[1]])
        own_mean = values.mean(rest)
        own_squares = self.counted * (values - own_mean.view(shape)).square().sum(rest)
        gathered: Tensor = _Gather.apply(torch.cat((own_mean, own_squares, own_count)), self.group)  # (ranks, 2 C + 1)
        means, squares, counts = gathered.split([self.num_features, self.num_features, 1], dim=1)
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (squares + counts * (means - mean).square()).sum(0) / total
        self._update_running(mean.detach(), variance.detach() * total / (total - 1))
        normalised = (values - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)

    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics, with the unbiased variance, as torch does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


class _Gather(torch.autograd.Function):
    """Forward: (n,) of each rank -> (ranks, n) on every rank. Backward: each rank gets the sum of its gradients."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, own: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group  # type: ignore[attr-defined]
        of_ranks = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
        dist.all_gather(of_ranks, own.contiguous(), group)
        return torch.stack(of_ranks)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        group: dist.ProcessGroup = ctx.group  # type: ignore[attr-defined]
        grad = grads[0].contiguous()
        dist.all_reduce(grad, dist.ReduceOp.SUM, group)
        return grad[dist.get_rank(group)], None
