"""The class names of the data sets that published weights were trained on. No torch."""

from __future__ import annotations

import functools
from importlib import resources

from convatlas.models.loaded import Labels

CLASSES = "imagenet_classes.txt"


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


@functools.cache
def cifar10() -> Labels:
    return Labels(("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"))
