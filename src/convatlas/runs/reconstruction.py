"""Networks that reconstruct their images: their targets, their measurement on the test part, and their report."""

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

SHOWN = 12  # test images in the report, each with its reconstruction


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
    """Raise RecipeError where the loss is not one for what the network gives."""
    if entry.reconstructs and recipe.loss != "mse":
        raise RecipeError(
            "{full_name} gives back images: its loss is mse, not {loss}.", full_name=entry.full_name, loss=recipe.loss
        )
    if not entry.reconstructs and recipe.loss == "mse":
        raise RecipeError(
            "{full_name} is a classifier: the loss mse is for networks that give back images.",
            full_name=entry.full_name,
        )


def refuse_classifying(model: str, entry: Entry, what: str) -> None:
    """Raise UsageError where a network without classes is asked for some."""
    if entry.reconstructs:
        raise UsageError("{model} gives back images, not classes: {what}.", model=model, what=what)


@dataclass(frozen=True)
class Reconstruction:
    """How well images come back, on the test part.

    Attributes:
        mse: mean over all pixels of (output - image)^2, pixels brought to mean 0 and deviation 1 by the training part;
            1 is what the mean image gets, 0 is perfect.
        pixels_rms: the root of it in the stored images' own units, 0 to 255, the mean over the channels.
        shown: of the first images, the image and what came back, uint8 (H, W, C).
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
        for pair in zip(images[: SHOWN - len(shown)], output[: SHOWN - len(shown)], strict=True):
            shown.append((_as_picture(pair[0].cpu(), preprocessing), _as_picture(pair[1].cpu(), preprocessing)))
    by_channel = torch.as_tensor(squares) / values
    rms = (by_channel.sqrt() * torch.tensor(preprocessing.std, dtype=torch.float64) * 255).mean()
    return Reconstruction(float(by_channel.mean()), float(rms), n, tuple(shown))


def _as_picture(image: Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """A prepared image (C, H, W) back as uint8 (H, W, C)."""
    std, mean = torch.tensor(preprocessing.std).view(-1, 1, 1), torch.tensor(preprocessing.mean).view(-1, 1, 1)
    return ((image * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def report(
    header: Mapping[str, str], epochs: Sequence[Mapping[str, Any]], result: Mapping[str, Any], found: Reconstruction
) -> str:
    """The page of a finished training: what was measured, the epochs, images beside what came back."""
    lead = html.join(
        html.strong(Message("{share} of the pixels' variance come back", share=units.percent(1 - found.mse, 1))),
        " ",
        Message(
            "on {n} test images: mean squared error {mse:.4f} with pixels of deviation 1, where the mean image gets 1; "
            "{rms:.1f} of 255 root mean square. The weights were chosen by validation; the test images were looked at "
            "once, afterwards.",
            n=units.exact(found.n),
            mse=found.mse,
            rms=found.pixels_rms,
        ),
    )
    columns = [html.Column(_("epoch")), html.Column(_("training error")), html.Column(_("validation error"))]
    rows = [
        [line["epoch"] + 1, f"{line['train_loss']:.4f}", "" if line["val_loss"] is None else f"{line['val_loss']:.4f}"]
        for line in epochs
    ]
    pictures = [picture for pair in found.shown for picture in pair]
    captions = [caption for pair in found.shown for caption in (_("image"), _("came back"))]
    return html.page(
        _("{model}: reconstruction", model=result["model"]),
        html.header(str(result["model"]), lead, note=_("seed {seed} · {run}", seed=result["seed"], run=result["run"])),
        html.section(_("Images and what came back"), html.thumbnails(pictures, captions, captions)),
        html.section(_("Epochs"), html.table(columns, rows, _("Mean squared error, pixels of deviation 1."))),
        html.section(_("How it was trained"), html.facts(header.items())),
        lang=language(),
    )
