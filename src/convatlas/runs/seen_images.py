"""`SeenImages`: images as a network sees them, with its predictions; and networks with their first weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from convatlas import data as room
from convatlas import models, units
from convatlas.data import Preprocessing
from convatlas.data.dataset import printable
from convatlas.errors import BadImageError, UnknownNameError
from convatlas.inspection.forward import logits_of
from convatlas.message import Message
from convatlas.models import own
from convatlas.models.loaded import Labels
from convatlas.models.weights.given import GivenPreparation
from convatlas.runs.loaded_network import LoadedNetwork, preprocessing_of
from convatlas.runs.predict import Source, image_sources
from convatlas.visualization.plots import tick_label

if TYPE_CHECKING:
    from convatlas.runs.predict import ImageSource

AT_ONCE = 4  # images per pass; a pass keeps the output of every layer


@dataclass(frozen=True, eq=False)
class SeenImages:
    """Images as a network sees them, with its predictions. Measured.

    Attributes:
        files: (N,), the path of each image, or its place in the argument if it has none.
        images: (N, C, H, W), preprocessed for the network.
        pixels: (N, H, W, C) from 0 to 1, the part of each image that the network sees.
        logits: (N, K).
        classes: (K,), the names of the outputs.
    """

    files: tuple[str, ...]
    images: Tensor
    pixels: np.ndarray
    logits: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def probabilities(self) -> np.ndarray:
        """(N, K)."""
        return np.asarray(torch.from_numpy(self.logits).softmax(dim=1).numpy())

    @property
    def predicted(self) -> tuple[int, ...]:
        """(N,), the index of the most probable class."""
        return tuple(self.logits.argmax(axis=1).tolist())

    def record(self, place: int, index: int) -> dict[str, Any]:
        """The JSON record of image ``place`` and class ``index``."""
        return {
            "file": printable(self.files[place]),
            "class": self.classes[index],
            "class_index": index,
            "probability": float(self.probabilities[place, index]),
            "score": float(self.logits[place, index]),
        }

    def part(self, places: Sequence[int]) -> SeenImages:
        """Some of the images."""
        return SeenImages(
            tuple(self.files[place] for place in places),
            self.images[list(places)],
            self.pixels[list(places)],
            self.logits[list(places)],
            self.classes,
        )


def see(network: LoadedNetwork, images: ImageSource | Iterable[ImageSource]) -> SeenImages:
    """Prepare images for a network as `predict` does, and classify them.

    Raises:
        BadImageError: an image that is missing or cannot be read.
        UsageError: something is not an image.
    """
    sources = list(image_sources(images))
    prepared = room.prepare([_read(source, network.preprocessing) for source in sources], network.preprocessing)
    logits = torch.cat([logits_of(network.net, some).float() for some in prepared.split(AT_ONCE)])
    return SeenImages(
        tuple(source.name for source in sources),
        prepared,
        pixels_of(prepared, network.preprocessing),
        logits.numpy(),
        network.labels.names,
    )


def pixels_of(prepared: Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """Preprocessed images (N, C, H, W) as pixels (N, H, W, C) from 0 to 1."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    pixels = (prepared * std + mean).clamp(0, 1)
    return np.asarray(pixels.permute(0, 2, 3, 1).numpy())


def class_index(network: LoadedNetwork, name: str) -> int:
    """The output of a class, by its name or else by its index.

    Raises:
        UnknownNameError: no such class, or a name of several classes.
    """
    outputs = network.labels.outputs(name)
    if len(outputs) == 1:
        return outputs[0]
    if not outputs and name.isdecimal() and int(name) < len(network.labels):
        return int(name)
    known = [network.labels.names[index] for index in outputs] or network.labels.names
    raise UnknownNameError("class", name, known)


def first_weights(
    name: str, seed: int, classes: Sequence[str] | None = None, given: GivenPreparation | None = None
) -> LoadedNetwork:
    """A network of the atlas with the weights it is initialised with, or a network of the user's own.

    Args:
        seed: of the weights.
        classes: the names of the outputs; their numbers where None.
        given: how images are prepared; where it is silent, the paper's image size (224 x 224 for a network of the
            user's own) and pixels from 0 to 1.
    """
    given = given or GivenPreparation()
    record = models.entry(name)
    channels, height, _ = record.input
    side = given.crop or height
    torch.manual_seed(seed)
    heads: dict[str, Any] = {} if classes is None else {"num_classes": len(classes)}
    net = models.create_model(name, **heads, image_size=side).eval()
    unnormalised = GivenPreparation(
        given.mean or (0.0,), given.std or (1.0,), given.channels, given.resize, side, given.interpolation
    )
    preparation, _ = unnormalised.completed(None, Message(""), side, channels)
    assert preparation is not None
    outputs = logits_of(net, torch.zeros(1, channels, side, side)).shape[-1]
    names = tuple(classes) if classes is not None else tuple(map(str, range(outputs)))
    prepared_from = Message("{names} as given", names=", ".join(given.names)) if given else Message("assumed")
    title = Message("{network}, as its file builds it" if own.is_file(name) else "{network} with its first weights, "
                    "seed {seed}", network=record.label, seed=seed)  # fmt: skip
    return LoadedNetwork(title, net, preprocessing_of(preparation), Labels(names), prepared_from)


def class_and_probability(seen: SeenImages, place: int, index: int, *, with_file: bool = False) -> str:
    """The title of a picture: a class with its probability for image ``place``, below the name of its file."""
    text = f"{tick_label(seen.classes[index])}  {units.percent(seen.probabilities[place, index], 1)}"
    return f"{shortened(Path(seen.files[place]).name)}\n{text}" if with_file else text


def shortened(name: str, length: int = 34) -> str:
    """A file's name, its middle left out where it is too long for a title."""
    return name if len(name) <= length else f"{name[: length // 2]}…{name[-(length // 2) :]}"


def summary(values: np.ndarray) -> dict[str, Any]:
    """The JSON record of an array: its shape and its range."""
    return {"shape": list(values.shape), "min": float(values.min()), "max": float(values.max())}


def _read(source: Source, preprocessing: Preprocessing) -> np.ndarray:
    if source.error is not None:
        raise source.error
    if source.pixels is not None:
        return preprocessing.apply(source.pixels)
    try:
        return room.load_file(source.name, preprocessing)
    except BadImageError as error:
        raise BadImageError(source.name, error.reason) from error
