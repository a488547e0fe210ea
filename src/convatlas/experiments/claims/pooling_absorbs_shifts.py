"""Pooling makes a network less sensitive to small shifts (LeCun et al. 1998, section II.A)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, pixels_of, plain, scales, train, with_images
from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Text, Trial
from convatlas.experiments.networks import Pooling, small_cnn
from convatlas.runs.run import Run
from convatlas.runs.training_data import TrainingData


def drop_on_shifted(run: Run, data: TrainingData) -> Mapping[str, float]:
    """How much of the test accuracy is lost when every test image is moved by a sixteenth of its side."""
    from convatlas.runs.evaluate import evaluate

    test = data.split.test
    pixels = pixels_of(data.dataset, test)
    by = max(1, pixels.shape[1] // 16)
    moved = np.roll(pixels, (by, by), axis=(1, 2))
    accuracy = [evaluate(run, with_images(data.dataset, test, images)).top1 for images in (pixels, moved)]
    return {"drop": accuracy[0] - accuracy[1]}


def run(trial: Trial, pooling: Pooling) -> Outcome:
    net = partial(small_cnn, pooling=pooling)
    return train(trial, net, plain(trial.setting("epochs")), measure=drop_on_shifted)


EXPERIMENT = Experiment(
    name="pooling-absorbs-shifts",
    claim=Text(
        "With max pooling a network loses less accuracy on shifted images than with strides.",
        "최대 풀링을 쓴 네트워크는 스트라이드를 쓴 것보다 이동한 이미지에서 정확도를 덜 잃습니다.",
    ),
    source="LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86(11), 1998, section II.A",
    printed=(),
    arms=(
        Arm("stride", Text("stride 2", "스트라이드 2"), partial(run, pooling="stride"), lrs=(0.03, 0.01, 0.1)),
        Arm("pooling", Text("max pooling", "최대 풀링"), partial(run, pooling="max"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        Metric("drop", Text("accuracy lost on shifted images", "이동한 이미지에서 잃은 정확도"), "points", 100),
        TEST_TOP1,
    ),
    contrasts=(Contrast("drop", higher="stride", lower="pooling", smallest=1.0),),
    criterion=Text(
        "With strides the loss is larger by at least one point.",
        "스트라이드를 쓸 때의 손실이 1 포인트 이상 큽니다.",
    ),
    contradiction=Text(
        "An interval below 1 point.",
        "신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "One shift, a sixteenth of the side in both directions; pixels that leave the image come back at the "
        "other side.",
        "양방향으로 한 변의 16분의 1만 이동했습니다. 밖으로 나간 픽셀은 반대쪽에서 들어옵니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=25),
)
