"""What a network keeps of the weights loaded into it: their name, their preparation, their labels. No torch."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from convatlas.errors import DataError
from convatlas.message import Message, joined

WORDNET = re.compile(r"(n\d{8})(?![0-9])")  # what a folder of ImageNet begins with: n01440764, n02085620-Chihuahua


@dataclass(frozen=True)
class Preparation:
    """RGB images in [0, 1] become ``(image - mean) / std``, after a resize and a centre crop.

    A source that was trained on BGR has its first convolution turned round when it is loaded, so that every network
    here takes RGB; one that was trained on pixels of 0 to 255 has a ``std`` of 1/255.

    Attributes:
        resize: side in pixels to which the shorter side is fitted or, where ``squash`` is set, both sides.
        crop: side of the square cut from the centre, which the network reads.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int
    crop: int
    interpolation: str = "bilinear"
    squash: bool = False

    @property
    def said(self) -> Message:
        """The preparation in words."""
        fitted = Message("shorter side to {side}", side=self.resize)
        if self.squash:
            fitted = Message("squashed to {side} x {side}", side=self.resize)
        return Message(
            "{fitted}, {interpolation}; centre {crop} x {crop}; {channels}, mean and std {values}",
            fitted=fitted,
            interpolation=self.interpolation,
            crop=self.crop,
            channels="RGB" if len(self.mean) == 3 else Message("grey"),
            values="  ".join(" ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std)),
        )

    def __str__(self) -> str:
        return self.said


@dataclass(frozen=True)
class Labels:
    """Names of a network's outputs.

    Attributes:
        names: one per output, in their order; this is what a prediction says.
        others: for each output the further names it answers to; empty where there are none.
    """

    names: tuple[str, ...]
    others: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def outputs(self, name: str) -> tuple[int, ...]:
        """The outputs that ``name`` may mean: the one spelt so; or those spelt so but for case, ``_``, ``-`` and
        blanks; or those that answer to it. A name that begins with a WordNet number means that number."""
        if name in self.names:
            return (self.names.index(name),)
        number = WORDNET.match(name)
        spelling = folded(number[1] if number else name)
        alike = tuple(place for place, ours in enumerate(self.names) if folded(ours) == spelling)
        return alike or self._answering.get(spelling, ())

    @functools.cached_property
    def _answering(self) -> dict[str, tuple[int, ...]]:
        places: dict[str, tuple[int, ...]] = {}
        for place, names in enumerate(self.others):
            for spelling in map(folded, names):
                places[spelling] = (*places.get(spelling, ()), place)
        return places

    def match(self, classes: Sequence[str], source: str, network: str) -> list[int]:
        """The output of each class of a data set.

        Raises:
            DataError: classes with no output, or with several; the message names them.
        """
        outputs = [self.outputs(name) for name in classes]
        unknown = [name for name, places in zip(classes, outputs, strict=True) if not places]
        if unknown:
            raise DataError(
                "{source} has classes that {network} does not know: {unknown}. It knows {count}: {names}",
                source=source,
                network=network,
                unknown=", ".join(unknown[:5]),
                count=len(self),
                names=", ".join(self.names[:20]) + (" ..." if len(self) > 20 else "."),
            )
        for name, places in zip(classes, outputs, strict=True):
            if len(places) > 1:
                meant = " or ".join(", ".join((self.names[place], *self.others[place][:1])) for place in places)
                raise DataError(
                    "the class {name} of {source} may be {meant}: spell it as the one that is meant.",
                    name=name,
                    source=source,
                    meant=meant,
                )
        return [places[0] for places in outputs]


def folded(name: str) -> str:
    """A name without what two spellings of it may differ in."""
    return " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFC", name).casefold().strip()))


@dataclass(frozen=True)
class Loaded:
    """What ``load_weights`` did. The network keeps it as ``net.loaded``, so that `evaluate` and `predict` are right.

    Attributes:
        weights: the published name, "torchvision:IMAGENET1K_V2", where the file is a published one; else its path.
        source: whose file it was.
        tensors: how many of the network's tensors it filled.
        kept: names of the network the file does not hold and that keep their values: auxiliary heads, counters.
        ignored: names of the file the network has no use for, of the same kinds.
        preparation: how the images are prepared: as the published line says where the file is a published one, else
            as is usual at its source; None where nothing is known.
        preparation_from: which of these it is, in words.
        labels: what the outputs are called; None where the source has no usual classes for that many of them.
        undone: the wrappings that were taken off the file, and the names that were changed, in words.
        notes: what its user should know: another network that the file fits as well.
    """

    weights: str
    source: str
    tensors: int
    kept: tuple[str, ...]
    ignored: tuple[str, ...]
    preparation: Preparation | None
    preparation_from: str
    labels: Labels | None
    undone: tuple[Message, ...] = ()
    notes: tuple[Message, ...] = ()

    @property
    def remarks(self) -> tuple[Message, ...]:
        """What was undone, in one sentence, and the notes."""
        undone = Message("{file}: {undone}", file=self.weights, undone=joined(self.undone)) if self.undone else None
        return (*((undone,) if undone else ()), *self.notes)
