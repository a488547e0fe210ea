"""Without shortcuts the gradient shrinks on its way to the first layers (He et al. 2016, ECCV, equation 5)."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.experiments.arms import pixels_of
from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Scale, Text, Trial

DEPTH, WIDTH = 20, 16


class Body(nn.Module):
    """3x3 convolutions with ReLU; with ``shortcut`` each adds its input."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.stem, self.shortcut = nn.Conv2d(channels, WIDTH, 3, padding=1), shortcut
        self.layers = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(DEPTH))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            branch = torch.relu(layer(x))
            x = x + branch if self.shortcut else branch
        return x.mean(dim=(2, 3))


def run(trial: Trial, shortcut: bool) -> Outcome:
    """Orders of magnitude by which the gradient of the first layer is smaller than that of the last."""
    torch.manual_seed(trial.seed)
    data = trial.data
    pixels = pixels_of(data, np.random.default_rng(trial.seed).permutation(len(data))[:64])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    body, head = Body(data.channels, shortcut), nn.Linear(WIDTH, len(data.classes))
    labels = torch.arange(64) % len(data.classes)
    nn.functional.cross_entropy(head(body(images)), labels).backward()
    norms = [float(layer.weight.grad.norm()) for layer in body.layers if isinstance(layer.weight.grad, Tensor)]
    return Outcome({"orders": float(np.log10(norms[-1] / norms[0]))})


EXPERIMENT = Experiment(
    name="gradient-norms",
    claim=Text(
        "At the start, the gradient of the first layers of a deep network is smaller than that of the last by "
        "orders of magnitude, and shortcuts prevent it.",
        "학습을 시작할 때 깊은 네트워크의 앞쪽 층 기울기는 뒤쪽 층보다 몇 자릿수나 작고, 지름길 연결이 이를 막습니다.",
    ),
    source="He, Zhang, Ren and Sun, ECCV 2016, equation 5",
    printed=(),
    arms=(
        Arm("plain", Text("plain", "지름길 없음"), partial(run, shortcut=False), lrs=(0.1,)),
        Arm("residual", Text("residual", "잔차 연결"), partial(run, shortcut=True), lrs=(0.1,)),
    ),
    constant=Text(
        "Layers, initial weights by seed, images and loss.",
        "층 구성, 시드별 초기 가중치, 이미지, 손실 함수가 같습니다.",
    ),
    metrics=(
        Metric(
            "orders", Text("last over first gradient norm", "마지막 층과 첫 층의 기울기 크기 비"), "orders of magnitude"
        ),
    ),
    contrasts=(Contrast("orders", higher="plain", lower="residual", smallest=1.0),),
    criterion=Text(
        "Without shortcuts the ratio is larger by at least one order of magnitude.",
        "지름길이 없을 때의 비가 한 자릿수 이상 큽니다.",
    ),
    contradiction=Text(
        "An interval below 1 order of magnitude.",
        "신뢰 구간이 1 자릿수보다 작은 경우입니다.",
    ),
    limits=Text(
        "At the start, with PyTorch's initial weights and without batch normalisation, which prevents the decay "
        "as well.",
        "학습을 시작할 때의 값이며 PyTorch의 초기 가중치를 쓰고 배치 정규화는 쓰지 않습니다. 배치 정규화도 이 "
        "감소를 막습니다.",
    ),
    scales={
        "quick": Scale(0.2, (0, 1, 2)),
        "standard": Scale(1, tuple(range(10)), "cifar-10"),
        "full": Scale(2, tuple(range(30)), "cifar-10"),
    },
)
