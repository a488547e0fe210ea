"""What a network has learned of a data set: patches that excite its channels, and the plane of its features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from convatlas import units
from convatlas.data import Dataset, open_data, prepare
from convatlas.data.dataset import printable
from convatlas.errors import UsageError
from convatlas.i18n import _
from convatlas.inspection import channels as room
from convatlas.inspection import embedding
from convatlas.inspection.channels import ChannelPatches, MaximisedImage
from convatlas.inspection.embedding import Features, Plane
from convatlas.inspection.forward import ForwardPass
from convatlas.message import Message
from convatlas.runs.loaded_network import LoadedNetwork
from convatlas.runs.seen_images import AT_ONCE, SeenImages, pixels_of, see, summary
from convatlas.visualization import inspection as pictures
from convatlas.visualization.plots import tick_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from convatlas.runs.inspect import Images

ACTIVATION = Message("activation")
NEIGHBOURS = 8
STEP = 0.02  # of a gradient ascent, as a share of the range of pixels


@dataclass(frozen=True, eq=False)
class Sample:
    """Images of a data set, prepared for a network.

    Attributes:
        images: (N, C, H, W).
        pixels: (N, H, W, C) from 0 to 1.
        names: (N,), what the data set calls them.
        labels: (N,), indices of ``classes``.
        data: where the images are from.
    """

    images: Tensor
    pixels: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    data: str

    def batches(self) -> Iterator[Tensor]:
        yield from self.images.split(AT_ONCE * 4)


def sample(network: LoadedNetwork, data: str | Path | Dataset | None = None, count: int = 500) -> Sample:
    """Images of a data set, evenly chosen: of ``data``, or of the test images of the run.

    Raises:
        UsageError: no data where the network is not that of a run, or ``count`` is below 1.
        DataError: the data cannot be read.
    """
    if count < 1:
        raise UsageError("sample {count}: at least 1 image is needed.", count=count)
    if data is None:
        if network.run is None:
            raise UsageError("{network} is not a run: name a data set with --data.", network=network.name)
        dataset = network.run.dataset()
        indices = network.run.split(dataset).test
    else:
        dataset = data if isinstance(data, Dataset) else open_data(str(data))
        indices = np.arange(len(dataset))
    chosen = indices[np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(int))]
    preprocessing = network.preprocessing
    images = prepare([preprocessing.apply(dataset.read(int(index))) for index in chosen], preprocessing)
    return Sample(
        images,
        pixels_of(images, preprocessing),
        tuple(printable(dataset.names[int(index)]) for index in chosen),
        dataset.labels[chosen],
        tuple(dataset.classes),
        dataset.source,
    )


# --- channels ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SeenPatches:
    """The images that excite channels of a layer most, with the part that their strongest position sees."""

    network: str
    sample: Sample
    patches: ChannelPatches

    def to_dict(self) -> dict[str, Any]:
        document = self.patches.to_dict()
        for channel in document["channels"]:
            channel["files"] = [self.sample.names[index] for index in channel.pop("images")]
        return {
            "network": self.network,
            "what": "patches",
            "kind": "measured",
            "unit": ACTIVATION,
            "source": "Zeiler and Fergus, arXiv:1311.2901, section 4, figure 2",
            "data": self.sample.data,
            "n": len(self.sample.names),
            **document,
        }

    def draw(self, places: Sequence[int] | None = None) -> Axes:
        """A panel of each channel: its patches, the strongest first, each enlarged to the same size."""
        found = self.patches
        columns = pictures.tile_columns(len(found.channels))
        rows = -(-len(found.channels) // columns)
        grid = pictures.panels(rows, columns, 2.6, 2.9)
        flat = [ax for row in grid for ax in row]
        for ax in flat[len(found.channels) :]:
            ax.set_axis_off()
        for k, (channel, ax) in enumerate(zip(found.channels, flat, strict=False)):
            parts = [
                pictures.enlarged(self.sample.pixels[index][top : bottom + 1, left : right + 1])
                for index, (top, bottom, left, right) in zip(found.images[k], found.boxes[k], strict=True)
            ]
            title = _("{layer}, channel {channel}: up to {value}", layer=found.layer, channel=channel,
                      value=f"{found.activations[k, 0]:.3g}")  # fmt: skip
            pictures.tiles(ax, np.stack(parts), title=title)
        return grid[0][0]


def channel_patches(
    network: LoadedNetwork, images: Sample, layer: str | None = None, channels: Sequence[int] | None = None
) -> SeenPatches:
    """The nine images of a sample that excite each channel of a layer most; see `inspection.channel_patches`."""
    layer = layer or ForwardPass(network.net, images.images[:1]).last_spatial_row()
    return SeenPatches(network.name, images, room.channel_patches(network.net, images.batches(), layer, channels))


@dataclass(frozen=True, eq=False)
class Maximised:
    """Images that are made to excite channels."""

    network: str
    found: tuple[MaximisedImage, ...]
    pixels: np.ndarray  # (K, H, W, C) from 0 to 1
    names: tuple[str, ...]  # of the channels, where they are classes

    def to_dict(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "what": "maximise",
            "kind": "measured",
            "layer": self.found[0].layer,
            "unit": ACTIVATION,
            "source": "Yosinski et al., arXiv:1506.06579, section 3",
            "channels": [
                {"channel": each.channel, "name": name, "activations": each.activations.tolist(), **summary(each.image)}
                for each, name in zip(self.found, self.names, strict=True)
            ],
        }

    def draw(self, places: Sequence[int] | None = None) -> Axes:
        height, width = self.pixels.shape[1:3]
        size = pictures.tiles_size(len(self.found), height / width, captions=True)
        ((ax,),) = pictures.panels(1, 1, *size)
        captions = [
            f"{name or each.channel}: {each.activations[-1]:.3g}"
            for each, name in zip(self.found, self.names, strict=True)
        ]
        pixels = np.repeat(self.pixels, 3, axis=3) if self.pixels.shape[3] == 1 else self.pixels
        return pictures.tiles(ax, pixels, captions, title=self.found[0].layer)


def maximise(
    network: LoadedNetwork, layer: str | None, channels: Sequence[int], *, seed: int = 0, steps: int = 128
) -> Maximised:
    """Images that excite channels of a layer, or classes where the layer is None; see `inspection.maximise`."""
    preprocessing = network.preprocessing
    shape = (preprocessing.channels, *preprocessing.size)
    of_classes = layer is None
    if layer is None:
        layer = ForwardPass(network.net, torch.zeros(1, *shape)).rows[-1]
    step_size = STEP / float(np.mean(preprocessing.std))
    found = tuple(
        room.maximise(
            network.net, shape, layer, channel, steps=steps, step_size=step_size, noise=3 * step_size, seed=seed
        )
        for channel in channels
    )
    pixels = pixels_of(torch.from_numpy(np.stack([each.image for each in found])), preprocessing)
    names = tuple(network.labels.names[channel] if of_classes else "" for channel in channels)
    return Maximised(network.name, found, pixels, names)


# --- embedding --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Embedded:
    """The penultimate features of a sample, on a plane by PCA and by t-SNE."""

    network: str
    sample: Sample
    features: Features
    planes: tuple[Plane, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "what": "embedding",
            "kind": "measured",
            "layer": self.features.layer,
            "unit": ACTIVATION,
            "source": "t-SNE: van der Maaten and Hinton, JMLR 9 (2008)",
            "data": self.sample.data,
            "n": len(self.sample.names),
            **summary(self.features.values),
            "explained": list(self.planes[0].explained),
            "points": [
                {
                    "file": name,
                    "class": self.sample.classes[label],
                    **{plane.method: plane.points[place].tolist() for plane in self.planes},
                }
                for place, (name, label) in enumerate(zip(self.sample.names, self.sample.labels, strict=True))
            ],
        }

    def draw(self, places: Sequence[int] | None = None) -> Axes:
        """A plane of each method, the points coloured by class."""
        (row,) = pictures.panels(1, len(self.planes), 4.6, 4.0)
        for ax, plane in zip(row, self.planes, strict=True):
            title = "t-SNE" if not plane.explained else _(
                "PCA, {share} of the variance", share=units.percent(sum(plane.explained), 0))  # fmt: skip
            pictures.plane(ax, plane.points, self.sample.labels, self.sample.classes, title, legend=ax is row[-1])
        return row[0]


def embed(network: LoadedNetwork, images: Sample, *, seed: int = 0) -> Embedded:
    """The plane of the features of a sample.

    Raises:
        UsageError: fewer than four images.
    """
    found = embedding.features(network.net, images.batches())
    planes = (embedding.pca(found.values), embedding.t_sne(found.values, seed=seed))
    return Embedded(network.name, images, found, planes)


@dataclass(frozen=True, eq=False)
class Nearest:
    """The images of a sample whose features are nearest to those of some images."""

    network: str
    seen: SeenImages
    sample: Sample
    layer: str
    order: np.ndarray  # (N, count)
    similar: np.ndarray  # (N, count), cosine

    def to_dict(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "what": "neighbours",
            "kind": "measured",
            "layer": self.layer,
            "unit": Message("cosine similarity"),
            "data": self.sample.data,
            "n": len(self.sample.names),
            "images": [
                {
                    **self.seen.record(place, index),
                    "neighbours": [
                        {
                            "file": self.sample.names[near],
                            "class": self.sample.classes[self.sample.labels[near]],
                            "similarity": float(similar),
                        }
                        for near, similar in zip(self.order[place], self.similar[place], strict=True)
                    ],
                }
                for place, index in enumerate(self.seen.predicted)
            ],
        }

    def draw(self, places: Sequence[int] | None = None) -> Axes:
        """A row of each image: the image, and its neighbours with class and similarity."""
        places = range(len(self.seen)) if places is None else places
        count = self.order.shape[1] + 1
        height, width = self.sample.pixels.shape[1:3]
        size = pictures.tiles_size(count, height / width, captions=True, columns=count)
        grid = pictures.panels(len(places), 1, *size)
        for (ax,), place in zip(grid, places, strict=True):
            near = self.order[place]
            shown = np.concatenate([self.seen.pixels[place : place + 1], self.sample.pixels[near]])
            shown = np.repeat(shown, 3, axis=3) if shown.shape[3] == 1 else shown
            captions = [
                f"{tick_label(self.sample.classes[self.sample.labels[index]])}  {value:.2f}"
                for index, value in zip(near, self.similar[place], strict=True)
            ]
            pictures.tiles(ax, shown, [Path(self.seen.files[place]).name, *captions], count)
        return grid[0][0]


def nearest(network: LoadedNetwork, images: Images, sampled: Sample, count: int = NEIGHBOURS) -> Nearest:
    """The neighbours of images among a sample, by the cosine similarity of their penultimate features."""
    seen = see(network, images)
    known = embedding.features(network.net, sampled.batches())
    asked = embedding.features(network.net, seen.images.split(AT_ONCE))
    order, similar = embedding.neighbours(known.values, asked.values, count)
    return Nearest(network.name, seen, sampled, known.layer, order, similar)
