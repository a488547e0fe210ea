"""What a channel responds to: the images of a data set that excite it most, and an image that is made to excite it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.arithmetic.network import field_of
from convatlas.errors import ShapeError, UsageError
from convatlas.inspection.faithfulness import gaussian_blur
from convatlas.inspection.forward import ForwardPass, first_tensor
from convatlas.modes import eval_mode


@dataclass(frozen=True)
class ChannelPatches:
    """The images that excite channels of a layer most, with the part that the strongest position sees. Measured.

    Attributes:
        layer: the row of ``convatlas show``.
        channels: (K,).
        images: (K, count), positions of the images in the order of the batches, the strongest first.
        activations: (K, count), the maximum of the channel's map.
        positions: (K, count, 2), row and column of that maximum in the map.
        boxes: (K, count, 4), first row, last row, first column, last column of the receptive field inside the image;
            the whole image where the receptive field is not known.
    """

    layer: str
    channels: tuple[int, ...]
    images: np.ndarray
    activations: np.ndarray
    positions: np.ndarray
    boxes: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "channels": [
                {
                    "channel": channel,
                    "images": self.images[k].tolist(),
                    "activations": self.activations[k].tolist(),
                    "positions": self.positions[k].tolist(),
                    "boxes": self.boxes[k].tolist(),
                }
                for k, channel in enumerate(self.channels)
            ],
        }


def channel_patches(
    net: nn.Module, batches: Iterable[Tensor], layer: str, channels: Sequence[int] | None = None, count: int = 9
) -> ChannelPatches:
    """Find the images that excite each channel most, in one pass over a data set. ZFNet's figure 2.

    Source: Zeiler and Fergus, arXiv:1311.2901, section 4.

    Args:
        net: any network; it is not changed.
        batches: preprocessed images, (N, C, H, W) each.
        layer: a row of ``convatlas show`` with spatial axes, or a block.
        channels: those to report; the nine with the largest maximum where None.
        count: images per channel; fewer where there are fewer.

    Raises:
        UnknownNameError: no such layer.
        ShapeError: the layer has no spatial axes, or no such channel.
        UsageError: there are no batches.
    """
    peaks, places, shape, row, width = [], [], None, layer, 1
    for images in batches:
        forward = ForwardPass(net, images)
        row = forward.row_of(layer)
        maps = forward.maps(layer)
        value, place = maps.flatten(start_dim=2).max(dim=2)  # (N, channels)
        peaks.append(value.float().cpu())
        places.append(place.cpu())
        shape, width = tuple(images.shape[1:]), maps.shape[3]
    if shape is None:
        raise UsageError("the images that excite {layer} need at least one batch of images.", layer=layer)
    values, flat = torch.cat(peaks), torch.cat(places)
    if channels is None:
        channels = values.amax(dim=0).argsort(descending=True, stable=True)[:9].tolist()
    last = values.shape[1] - 1
    if not all(0 <= channel <= last for channel in channels):
        raise ShapeError(
            "{layer} has the channels 0 to {last}; got {channel}.", layer=layer, last=last, channel=max(channels)
        )
    order = values[:, list(channels)].argsort(dim=0, descending=True, stable=True)[:count].T  # (K, count)
    chosen = torch.tensor(list(channels))[:, None]
    spots = flat[order, chosen]
    positions = torch.stack((spots // width, spots % width), dim=2).numpy()
    return ChannelPatches(
        row,
        tuple(channels),
        order.numpy(),
        values[order, chosen].numpy(),
        positions,
        _boxes(net, shape, row, positions),
    )


def _boxes(net: nn.Module, shape: Sequence[int], layer: str, positions: np.ndarray) -> np.ndarray:
    """The part of the image that each position (..., 2) of a layer sees: (..., 4)."""
    height, width = shape[1:]
    field = field_of(net, shape, layer)
    boxes = np.empty((*positions.shape[:-1], 4), dtype=int)
    for place in np.ndindex(positions.shape[:-1]):
        spans = [(0, height - 1), (0, width - 1)]
        if field is not None and len(field.view.axes) == 2:
            for number, (axis, index) in enumerate(zip(field.view.axes, positions[place], strict=True)):
                low, high = axis.support[int(index) if axis.size > 1 else 0]
                spans[number] = (low, high) if low <= high else spans[number]
        boxes[place] = (*spans[0], *spans[1])
    return boxes


@dataclass(frozen=True)
class MaximisedImage:
    """An image that excites a channel. Measured.

    Attributes:
        layer, channel: what is excited.
        image: (C, H, W), in the units of the network's input.
        activations: (steps + 1,), the mean of the channel before each step and at the end.
    """

    layer: str
    channel: int
    image: np.ndarray
    activations: np.ndarray


def maximise(
    net: nn.Module,
    shape: Sequence[int],
    layer: str,
    channel: int,
    *,
    steps: int = 128,
    step_size: float = 0.1,
    noise: float = 0.3,
    decay: float = 0.01,
    blur: float = 0.5,
    blur_every: int = 4,
    jitter: int = 8,
    seed: int = 0,
) -> MaximisedImage:
    """Make an image that excites a channel, by gradient ascent from noise.

    Without regularisers the image is high-frequency noise. L2 decay and blur are those of Yosinski et al.,
    arXiv:1506.06579, section 3; jitter is that of Mordvintsev, Olah and Tyka, "Inceptionism" (2015).

    Args:
        net: any network; it is not changed.
        shape: (C, H, W) of the image.
        layer: a row of ``convatlas show`` or a block; for a vector such as the logits, ``channel`` is an element.
        channel: its mean over the positions is maximised.
        step_size: change of the image in each step, root mean square, in units of the network's input; about a tenth
            of the deviation of its images.
        noise: standard deviation of the first image, in the same units.
        decay: share of the image that each step takes away.
        blur: standard deviation in pixels of the Gaussian that is applied every ``blur_every`` steps; 0 for none.
        jitter: largest shift of the image before each step, in pixels; the shift is undone afterwards.
        seed: of the noise and the shifts.
        steps: of gradient ascent.

    Raises:
        UnknownNameError: no such layer.
        ShapeError: no such channel.
    """
    generator = torch.Generator().manual_seed(seed)
    image = noise * torch.randn(1, *shape, generator=generator)
    excite, row = _excitation(net, image, layer, channel)
    activations = []
    for step in range(steps):
        shift = tuple(torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()) if jitter else (0, 0)
        moved = image.roll(shift, dims=(2, 3)).requires_grad_()
        with eval_mode(net), torch.enable_grad():
            value = excite(moved)
            (slope,) = torch.autograd.grad(value, moved)
        activations.append(float(value.detach()))
        moved = moved.detach() + step_size * slope / slope.square().mean().sqrt().clamp(min=1e-12)
        image = (1 - decay) * moved.roll((-shift[0], -shift[1]), dims=(2, 3))
        if blur and blur_every and (step + 1) % blur_every == 0 and step + 1 < steps:
            image = gaussian_blur(image, blur)
    with eval_mode(net), torch.no_grad():
        activations.append(float(excite(image)))
    return MaximisedImage(row, channel, image[0].numpy(), np.array(activations))


def _excitation(net: nn.Module, image: Tensor, layer: str, channel: int) -> tuple[Callable[[Tensor], Tensor], str]:
    """A function from an image (1, C, H, W) to the mean of the channel, and the row whose channel it is."""
    forward = ForwardPass(net, image)
    row = forward.row_of(layer)
    count = forward.output(row).shape[1]
    if not 0 <= channel < count:
        raise ShapeError(
            "{layer} has the channels 0 to {last}; got {channel}.", layer=layer, last=count - 1, channel=channel
        )
    module = dict(net.named_modules()).get(row)
    if row == forward.rows[-1] and forward.output(row).shape == forward.logits.shape:
        return lambda pixels: first_tensor(net(pixels.clone()))[0, channel].mean(), row
    if module is None:
        return lambda pixels: ForwardPass(net, pixels, gradients=True).output(row)[0, channel].mean(), row

    def by_hook(pixels: Tensor) -> Tensor:
        outputs: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            outputs.append(output)
            return output.clone()  # a later layer may write into it

        handle = module.register_forward_hook(keep)
        try:
            net(pixels.clone())
        finally:
            handle.remove()
        return outputs[-1][0, channel].mean()

    return by_hook, row
