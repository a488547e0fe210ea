"""He et al. 2016, Table 3: projections where sizes change (B), padded identities (A), projections everywhere (C)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.experiments.arms import PARAMETERS, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import classifier, conv_norm


class Block(nn.Module):
    """A residual block of two 3x3 convolutions.

    Where the map is halved and the channels are doubled, shortcut A pads with zeros and B and C project by a 1x1
    convolution. Elsewhere A and B are identities and C projects.
    """

    def __init__(self, inputs: int, outputs: int, shortcut: str) -> None:
        super().__init__()
        self.stride, self.more = outputs // inputs, outputs - inputs
        self.branch = nn.Sequential(
            conv_norm(inputs, outputs, 3, stride=self.stride),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        projects = shortcut == "C" or (shortcut == "B" and self.more > 0)
        self.projection = nn.Conv2d(inputs, outputs, 1, stride=self.stride) if projects else None

    def forward(self, x: Tensor) -> Tensor:
        if self.projection is not None:
            return torch.relu(self.branch(x) + self.projection(x))
        return torch.relu(self.branch(x) + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more)))


def net(classes: int, channels: int, side: int, *, shortcut: str) -> nn.Module:
    blocks = [Block(*widths, shortcut) for widths in ((16, 16), (16, 32), (32, 32), (32, 64), (64, 64))]
    return nn.Sequential(conv_norm(channels, 16, 3), *blocks, *classifier(64, classes))


def run(trial: Trial, shortcut: str) -> Outcome:
    return train(trial, partial(net, shortcut=shortcut), plain(trial.setting("epochs")))


LRS = (0.03, 0.01, 0.1)
EXPERIMENT = Experiment(
    name="shortcuts-a-b-c",
    claim=Text(
        "Projection shortcuts where sizes change (B) give higher accuracy than identities padded with zeros (A), and "
        "projections everywhere (C) higher than B.",
        "크기가 바뀌는 곳에 사영 지름길을 쓰면(B) 0으로 채운 항등 지름길(A)보다, 모든 곳에 사영을 쓰면(C) B보다 "
        "정확도가 높습니다.",
    ),
    source="He, Zhang, Ren and Sun, CVPR 2016, Table 3",
    printed=(
        Printed(
            Text(
                "ImageNet top-1 error of ResNet-34: A 25.03 %, B 24.52 %, C 24.19 %",
                "ImageNet ResNet-34 top-1 오류율: A 25.03 %, B 24.52 %, C 24.19 %",
            ),
            "He et al. 2016, Table 3",
            difference=0.51,
            verified=True,
        ),
    ),
    arms=(
        Arm("everywhere", Text("C, projections everywhere", "C, 모두 사영"), partial(run, shortcut="C"), lrs=LRS),
        Arm("projection", Text("B, projection", "B, 사영"), partial(run, shortcut="B"), lrs=LRS),
        Arm("padded", Text("A, padded", "A, 0으로 채움"), partial(run, shortcut="A"), lrs=LRS),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1, PARAMETERS),
    contrasts=(
        Contrast("test_top1", higher="projection", lower="padded", smallest=0.3),
        Contrast("test_top1", higher="everywhere", lower="projection", smallest=0.3),
    ),
    criterion=Text(
        "The accuracy of B is higher than that of A, and that of C than that of B, each by at least 0.3 points.",
        "B의 정확도가 A보다, C의 정확도가 B보다 각각 0.3 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval of either difference below 0.3 points.",
        "두 차이 가운데 하나라도 신뢰 구간이 0.3 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Five blocks instead of sixteen; B and C have more parameters than A.",
        "블록이 열여섯 개가 아니라 다섯 개입니다. B와 C는 A보다 파라미터가 많습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=80),
)
