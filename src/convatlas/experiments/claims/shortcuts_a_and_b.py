"""He et al. 2016, Table 3: projection shortcuts (B) are slightly better than padded identities (A)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import classifier, conv_norm


class Halving(nn.Module):
    """A residual block that halves the map and doubles the channels; A pads with zeros, B projects by a 1x1."""

    def __init__(self, inputs: int, shortcut: str) -> None:
        super().__init__()
        self.inputs = inputs
        self.branch = nn.Sequential(
            conv_norm(inputs, 2 * inputs, 3, stride=2),
            nn.Conv2d(2 * inputs, 2 * inputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * inputs),
        )
        self.projection = nn.Conv2d(inputs, 2 * inputs, 1, stride=2) if shortcut == "B" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.projection is not None:
            return torch.relu(self.branch(x) + self.projection(x))
        return torch.relu(self.branch(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.inputs)))


def net(classes: int, channels: int, side: int, *, shortcut: str) -> nn.Module:
    return nn.Sequential(
        conv_norm(channels, 16, 3), Halving(16, shortcut), Halving(32, shortcut), *classifier(64, classes)
    )


def run(trial: Trial, shortcut: str) -> Outcome:
    return train(trial, partial(net, shortcut=shortcut), plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="shortcuts-a-and-b",
    claim=Text(
        "Projection shortcuts (B) give higher accuracy than identities padded with zeros (A).",
        "사영 지름길(B)은 0으로 채운 항등 지름길(A)보다 정확도가 높습니다.",
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
        Arm("projection", Text("B, projection", "B, 사영"), partial(run, shortcut="B"), lrs=(0.03, 0.01, 0.1)),
        Arm("padded", Text("A, padded", "A, 0으로 채움"), partial(run, shortcut="A"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="projection", lower="padded", smallest=0.3),),
    criterion=Text(
        "The accuracy with projections is higher by at least 0.3 points.",
        "사영을 쓴 정확도가 0.3 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.3 points.",
        "신뢰 구간이 0.3 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Two blocks, and no blocks between them in which the shortcuts are equal.",
        "블록이 두 개뿐이고, 지름길이 같은 블록은 넣지 않았습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 12, "train_images": 10_000}, minutes=70),
)
