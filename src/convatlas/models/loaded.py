"""Records about the weights loaded into a network: their name, preprocessing and labels. No torch."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from convatlas.errors import DataError
from convatlas.message import Message, joined

WORDNET = re.compile(r"(n\d{8})(?![0-9])")  # how the folders of ImageNet begin: n01440764, n02085620-Chihuahua


@dataclass(frozen=True)
class Preparation:
    """The preprocessing of images in [0, 1]: a resize, a centre crop, then ``(image - mean) / std``.

    All networks take RGB: the first convolution of weights trained on BGR is converted when they are loaded. Weights
    trained on pixels of 0 to 255 have a ``std`` of 1/255.

    Attributes:
        resize: length in pixels of the shorter side after the resize or, with ``squash``, of both sides.
        crop: side of the centre crop, which is the input of the network.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int
    crop: int
    interpolation: str = "bilinear"
    squash: bool = False

    @property
    def description(self) -> Message:
        """The preprocessing in words."""
        resized = Message("shorter side to {side}", side=self.resize)
        if self.squash:
            resized = Message("squashed to {side} x {side}", side=self.resize)
        return Message(
            "{resized}, {interpolation}; centre {crop} x {crop}; {channels}, mean and std {values}",
            resized=resized,
            interpolation=self.interpolation,
            crop=self.crop,
            channels="RGB" if len(self.mean) == 3 else Message("grey"),
            values="  ".join(" ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std)),
        )

    def __str__(self) -> str:
        return self.description


@dataclass(frozen=True)
class Labels:
    """Names of a network's outputs.

    Attributes:
        names: one per output, in order; predictions are reported by these names.
        others: further accepted names of each output; empty where there are none.
    """

    names: tuple[str, ...]
    others: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def outputs(self, name: str) -> tuple[int, ...]:
        """The outputs that match a name: the one with exactly this name; else those with the same name up to case,
        ``_``, ``-`` and blanks; else those with this further name. A name that begins with a WordNet number is
        matched by the number."""
        if name in self.names:
            return (self.names.index(name),)
        number = WORDNET.match(name)
        spelling = folded(number[1] if number else name)
        matches = tuple(index for index, output in enumerate(self.names) if folded(output) == spelling)
        return matches or self._outputs_of_other_names.get(spelling, ())

    @functools.cached_property
    def _outputs_of_other_names(self) -> dict[str, tuple[int, ...]]:
        outputs: dict[str, tuple[int, ...]] = {}
        for index, names in enumerate(self.others):
            for spelling in map(folded, names):
                outputs[spelling] = (*outputs.get(spelling, ()), index)
        return outputs

    def match(self, classes: Sequence[str], source: str, network: str) -> list[int]:
        """The output of each class of a data set.

        Raises:
            DataError: a class matches no output, or several; the message names them.
        """
        outputs = [self.outputs(name) for name in classes]
        unknown = [name for name, matches in zip(classes, outputs, strict=True) if not matches]
        if unknown:
            raise DataError(
                "{source} has classes that {network} does not have: {unknown}. The {count} classes of the network: "
                "{names}",
                source=source,
                network=network,
                unknown=", ".join(unknown[:5]),
                count=len(self),
                names=", ".join(self.names[:20]) + (" ..." if len(self) > 20 else "."),
            )
        for name, matches in zip(classes, outputs, strict=True):
            if len(matches) > 1:
                candidates = " or ".join(", ".join((self.names[index], *self.others[index][:1])) for index in matches)
                raise DataError(
                    "the class {name} of {source} is ambiguous: {candidates}. Rename it to one of these.",
                    name=name,
                    source=source,
                    candidates=candidates,
                )
        return [matches[0] for matches in outputs]


def folded(name: str) -> str:
    """A name in a form that ignores case and separators."""
    return " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFC", name).casefold().strip()))


@dataclass(frozen=True)
class Loaded:
    """The result of ``load_weights``, stored as ``net.loaded`` for `evaluate` and `predict`.

    Attributes:
        weights: the published name, "torchvision:IMAGENET1K_V2", where the file is a published one; else its path.
        source: the library whose format the file has.
        tensors: number of tensors of the network that were loaded.
        kept: tensors of the network that the file does not contain and that keep their values: auxiliary heads,
            counters.
        ignored: tensors of the file that the network does not have, of the same kinds.
        preparation: the preprocessing of the images: that of the published weights, else the usual one of the source;
            None where neither is known.
        preparation_from: where the preprocessing comes from, in words.
        labels: names of the outputs; None where the source has no standard classes for this number of outputs.
        undone: the wrappers that were removed and the names that were changed when the file was read, in words.
        notes: remarks for the user, such as another network that the file fits as well.
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
        """``undone`` in one sentence, and the notes."""
        undone = Message("{file}: {undone}", file=self.weights, undone=joined(self.undone)) if self.undone else None
        return (*((undone,) if undone else ()), *self.notes)
