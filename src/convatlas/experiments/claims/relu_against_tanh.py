"""AlexNet, Figure 1: a four-layer network with ReLU reaches 25 % training error six times faster than with tanh."""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.data.augmentation import Augmentation
from convatlas.experiments.arms import TEST_TOP1, passes_to, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Printed, Scale, Text, Trial
from convatlas.recipes.recipe import Recipe


def four_layers(classes: int, channels: int, side: int, *, nonlinearity: type[nn.Module]) -> nn.Module:
    """Three convolutions with pooling and one fully connected layer: "a four-layer convolutional network" (Fig. 1)."""
    widths, layers, size = (32, 32, 64), [], side
    for width in widths:
        layers += [nn.Conv2d(channels, width, 5, padding=2), nonlinearity()]
        if size >= 4:
            layers.append(nn.MaxPool2d(2))
            size //= 2
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size * size, classes))


def run(trial: Trial, nonlinearity: type[nn.Module]) -> Outcome:
    recipe = Recipe(
        epochs=trial.setting("epochs"), min_updates=0, batch_size=64, momentum=0.9, weight_decay=0.0,
        augment=Augmentation(pad=0, flip="off"),
    )  # fmt: skip
    outcome = train(trial, partial(four_layers, nonlinearity=nonlinearity), recipe)
    passes = passes_to(outcome.curves["train_top1"], 0.75)
    return Outcome({**outcome.metrics, "passes": passes}, outcome.curves, outcome.seconds)


EXPERIMENT = Experiment(
    name="relu-against-tanh",
    claim=Text(
        "A network with ReLU reaches 25 % training error in fewer passes than the same network with tanh.",
        "ReLU를 쓴 네트워크는 tanh를 쓴 같은 네트워크보다 적은 에포크 만에 학습 오류율 25 %에 도달합니다.",
    ),
    source="Krizhevsky, Sutskever and Hinton, NIPS 2012, section 3.1 and Figure 1",
    printed=(
        Printed(
            Text(
                "six times fewer passes to 25 % training error on CIFAR-10",
                "CIFAR-10에서 학습 오류율 25 %까지 6배 적은 에포크",
            ),
            "Krizhevsky et al. 2012, Figure 1",
        ),
    ),
    arms=(
        Arm("relu", Text("ReLU", "ReLU"), partial(run, nonlinearity=nn.ReLU), lrs=(0.03, 0.01, 0.1)),
        Arm("tanh", Text("tanh", "tanh"), partial(run, nonlinearity=nn.Tanh), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=Text(
        "Layers, parameters, data, batch size, number of updates and seeds. Each arm has its own learning rate, "
        "chosen "
        "on the validation set by the same sweep, as in the paper. No regularisation.",
        "층 구성, 파라미터 수, 데이터, 배치 크기, 갱신 횟수, 시드가 같습니다. 학습률은 논문처럼 조건마다 같은 "
        "방법으로 "
        "검증 세트에서 골랐습니다. 규제는 쓰지 않습니다.",
    ),
    metrics=(
        Metric("passes", Text("passes to 25 % training error", "학습 오류율 25 %까지의 에포크"), "passes"),
        TEST_TOP1,
    ),
    contrasts=(Contrast("passes", higher="tanh", lower="relu", smallest=0.5),),
    criterion=Text(
        "tanh needs at least half a pass more than ReLU: the paired interval over seeds lies above 0, and the mean "
        "difference is at least 0.5 passes. A network that never reaches 25 % counts as one pass more than were run.",
        "tanh가 ReLU보다 0.5 에포크 이상 더 필요합니다. 시드별 차이의 신뢰 구간이 0보다 크고 "
        "평균 차이가 0.5 에포크 이상이어야 합니다. 25 %에 도달하지 못하면 실행한 에포크 수 + 1로 셉니다.",
    ),
    contradiction=Text(
        "An interval below half a pass: tanh is as fast, or faster.",
        "신뢰 구간이 0.5 에포크보다 작으면, tanh가 같거나 더 빠르다는 뜻이므로 반증됩니다.",
    ),
    limits=Text(
        "A small network and few passes; the factor of six depends on the level of error, the network and the "
        "learning "
        "rates, and is not tested, only the direction.",
        "네트워크가 작고 에포크가 적습니다. 6배라는 비율은 오류율 기준, 네트워크, 학습률에 따라 달라지므로 "
        "검정하지 않고 방향만 검정합니다.",
    ),
    scales={
        "quick": Scale(1, seeds=(0, 1, 2), settings={"epochs": 8}),
        "standard": Scale(
            60,
            seeds=(0, 1, 2, 3, 4),
            data="cifar-10",
            pilot_seeds=(1000, 1001),
            settings={"epochs": 12, "train_images": 10_000},
        ),
        "full": Scale(600, seeds=(0, 1, 2, 3, 4), data="cifar-10", pilot_seeds=(1000, 1001), settings={"epochs": 40}),
    },
)
