"""How an image becomes one prediction: the protocol, whose name is printed with every accuracy.

Two accuracies under different protocols are different quantities: AlexNet's 39.0 % top-1 error is the mean of ten
crops, VGG's is dense, and one central view of the same network is one to two points worse. So an accuracy here never
travels without its protocol, and a table has one protocol or is refused.

A protocol receives the network and a batch of images as the data room prepared them, and returns one row of logits
per image. Those that look more than once average the probabilities of the views, as AlexNet (section 4.1) and
GoogLeNet (section 7) do, and return the logarithm of that mean: its softmax is the mean again, and its
cross-entropy is the one of the averaged prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convatlas.errors import UnknownNameError

Views = Callable[[Tensor], Iterable[Tensor]]  # (N, C, H, W) -> views, each (N, C, h, w)


@dataclass(frozen=True)
class Protocol:
    """A named way from images to logits.

    Args:
        name: the word of the command line and of every table.
        what: one sentence for a reader who does not know the name.
        logits: (network in eval mode, images (N, C, H, W)) -> (N, K).
    """

    name: str
    what: str
    logits: Callable[[nn.Module, Tensor], Tensor]


def averaged(views: Views) -> Callable[[nn.Module, Tensor], Tensor]:
    """The logits of a protocol that looks several times: log of the mean probability over the views."""

    def logits(network: nn.Module, images: Tensor) -> Tensor:
        log_probabilities = [torch.log_softmax(network(view).float(), dim=1) for view in views(images)]
        return (
            torch.logsumexp(torch.stack(log_probabilities), dim=0) - torch.tensor(float(len(log_probabilities))).log()
        )

    return logits


def _one_look(network: nn.Module, images: Tensor) -> Tensor:
    logits: Tensor = network(images)
    return logits


def _flips(images: Tensor) -> Iterable[Tensor]:
    yield images
    yield images.flip(-1)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("centre", "one central view of each image", _one_look),
        Protocol("flip", "the central view and its mirror image, probabilities averaged", averaged(_flips)),
    )
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol of that name; a ``Protocol`` is passed through.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol]
