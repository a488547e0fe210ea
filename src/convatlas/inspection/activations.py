"""Feature maps, first-layer filters, and statistics of the channels of a layer over many images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.errors import UsageError
from convatlas.inspection.forward import ForwardPass

DEAD = 0.0  # a channel that never rises above this over a data set, after a ReLU, is called dead


@dataclass(frozen=True)
class FeatureMaps:
    """The output of one layer for some images. Measured.

    Attributes:
        layer: the row of ``convatlas show``.
        values: (N, C, H, W) float32, the output of the row.
    """

    layer: str
    values: np.ndarray

    @property
    def statistics(self) -> ChannelStatistics:
        """The statistics of each channel over these images."""
        return _statistics(self.layer, [torch.from_numpy(self.values)])


@dataclass(frozen=True)
class ChannelStatistics:
    """Statistics of each channel of a layer over ``images`` images. Measured.

    Attributes:
        mean, standard_deviation, minimum, maximum: (C,), over all positions of all images.
        zeros: (C,), the share of positions whose value is exactly 0.
    """

    layer: str
    images: int
    mean: np.ndarray
    standard_deviation: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    zeros: np.ndarray

    @property
    def dead(self) -> tuple[int, ...]:
        """The channels that are 0 at every position of every image."""
        return tuple(int(channel) for channel in np.flatnonzero(self.zeros == 1))

    def to_dict(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "images": self.images,
            "channels": len(self.mean),
            "dead": list(self.dead),
            "mean": self.mean.tolist(),
            "standard_deviation": self.standard_deviation.tolist(),
            "minimum": self.minimum.tolist(),
            "maximum": self.maximum.tolist(),
            "zeros": self.zeros.tolist(),
        }


def feature_maps(net: nn.Module, images: Tensor, layer: str) -> FeatureMaps:
    """The feature maps of a layer, in evaluation mode.

    Args:
        net: any network; it is not changed.
        images: (N, C, H, W), preprocessed for the network.
        layer: the name of any row of ``convatlas show``, or of a block, whose last row is used.

    Raises:
        UnknownNameError: no such layer.
        ShapeError: the layer's output has no spatial axes, or the images do not fit the network.
    """
    forward = ForwardPass(net, images)
    return FeatureMaps(forward.row_of(layer), forward.maps(layer).float().cpu().numpy())


def channel_statistics(net: nn.Module, batches: Iterable[Tensor], layer: str) -> ChannelStatistics:
    """Statistics of a layer's channels over a data set, in one pass and with the memory of one batch.

    Args:
        batches: preprocessed images, (N, C, H, W) each.
        net: the network; its parameters are not changed.
        layer: name of a row.

    Raises:
        UsageError: there are no batches.
        UnknownNameError, ShapeError: see `feature_maps`.
    """
    return _statistics(layer, (ForwardPass(net, images).maps(layer) for images in batches))


def _statistics(layer: str, batches: Iterable[Tensor]) -> ChannelStatistics:
    images = positions = 0
    total = squares = zeros = least = most = None
    for values in batches:
        values = values.double()
        images += len(values)
        positions += values[:, 0].numel()
        sums = values.sum(dim=(0, 2, 3)), (values**2).sum(dim=(0, 2, 3)), (values == 0).sum(dim=(0, 2, 3))
        low, high = values.amin(dim=(0, 2, 3)), values.amax(dim=(0, 2, 3))
        if total is None or squares is None or zeros is None or least is None or most is None:
            (total, squares, zeros), least, most = sums, low, high
        else:
            total, squares, zeros = total + sums[0], squares + sums[1], zeros + sums[2]
            least, most = torch.minimum(least, low), torch.maximum(most, high)
    if total is None or squares is None or zeros is None or least is None or most is None:
        raise UsageError("channel statistics of {layer} need at least one batch of images.", layer=layer)
    mean = total / positions
    deviation = (squares / positions - mean**2).clamp(min=0).sqrt()
    arrays = (mean, deviation, least, most, zeros.double() / positions)
    return ChannelStatistics(layer, images, *(each.cpu().numpy() for each in arrays))


@dataclass(frozen=True)
class Filters:
    """The kernels of a layer that reads the image.

    Attributes:
        layer: the module's path.
        weights: (F, C, kh, kw) float32.
    """

    layer: str
    weights: np.ndarray

    def pictures(self) -> np.ndarray:
        """(F, kh, kw, C) from 0 to 1, each filter scaled by its own range; 0 weight is mid-grey."""
        largest = np.abs(self.weights).max(axis=(1, 2, 3), keepdims=True)
        scaled = 0.5 + 0.5 * self.weights / np.where(largest > 0, largest, 1)
        return np.moveaxis(scaled, 1, -1)


def first_layer_filters(net: nn.Module) -> Filters:
    """The kernels of the first convolution.

    Args:
        net: the network; its parameters are not changed.

    Raises:
        UsageError: the network has no convolution.
    """
    for path, module in net.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() == 4:
            return Filters(path, weight.detach().float().cpu().numpy())
    raise UsageError("the network has no convolution whose filters could be shown.")
