"""He et al. 2016: deep plain networks have a higher training error than their residual counterparts."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, TRAIN_LOSS, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import blocks


def run(trial: Trial, shortcut: bool) -> Outcome:
    net = partial(blocks, count=trial.setting("blocks"), shortcut=shortcut)
    return train(trial, net, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="plain-against-residual",
    claim=Text(
        "A deep network without shortcuts ends at a higher training loss than the same network with them.",
        "깊은 네트워크는 지름길 연결이 없으면 있을 때보다 학습 손실이 높습니다.",
    ),
    source="He, Zhang, Ren and Sun, CVPR 2016, Figures 1 and 6",
    printed=(
        Printed(
            Text(
                "CIFAR-10: training error of plain-56 above that of plain-20; of ResNet-56 below that of ResNet-20",
                "CIFAR-10: plain-56의 학습 오류율은 plain-20보다 높고, ResNet-56은 ResNet-20보다 낮다",
            ),
            "He et al. 2016, Figure 6",
        ),
    ),
    arms=(
        Arm("plain", Text("plain", "지름길 없음"), partial(run, shortcut=False), lrs=(0.03, 0.01, 0.1)),
        Arm("residual", Text("residual", "잔차 연결"), partial(run, shortcut=True), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TRAIN_LOSS,
        TEST_TOP1,
    ),
    contrasts=(Contrast("train_loss", higher="plain", lower="residual", smallest=0.05),),
    criterion=Text(
        "The training loss without shortcuts is higher by at least 0.05 nats.",
        "지름길이 없을 때의 학습 손실이 0.05 nats 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.05 nats.",
        "신뢰 구간이 0.05 nats보다 작은 경우입니다.",
    ),
    limits=Text(
        "Blocks of one width at full resolution, a short training; depth is a setting of the scale.",
        "채널 수가 같은 블록을 원래 해상도에서 쌓았고 학습이 짧습니다. 깊이는 규모마다 정해져 있습니다.",
    ),
    scales=scales(
        quick={"epochs": 4, "blocks": 12},
        standard={"epochs": 6, "train_images": 5000, "blocks": 18},
        minutes=90,
        quick_minutes=3,
    ),
)
