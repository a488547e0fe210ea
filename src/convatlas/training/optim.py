"""Optimizers, and the parameter groups with their weight decay and learning rate.

A parameter group may have two keys besides those of torch: ``lr_scale``, a factor that `set_lr` applies, and ``l1``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.errors import RecipeError

Group = dict[str, Any]
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)


def parameter_groups(
    net: nn.Module,
    weight_decay: float,
    decay_all: bool = False,
    *,
    l1: float = 0.0,
    norm_bias_lr: float = 1.0,
) -> list[Group]:
    """Divide the trainable parameters into groups, with weight decay for weights of two or more dimensions.

    Parameters of one dimension or none (biases, norm scales and shifts, PReLU slopes, subsampling coefficients) have no
    weight decay and no L1 penalty, unless ``decay_all``, as in the papers before 2018.

    Args:
        norm_bias_lr: factor on the learning rate of the shifts of norms. Their weight decay is divided by it, so that
            an update still decays them by the same share (Jordan, arXiv:2404.00498, section 3.4).
    """
    shifts = set() if norm_bias_lr == 1 else {id(m.bias) for m in net.modules() if isinstance(m, NORMS)}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in net.parameters():
        if parameter.requires_grad:
            exempt = parameter.ndim <= 1 and not decay_all and (weight_decay > 0 or l1 > 0)
            groups.setdefault((exempt, id(parameter) in shifts), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": 0.0 if exempt else weight_decay / (norm_bias_lr if shift else 1.0),
            "l1": 0.0 if exempt else l1,
            "lr_scale": norm_bias_lr if shift else 1.0,
        }
        for (exempt, shift), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def build(
    name: str,
    groups: Iterable[Group],
    *,
    lr: float,
    momentum: float = 0.9,
    nesterov: bool = False,
    eps: float | None = None,
) -> torch.optim.Optimizer:
    """Return the optimizer called ``name`` over ``groups``.

    Args:
        eps: by default 1e-8 for adamw and muon, and 1.0 for rmsprop.

    Raises:
        RecipeError: the name is not known.
    """
    groups = list(groups)
    if name == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=True
        )
    elif name == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=lr, betas=(momentum, 0.999), eps=eps or 1e-8, fused=True)
    elif name == "rmsprop":
        optimizer = RMSProp(groups, lr=lr, momentum=momentum, eps=eps or 1.0)
    elif name == "muon":
        optimizer = Muon(groups, lr=lr, momentum=momentum, eps=eps or 1e-8)
    else:
        raise RecipeError("optimizer {name!r} is not known. Known: sgd, adamw, rmsprop, muon.", name=name)
    if name == "sgd":
        optimizer.register_step_pre_hook(start_missing_momentum)
    if any(group.get("l1") for group in groups):
        optimizer.register_step_pre_hook(penalise_l1)
    return optimizer


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group to ``lr``, times its ``lr_scale`` if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def start_missing_momentum(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Set the momentum of parameters with their first gradient to 0, where others of their group have a momentum.

    This happens when a part is unfrozen, and when stochastic depth kept a branch for the first time. torch's fused SGD
    (2.13) fails on such a group.
    """
    for group in optimizer.param_groups:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        missing = [p for p in parameters if optimizer.state.get(p, {}).get("momentum_buffer") is None]
        if group["momentum"] and 0 < len(missing) < len(parameters):
            for parameter in missing:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


@torch.no_grad()
def penalise_l1(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Add the gradient of l1 * sum |w|, which is l1 * sign(w), before a step. The reported loss does not include it."""
    for group in optimizer.param_groups:
        if group.get("l1"):
            weights = [parameter for parameter in group["params"] if parameter.grad is not None]
            signs = torch._foreach_sign(weights)
            grads: list[Any] = [weight.grad for weight in weights]
            torch._foreach_add_(grads, signs, alpha=group["l1"])


class RMSProp(torch.optim.Optimizer):
    """RMSProp in TensorFlow's form, with which Inception-v3 was trained (arXiv:1512.00567, section 8).

        s <- alpha s + (1 - alpha) g^2        s starts at 1
        v <- momentum v + lr g / sqrt(s + eps)
        w <- w - v

    ``torch.optim.RMSprop`` adds eps outside the root, starts at 0 and does not multiply v by lr. With the paper's eps
    of 1.0 that is a different rule.

    Args:
        alpha: decay of the mean square, 0.9 in the paper.
        eps: 1.0 in the paper.
        weight_decay: L2, added to the gradient.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        alpha: float = 0.9,
        eps: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p] = {"mean_square": torch.ones_like(p), "velocity": torch.zeros_like(p)}
            squares = [self.state[p]["mean_square"] for p in params]
            velocities = [self.state[p]["velocity"] for p in params]
            grads: list[Any] = [p.grad for p in params]
            if group["weight_decay"]:
                grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
            torch._foreach_mul_(squares, group["alpha"])
            torch._foreach_addcmul_(squares, grads, grads, 1 - group["alpha"])
            roots = torch._foreach_add(squares, group["eps"])
            torch._foreach_sqrt_(roots)
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_addcdiv_(velocities, grads, roots, group["lr"])
            torch._foreach_sub_(params, velocities)


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for matrices and filters (Muon), and AdamW for parameters of one dimension.

    Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024): the step is the matrix with
    orthogonal rows or columns that is nearest to the Nesterov momentum, by five Newton-Schulz iterations. Filters
    (out, in, h, w) are treated as matrices (out, in h w), as in the original. Each step is scaled by
    0.2 sqrt(max(rows, columns)), so that its root mean square is that of AdamW, and both can share one lr and one
    decoupled weight decay (Liu et al., arXiv:2502.16982, section 2.2). ``torch.optim.Muon`` supports matrices only.

    A group with the key ``muon`` set to False is updated by AdamW whatever its shape, such as a classifier's last
    layer.

    Args:
        momentum: of Muon, and the first beta of AdamW.
        eps: of AdamW.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "nesterov": nesterov,
                "weight_decay": weight_decay,
                "beta2": beta2,
                "eps": eps,
                "muon": True,
            },
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if group["weight_decay"] and params:
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            self._orthogonal([p for p in params if group["muon"] and p.ndim > 1], group)
            self._adamw([p for p in params if not group["muon"] or p.ndim <= 1], group)

    def _orthogonal(self, params: list[Tensor], group: Group) -> None:
        by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for p in params:
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            assert p.grad is not None
            state["momentum"].mul_(group["momentum"]).add_(p.grad)
            ahead = p.grad.add(state["momentum"], alpha=group["momentum"]) if group["nesterov"] else state["momentum"]
            matrix = ahead.flatten(start_dim=1)
            by_shape.setdefault((matrix.shape[0], matrix.shape[1]), []).append((p, matrix))
        for (rows, columns), members in by_shape.items():  # all matrices of one shape in one batched product
            steps = orthogonalised(torch.stack([matrix for _, matrix in members]))
            size = group["lr"] * 0.2 * math.sqrt(max(rows, columns))
            for (p, _), step in zip(members, steps, strict=True):
                p.sub_(step.view(p.shape), alpha=size)

    def _adamw(self, params: list[Tensor], group: Group) -> None:
        if not params:
            return
        beta1, beta2 = group["momentum"], group["beta2"]
        for p in params:
            if not self.state[p]:
                self.state[p] = {"step": 0, "mean": torch.zeros_like(p), "mean_square": torch.zeros_like(p)}
            self.state[p]["step"] += 1
        means = [self.state[p]["mean"] for p in params]
        squares = [self.state[p]["mean_square"] for p in params]
        grads: list[Any] = [p.grad for p in params]
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
        counts = [self.state[p]["step"] for p in params]
        roots = torch._foreach_div(torch._foreach_sqrt(squares), [math.sqrt(1 - beta2**n) for n in counts])
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(params, means, roots, [-group["lr"] / (1 - beta1**n) for n in counts])


def orthogonalised(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Return approximately U V^T for each matrix U S V^T of (B, R, C): its singular values are between 0.7 and 1.2.

    Newton-Schulz iterations of the quintic a X + b (X X^T) X + c (X X^T)^2 X. Jordan chose the coefficients for a steep
    slope at 0. They run in bf16 on a GPU, as in the original, and in float32 elsewhere.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return (x.mT if tall else x).to(matrices.dtype)
