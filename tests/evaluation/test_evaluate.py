"""What evaluation reports, and that it leaves the network as it found it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from convatlas.errors import DataError, ShapeError, TrainingError, UsageError
from convatlas.evaluation import Evaluation, common_protocol, ensemble, evaluate

CLASSES = ("cat", "dog", "owl")


class Says(nn.Module):
    """Gives the first three pixels of an image back as its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.9)  # in train mode it would spoil them
        self.frozen = nn.BatchNorm2d(1).eval()  # a part kept in eval mode, as in fine-tuning

    def forward(self, images):
        return self.dropout(images[:, 0, 0, :3])


def batch(rows: list[list[float]], labels: list[int]):
    return torch.tensor(rows)[:, None, None, :], torch.tensor(labels)


BATCHES = [
    batch([[5.0, 1.0, 0.0], [0.0, 2.0, 9.0]], [0, 1]),
    batch([[0.0, 3.0, 1.0], [1.0, 0.0, 4.0]], [1, 2]),
]


def test_an_evaluation_by_hand():
    result = evaluate(Says(), BATCHES, CLASSES, data="made", part="test")
    assert result.predictions.tolist() == [0, 2, 1, 2]
    assert (result.n, result.top1, result.top5) == (4, 0.75, None)  # three classes: top-5 says nothing
    assert result.ci95 == pytest.approx((0.3006, 0.9544), abs=5e-5)
    assert result.confusion.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert result.most_confused == [("dog", "owl", 1)]
    [(index, true, said, confidence)] = result.surest_mistakes()
    assert (index, CLASSES[true], CLASSES[said]) == (1, "dog", "owl")
    assert confidence == pytest.approx(0.998966, abs=1e-6)  # 1 / (1 + e^-7 + e^-9)


def test_the_json_keys_others_rely_on():
    document = evaluate(Says(), BATCHES, CLASSES, run="runs/x").to_dict()
    assert {"run", "protocol", "n", "top1", "top5", "ci95", "per_class"} <= document.keys()
    assert document["protocol"] == "centre"
    assert [row["class"] for row in document["per_class"]] == list(CLASSES)
    assert json.loads(json.dumps(document)) == document
    assert document["mistakes"] == [["dog", "owl", 1]]
    assert document["confusion"] == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_of_many_classes_only_the_mistakes_are_written_out():
    logits = torch.eye(101)[[0, 1, 2, 2]]
    document = evaluate(
        nn.Flatten(), [(logits[:, None, None, :], torch.arange(4))], [f"c{n}" for n in range(101)]
    ).to_dict()
    assert document["confusion"] is None
    assert document["mistakes"] == [["c3", "c2", 1]]


def test_top5_with_six_classes():
    logits = torch.arange(6.0).repeat(2, 1)  # class 5 first, class 0 last
    result = evaluate(nn.Flatten(), [(logits[:, None, None, :], torch.tensor([1, 0]))], "abcdef")
    assert (result.top1, result.top5) == (0.0, 0.5)


def test_what_follows_the_labels_in_a_batch_is_not_looked_at():
    assert evaluate(Says(), [(*BATCHES[0], "indices", object())], CLASSES).n == 2


def test_every_module_has_its_mode_again_even_after_an_error():
    network = Says()
    network.train()
    network.frozen.eval()
    evaluate(network, BATCHES, CLASSES)
    assert (network.training, network.dropout.training, network.frozen.training) == (True, True, False)
    with pytest.raises(ShapeError):
        evaluate(network, BATCHES, ("cat", "dog"))
    assert (network.training, network.dropout.training, network.frozen.training) == (True, True, False)


def test_it_is_exact_even_where_the_caller_has_switched_autocast_on():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    images = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    batches = [(images, torch.zeros(8, dtype=torch.long))]
    plain = evaluate(network, batches, CLASSES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = evaluate(network, batches, CLASSES)
    assert np.array_equal(plain.logits, inside.logits)
    assert not np.array_equal(plain.logits, evaluate(network, batches, CLASSES, precision="bf16").logits)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_no_images():
    with pytest.raises(DataError, match="no images to evaluate in the test set"):
        evaluate(Says(), [], CLASSES, part="test")


def test_a_label_that_is_no_class():
    with pytest.raises(DataError, match="image 1 has label 3, but the 3 classes have labels 0 to 2"):
        evaluate(Says(), [batch([[0.0, 1.0, 2.0]] * 2, [0, 3])], CLASSES)


def test_a_network_with_another_number_of_classes():
    with pytest.raises(ShapeError, match=r"shape \(2, 3\); \(2, 2\) was expected for 2 images of 2 classes"):
        evaluate(Says(), BATCHES, ("cat", "dog"))


def test_a_network_that_diverged():
    with pytest.raises(TrainingError, match=r"not finite for 1 of 2 images \(the first is image 1\)"):
        evaluate(Says(), [batch([[0.0, 1.0, 2.0], [float("nan"), 0.0, 0.0]], [0, 1])], CLASSES)


# --- several evaluations ---------------------------------------------------------------------------------------------


def of(logits: list[list[float]], labels: list[int], classes=CLASSES, protocol="centre", names=()) -> Evaluation:
    return Evaluation(classes, np.array(labels), np.array(logits, dtype=np.float32), protocol, names)


def test_an_ensemble_by_hand_puts_the_classes_in_the_order_of_the_first():
    """Probabilities 1/2, 1/4, 1/4 and, its classes turned round, 1/10, 1/10, 8/10 for cat, dog, owl."""
    first = of(np.log([[2.0, 1.0, 1.0]]).tolist(), [2])
    second = of(np.log([[8.0, 1.0, 1.0]]).tolist(), [0], classes=("owl", "dog", "cat"))
    found = ensemble([first, second])
    assert np.exp(found.logits)[0].tolist() == pytest.approx([0.3, 0.175, 0.525])
    assert (found.classes, found.labels.tolist(), found.top1) == (CLASSES, [2], 1.0)
    assert found.protocol == "ensemble of 2, centre"


def test_two_accuracies_under_different_protocols_never_come_together():
    centre, flip = of([[1.0, 0.0, 0.0]], [0]), of([[1.0, 0.0, 0.0]], [0], protocol="flip")
    assert common_protocol([centre, centre]) == "centre"
    for refused in (common_protocol, ensemble):
        with pytest.raises(UsageError, match=r"different protocols cannot be compared \(centre, flip\)"):
            refused([centre, flip])
    with pytest.raises(UsageError, match="no evaluation"):
        common_protocol([])


def test_an_ensemble_needs_the_same_images_and_classes():
    first = of([[1.0, 0.0, 0.0]], [0], names=("a.png",))
    with pytest.raises(DataError, match="different images"):
        ensemble([first, of([[1.0, 0.0, 0.0]], [0], names=("b.png",))])
    with pytest.raises(DataError, match="different images"):
        ensemble([first, of([[1.0, 0.0, 0.0]], [1], names=("a.png",))])
    with pytest.raises(DataError, match=r"different classes.*fox, owl"):
        ensemble([first, of([[1.0, 0.0, 0.0]], [0], classes=("cat", "dog", "fox"), names=("a.png",))])
