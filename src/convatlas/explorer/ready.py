"""Networks ready for images: with weights, preprocessing and names of the outputs. Imports torch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor, nn

from convatlas import models
from convatlas.data import Preprocessing
from convatlas.data.batches import prepare
from convatlas.errors import ConvAtlasError, UsageError
from convatlas.explorer.images import Picture
from convatlas.explorer.subjects import AtlasNetwork, OwnModule, Subject, TrainedRun
from convatlas.inspection import ForwardPass
from convatlas.message import Message
from convatlas.runs.loaded_network import network_with_weights
from convatlas.runs.seen_images import first_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

SEED = 0  # of random weights
NETWORK_BYTES = 1200 << 20  # of the parameters of all networks that are kept
PASS_BYTES = 600 << 20  # of the outputs of all forward passes that are kept

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Ready:
    """A network ready for images.

    Attributes:
        labels: names of the outputs; empty where they are not known.
        trained: whether its weights are not random.
        prepared_from: where the preprocessing comes from, in words.
        reconstructs: whether it returns images instead of classes.
    """

    net: nn.Module
    preprocessing: Preprocessing
    labels: Sequence[str]
    trained: bool
    prepared_from: str
    reconstructs: bool = False

    @property
    def bytes(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.net.parameters())

    def input(self, picture: Picture) -> Tensor:
        """The image as the network's input, (1, C, H, W), prepared as `predict` does."""
        stored = self.preprocessing.apply(picture.read(self.preprocessing.at_least))
        return prepare([stored], self.preprocessing)

    def label(self, index: int) -> str:
        return self.labels[index] if index < len(self.labels) else str(index)


def ready(subject: Subject) -> Ready:
    """Load a subject's weights, or draw random ones.

    Raises:
        CheckpointError: the weights are damaged or missing.
        UsageError: the network cannot be built, or its preprocessing is not known.
    """
    if isinstance(subject, TrainedRun):
        run = subject.run
        reconstructs = "own" not in run.config and models.entry(run.model).reconstructs
        labels = () if reconstructs else run.classes
        origin = Message("as stored in the run")
        return Ready(run.network(), run.preprocessing, labels, True, origin, reconstructs)
    if isinstance(subject, AtlasNetwork):
        return _of_atlas(subject)
    assert isinstance(subject, OwnModule)
    return _of_own(subject)


def _of_atlas(subject: AtlasNetwork) -> Ready:
    given, record = subject.given, subject.entry
    if given is not None:
        found = network_with_weights(
            record.full_name,
            given.weights,
            given.source,
            classes=given.classes,
            download=given.download,
            rename=given.rename,
            preparation=given.preparation,
        )
        return Ready(found.net, found.preprocessing, found.labels.names, True, found.prepared_from)
    with torch.random.fork_rng(devices=()):
        found = first_weights(record.full_name, SEED)
    return Ready(found.net, found.preprocessing, (), False, found.prepared_from, record.reconstructs)


def _of_own(subject: OwnModule) -> Ready:
    channels, height, width = subject.shape
    module = subject.module
    trained = not isinstance(module, str)
    if isinstance(module, str):
        name = module
        net = _drawn(lambda: models.create_model(name, in_channels=channels, image_size=height))
    else:
        net = module
    preprocessing = Preprocessing((height, width), channels, resize="shorter-crop")
    return Ready(net, preprocessing, (), trained, Message("assumed: the shorter side fitted, pixels from 0 to 1"))


def _drawn(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(SEED)
        return build().eval()


class Kept(Generic[Value]):
    """Values by key, within a bound of bytes; the ones used longest ago are dropped. At least one is kept."""

    def __init__(self, most: int, size: Callable[[Value], int]) -> None:
        self._most, self._size = most, size
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    @property
    def bytes(self) -> int:
        return sum(size for _value, size in self._values.values())

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        if key not in self._values:
            value = make()
            self._values[key] = value, self._size(value)
            while len(self._values) > 1 and self.bytes > self._most:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key][0]


class Workbench:
    """The networks and the forward passes of a session. Not for several threads at once: the server lines them up."""

    def __init__(self) -> None:
        self._networks: Kept[Ready] = Kept(NETWORK_BYTES, lambda found: found.bytes)
        self._passes: Kept[ForwardPass] = Kept(PASS_BYTES, pass_bytes)

    def network(self, subject: Subject) -> Ready:
        return self._networks.get(subject.id, lambda: ready(subject))

    def forward(self, subject: Subject, picture: Picture) -> ForwardPass:
        """The outputs of every row for an image.

        Raises:
            ForwardError: the network does not fit its input.
            UsageError: its forward pass failed otherwise, as that of a module of the user's own may.
        """
        subject.summary()  # raises, and names the layer, where the shapes do not fit
        found = self.network(subject)
        return self._passes.get((subject.id, picture.id), lambda: _forward(found, picture))


def _forward(found: Ready, picture: Picture) -> ForwardPass:
    images = found.input(picture)
    try:
        return ForwardPass(found.net, images)
    except ConvAtlasError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        raise UsageError("the forward pass of the network failed: {error}", error=text) from error


def pass_bytes(forward: ForwardPass) -> int:
    """Bytes of the outputs that a pass keeps, each memory counted once."""
    storages = {}
    for row in forward.rows:
        storage = forward.output(row).untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())
