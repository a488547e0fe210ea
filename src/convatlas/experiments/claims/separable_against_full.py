"""Xception: depthwise separable convolutions against full ones of the same width."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import PARAMETERS, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, separable: bool, widths: tuple[int, ...]) -> Outcome:
    net = partial(small_cnn, separable=separable, widths=widths, norm="batch")
    return train(trial, net, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="separable-against-full",
    claim=Text(
        "With about equal parameters, depthwise separable convolutions give higher accuracy than full ones.",
        "파라미터 수가 비슷하면 깊이별 분리 합성곱이 일반 합성곱보다 정확도가 높습니다.",
    ),
    source="Chollet, CVPR 2017, Tables 1 and 3",
    printed=(
        Printed(
            Text(
                "ImageNet top-1: Xception 79.0 %, Inception V3 78.2 %, about equal parameters",
                "ImageNet top-1: Xception 79.0 %, Inception V3 78.2 %, 파라미터 수는 비슷함",
            ),
            "Chollet 2017, Table 1",
            difference=0.8,
        ),
    ),
    arms=(
        Arm(
            "separable",
            Text("separable, wide", "분리, 넓게"),
            partial(run, separable=True, widths=(64, 128, 128)),
            lrs=(0.03, 0.01, 0.1),
        ),
        Arm("full", Text("full", "일반"), partial(run, separable=False, widths=(32, 48, 56)), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TEST_TOP1,
        PARAMETERS,
    ),
    contrasts=(Contrast("test_top1", higher="separable", lower="full", smallest=0.5),),
    criterion=Text(
        "The accuracy of the separable network is higher by at least 0.5 points.",
        "분리 합성곱 네트워크의 정확도가 0.5 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.5 points.",
        "신뢰 구간이 0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Three stages; widths are chosen so that parameters are about equal on 32 x 32 images, and both counts "
        "are in the record.",
        "세 단계짜리 네트워크입니다. 32 x 32 이미지에서 파라미터 수가 비슷하도록 채널 수를 정했고, 두 값 모두 "
        "기록합니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=40),
)
