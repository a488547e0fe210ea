"""SqueezeNet: fire modules keep the accuracy with a fraction of the parameters."""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.experiments.arms import PARAMETERS, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import classifier, conv_norm
from convatlas.models.squeezenet import Fire


def net(classes: int, channels: int, side: int, *, fire: bool) -> nn.Module:
    """Three layers of 64, 64 and 128 maps: 3x3 convolutions, or fire modules that squeeze to an eighth."""
    layers: list[nn.Module] = [conv_norm(channels, 64, 3), nn.MaxPool2d(2)]
    for inputs, outputs in ((64, 64), (64, 128), (128, 128)):
        squeeze = outputs // 8
        layers.append(Fire(inputs, squeeze, outputs // 2, outputs // 2) if fire else conv_norm(inputs, outputs, 3))
        layers += [nn.BatchNorm2d(outputs)] if fire else []
    return nn.Sequential(*layers, *classifier(128, classes))


def run(trial: Trial, fire: bool) -> Outcome:
    network = partial(net, fire=fire)
    return train(trial, network, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="fire-against-convolutions",
    claim=Text(
        "Fire modules with less than a fifth of the parameters cost less than three points of accuracy.",
        "파라미터가 5분의 1도 안 되는 파이어 모듈을 써도 정확도 손실은 3 포인트보다 작습니다.",
    ),
    source="Iandola et al., arXiv:1602.07360, 2016, Table 2",
    printed=(
        Printed(
            Text(
                "AlexNet's accuracy (57.2 % top-1; 57.5 % for SqueezeNet) with 50 times fewer parameters",
                "AlexNet의 정확도(top-1 57.2 %, SqueezeNet 57.5 %)를 50배 적은 파라미터로",
            ),
            "Iandola et al. 2016, Table 2",
            difference=0.3,
            verified=True,
        ),
    ),
    arms=(
        Arm("fire", Text("fire modules", "파이어 모듈"), partial(run, fire=True), lrs=(0.03, 0.01, 0.1)),
        Arm("convolutions", Text("3x3 convolutions", "3x3 합성곱"), partial(run, fire=False), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TEST_TOP1,
        PARAMETERS,
    ),
    contrasts=(Contrast("test_top1", higher="fire", lower="convolutions", smallest=-3.0),),
    criterion=Text(
        "The interval of the difference lies above -3 points.",
        "차이의 신뢰 구간이 -3 포인트보다 큽니다.",
    ),
    contradiction=Text(
        "An interval below -3 points.",
        "신뢰 구간이 -3 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Against a plain network and not AlexNet, whose parameters are mostly in fully connected layers: the "
        "factor of 50 is not tested.",
        "AlexNet이 아니라 단순한 합성곱 네트워크와 비교합니다. AlexNet의 파라미터는 대부분 완전 연결층에 있어 "
        "50배라는 비율은 검정하지 않습니다.",
    ),
    scales=scales(quick={"epochs": 6}, standard={"epochs": 10, "train_images": 5000}, minutes=50),
)
