"""DenseNet: concatenated features reach the accuracy of residual networks with fewer parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from convatlas.experiments.arms import PARAMETERS, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import blocks, classifier, conv_norm


class DenseBlock(nn.Module):
    """Each 3x3 convolution reads the concatenation of all maps before it (Huang et al. 2017, equation 2)."""

    def __init__(self, inputs: int, growth: int, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv_norm(inputs + place * growth, growth, 3) for place in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)
        return x


def dense(classes: int, channels: int, side: int) -> nn.Module:
    growth, count, stem = 10, 8, 16
    return nn.Sequential(
        conv_norm(channels, stem, 3), DenseBlock(stem, growth, count), *classifier(stem + count * growth, classes)
    )


NETWORKS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "dense": dense,
    "residual": partial(blocks, count=4, width=24),
}


def run(trial: Trial, network: str) -> Outcome:
    net = NETWORKS[network]
    return train(trial, net, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="dense-against-residual",
    claim=Text(
        "A dense network with fewer parameters is not less accurate than a residual one of the same depth.",
        "깊이가 같을 때 밀집 연결 네트워크는 파라미터가 더 적어도 잔차 네트워크보다 정확도가 낮지 않습니다.",
    ),
    source="Huang, Liu, van der Maaten and Weinberger, CVPR 2017, Table 2 and Figure 4",
    printed=(
        Printed(
            Text(
                "CIFAR-10+: DenseNet (k = 12), 40 layers, 1.0 M parameters: 5.24 % error; ResNet with 110 layers, "
                "1.7 M: 6.61 %",
                "CIFAR-10+: DenseNet(k = 12) 40층 1.0 M 파라미터 오류율 5.24 %, ResNet 110층 1.7 M 6.61 %",
            ),
            "Huang et al. 2017, Table 2",
            difference=1.37,
            verified=True,
        ),
    ),
    arms=(
        Arm("dense", Text("dense", "밀집 연결"), partial(run, network="dense"), lrs=(0.03, 0.01, 0.1)),
        Arm("residual", Text("residual", "잔차 연결"), partial(run, network="residual"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TEST_TOP1,
        PARAMETERS,
    ),
    contrasts=(Contrast("test_top1", higher="dense", lower="residual", smallest=-0.5),),
    criterion=Text(
        "The interval of the difference lies above -0.5 points.",
        "차이의 신뢰 구간이 -0.5 포인트보다 큽니다.",
    ),
    contradiction=Text(
        "An interval below -0.5 points.",
        "신뢰 구간이 -0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Eight convolutions of one stage; parameters of both arms are in the record.",
        "한 단계의 합성곱 여덟 개입니다. 두 조건의 파라미터 수는 기록에 있습니다.",
    ),
    scales=scales(quick={"epochs": 4}, standard={"epochs": 6, "train_images": 5000}, minutes=90, quick_minutes=3),
)
