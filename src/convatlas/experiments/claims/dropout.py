"""Hinton et al. 2012 and AlexNet, section 4.2: dropout reduces overfitting."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import GAP, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, dropout: float) -> Outcome:
    net = partial(small_cnn, widths=trial.setting("widths"), dropout=dropout)
    return train(trial, net, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="dropout",
    claim=Text(
        "Dropout before the last layer makes the gap between training and validation accuracy smaller.",
        "마지막 층 앞의 드롭아웃은 학습 정확도와 검증 정확도의 차이를 줄입니다.",
    ),
    source="Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.2",
    printed=(
        Printed(
            Text("without dropout the network exhibits substantial overfitting", "드롭아웃이 없으면 과적합이 크다"),
            "Krizhevsky et al. 2012, section 4.2",
        ),
    ),
    arms=(
        Arm("without", Text("without dropout", "드롭아웃 없음"), partial(run, dropout=0.0), lrs=(0.03, 0.01, 0.1)),
        Arm("with", Text("dropout 0.5", "드롭아웃 0.5"), partial(run, dropout=0.5), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        GAP,
        TEST_TOP1,
    ),
    contrasts=(Contrast("gap", higher="without", lower="with", smallest=1.0),),
    criterion=Text(
        "Without dropout the gap is larger by at least one point.",
        "드롭아웃이 없을 때의 차이가 1 포인트 이상 더 큽니다.",
    ),
    contradiction=Text(
        "An interval below one point.",
        "신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Training accuracy is measured during the training, with dropout active, so a part of the effect is the "
        "dropout itself; the test accuracy stands beside it.",
        "학습 정확도는 드롭아웃이 켜진 상태로 측정하므로 효과의 일부는 드롭아웃 자체입니다. 그래서 테스트 "
        "정확도를 함께 보여 줍니다.",
    ),
    scales=scales(
        quick={"epochs": 10, "widths": (32, 64)},
        standard={"epochs": 15, "train_images": 5000, "widths": (32, 64)},
        minutes=40,
    ),
)
