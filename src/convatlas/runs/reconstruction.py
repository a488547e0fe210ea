"""Networks that reconstruct their images: their targets, their measurement on the test set, and their report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convatlas import units
from convatlas.batch import Batch, EpochBatches
from convatlas.data import Preprocessing
from convatlas.errors import RecipeError, UsageError
from convatlas.i18n import _, language
from convatlas.message import Message
from convatlas.models import Entry
from convatlas.recipes.recipe import Recipe
from convatlas.visualization import html

SHOWN_IMAGES = 12  # test images in the report, each with its reconstruction


class ImagesAsTargets:
    """The batches of ``batches`` with their images as targets."""

    def __init__(self, batches: EpochBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        for batch in self.batches.epoch(epoch, start_step):
            yield batch._replace(targets=batch.images)


def check_loss(entry: Entry, recipe: Recipe) -> None:
    """Raise RecipeError if the loss does not suit the output of the network."""
    if entry.reconstructs and recipe.loss != "mse":
        raise RecipeError(
            "{full_name} reconstructs images: its loss is mse, not {loss}. Leave loss out.",
            full_name=entry.full_name,
            loss=recipe.loss,
        )
    if not entry.reconstructs and recipe.loss == "mse":
        raise RecipeError(
            "{full_name} is a classifier: the loss mse is for networks that reconstruct images. Choose another loss.",
            full_name=entry.full_name,
        )


def refuse_classifying(model: str, entry: Entry, why: str) -> None:
    """Raise UsageError if the network has no classes; ``why`` states why they are needed."""
    if entry.reconstructs:
        raise UsageError("{model} reconstructs images and has no classes: {why}.", model=model, why=why)


@dataclass(frozen=True)
class Reconstruction:
    """How well a network reconstructs the images of the test set.

    Attributes:
        mse: mean over all pixels of (output - image)^2. Pixels have mean 0 and standard deviation 1 over the training
            set, so 1 is the error of the mean image, and 0 is perfect.
        pixels_rms: root mean square error in pixel values from 0 to 255, averaged over the channels.
        shown: pairs of an image and its reconstruction, uint8 (H, W, C); the first of the test set.
    """

    mse: float
    pixels_rms: float
    n: int
    shown: tuple[tuple[np.ndarray, np.ndarray], ...]


@torch.inference_mode()
def reconstruct(
    net: nn.Module, batches: EpochBatches, preprocessing: Preprocessing, autocast: AbstractContextManager[Any]
) -> Reconstruction:
    """Measure how well ``net`` reconstructs the images of ``batches``."""
    net.eval()
    squares: Tensor | float = 0.0  # (C,) summed over images and pixels
    values, n = 0, 0
    shown: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in batches.epoch(0):
        images = batch.images
        with autocast:
            output = net(images)
        output = output.float()
        squares = squares + (output - images).square().sum((0, 2, 3)).double().cpu()
        values, n = values + images[:, 0].numel(), n + len(images)
        for pair in zip(images[: SHOWN_IMAGES - len(shown)], output[: SHOWN_IMAGES - len(shown)], strict=True):
            shown.append((_as_picture(pair[0].cpu(), preprocessing), _as_picture(pair[1].cpu(), preprocessing)))
    by_channel = torch.as_tensor(squares) / values
    rms = (by_channel.sqrt() * torch.tensor(preprocessing.std, dtype=torch.float64) * 255).mean()
    return Reconstruction(float(by_channel.mean()), float(rms), n, tuple(shown))


def _as_picture(image: Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """Undo the normalisation of an image (C, H, W). Returns uint8 (H, W, C)."""
    std, mean = torch.tensor(preprocessing.std).view(-1, 1, 1), torch.tensor(preprocessing.mean).view(-1, 1, 1)
    return ((image * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def report(
    header: Mapping[str, str], epochs: Sequence[Mapping[str, Any]], result: Mapping[str, Any], measured: Reconstruction
) -> str:
    """Return the HTML report of a finished training: the measurements, the epochs, and images with reconstructions."""
    lead = html.join(
        html.strong(
            Message("{share} of the variance of the pixels is reconstructed", share=units.percent(1 - measured.mse, 1))
        ),
        " ",
        Message(
            "on {n} test images. The mean squared error is {mse:.4f} for pixels with standard deviation 1 (the mean "
            "image has 1), the root mean square error {rms:.1f} of 255. The validation set chose the weights; the test "
            "set was evaluated once, afterwards.",
            n=units.exact(measured.n),
            mse=measured.mse,
            rms=measured.pixels_rms,
        ),
    )
    columns = [html.Column(_("epoch")), html.Column(_("training error")), html.Column(_("validation error"))]
    rows = [
        [
            epoch["epoch"] + 1,
            f"{epoch['train_loss']:.4f}",
            "" if epoch["val_loss"] is None else f"{epoch['val_loss']:.4f}",
        ]
        for epoch in epochs
    ]
    pictures = [picture for pair in measured.shown for picture in pair]
    captions = [caption for pair in measured.shown for caption in (_("image"), _("reconstruction"))]
    return html.page(
        _("{model}: reconstruction", model=result["model"]),
        html.header(str(result["model"]), lead, note=_("seed {seed} · {run}", seed=result["seed"], run=result["run"])),
        html.section(_("Images and their reconstructions"), html.thumbnails(pictures, captions, captions)),
        html.section(
            _("Epochs"), html.table(columns, rows, _("Mean squared error; pixels have standard deviation 1."))
        ),
        html.section(_("How it was trained"), html.facts(header.items())),
        lang=language(),
    )
