"""The stochastic diagonal Levenberg-Marquardt method of 1998: a step size for each weight, from its curvature.

LeCun, Bottou, Bengio and Haffner 1998, appendix C: w_k changes by -eta / (mu + h_kk) times its gradient, where h_kk is
the second derivative of the loss with respect to w_k, averaged over 500 patterns and estimated again before each pass.
The second derivatives are propagated backwards like gradients, with every factor squared (equations 28 to 34): through
y = f(x) they propagate as h_x = f'(x)^2 h_y, so they are positive. For a weight that many connections share, the second
derivatives of the connections are added. At the output, where the loss is a function of the distances to the codes, the
second derivative with respect to F6 is computed exactly; it is positive there.

Here the squared propagation is autograd with other backward rules: `SquaredFactors` replaces each operator of the
network by one whose backward pass squares its factors. Operators that only move or add numbers need no replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input, conv2d_weight
from torch.overrides import TorchFunctionMode

from convatlas.errors import RecipeError
from convatlas.training.callback import Callback
from convatlas.training.losses import Loss


class StochasticDiagonalLM(torch.optim.Optimizer):
    """w_k <- w_k - lr / (mu + h_kk) dE/dw_k. Call `estimate` before each pass.

    Args:
        lr: eta, which the paper sets for each pass.
        mu: limits the step where the curvature is small (appendix C: 0.02).
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, mu: float = 0.02) -> None:
        super().__init__(params, {"lr": lr, "mu": mu})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            steps = [self.state[p]["step_size"] for p in params]
            torch._foreach_addcmul_(params, [p.grad for p in params], steps, -group["lr"])

    def estimate(self, net: nn.Module, images: Tensor, labels: Tensor, loss_fn: Loss) -> None:
        """Set the step size of every weight to 1 / (mu + h_kk), with its curvature averaged over these patterns."""
        curvatures = diagonal_curvature(net, images, labels, loss_fn)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["step_size"] = 1 / (group["mu"] + curvatures[parameter])


class CurvatureEstimate(Callback):
    """Calls `StochasticDiagonalLM.estimate` before each pass. The estimates are part of the optimizer's state.

    Args:
        patterns: returns the images and labels of an epoch's estimate; 500 in appendix C.
    """

    name = "curvature"

    def __init__(
        self,
        optimizer: StochasticDiagonalLM,
        net: nn.Module,
        patterns: Callable[[int], tuple[Tensor, Tensor]],
        loss_fn: Loss,
    ) -> None:
        self.optimizer, self.net, self.patterns, self.loss_fn = optimizer, net, patterns, loss_fn

    def before_epoch(self, epoch: int) -> None:
        self.optimizer.estimate(self.net, *self.patterns(epoch), self.loss_fn)


def diagonal_curvature(net: nn.Module, images: Tensor, labels: Tensor, loss_fn: Loss) -> dict[nn.Parameter, Tensor]:
    """Return the second derivative of the mean loss with respect to each parameter, by squared backpropagation.

    Raises:
        RecipeError: the network has an operator that `SquaredFactors` does not support.
    """
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    called: list[tuple[nn.Module, Tensor]] = []
    handles = [
        layer.register_forward_pre_hook(lambda layer, inputs: called.append((layer, inputs[0])))
        for layer in net.children()
    ]
    try:
        with torch.enable_grad(), SquaredFactors():
            net(images)
    finally:
        for handle in handles:
            handle.remove()
    output_layer, features = called[-1]  # features (N, 84)
    if any(True for _ in output_layer.parameters()):
        raise RecipeError(
            "the optimizer sdlm supports only LeNet-5 of 1998, whose output layer has no trainable parameters."
        )
    seed = second_derivative(lambda x: loss_fn(output_layer(x), labels), features.detach())
    curvatures = torch.autograd.grad(features, parameters, seed)
    return dict(zip(parameters, curvatures, strict=True))


def second_derivative(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the exact diagonal of the Hessian of a mean over patterns, with respect to x (N, D): D backward passes."""
    x = x.requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(function(x), x, create_graph=True)
        columns = [torch.autograd.grad(gradient[:, d].sum(), x, retain_graph=True)[0][:, d] for d in range(x.shape[1])]
    return torch.stack(columns, dim=1)


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        h_x = conv2d_input(x.shape, weight.square(), h)
        return h_x, conv2d_weight(x.square(), weight.shape, h), h.sum((0, 2, 3))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return h @ weight.square(), h.T @ x.square(), h.sum(0)


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        return (h * y.square()).sum_to_size(x.shape), (h * x.square()).sum_to_size(y.shape)


class _Elementwise(torch.autograd.Function):
    """y = f(x), with f'(x) as an argument."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, derivative: Tensor) -> Tensor:
        ctx.save_for_backward(derivative)
        return y

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor, None, None]:
        (derivative,) = ctx.saved_tensors
        return h * derivative.square(), None, None


class _AveragePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel_size: int) -> Tensor:
        ctx.kernel_size = kernel_size
        return F.avg_pool2d(x, kernel_size)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor, None]:
        share = 1 / ctx.kernel_size**2
        spread = h.repeat_interleave(ctx.kernel_size, 2).repeat_interleave(ctx.kernel_size, 3)
        return spread * share**2, None


def _multiply(x: Any, y: Any) -> Tensor:
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return _Multiply.apply(x, y)
    x, factor = (x, y) if isinstance(x, Tensor) else (y, x)
    return _Elementwise.apply(x, x.detach() * factor, torch.full_like(x, factor))


def _conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
            dilation: Any = 1, groups: int = 1) -> Tensor:  # fmt: skip
    if (tuple(_pair(stride)), tuple(_pair(padding)), tuple(_pair(dilation)), groups) != ((1, 1), (0, 0), (1, 1), 1):
        raise RecipeError("the optimizer sdlm supports only the convolutions of LeNet-5, with stride 1 and no padding.")
    return _Conv2d.apply(x, weight, bias)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _elementwise(function: Callable[[Tensor], Tensor], derivative: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def squared(x: Tensor) -> Tensor:
        inner = x.detach()
        return _Elementwise.apply(x, function(inner), derivative(inner))

    return squared


_tanh = _elementwise(torch.tanh, lambda x: 1 - torch.tanh(x).square())


class SquaredFactors(TorchFunctionMode):
    """A mode in which the backward pass of every operator squares its factors."""

    SQUARED: ClassVar[dict[Any, Callable[..., Tensor]]] = {
        F.conv2d: _conv2d,
        torch.conv2d: _conv2d,
        F.linear: lambda x, weight, bias=None: _Linear.apply(x, weight, bias),
        torch.tanh: _tanh,
        Tensor.tanh: _tanh,
        Tensor.mul: _multiply,
        Tensor.__mul__: _multiply,
        Tensor.__rmul__: _multiply,
        F.avg_pool2d: lambda x, kernel_size: _AveragePool.apply(x, kernel_size),
    }
    # operators that move, add or inspect numbers keep second derivatives as they are; square and neg occur only in the
    # output layer, which `second_derivative` handles
    PASSIVE: ClassVar[tuple[str, ...]] = (
        *("flatten", "pad", "__getitem__", "__get__", "size", "dim", "requires_grad_"),
        *("add", "__add__", "__radd__", "sub", "__sub__", "sum", "square", "neg", "__neg__"),
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        squared = self.SQUARED.get(func)
        name = getattr(func, "__name__", str(func))
        if squared is None and name not in self.PASSIVE:
            raise RecipeError(
                "the optimizer sdlm supports only the operators of LeNet-5 of 1998, not {name}.",
                name=name,
            )
        with torch._C.DisableTorchFunction():  # the replacements call the plain operators
            return (squared or func)(*args, **(kwargs or {}))
