"""Objects at the border of the image: without padding, its outermost pixels are read by fewer kernel positions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from torch import nn

from convatlas.data import Dataset
from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, pixels_of, plain, scales, train, with_images
from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Text, Trial
from convatlas.runs.run import Run
from convatlas.runs.training_data import TrainingData


def moved(data: Dataset, seed: int, to_corner: bool) -> Dataset:
    """Each image on a canvas of twice its side: at a random place, or in one of the four corners."""
    pixels = pixels_of(data, np.arange(len(data)))
    count, side, _, channels = pixels.shape
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 2, (count, 2)) * side if to_corner else rng.integers(0, side + 1, (count, 2))
    canvas = np.zeros((count, 2 * side, 2 * side, channels), np.uint8)
    for image, (top, left) in enumerate(places):
        canvas[image, top : top + side, left : left + side] = pixels[image]
    return with_images(data, np.arange(count), canvas)


def net(classes: int, channels: int, side: int, *, padding: int) -> nn.Module:
    """Three 3x3 convolutions with pooling between them; the head sees the maximum of each of the last maps."""
    layers: list[nn.Module] = []
    poolings = 2 if side >= 32 else 1
    for place, width in enumerate((16, 32, 32)):
        layers += [nn.Conv2d(channels, width, 3, padding=padding), nn.ReLU()]
        if place < poolings:
            layers.append(nn.MaxPool2d(2))
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def run(trial: Trial, padding: int) -> Outcome:
    from convatlas.runs.evaluate import evaluate

    def at_corners(run: Run, data: TrainingData) -> Mapping[str, float]:
        """The test accuracy, of the run's own test images, with each digit in a corner."""
        test = data.split.test
        corners = moved(trial.data, trial.seed, to_corner=True)
        found = evaluate(run, with_images(corners, test, pixels_of(corners, test)))
        return {"corner_top1": found.top1}

    data = moved(trial.data, trial.seed, to_corner=False)
    return train(trial, partial(net, padding=padding), plain(trial.setting("epochs")), data=data, measure=at_corners)


LRS = (0.03, 0.01, 0.1)
EXPERIMENT = Experiment(
    name="padding-and-borders",
    claim=Text(
        "With zero padding a network recognises objects in the corners of the image more accurately than without.",
        "제로 패딩을 쓰면 이미지 모서리에 있는 물체를 패딩이 없을 때보다 정확하게 알아봅니다.",
    ),
    source="Dumoulin and Visin, A guide to convolution arithmetic for deep learning, arXiv:1603.07285, 2016, section 2",
    printed=(),
    arms=(
        Arm("padded", Text("padding 1", "패딩 1"), partial(run, padding=1), lrs=LRS),
        Arm("unpadded", Text("no padding", "패딩 없음"), partial(run, padding=0), lrs=LRS),
    ),
    constant=SAME_TRAINING,
    metrics=(
        Metric("corner_top1", Text("accuracy in the corners", "모서리에서의 정확도"), "points", 100),
        TEST_TOP1,
    ),
    contrasts=(Contrast("corner_top1", higher="padded", lower="unpadded", smallest=1.0),),
    criterion=Text(
        "The accuracy in the corners is higher by at least one point.",
        "모서리에서의 정확도가 1 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 1 point.",
        "신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Digits on a black canvas, whose own margin keeps their strokes some pixels from the border.",
        "검은 바탕의 숫자를 썼으며, 숫자 자체에 여백이 있어 획은 가장자리에서 몇 픽셀 떨어져 있습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 8, "train_images": 5000}, minutes=40, data="mnist"),
)
