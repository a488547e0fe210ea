"""Attribution: the pixels that a class score depends on.

Every method takes (network, images, ...) and returns an `Attribution`. The network is not changed. ``classes`` are the
classes to explain, one per image; the predicted classes where None. Scores are logits and not probabilities, as a
softmax probability also depends on the scores of the other classes.

Adebayo et al., "Sanity checks for saliency maps" (NeurIPS 2018): some maps hardly change when the weights are
randomised, here those of guided backpropagation and of integrated gradients. `convatlas.inspection.sanity` repeats the
check on a network; results/inspection has it for all methods, beside deletion and insertion scores.

Methods of many passes call ``progress`` after each of their batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.errors import UnknownNameError, UsageError
from convatlas.inspection.forward import ForwardPass, errors_that_name_the_layer, first_tensor, logits_of
from convatlas.inspection.methods import DESCRIPTIONS, Description, Progress
from convatlas.inspection.relus import ReLUsWith
from convatlas.message import Message
from convatlas.modes import eval_mode


@dataclass(frozen=True)
class Attribution:
    """The contribution of each pixel to the score of one class per image. Measured.

    Attributes:
        method: a name of `METHODS`.
        classes: (N,), the index of the class that is explained.
        values: (N, C, H, W) for methods with one value per input value; (N, 1, H, W) for maps.
        signed: whether negative values are evidence against the class.
        layer: the layer whose maps are used, where the method needs one.
        notes: additional results, such as the completeness gap of integrated gradients.
    """

    method: str
    classes: tuple[int, ...]
    values: np.ndarray
    signed: bool
    layer: str = ""
    notes: tuple[tuple[str, float], ...] = ()

    @property
    def unit(self) -> Message:
        """The unit of the values."""
        return METHODS[self.method].unit

    def heat(self) -> np.ndarray:
        """(N, H, W), not negative: the sum of absolute values over channels, or the positive part of a map."""
        if self.values.shape[1] == 1:
            return np.maximum(self.values[:, 0], 0)
        return np.abs(self.values).sum(axis=1)


def gradient(net: nn.Module, images: Tensor, classes: Sequence[int] | None = None) -> Attribution:
    """The gradient of the class score. Simonyan, Vedaldi and Zisserman, arXiv:1312.6034, section 3."""
    chosen, values = _input_gradient(net, images, classes)
    return Attribution("gradient", chosen, values.numpy(), signed=True)


def smoothgrad(
    net: nn.Module,
    images: Tensor,
    classes: Sequence[int] | None = None,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attribution:
    """The mean gradient over noisy copies of the image. Smilkov et al., arXiv:1706.03825.

    Args:
        noise: standard deviation of the noise, as a share of each image's range of values.
    """
    chosen = _classes(net, images, classes)
    generator = torch.Generator().manual_seed(seed)
    spread = images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)
    total = torch.zeros(images.shape)
    for sample in range(samples):
        noisy = images + noise * spread * torch.randn(images.shape, generator=generator).to(images)
        total += _input_gradient(net, noisy, chosen)[1]
        _tell(progress, (sample + 1) * len(images), samples * len(images))
    return Attribution("smoothgrad", chosen, (total / samples).numpy(), signed=True)


def integrated_gradients(
    net: nn.Module,
    images: Tensor,
    classes: Sequence[int] | None = None,
    *,
    baseline: Tensor | None = None,
    steps: int = 64,
    progress: Progress | None = None,
) -> Attribution:
    """The gradient along the line from a baseline, times the difference. Sundararajan et al., arXiv:1703.01365.

    The values of an image sum to the difference of the two scores (completeness). ``notes`` has the largest relative
    gap. It fails the randomisation check (results/inspection), as the map is a product with the image itself.

    Args:
        baseline: (C, H, W) or (N, C, H, W), preprocessed like the images; zeros, the mean of the training images, where
            None.
        steps: number of points of the midpoint rule.
    """
    chosen = _classes(net, images, classes)
    start = torch.zeros_like(images) if baseline is None else baseline.expand_as(images)
    total = torch.zeros(images.shape)
    for step in range(steps):
        point = start + (images - start) * ((step + 0.5) / steps)
        total += _input_gradient(net, point, chosen)[1]
        _tell(progress, (step + 1) * len(images), steps * len(images))
    values = (images - start).cpu() * total / steps
    with torch.no_grad():
        difference = _scores(logits_of(net, images), chosen) - _scores(logits_of(net, start), chosen)
    gap = (values.sum(dim=(1, 2, 3)) - difference.cpu()).abs() / difference.abs().cpu().clamp(min=1e-6)
    return Attribution(
        "integrated_gradients",
        chosen,
        values.numpy(),
        signed=True,
        notes=((Message("completeness gap"), float(gap.max())),),
    )


def guided_backpropagation(net: nn.Module, images: Tensor, classes: Sequence[int] | None = None) -> Attribution:
    """The gradient, with negative signals set to zero at each ReLU. Springenberg et al., arXiv:1412.6806.

    It fails the randomisation check of Adebayo et al. (results/inspection): it mostly shows edges of the image.
    """
    with ReLUsWith(_GuidedReLU):
        chosen, values = _input_gradient(net, images, classes)
    return Attribution("guided_backpropagation", chosen, values.numpy(), signed=True)


def grad_cam(
    net: nn.Module, images: Tensor, classes: Sequence[int] | None = None, *, layer: str | None = None
) -> Attribution:
    """The maps of a layer weighted by their mean gradient. Selvaraju et al., arXiv:1610.02391, eq. 1 and 2.

    Args:
        layer: the row of ``convatlas show`` whose maps are used; the last spatial layer before the head where None.
    """

    def weights(maps: Tensor, slope: Tensor) -> Tensor:
        return slope.mean(dim=(2, 3), keepdim=True)

    return _cam("grad_cam", net, images, classes, layer, weights)


def grad_cam_plus_plus(
    net: nn.Module, images: Tensor, classes: Sequence[int] | None = None, *, layer: str | None = None
) -> Attribution:
    """Grad-CAM with weights for several objects of a class. Chattopadhyay et al., arXiv:1710.11063, eq. 10 and 19."""

    def weights(maps: Tensor, slope: Tensor) -> Tensor:
        square, cube = slope**2, slope**3
        divisor = 2 * square + maps.sum(dim=(2, 3), keepdim=True) * cube
        alpha = torch.where(divisor != 0, square / torch.where(divisor != 0, divisor, torch.ones_like(divisor)), 0.0)
        return (alpha * slope.clamp(min=0)).sum(dim=(2, 3), keepdim=True)

    return _cam("grad_cam_plus_plus", net, images, classes, layer, weights)


def occlusion(
    net: nn.Module,
    images: Tensor,
    classes: Sequence[int] | None = None,
    *,
    patch: int | None = None,
    stride: int | None = None,
    value: float = 0.0,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Attribution:
    """The decrease of the score when a patch is covered. Zeiler and Fergus, ECCV 2014, section 4.2.

    Args:
        patch: side of the square patch in pixels; an eighth of the image where None.
        stride: step between patches in pixels; half of the patch where None.
        value: value of the covered pixels after preprocessing; 0 is the mean of the training images.
    """
    chosen = _classes(net, images, classes)
    height, width = images.shape[2:]
    patch = patch or max(1, min(height, width) // 8)
    stride = stride or max(1, patch // 2)
    if not 0 < patch <= min(height, width):
        raise UsageError(
            "a patch of {patch} pixels does not fit into images of {height} x {width}. Choose a smaller patch.",
            patch=patch,
            height=height,
            width=width,
        )
    tops = sorted({*range(0, height - patch + 1, stride), height - patch})
    lefts = sorted({*range(0, width - patch + 1, stride), width - patch})
    places = [(top, left) for top in tops for left in lefts]
    falls = torch.zeros(len(images), height, width)
    counts = torch.zeros(height, width)
    for top, left in places:
        counts[top : top + patch, left : left + patch] += 1
    for number, image in enumerate(images):
        whole = float(_scores(logits_of(net, image[None]), chosen[number : number + 1])[0])
        for first in range(0, len(places), batch_size):
            some = places[first : first + batch_size]
            covered = image.repeat(len(some), 1, 1, 1)
            for index, (top, left) in enumerate(some):
                covered[index, :, top : top + patch, left : left + patch] = value
            scores = _scores(logits_of(net, covered), chosen[number : number + 1] * len(some)).tolist()
            for (top, left), score in zip(some, scores, strict=True):
                falls[number, top : top + patch, left : left + patch] += whole - score
            _tell(progress, number * len(places) + first + len(some), len(images) * len(places))
    return Attribution("occlusion", chosen, (falls / counts)[:, None].numpy(), signed=True)


def rise(
    net: nn.Module,
    images: Tensor,
    classes: Sequence[int] | None = None,
    *,
    masks: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Attribution:
    """The mean of random masks, weighted by the probability of the masked image. Petsiuk et al., arXiv:1806.07421.

    Args:
        masks: number of masks.
        cells: cells per side of the grid from which a mask is interpolated.
        keep: probability that a cell is not masked.
    """
    chosen = _classes(net, images, classes)
    height, width = images.shape[2:]
    generator = torch.Generator().manual_seed(seed)
    tall, wide = math.ceil(height / cells), math.ceil(width / cells)
    total = torch.zeros(len(images), height, width)
    for first in range(0, masks, batch_size):
        count = min(batch_size, masks - first)
        grid = (torch.rand(count, 1, cells, cells, generator=generator) < keep).float()
        large = F.interpolate(grid, size=((cells + 1) * tall, (cells + 1) * wide), mode="bilinear", align_corners=False)
        shifts = torch.stack(
            (torch.randint(tall, (count,), generator=generator), torch.randint(wide, (count,), generator=generator)), 1
        ).tolist()
        smooth = torch.stack([m[:, y : y + height, x : x + width] for m, (y, x) in zip(large, shifts, strict=True)])
        for number, image in enumerate(images):
            logits = logits_of(net, image[None] * smooth.to(image)).softmax(dim=1)
            scores = logits[:, chosen[number]].float().cpu()
            total[number] += (scores[:, None, None] * smooth[:, 0]).sum(dim=0)
            _tell(progress, first * len(images) + (number + 1) * count, masks * len(images))
    return Attribution("rise", chosen, (total / (masks * keep))[:, None].numpy(), signed=False)


# --- shared by the methods --------------------------------------------------------------------------------------------


def _tell(progress: Progress | None, done: int, total: int) -> None:
    """Say how far a method is. The network is as it was meanwhile, so that others may use it, and may raise to stop."""
    if progress is not None:
        progress(done, total)


def _input_gradient(net: nn.Module, images: Tensor, classes: Sequence[int] | None) -> tuple[tuple[int, ...], Tensor]:
    """The classes, and the gradient (N, C, H, W) of their scores on the CPU."""
    pixels = images.detach().clone().requires_grad_()
    with eval_mode(net), torch.enable_grad(), errors_that_name_the_layer(net, images):
        logits = first_tensor(net(pixels.clone()))  # a network may write into its input
        chosen = _chosen(logits, classes)
        (values,) = torch.autograd.grad(_scores(logits, chosen).sum(), pixels)
    return chosen, values.float().cpu()


def _cam(
    method: str,
    net: nn.Module,
    images: Tensor,
    classes: Sequence[int] | None,
    layer: str | None,
    weights: Callable[[Tensor, Tensor], Tensor],
) -> Attribution:
    forward = ForwardPass(net, images, gradients=True)
    layer = forward.last_spatial_row() if layer is None else forward.row_of(layer)
    maps = forward.maps(layer)
    chosen = _chosen(forward.logits, classes)
    (slope,) = torch.autograd.grad(_scores(forward.logits, chosen).sum(), maps)
    cam = (weights(maps, slope) * maps).sum(dim=1, keepdim=True).clamp(min=0).detach().float()
    large = F.interpolate(cam, size=images.shape[2:], mode="bilinear", align_corners=False)
    return Attribution(method, chosen, large.cpu().numpy(), signed=False, layer=layer)


def _classes(net: nn.Module, images: Tensor, classes: Sequence[int] | None) -> tuple[int, ...]:
    return _chosen(logits_of(net, images), classes)


def _chosen(logits: Tensor, classes: Sequence[int] | None) -> tuple[int, ...]:
    if logits.dim() != 2:
        raise UsageError("attribution needs a classifier; this network returns {shape}.", shape=tuple(logits.shape))
    if classes is None:
        return tuple(logits.argmax(dim=1).tolist())
    count, outputs = logits.shape
    if len(classes) != count or not all(0 <= index < outputs for index in classes):
        raise UsageError(
            "classes = {classes}: expected {count} indices from 0 to {last}, one per image.",
            classes=list(classes),
            count=count,
            last=outputs - 1,
        )
    return tuple(int(index) for index in classes)


def _scores(logits: Tensor, classes: Sequence[int]) -> Tensor:
    return logits.gather(1, torch.tensor(list(classes), device=logits.device)[:, None])[:, 0]


class _GuidedReLU(torch.autograd.Function):
    """Forward: ReLU. Backward: the signal where both the input and the signal are positive, else 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.relu(x)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return signals[0].clamp(min=0) * (x > 0)


@dataclass(frozen=True)
class Method:
    """An attribution method by name: its function, and what `convatlas.inspection.methods` says of it."""

    function: Callable[..., Attribution]
    description: Description

    @property
    def shows(self) -> Message:
        return self.description.shows

    @property
    def unit(self) -> Message:
        return self.description.unit

    @property
    def source(self) -> str:
        return self.description.source


FUNCTIONS: dict[str, Callable[..., Attribution]] = {
    "grad_cam": grad_cam,
    "grad_cam_plus_plus": grad_cam_plus_plus,
    "gradient": gradient,
    "smoothgrad": smoothgrad,
    "integrated_gradients": integrated_gradients,
    "guided_backpropagation": guided_backpropagation,
    "occlusion": occlusion,
    "rise": rise,
}
METHODS = {name: Method(FUNCTIONS[name], description) for name, description in DESCRIPTIONS.items()}


def method(name: str) -> Method:
    """An attribution method by its name.

    Raises:
        UnknownNameError: no such method; similar names are listed.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return METHODS[name]
