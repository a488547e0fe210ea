"""What a network's outputs are called, and which output another name of the same class means. No torch."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from convatlas.errors import DataError

CLASSES = "imagenet_classes.txt"
WORDNET = re.compile(r"(n\d{8})(?![0-9])")  # what a folder of ImageNet begins with: n01440764, n02085620-Chihuahua


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
        found: dict[str, tuple[int, ...]] = {}
        for place, names in enumerate(self.others):
            for spelling in map(folded, names):
                found[spelling] = (*found.get(spelling, ()), place)
        return found

    def match(self, classes: Sequence[str], source: str, network: str) -> list[int]:
        """The output of each class of a data set.

        Raises:
            DataError: classes with no output, or with several; the message names them.
        """
        outputs = [self.outputs(name) for name in classes]
        unknown = [name for name, found in zip(classes, outputs, strict=True) if not found]
        if unknown:
            raise DataError(
                "{source} has classes that {network} does not know: {unknown}. It knows {count}: {names}",
                source=source,
                network=network,
                unknown=", ".join(unknown[:5]),
                count=len(self),
                names=", ".join(self.names[:20]) + (" ..." if len(self) > 20 else "."),
            )
        for name, found in zip(classes, outputs, strict=True):
            if len(found) > 1:
                meant = " or ".join(", ".join((self.names[place], *self.others[place][:1])) for place in found)
                raise DataError(
                    "the class {name} of {source} may be {meant}: spell it as the one that is meant.",
                    name=name,
                    source=source,
                    meant=meant,
                )
        return [found[0] for found in outputs]


def folded(name: str) -> str:
    """A name without what two spellings of it may differ in."""
    return " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFC", name).casefold().strip()))


@functools.cache
def imagenet() -> Labels:
    """ILSVRC-2012: torchvision's names, which are unique; a class also answers to its WordNet number and synonyms."""
    text = resources.files("convatlas.models.weights").joinpath(CLASSES).read_text(encoding="utf-8")
    names, others = [], []
    for line in text.splitlines():
        if not line.startswith("#"):
            number, name, *synonyms = line.split("\t")
            names.append(name)
            others.append((number, *(word for words in synonyms for word in words.split(", "))))
    return Labels(tuple(names), tuple(others))


CIFAR10 = Labels(("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"))
OF_IMAGENET = ("torchvision", "timm", "keras", "caffe")


def labels_of(source: str, outputs: int) -> Labels | None:
    """The class names of a source's weights with so many outputs; None where they could be anything."""
    if source in OF_IMAGENET and outputs == 1000:
        return imagenet()
    return CIFAR10 if (source, outputs) == ("akamaster", 10) else None
