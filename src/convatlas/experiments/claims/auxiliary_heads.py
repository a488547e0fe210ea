"""GoogLeNet, section 5: auxiliary classifiers raise the gradient that reaches the first layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.experiments.arms import TEST_TOP1, pixels_of, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import classifier, with_he_weights
from convatlas.models.branches import Outputs

DEPTH, WIDTH, WEIGHT = 12, 16, 0.3  # the weight of an auxiliary loss is the paper's


class Net(nn.Module):
    """Convolutions without normalisation or shortcuts; auxiliary heads after a third and two thirds of them."""

    def __init__(self, classes: int, channels: int, auxiliary: bool) -> None:
        super().__init__()
        inputs = (channels, *[WIDTH] * (DEPTH - 1))
        self.layers = nn.ModuleList(nn.Conv2d(maps, WIDTH, 3, padding=1) for maps in inputs)
        with_he_weights(self.layers)
        self.head = nn.Sequential(*classifier(WIDTH, classes))
        places = (DEPTH // 3, 2 * DEPTH // 3) if auxiliary else ()
        self.heads = nn.ModuleDict({str(place): nn.Sequential(*classifier(WIDTH, classes)) for place in places})

    def forward(self, x: Tensor) -> Tensor | Outputs:
        auxiliary = []
        for place, layer in enumerate(self.layers, start=1):
            x = torch.relu(layer(x))
            if self.training and str(place) in self.heads:
                auxiliary.append(self.heads[str(place)](x))
            if place == DEPTH // 3:
                x = nn.functional.max_pool2d(x, 2)
        return Outputs(self.head(x), tuple(auxiliary), WEIGHT) if auxiliary else self.head(x)


def net(auxiliary: bool) -> Callable[[int, int, int], nn.Module]:
    return lambda classes, channels, side: Net(classes, channels, auxiliary)


def run(trial: Trial, auxiliary: bool) -> Outcome:
    outcome = train(trial, net(auxiliary), plain(trial.setting("epochs")))
    return Outcome({**outcome.metrics, "gradient": first_gradient(trial, auxiliary)}, outcome.curves)


def first_gradient(trial: Trial, auxiliary: bool) -> float:
    """Norm of the loss's gradient with respect to the first layer's weights, before any update; its log10."""
    torch.manual_seed(trial.seed)
    data = trial.data
    some = np.random.default_rng(trial.seed).permutation(len(data))[:128]
    images = torch.from_numpy(pixels_of(data, some)).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(data.labels[some])
    model = Net(len(data.classes), data.channels, auxiliary)
    outputs = model(images - images.mean())
    logits, others = (outputs.logits, outputs.auxiliary) if isinstance(outputs, Outputs) else (outputs, ())
    loss = nn.functional.cross_entropy(logits, labels)
    for other in others:
        loss = loss + WEIGHT * nn.functional.cross_entropy(other, labels)
    loss.backward()
    return math.log10(float(model.layers[0].weight.grad.norm()))  # type: ignore[union-attr,operator]


LRS = (0.03, 0.01, 0.1)
EXPERIMENT = Experiment(
    name="auxiliary-heads",
    claim=Text(
        "Auxiliary classifiers raise the gradient of the first layer and the test accuracy of a deep network.",
        "보조 분류기는 깊은 네트워크에서 첫 층의 기울기와 테스트 정확도를 높입니다.",
    ),
    source="Szegedy et al., Going deeper with convolutions, CVPR 2015, section 5",
    printed=(
        Printed(
            Text(
                "the effect of the auxiliary networks is relatively minor (around 0.5 %)",
                "보조 네트워크의 효과는 비교적 작다(약 0.5 %)",
            ),
            "Szegedy et al., CVPR 2015, section 6",
            difference=0.5,
            verified=False,
        ),
    ),
    arms=(
        Arm("auxiliary", Text("two auxiliary heads", "보조 분류기 둘"), partial(run, auxiliary=True), lrs=LRS),
        Arm("without", Text("none", "없음"), partial(run, auxiliary=False), lrs=LRS),
    ),
    constant=Text(
        "The layers of the network without the heads, data, number of updates, batch size and seeds. Each arm's "
        "learning rate is chosen on the validation set by the same sweep.",
        "보조 분류기를 뺀 네트워크의 층, 데이터, 갱신 횟수, 배치 크기, 시드가 같습니다. 학습률은 조건마다 같은 "
        "방법으로 검증 세트에서 골랐습니다.",
    ),
    metrics=(
        TEST_TOP1,
        Metric("gradient", Text("gradient norm of the first layer", "첫 층의 기울기 크기"), "orders of magnitude"),
    ),
    contrasts=(
        Contrast("gradient", higher="auxiliary", lower="without", smallest=0.1),
        Contrast("test_top1", higher="auxiliary", lower="without", smallest=0.5),
    ),
    criterion=Text(
        "The gradient norm at the start is larger by at least a quarter (0.1 orders of magnitude), and the accuracy is "
        "higher by at least 0.5 points.",
        "학습을 시작할 때의 기울기 크기가 4분의 1(0.1 자릿수) 이상 크고, 정확도가 0.5 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval of either difference below the smallest that counts.",
        "두 차이 가운데 하나라도 신뢰 구간이 기준보다 작은 경우입니다.",
    ),
    limits=Text(
        "Twelve layers of one width. The heads are an average over positions and one layer, without the paper's 1x1 "
        "convolution and its layer of 1,024 units.",
        "채널 수가 같은 층 열두 개입니다. 보조 분류기는 위치 평균과 층 하나이며, 논문의 1x1 합성곱과 유닛 1,024개의 "
        "층은 없습니다.",
    ),
    scales=scales(quick={"epochs": 6}, standard={"epochs": 6, "train_images": 4000}, minutes=80, quick_minutes=3),
)
