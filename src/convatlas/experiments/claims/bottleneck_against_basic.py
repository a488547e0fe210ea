"""He et al. 2016, Figure 5: a bottleneck block of about the same cost as a basic block does as well."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from convatlas.experiments.arms import PARAMETERS, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Text, Trial
from convatlas.experiments.networks import classifier, conv_norm


class Block(nn.Module):
    """Basic: two 3x3 convolutions. Bottleneck: 1x1 to a quarter of the width, 3x3, 1x1 back."""

    def __init__(self, width: int, bottleneck: bool) -> None:
        super().__init__()
        inner = width // 4
        first = [conv_norm(width, inner, 1), conv_norm(inner, inner, 3)] if bottleneck else [conv_norm(width, width, 3)]
        last = nn.Conv2d(inner, width, 1) if bottleneck else nn.Conv2d(width, width, 3, padding=1)
        self.branch = nn.Sequential(*first, last, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.branch(x))


def net(classes: int, channels: int, side: int, *, width: int, bottleneck: bool) -> nn.Module:
    stem = [conv_norm(channels, width, 3), nn.MaxPool2d(2)]
    return nn.Sequential(*stem, *(Block(width, bottleneck) for _ in range(4)), *classifier(width, classes))


def run(trial: Trial, width: int, bottleneck: bool) -> Outcome:
    network = partial(net, width=width, bottleneck=bottleneck)
    return train(trial, network, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="bottleneck-against-basic",
    claim=Text(
        "Bottleneck blocks of four times the width and about equal parameters are not less accurate than basic blocks.",
        "채널이 네 배이고 파라미터 수가 비슷한 병목 블록은 기본 블록보다 정확도가 낮지 않습니다.",
    ),
    source="He, Zhang, Ren and Sun, CVPR 2016, section 4.1 and Figure 5",
    printed=(),
    arms=(
        Arm("bottleneck", Text("bottleneck", "병목"), partial(run, width=96, bottleneck=True), lrs=(0.03, 0.01, 0.1)),
        Arm("basic", Text("basic", "기본"), partial(run, width=24, bottleneck=False), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TEST_TOP1,
        PARAMETERS,
    ),
    contrasts=(Contrast("test_top1", higher="bottleneck", lower="basic", smallest=-0.5),),
    criterion=Text(
        "The interval of the difference lies above -0.5 points.",
        "차이의 신뢰 구간이 -0.5 포인트보다 큽니다.",
    ),
    contradiction=Text(
        "An interval below -0.5 points.",
        "신뢰 구간이 -0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Four blocks of one stage.",
        "한 단계의 블록 네 개만 썼습니다.",
    ),
    scales=scales(quick={"epochs": 5}, standard={"epochs": 8, "train_images": 5000}, minutes=55, quick_minutes=3),
)
