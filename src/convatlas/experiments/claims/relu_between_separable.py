"""Xception, section 4.7: no nonlinearity between the depthwise and the pointwise convolution is better."""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, between: type[nn.Module] | None) -> Outcome:
    net = partial(small_cnn, separable=True, between=between, widths=(64, 96, 96), norm="batch")
    return train(trial, net, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="relu-between-separable",
    claim=Text(
        "Without a ReLU between the depthwise and the pointwise convolution the accuracy is higher.",
        "깊이별 합성곱과 점별 합성곱 사이에 ReLU가 없을 때 정확도가 높습니다.",
    ),
    source="Chollet, CVPR 2017, section 4.7 and Figure 10",
    printed=(
        Printed(
            Text(
                "ImageNet validation accuracy is higher without an intermediate activation than with ReLU or ELU",
                "ImageNet 검증 정확도는 중간 활성화가 없을 때 ReLU나 ELU보다 높다",
            ),
            "Chollet 2017, Figure 10",
            difference=None,
            verified=True,
        ),
    ),
    arms=(
        Arm("none", Text("none", "없음"), partial(run, between=None), lrs=(0.03, 0.01, 0.1)),
        Arm("relu", Text("ReLU", "ReLU"), partial(run, between=nn.ReLU), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="none", lower="relu", smallest=0.5),),
    criterion=Text(
        "The accuracy without it is higher by at least 0.5 points.",
        "ReLU가 없을 때의 정확도가 0.5 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.5 points.",
        "신뢰 구간이 0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Three separable convolutions.",
        "분리 합성곱이 세 개뿐입니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=40),
)
