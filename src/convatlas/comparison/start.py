"""Which of the weights that the user names a network can start from, and which networks they can be for at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convatlas import models
from convatlas.data import Dataset
from convatlas.errors import ConvAtlasError, UsageError
from convatlas.message import joined
from convatlas.models.weights.contents import in_folder
from convatlas.models.weights.published import table
from convatlas.models.weights.read import read_file
from convatlas.models.weights.shapes import nearest, shapes_of
from convatlas.models.weights.wrappings import by_names
from convatlas.recipes.recipe import Recipe
from convatlas.runs.transfer import is_convatlas_file, load_initial_weights, read_own_weights, read_source

ALIKE = 0.8  # score of `nearest` from which a network is tried; a network with another head has about 0.95
TRIED = 12  # networks that are tried for a file of weights


class NoWeightsFit(UsageError):
    """None of the weights named fits a network; ``reasons`` says why."""

    def __init__(self, model: str, reasons: Sequence[object]) -> None:
        self.reasons = joined(reasons, " ")
        super().__init__(
            "{model} cannot start from the weights named: {reasons} Leave this network out, or name weights of it with "
            "another --start-from.",
            model=model,
            reasons=self.reasons,
        )


def weights_that_fit(
    model: str, recipe: Recipe, data: Dataset, weights: Sequence[str], download: bool
) -> tuple[str, int]:
    """Return the first of ``weights`` that the network can start from, and the side of its input with them.

    Raises:
        NoWeightsFit: none of them fits.
    """
    reasons = []
    for each in weights:
        try:
            source = read_source(each, model, download, recipe.image_size)
            side = recipe.image_size or (
                source.preprocessing.size[0] if source.preprocessing else models.entry(model).input[1]
            )
            network = models.create_model(
                model, num_classes=len(data.classes), in_channels=data.channels, image_size=side
            )
            load_initial_weights(network, model, source, data.classes, side)
        except ConvAtlasError as error:
            reasons.append(error.message)
        else:
            return each, side
    raise NoWeightsFit(model, reasons)


def networks_of_weights(start_from: str) -> list[str]:
    """The networks of the atlas that weights can be for, the most alike first. `weights_that_fit` decides.

    Raises:
        CheckpointError: the file is not there, or is not a file of weights.
    """
    path = Path(start_from)
    if not path.exists():
        return [line.network for line in table() if line.full_name == start_from]
    file = in_folder(path) if path.is_dir() else path
    if is_convatlas_file(file):
        return [read_own_weights(file, start_from).network]
    found = read_file(file)
    near = nearest(shapes_of(by_names(found.tensors).tensors, found.kind), TRIED)
    return [each.name for each in near if each.score >= ALIKE]
