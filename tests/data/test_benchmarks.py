"""The printed facts of MNIST, CIFAR and ImageNet beside what is found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from convatlas.cli import main
from convatlas.data import open_data
from convatlas.data.benchmarks import BENCHMARKS, MNIST_TEST, MNIST_TRAIN, compare_with_benchmark
from convatlas.data.dataset import ArrayImages, Dataset


def dataset(classes, counts, side, channels):
    """Empty images: ``counts`` holds for each part the images of each class."""
    labels = [np.repeat(np.arange(len(classes)), per_class) for per_class in counts.values()]
    n = sum(map(len, labels))
    parts = np.concatenate([np.full(len(each), part, dtype="<U5") for part, each in zip(counts, labels, strict=True)])
    pixels = np.zeros((n, side, side, channels), dtype=np.uint8)
    names = [str(index) for index in range(n)]
    return Dataset("here", "idx", tuple(classes), np.concatenate(labels).astype(np.int64), names, parts,
                   ArrayImages(pixels))  # fmt: skip


def verdicts(data):
    return {str(fact.quantity): fact.agrees for fact in compare_with_benchmark(data).facts}


def test_mnist_as_it_lies_here(shared):
    found = compare_with_benchmark(open_data(str(shared("data/mnist"))))
    assert found.benchmark.name == "MNIST"
    assert [(str(fact.quantity), fact.printed, fact.found) for fact in found.facts] == [
        ("training images", "60,000", "60,000"),
        ("test images", "10,000", "10,000"),
        ("classes", "10", "10"),
        ("size", "28 x 28", "28 x 28"),
    ]
    assert not found.note


def test_the_same_files_with_other_labels_are_noted():
    digits = [str(digit) for digit in range(10)]
    whole = dataset(digits, {"train": MNIST_TRAIN, "test": MNIST_TEST}, 28, 1)
    assert not compare_with_benchmark(whole).note
    fashion = compare_with_benchmark(dataset(digits, {"train": [6000] * 10, "test": [1000] * 10}, 28, 1))
    assert "another data set of the same form" in fashion.note
    part = compare_with_benchmark(dataset(digits, {"train": [60] * 10}, 28, 1))
    assert [fact.agrees for fact in part.facts] == [False, None, True, True]
    assert not part.note  # a part of it has other counts anyway


def test_cifar_and_imagenet():
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert all(verdicts(dataset(names, {"train": [5000] * 10, "test": [1000] * 10}, 32, 3)).values())
    uneven = verdicts(dataset(names, {"train": [5001, 4999, *[5000] * 8], "test": [1000] * 10}, 32, 3))
    assert [quantity for quantity, agrees in uneven.items() if not agrees] == ["training images of each class"]
    wordnet = [f"n{index:08d}" for index in range(1000)]
    found = compare_with_benchmark(dataset(wordnet, {"val": [50] * 1000}, 1, 3))
    assert found.benchmark.name == "ILSVRC-2012"
    assert [fact.agrees for fact in found.facts] == [None, True, None, True, True]


def test_an_unparted_copy_is_compared_as_a_whole():
    digits = [str(digit) for digit in range(10)]
    assert verdicts(dataset(digits, {"": [7000] * 10}, 28, 1)) == {"images": True, "classes": True, "size": True}


def test_other_data_have_no_benchmark():
    assert compare_with_benchmark(dataset(["a", "b"], {"train": [2, 2]}, 28, 1)) is None
    assert compare_with_benchmark(dataset([str(d) for d in range(10)], {"train": [2] * 10}, 32, 3)) is None  # SVHN
    assert compare_with_benchmark(open_data("digits")) is None


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda each: each.name)
def test_the_printed_counts_add_up(benchmark):
    for part, (least, most) in benchmark.per_class.items():
        assert least * benchmark.classes <= benchmark.parts[part] <= most * benchmark.classes
    for part, exactly in (benchmark.per_class_exactly or {}).items():
        assert sum(exactly) == benchmark.parts[part]


def test_the_command_prints_them(capsys, monkeypatch, shared):
    monkeypatch.setenv("CONVATLAS_LANG", "en")
    path = str(shared("data/cifar-100-subset"))
    with pytest.raises(SystemExit):
        main(["data", path])
    out = capsys.readouterr().out
    assert "benchmark of this form: CIFAR-100 (Krizhevsky 2009, and the data set's page)" in out
    assert "  training images                printed 50,000   found 1,000    DIFFERS" in out
    assert "  size                           printed 32 x 32  found 32 x 32  agrees" in out
    with pytest.raises(SystemExit):
        main(["data", path, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["benchmark"]["facts"][0] == {
        "quantity": "training images", "printed": "50,000", "found": "1,000", "agrees": False
    }  # fmt: skip
