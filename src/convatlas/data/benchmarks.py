"""MNIST, CIFAR and ILSVRC-2012 as their papers print them, beside what a data set holds.

A data set is compared with a benchmark where it has its form: the class names, and for small images their size and
channels. Counts are those of the parts that the layout gives, before anything is split.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convatlas.data.dataset import Dataset
from convatlas.message import Message

PART_WORDS = {
    "train": Message("training images"),
    "val": Message("validation images"),
    "test": Message("test images"),
}
CIFAR10_CLASSES = frozenset(["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"])
# of the ten digits in MNIST's two label files: Fashion-MNIST and KMNIST have the same files with other counts
MNIST_TRAIN = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
MNIST_TEST = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)


@dataclass(frozen=True)
class Benchmark:
    """What a paper prints of a data set.

    Attributes:
        parts: images of each part.
        per_class: images of each class in a part, (least, most).
        size: (height, width), None where it varies.
        channels: 1 for grey, 3 for colour.
        has_form: whether a data set looks like this one.
        per_class_exactly: of a part, images of each class in order, where they tell it from another data set.
    """

    name: str
    source: str
    classes: int
    parts: dict[str, int]
    per_class: dict[str, tuple[int, int]]
    size: tuple[int, int] | None
    channels: int
    has_form: Callable[[Dataset], bool]
    per_class_exactly: dict[str, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class PrintedFact:
    """One printed number or size beside the one found; ``found`` is None where the data set does not say."""

    quantity: str
    printed: str
    found: str | None

    @property
    def agrees(self) -> bool | None:
        return None if self.found is None else self.found == self.printed

    def to_dict(self) -> dict[str, Any]:
        return {"quantity": self.quantity, "printed": self.printed, "found": self.found, "agrees": self.agrees}


@dataclass(frozen=True)
class BenchmarkComparison:
    """A data set beside the benchmark whose form it has."""

    benchmark: Benchmark
    facts: tuple[PrintedFact, ...]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.benchmark.name,
            "source": self.benchmark.source,
            "facts": [fact.to_dict() for fact in self.facts],
            "note": self.note or None,
        }


def compare_with_benchmark(data: Dataset) -> BenchmarkComparison | None:
    """The benchmark whose form a data set has, printed and found side by side; None where it has none's."""
    benchmark = next((each for each in BENCHMARKS if each.has_form(data)), None)
    if benchmark is None:
        return None
    counts = data.counts()
    given = {part: per_class for part, per_class in counts.items() if part}
    facts = []
    if given:
        for part, printed in benchmark.parts.items():
            found = f"{int(given[part].sum()):,}" if part in given else None
            facts.append(PrintedFact(PART_WORDS[part], f"{printed:,}", found))
    else:
        facts.append(PrintedFact(Message("images"), f"{sum(benchmark.parts.values()):,}", f"{len(data):,}"))
    facts.append(PrintedFact(Message("classes"), f"{benchmark.classes:,}", f"{len(data.classes):,}"))
    for part, (least, most) in benchmark.per_class.items():
        if part in given:
            quantity = Message("{images} of each class", images=PART_WORDS[part])
            found = _range(int(given[part].min()), int(given[part].max()))
            facts.append(PrintedFact(quantity, _range(least, most), found))
    if benchmark.size is not None:
        size = "{} x {}".format(*data.uniform_size) if data.uniform_size else Message("various sizes")
        facts.append(PrintedFact(Message("size"), "{} x {}".format(*benchmark.size), size))
    return BenchmarkComparison(benchmark, tuple(facts), _note(benchmark, given))


def _note(benchmark: Benchmark, given: dict[str, Any]) -> str:
    expected = benchmark.per_class_exactly or {}
    for part, per_class in expected.items():
        whole = part in given and given[part].sum() == sum(per_class)
        if whole and tuple(given[part].tolist()) != per_class:
            return Message(
                "the classes have other counts than in {name}: this is another data set of the same form, such as "
                "Fashion-MNIST or KMNIST",
                name=benchmark.name,
            )
    return ""


def _range(least: int, most: int) -> str:
    return f"{least:,}" if least == most else Message("{least} to {most}", least=f"{least:,}", most=f"{most:,}")


def _is_small(data: Dataset, side: int, channels: int) -> bool:
    return data.uniform_size == (side, side) and data.channels == channels


BENCHMARKS = (
    Benchmark(
        name="MNIST",
        source="LeCun et al. 1998, section III.A",
        classes=10,
        parts={"train": 60_000, "test": 10_000},
        per_class={},
        size=(28, 28),
        channels=1,
        has_form=lambda data: _is_small(data, 28, 1) and data.classes == tuple("0123456789"),
        per_class_exactly={"train": MNIST_TRAIN, "test": MNIST_TEST},
    ),
    Benchmark(
        name="CIFAR-10",
        source="Krizhevsky 2009, and the data set's page",
        classes=10,
        parts={"train": 50_000, "test": 10_000},
        per_class={"train": (5_000, 5_000), "test": (1_000, 1_000)},
        size=(32, 32),
        channels=3,
        has_form=lambda data: _is_small(data, 32, 3) and set(data.classes) == CIFAR10_CLASSES,
    ),
    Benchmark(
        name="CIFAR-100",
        source="Krizhevsky 2009, and the data set's page",
        classes=100,
        parts={"train": 50_000, "test": 10_000},
        per_class={"train": (500, 500), "test": (100, 100)},
        size=(32, 32),
        channels=3,
        has_form=lambda data: _is_small(data, 32, 3) and {"apple", "aquarium_fish", "worm"} <= set(data.classes),
    ),
    Benchmark(
        name="ILSVRC-2012",
        source="Russakovsky et al. 2015, Table 2",
        classes=1_000,
        parts={"train": 1_281_167, "val": 50_000, "test": 100_000},
        per_class={"train": (732, 1_300), "val": (50, 50)},
        size=None,
        channels=3,
        has_form=lambda data: len(data.classes) == 1_000 and all(re.fullmatch(r"n\d{8}", n) for n in data.classes),
    ),
)
