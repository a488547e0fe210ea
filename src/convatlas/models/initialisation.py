"""Initial weights: as the paper prints them, or by one modern rule for all networks.

A network is built with the "printed" rule; its card gives the source. Some printed rules work only with other parts of
the paper's training (VGG's start from net A, GoogLeNet's learning rate), and a comparison of networks is fairer with
one rule for all. That rule is "modern", after Goyal et al., arXiv:1706.02677, section 5.1:
    convolutions, hidden layers   Gaussian, standard deviation gain / sqrt(n), n the inputs of a unit; gain sqrt(2)
                                  for ReLU (He et al., arXiv:1502.01852, equation 10), 1 for LeNet-5's scaled tanh
                                  and for a shortcut without ReLU
    output layers                 Gaussian 0.01, so that the first loss is about ln K; 0 in a network without batch
                                  norm, whose activations may be large, as in Fixup (Zhang et al.,
                                  arXiv:1901.09321, section 3): the first loss is ln K
    biases                        0; 1 in output layers followed by a ReLU (NiN, SqueezeNet): a class whose logit is
                                  negative for every image gets no gradient, so all logits begin above zero
                                  (Krizhevsky et al. 2012, section 5, for hidden layers)
    batch norm                    the identity, except that the last one of a residual branch has scale 0, so that
                                  every block begins as its shortcut. Where a 1x1 convolution ends the branch
                                  (Inception-ResNet), its weights are 0 instead. Where a ReLU ends it
                                  (SqueezeNet's bypasses), 0 would get no gradient; the last layers of the L
                                  branches, whose outputs are added, are divided by L. A division by sqrt(L) would
                                  be enough for outputs of either sign, but these are never negative, so their
                                  means add up
    PReLU                         slope 0.25
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convatlas.errors import UnknownNameError
from convatlas.models.blocks import AuxiliaryClassifier

Layer = nn.Conv2d | nn.Linear
Draw = Callable[[Layer], object]  # draws the weight of one layer, in place

INITIALISATIONS = ("printed", "modern")
HEAD_STD = 0.01


def initialise(net: nn.Module, name: str = "modern") -> None:
    """Draw the weights of a network again, in place, from torch's global generator.

    Args:
        name: "modern"; or "printed", which leaves a network as ``create_model`` built it.
        net: the network, whose weights are drawn in place.
    Raises:
        UnknownNameError: another name.
    """
    if name not in INITIALISATIONS:
        raise UnknownNameError("initialisation", name, INITIALISATIONS)
    if name == "modern":
        own_rule = getattr(net, "initialise_modern", None)  # LeNet-5 has special layers
        modern_(net) if own_rule is None else own_rule()


class SkipFills(TorchFunctionMode):
    """A context in which filling a tensor does nothing.

    On the meta device filling has no effect, but takes torch half of the time in which it builds a deep network.
    """

    FILLS = frozenset(
        {Tensor.fill_, Tensor.zero_, Tensor.uniform_, Tensor.normal_}
        | {nn.init.constant_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_}
    )

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in self.FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


# --- the rules that papers print --------------------------------------------------------------------------------------


def fan_in(weight: Tensor) -> int:
    """Number of inputs of one unit: k * k * c of a convolution (per group), columns of a fully connected layer."""
    return weight[0].numel()


def draw_(net: nn.Module, conv: Draw | None, linear: Draw | None, bias: float = 0.0) -> None:
    """Draw the weights of every layer of a network in the order of its modules. Batch norm becomes the identity.

    Args:
        conv, linear: draw the weight of a convolution and of a fully connected layer; with None these layers keep
            PyTorch's default.
        bias: the value of the biases of the drawn layers.
    """
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                draw = conv if isinstance(module, nn.Conv2d) else linear
                if draw is None:
                    continue
                draw(module)
                if module.bias is not None:
                    nn.init.constant_(module.bias, bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()


def gaussian(std: float) -> Draw:
    """Gaussian with one standard deviation for all layers."""
    return lambda layer: nn.init.normal_(layer.weight, std=std)


def he(layer: Layer) -> None:
    """He et al., arXiv:1502.01852, equation 10: Gaussian with standard deviation sqrt(2 / n), n = k^2 c inputs."""
    nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_in(layer.weight)))


def he_by_fan_out(layer: Layer) -> None:
    """He et al., equation 14, as torchvision draws it: Gaussian with standard deviation sqrt(2 / (k^2 out))."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def caffe_xavier(layer: Layer) -> None:
    """Caffe's "xavier" filler: uniform in +-sqrt(3 / fan-in)."""
    bound = math.sqrt(3 / fan_in(layer.weight))
    nn.init.uniform_(layer.weight, -bound, bound)


def he_(net: nn.Module) -> None:
    """Draw every layer by `he`; biases 0."""
    draw_(net, he, he)


def gaussian_(net: nn.Module, std: float) -> None:
    """Draw every layer by `gaussian`; biases 0."""
    draw_(net, gaussian(std), gaussian(std))


def glorot_(net: nn.Module) -> None:
    """Glorot and Bengio, 2010: uniform in +-sqrt(6 / (fan-in + fan-out)); biases 0."""

    def glorot(layer: Layer) -> None:
        nn.init.xavier_uniform_(layer.weight)

    draw_(net, glorot, glorot)


def truncated_normal_(net: nn.Module, std: float) -> None:
    """Gaussian truncated at two standard deviations, as in TF-slim; biases 0."""

    def truncated(layer: Layer) -> None:
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)

    draw_(net, truncated, truncated)


# --- the modern rule --------------------------------------------------------------------------------------------------


@torch.no_grad()
def modern_(net: nn.Module, gain: float = math.sqrt(2)) -> None:
    """The rule above, for a network of convolutions, fully connected layers and batch norm."""
    heads, rectified = class_layers(net), getattr(net, "rectified_logits", False)
    normalised = any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    shortcuts = block_attributes(net, "linear_shortcut")
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            std = (1.0 if module in shortcuts else gain) / math.sqrt(fan_in(module.weight))
            if module in heads:
                std = HEAD_STD if normalised else 0.0
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.constant_(module.bias, 1.0 if module in heads and rectified else 0.0)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
    for end in block_attributes(net, "branch_end"):  # the last layer of a residual branch
        nn.init.zeros_(end.weight)
    branches = block_attributes(net, "rectified_ends")  # the last layers of residual branches that end in a ReLU
    for layer in chain.from_iterable(branches):
        layer.weight.div_(len(branches))


def block_attributes(net: nn.Module, attribute: str) -> list[Any]:
    """The values of an attribute of the network's blocks, for the blocks in which it is set."""
    return [value for block in net.modules() if (value := getattr(block, attribute, None))]


def class_layers(net: nn.Module) -> list[nn.Module]:
    """The output layers: the last layer of the network, and of each auxiliary classifier."""
    auxiliary = [module for module in net.modules() if isinstance(module, AuxiliaryClassifier)]
    return [last_layer(module) for module in (*auxiliary, net)]


def last_layer(module: nn.Module) -> nn.Module:
    return [layer for layer in module.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))][-1]
