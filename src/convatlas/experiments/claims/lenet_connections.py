"""LeCun et al. 1998, section II.B and Table I: the third layer of LeNet-5 reads only some of the maps before it."""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.experiments.arms import PARAMETERS, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.models.lenet import C3_TABLE, TableConvolution

EVERY_MAP = tuple(tuple(range(6)) for _ in C3_TABLE)


def net(classes: int, channels: int, side: int, *, table: tuple[tuple[int, ...], ...]) -> nn.Module:
    """C1, S2, C3 with a connection table, S4 and two fully connected layers; small maps are enlarged to 16 pixels."""
    enlarge = [nn.Upsample(16)] if side < 16 else []
    c3 = TableConvolution(table)
    nn.init.normal_(c3.weight, std=(2 / (25 * 6)) ** 0.5)  # He's rule for six maps, in both arms
    nn.init.zeros_(c3.bias)
    c1 = [nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    maps = max(side, 16) // 2 - 4
    fc = [nn.Flatten(), nn.Linear(16 * (maps // 2) ** 2, 84), nn.ReLU(), nn.Linear(84, classes)]
    return nn.Sequential(*enlarge, *c1, c3, nn.ReLU(), nn.MaxPool2d(2), *fc)


def run(trial: Trial, table: tuple[tuple[int, ...], ...]) -> Outcome:
    return train(trial, partial(net, table=table), plain(trial.setting("epochs")))


LRS = (0.03, 0.01, 0.1)
EXPERIMENT = Experiment(
    name="lenet-connections",
    claim=Text(
        "With the connections of Table I, LeNet-5's layer C3 has fewer parameters and is not less accurate than with "
        "all connections.",
        "LeNet-5의 C3 층은 표 I의 연결만 써도 모두 연결했을 때보다 파라미터가 적으면서 정확도가 떨어지지 않습니다.",
    ),
    source="LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86(11), 1998, section II.B and Table I",
    printed=(
        Printed(
            Text(
                "C3 has 1,516 parameters in 60 connections of maps; all 96 would make 2,416",
                "C3은 맵 연결 60개, 파라미터 1,516개. 96개를 모두 연결하면 2,416개",
            ),
            "LeCun et al. 1998, section II.B",
        ),
    ),
    arms=(
        Arm("table", Text("Table I", "표 I"), partial(run, table=C3_TABLE), lrs=LRS),
        Arm("all", Text("all connections", "모두 연결"), partial(run, table=EVERY_MAP), lrs=LRS),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1, PARAMETERS),
    contrasts=(
        Contrast("test_top1", higher="table", lower="all", smallest=-0.3),
        Contrast("parameters", higher="all", lower="table", smallest=0.8),
    ),
    criterion=Text(
        "The accuracy with Table I is lower by less than 0.3 points, with at least 800 parameters fewer.",
        "표 I을 쓴 정확도의 하락이 0.3 포인트보다 작고, 파라미터는 800개 이상 적습니다.",
    ),
    contradiction=Text(
        "An interval of the accuracy's difference below -0.3 points.",
        "정확도 차이의 신뢰 구간이 -0.3 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "ReLU, max pooling and cross-entropy instead of the tanh, the subsampling and the RBF units of 1998.",
        "1998년의 tanh, 부표본화, RBF 유닛 대신 ReLU, 최대 풀링, 교차 엔트로피를 썼습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 8, "train_images": 10_000}, minutes=20, data="mnist"),
)
