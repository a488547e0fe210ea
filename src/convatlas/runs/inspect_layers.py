"""What the layers of a run, or of a network with weights, do with images: feature maps, statistics, filters, patterns.

Each function returns the arrays with their names, units and sources. `to_dict` is what ``convatlas inspect --json``
prints, and `draw` makes the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convatlas import units
from convatlas.data import Preprocessing
from convatlas.errors import ShapeError
from convatlas.i18n import _
from convatlas.inspection import activations, deconvnet
from convatlas.inspection.activations import ChannelStatistics, Filters
from convatlas.inspection.deconvnet import Deconvolution
from convatlas.inspection.forward import ForwardPass
from convatlas.message import Message
from convatlas.runs.loaded_network import load_network
from convatlas.runs.seen_images import AT_ONCE, SeenImages, class_and_probability, see, summary
from convatlas.visualization import inspection as pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from convatlas.runs.inspect import Images, Inspectable

ACTIVATION = Message("activation")
ACTIVATION_PER_PIXEL = Message("activation per unit of a preprocessed pixel")
WEIGHT = Message("weight")
MAPS_DRAWN = 64  # of more feature maps, those with the largest maximum are drawn
PATTERNS_DRAWN = 9


@dataclass(frozen=True, eq=False)
class SeenMaps:
    """The feature maps of a layer for some images. Measured.

    Attributes:
        layer: the row of ``convatlas show``.
        values: (N, C, h, w) float32, the output of the layer.
        channels: those that are reported and drawn; all where None.
    """

    network: str
    seen: SeenImages
    layer: str
    values: np.ndarray
    channels: tuple[int, ...] | None = None

    def dead(self, place: int) -> list[int]:
        """The channels that are 0 at every position of image ``place``."""
        return np.flatnonzero((self.values[place] == 0).all(axis=(1, 2))).tolist()

    def to_dict(self) -> dict[str, Any]:
        images = []
        for place, index in enumerate(self.seen.predicted):
            maps = self.values[place]
            images.append({
                **self.seen.record(place, index),
                **summary(maps),
                "channels": [
                    {"channel": channel, "min": float(maps[channel].min()), "max": float(maps[channel].max())}
                    for channel in self.chosen
                ],
                "dead": self.dead(place),
            })  # fmt: skip
        return {
            "network": self.network,
            "what": "maps",
            "kind": "measured",
            "layer": self.layer,
            "unit": ACTIVATION,
            "images": images,
        }

    def of_channels(self, channels: Sequence[int]) -> SeenMaps:
        """The same maps, of which only these channels are reported and drawn.

        Raises:
            ShapeError: there is no such channel.
        """
        count = self.values.shape[1]
        if any(channel >= count for channel in channels):
            raise ShapeError(
                "{layer} has the channels 0 to {last}; got {channel}.",
                layer=self.layer,
                last=count - 1,
                channel=max(channels),
            )
        return replace(self, channels=tuple(channels))

    @property
    def chosen(self) -> tuple[int, ...]:
        return tuple(range(self.values.shape[1])) if self.channels is None else self.channels

    def draw(self, places: Sequence[int] | None = None) -> Axes:
        """The maps of each image on a grid, with channel, minimum and maximum; dead channels are crossed out.

        Of more than `MAPS_DRAWN` channels, those with the largest maximum are drawn.
        """
        places = range(len(self.seen)) if places is None else places
        _images, count, height, width = self.values.shape
        drawn = min(MAPS_DRAWN, len(self.chosen))
        size = pictures.tiles_size(drawn, height / width, captions=True)
        grid = pictures.panels(len(places), 1, *size)
        for (ax,), place in zip(grid, places, strict=True):
            maps = self.values[place]
            chosen = self._strongest(maps)
            captions = [f"{channel}: {maps[channel].min():.3g} … {maps[channel].max():.3g}" for channel in chosen]
            title = _("{layer}: {drawn} of {count} channels", layer=self.layer, drawn=len(chosen), count=count)
            name = class_and_probability(self.seen, place, self.seen.predicted[place], with_file=True)
            dead = set(self.dead(place))
            pictures.tiles(
                ax,
                pictures.scaled_maps(maps[chosen]),
                captions,
                title=f"{name}\n{title}",
                crossed=[number for number, channel in enumerate(chosen) if channel in dead],
            )
        return grid[0][0]

    def _strongest(self, maps: np.ndarray) -> list[int]:
        peaks = maps.max(axis=(1, 2))
        return sorted(sorted(self.chosen, key=lambda channel: -peaks[channel])[:MAPS_DRAWN])


def feature_maps(
    what: Inspectable,
    images: Images,
    layer: str | None = None,
    *,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> SeenMaps:
    """The feature maps of a layer for images.

    Args:
        layer: a row of ``convatlas show``, or a block, whose last row is used; the first row with spatial axes that
            has weights where None.
        what, images, classes, preprocessing: as in `predict`.

    Raises:
        UnknownNameError: no such layer.
        ShapeError: the layer's output has no spatial axes.
        UsageError, BadImageError: as in `attribute`.
    """
    network = load_network(what, classes, preprocessing)
    seen = see(network, images)
    layer = layer or activations.first_layer_filters(network.net).layer
    values: list[np.ndarray] = []
    for some in seen.images.split(AT_ONCE):
        forward = ForwardPass(network.net, some)
        layer = forward.row_of(layer)
        values.append(forward.maps(layer).float().numpy())
    return SeenMaps(network.name, seen, layer, np.concatenate(values))


@dataclass(frozen=True, eq=False)
class SeenStatistics:
    """The statistics of a layer's channels over images. Measured."""

    network: str
    statistics: ChannelStatistics

    def to_dict(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "what": "statistics",
            "kind": "measured",
            "unit": ACTIVATION,
            **self.statistics.to_dict(),
        }

    def draw(self, places: Sequence[int] | None = None) -> Axes:
        """Zeros, and mean and deviation, of each channel."""
        found = self.statistics
        ((zeros, means),) = pictures.panels(1, 2, 4.2, 3.0)
        title = _("{layer}: {n} of {count} channels dead over {images} images", layer=found.layer, n=len(found.dead),
                  count=len(found.mean), images=units.exact(found.images))  # fmt: skip
        pictures.channel_zeros(zeros, found.zeros, title)
        return pictures.channel_means(means, found.mean, found.standard_deviation)


def channel_statistics(what: Inspectable, images: Images, layer: str | None = None) -> SeenStatistics:
    """Mean, deviation, share of zeros and dead channels of a layer over images; see `feature_maps`."""
    network = load_network(what)
    seen = see(network, images)
    forward = ForwardPass(network.net, seen.images[:1])
    layer = forward.row_of(layer or activations.first_layer_filters(network.net).layer)
    found = activations.channel_statistics(network.net, seen.images.split(AT_ONCE), layer)
    return SeenStatistics(network.name, found)


@dataclass(frozen=True, eq=False)
class SeenFilters:
    """The kernels of the first convolution."""

    network: str
    filters: Filters

    def to_dict(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "what": "filters",
            "kind": "measured",
            "layer": self.filters.layer,
            "unit": WEIGHT,
            **summary(self.filters.weights),
        }

    def draw(self, places: Sequence[int] | None = None) -> Axes:
        """The filters as colour pictures; a filter of another number of channels than 1 or 3 as its first channel."""
        weights = self.filters.weights
        shown = self.filters.pictures() if weights.shape[1] in (1, 3) else self.filters.pictures()[..., :1]
        ((ax,),) = pictures.panels(1, 1, *pictures.tiles_size(len(shown), shown.shape[1] / shown.shape[2], False))
        title = _("{layer}: {shape} filters, each scaled by its largest weight; grey is 0", layer=self.filters.layer,
                  shape=" x ".join(map(str, weights.shape)))  # fmt: skip
        return pictures.tiles(ax, np.repeat(shown, 3, axis=3) if shown.shape[3] == 1 else shown, title=title)


def filters(what: Inspectable) -> SeenFilters:
    """The kernels of the first convolution of a run, or of a network with weights."""
    network = load_network(what)
    return SeenFilters(network.name, activations.first_layer_filters(network.net))


@dataclass(frozen=True, eq=False)
class SeenPatterns:
    """The patterns that activate feature maps of a layer, found by a deconvnet. Measured."""

    network: str
    seen: SeenImages
    deconvolution: Deconvolution

    def to_dict(self) -> dict[str, Any]:
        found = self.deconvolution
        return {
            "network": self.network,
            "what": "deconvnet",
            "kind": "measured",
            "layer": found.layer,
            "unit": ACTIVATION_PER_PIXEL,
            "source": "Zeiler and Fergus, arXiv:1311.2901, section 2.1",
            "images": [
                {
                    **self.seen.record(place, index),
                    "patterns": [
                        {
                            "channel": channel,
                            "activation": float(found.activations[place, number]),
                            "position": found.positions[place, number].tolist(),
                            **summary(found.values[place, number]),
                        }
                        for number, channel in enumerate(found.channels)
                    ],
                }
                for place, index in enumerate(self.seen.predicted)
            ],
        }

    def draw(self, places: Sequence[int] | None = None) -> Axes:
        """A row of each image: the image; the patterns of its channels, enlarged; and the same part of the image."""
        found = self.deconvolution
        places = range(len(self.seen)) if places is None else places
        count = len(found.channels)
        grid = pictures.panels(len(places), 2, 1.1 + 0.65 * count, 3.4, ratios=(2.2, 1.3 * count))
        for row, place in zip(grid, places, strict=True):
            values = np.moveaxis(found.values[place], 1, 3)  # (K, H, W, C)
            pixels = self.seen.pixels[place]
            name = class_and_probability(self.seen, place, self.seen.predicted[place], with_file=True)
            pictures.image(row[0], pixels, name)
            patches = patches_around([np.abs(each).sum(axis=2) > 0 for each in values])
            enlarged = pictures.scaled_patterns(
                np.stack([each[patch] for each, patch in zip(values, patches, strict=True)])
            )
            parts = np.stack([pixels[patch] for patch in patches])
            parts = np.repeat(parts, 3, axis=3) if parts.shape[3] == 1 else parts
            captions = [
                f"{channel}: {value:.3g}"
                for channel, value in zip(found.channels, found.activations[place], strict=True)
            ]
            title = f"deconvnet, {found.layer}"
            pictures.tiles(row[1], np.concatenate([enlarged, parts]), [*captions, *[""] * count], count, title)
        return grid[0][0]


def patches_around(masks: Sequence[np.ndarray]) -> list[tuple[slice, slice]]:
    """For each mask (H, W) a square around its pixels, all of the same side, inside the image."""
    boxes = []
    for mask in masks:
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        boxes.append(
            (rows[0], rows[-1], columns[0], columns[-1]) if len(rows) else (0, mask.shape[0] - 1, 0, mask.shape[1] - 1)
        )
    height, width = masks[0].shape
    side = min(height, width, max(max(bottom - top, right - left) + 1 for top, bottom, left, right in boxes))
    patches = []
    for top, bottom, left, right in boxes:
        first = min(max(0, (top + bottom + 1 - side) // 2), height - side)
        start = min(max(0, (left + right + 1 - side) // 2), width - side)
        patches.append((slice(first, first + side), slice(start, start + side)))
    return patches


def patterns(
    what: Inspectable, images: Images, layer: str | None = None, channels: Sequence[int] | None = None
) -> SeenPatterns:
    """Project the strongest activations of a layer's feature maps back to the pixels.

    Args:
        layer: a row of ``convatlas show``, or a block; the last one with spatial axes where None.
        channels: the feature maps; by default the nine with the largest maximum over the images.

    Raises:
        UnknownNameError: no such layer.
        ShapeError: the layer has no such feature map.
        UsageError, BadImageError: as in `attribute`.
    """
    network = load_network(what)
    seen = see(network, images)
    forward = ForwardPass(network.net, seen.images[:1])
    layer = forward.last_spatial_row() if layer is None else forward.row_of(layer)
    if channels is None:
        channels = deconvnet.strongest_channels(network.net, seen.images, layer, PATTERNS_DRAWN)
    return SeenPatterns(network.name, seen, deconvnet.deconvolutions(network.net, seen.images, layer, channels))
