"""Gradients through depth: of a training at its start, of a finished run, and as a run recorded them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from convatlas.data import Dataset, prepare
from convatlas.i18n import _
from convatlas.inspection.gradients import GradientNorms, gradient_norms
from convatlas.message import Message
from convatlas.recipes.registry import recipe_for
from convatlas.runs.options import RunOptions
from convatlas.runs.prepare import build_loss, entry_for
from convatlas.runs.prepare import prepare as prepare_training
from convatlas.runs.run import Run
from convatlas.runs.training_data import TrainingData
from convatlas.visualization import inspection as pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn

NORM = Message("L2 norm of the gradient of the layer's weights")
IMAGES = 32  # of the batch whose gradient is measured


@dataclass(frozen=True, eq=False)
class GradientsThroughDepth:
    """The norm of the gradient of each layer's weights. Measured.

    Attributes:
        network: its name, or the run.
        measured: for one batch; None where the run recorded the norms.
        recorded: the records of the epochs, which have ``epoch`` and ``gradient_norms``.
    """

    network: str
    measured: GradientNorms | None = None
    recorded: tuple[dict[str, Any], ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.recorded[0]["gradient_norms"]) if self.measured is None else self.measured.layers

    def to_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "network": self.network,
            "what": "gradient-norms",
            "kind": "measured",
            "unit": NORM,
        }
        if self.measured is not None:
            return document | self.measured.to_dict()
        return document | {
            "epochs": [
                {"epoch": line["epoch"], "layers": [
                    {"layer": layer, "norm": norm} for layer, norm in line["gradient_norms"].items()
                ]}
                for line in self.recorded
            ],
        }  # fmt: skip

    def draw(self, places: Sequence[int] | None = None) -> Axes:
        """The norm of each layer: one line, or one for each epoch."""
        width = min(9.0, 4.0 + 0.12 * len(self.layers))
        ((ax,),) = pictures.panels(1, 1, width, 3.6)
        if self.measured is not None:
            title = _("{network}: {n} images, loss {loss}", network=self.network, n=self.measured.images,
                      loss=f"{self.measured.loss:.3g}")  # fmt: skip
            return pictures.gradient_norms(ax, self.layers, [("", self.measured.norms.tolist())], title)
        series = [
            (_("epoch {epoch}", epoch=line["epoch"] + 1), list(line["gradient_norms"].values()))
            for line in self.recorded
        ]
        name = Path(self.network).name
        title = _("{network}: mean over the updates of each epoch", network=name)
        return pictures.gradient_norms(ax, self.layers, series, title)


def gradients_of_run(run: Run) -> GradientsThroughDepth:
    """The norms that a run recorded at each epoch; where it recorded none, those of its weights for training images.

    Raises:
        CheckpointError: neither recorded nor finished.
        DataError: the data of the run are not where they were.
    """
    recorded = tuple(line for line in run.epochs() if "gradient_norms" in line)
    if recorded:
        return GradientsThroughDepth(str(run.path), recorded=recorded)
    net = run.network()
    dataset, preprocessing = run.dataset(), run.preprocessing
    split = run.split(dataset)
    chosen = split.train[:: max(1, len(split.train) // IMAGES)][:IMAGES]
    images = prepare([preprocessing.apply(dataset.read(int(index))) for index in chosen], preprocessing)
    labels = torch.from_numpy(dataset.labels[chosen])
    loss = build_loss(run.recipe, TrainingData(dataset, split=split), "cpu")
    return GradientsThroughDepth(str(run.path), gradient_norms(net, images, labels, loss, seed=run.seed))


def gradients_at_start(
    model: str | nn.Module, data: str | Path | Dataset | TrainingData = "digits", *, seed: int = 0, **settings: Any
) -> GradientsThroughDepth:
    """The norms for the first batch of a training of ``model``, before its first update.

    Args:
        model, data, seed: as in `train`.
        settings: of the recipe, such as ``initial="modern"`` or ``batch_size=16``.

    Raises:
        UsageError, DataError: as in `train`.
    """
    recipe = recipe_for(entry_for(model), "modern").change(**{"batch_size": IMAGES, "epochs": 1, **settings})
    training_data = data if isinstance(data, TrainingData) else TrainingData(data, seed=seed)
    options = RunOptions(device="cpu", precision="fp32", trial=False, compile="off")
    setup = prepare_training(model, training_data, recipe, seed, options=options)
    batch = next(setup.of_this_rank(setup.batches).epoch(0))
    found = gradient_norms(setup.net, batch.images, batch.targets, setup.loss(), seed=seed)
    title = Message("{network} at the start, seed {seed}", network=setup.entry.label, seed=seed)
    return GradientsThroughDepth(title, found)
