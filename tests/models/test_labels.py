"""Class names: an ImageNet class answers to its name, its WordNet number and its synonyms."""

from __future__ import annotations

import pytest

from convatlas.errors import DataError
from convatlas.models.loaded import Labels
from convatlas.models.weights.labels import cifar10, imagenet
from convatlas.models.weights.sources import SOURCES


def test_imagenet_is_a_thousand_classes_in_the_order_of_their_numbers():
    labels = imagenet()
    numbers = [others[0] for others in labels.others]
    assert len(labels) == len(set(labels.names)) == len(set(numbers)) == 1000
    assert numbers == sorted(numbers)
    assert (labels.names[0], labels.names[207], labels.names[999]) == ("tench", "golden retriever", "toilet tissue")


@pytest.mark.parametrize(
    "spelling", ["goldfish", "Goldfish", "n01443537", "n01443537_goldfish", "n01443537-gold fish", "carassius_auratus"]
)
def test_many_spellings_mean_one_class(spelling):
    assert imagenet().outputs(spelling) == (1,)


def test_a_name_comes_before_a_synonym_and_two_of_these_are_asked_about():
    labels = imagenet()
    assert labels.outputs("crane") == (517,)  # the machine; torchvision calls the bird "crane bird"
    assert labels.outputs("panda") == (387, 388)  # WordNet: the lesser and the giant
    with pytest.raises(DataError, match=r"panda of zoo/ is ambiguous: lesser panda, n02509815 or giant panda, n025"):
        labels.match(["tench", "panda"], "zoo/", "net")
    assert labels.match(["n02510455", "tench"], "zoo/", "net") == [388, 0]


def test_what_is_not_known_is_named_with_what_is():
    with pytest.raises(
        DataError, match=r"classes that net does not have: unicorn, n99999999\. The 10 classes of the network: airplane"
    ):
        cifar10().match(["cat", "unicorn", "n99999999"], "zoo/", "net")


def test_a_runs_own_names_are_exact_first():
    labels = Labels(("Cat", "cat"))
    assert (labels.outputs("cat"), labels.outputs("Cat"), labels.outputs("CAT")) == ((1,), (0,), (0, 1))


def test_only_the_usual_number_of_outputs_has_the_usual_names():
    assert SOURCES["torchvision"].usual_labels(1000) is SOURCES["caffe"].usual_labels(1000) is imagenet()
    assert SOURCES["akamaster"].usual_labels(10) is cifar10()
    assert SOURCES["torchvision"].usual_labels(7) is None
    assert SOURCES["convatlas"].usual_labels(1000) is None
