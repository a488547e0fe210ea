"""ZFNet: a smaller kernel and stride in the first layer keep more of the image (Zeiler and Fergus 2014)."""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import classifier, conv_norm


def net(classes: int, channels: int, side: int, *, kernel: int, stride: int) -> nn.Module:
    layers = [conv_norm(channels, 32, kernel, stride), nn.MaxPool2d(2, ceil_mode=True)]
    return nn.Sequential(*layers, conv_norm(32, 64, 3), conv_norm(64, 64, 3), *classifier(64, classes))


def run(trial: Trial, kernel: int, stride: int) -> Outcome:
    return train(trial, partial(net, kernel=kernel, stride=stride), plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="first-layer",
    claim=Text(
        "A first layer of 3x3 with stride 1 gives higher accuracy than 5x5 with stride 2.",
        "첫 층이 3x3, 스트라이드 1이면 5x5, 스트라이드 2일 때보다 정확도가 높습니다.",
    ),
    source="Zeiler and Fergus, ECCV 2014, section 4.1 and Table 2",
    printed=(
        Printed(
            Text(
                "ImageNet top-5 error: 16.5 % with 7x7, stride 2; 18.1 % for their copy of AlexNet with 11x11, "
                "stride 4",
                "ImageNet top-5 오류율: 7x7 스트라이드 2는 16.5 %, 11x11 스트라이드 4인 AlexNet 재현은 18.1 %",
            ),
            "Zeiler and Fergus 2014, Table 2",
            difference=None,
            verified=True,
        ),
    ),
    arms=(
        Arm(
            "fine", Text("3x3, stride 1", "3x3, 스트라이드 1"), partial(run, kernel=3, stride=1), lrs=(0.03, 0.01, 0.1)
        ),
        Arm(
            "coarse",
            Text("5x5, stride 2", "5x5, 스트라이드 2"),
            partial(run, kernel=5, stride=2),
            lrs=(0.03, 0.01, 0.1),
        ),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="fine", lower="coarse", smallest=1.0),),
    criterion=Text(
        "The accuracy of the finer first layer is higher by at least one point.",
        "더 촘촘한 첫 층의 정확도가 1 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 1 point.",
        "신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Kernel and stride change together, as in the paper; on images of 32 pixels 3x3/1 and 5x5/2 stand for "
        "7x7/2 and 11x11/4. The finer net also computes more.",
        "논문처럼 커널과 스트라이드를 함께 바꿉니다. 32 픽셀 이미지에서 3x3/1과 5x5/2가 7x7/2와 11x11/4를 "
        "대신합니다. 촘촘한 쪽은 계산량도 많습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=50),
)
