"""Glorot and Bengio 2010: a deep network learns from weights scaled by the fan, and not from N(0, 0.01)."""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, TRAIN_LOSS, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Text, Trial
from convatlas.experiments.networks import small_cnn


def net(classes: int, channels: int, side: int, *, rule: str) -> nn.Module:
    built = small_cnn(classes, channels, side, kernels=(3, 3, 3), nonlinearity=nn.Tanh)
    for module in built.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if rule == "glorot":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.normal_(module.weight, std=0.01)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return built


def run(trial: Trial, rule: str) -> Outcome:
    return train(trial, partial(net, rule=rule), plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="initial-weights",
    claim=Text(
        "A network of ten layers has a lower training loss from Glorot's initial weights than from N(0, 0.01).",
        "10층 네트워크는 N(0, 0.01) 초기 가중치보다 글로럿 초기화에서 학습 손실이 낮습니다.",
    ),
    source="Glorot and Bengio, AISTATS 2010, section 4.2.1; Simonyan and Zisserman, ICLR 2015, section 3.1",
    printed=(),
    arms=(
        Arm("gaussian", Text("N(0, 0.01)", "N(0, 0.01)"), partial(run, rule="gaussian"), lrs=(0.03, 0.01, 0.1)),
        Arm("glorot", Text("Glorot", "글로럿"), partial(run, rule="glorot"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TRAIN_LOSS,
        TEST_TOP1,
    ),
    contrasts=(Contrast("train_loss", higher="gaussian", lower="glorot", smallest=0.2),),
    criterion=Text(
        "From N(0, 0.01) the training loss is higher by at least 0.2 nats.",
        "N(0, 0.01)에서 시작한 학습 손실이 0.2 nats 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.2 nats.",
        "신뢰 구간이 0.2 nats보다 작은 경우입니다.",
    ),
    limits=Text(
        "tanh, as in Glorot's paper, and no batch normalisation.",
        "글로럿의 논문처럼 tanh를 쓰고 배치 정규화는 쓰지 않습니다.",
    ),
    scales=scales(quick={"epochs": 5}, standard={"epochs": 8, "train_images": 5000}, minutes=50, quick_minutes=3),
)
