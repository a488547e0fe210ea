"""SGD, SGD with momentum and AdamW, each with its own learning rate."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, TRAIN_LOSS, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, optimizer: str, momentum: float) -> Outcome:
    return train(trial, small_cnn, plain(trial.setting("epochs"), optimizer=optimizer, momentum=momentum))


EXPERIMENT = Experiment(
    name="momentum-and-adam",
    claim=Text(
        "After equal updates, SGD with momentum and AdamW have a lower training loss than plain SGD.",
        "갱신 횟수가 같을 때 모멘텀 SGD와 AdamW는 단순 SGD보다 학습 손실이 낮습니다.",
    ),
    source="Sutskever, Martens, Dahl and Hinton, ICML 2013; Kingma and Ba, ICLR 2015, Figure 3",
    printed=(),
    arms=(
        Arm("sgd", Text("SGD", "SGD"), partial(run, optimizer="sgd", momentum=0.0), lrs=(0.1, 0.03, 0.3)),
        Arm(
            "momentum",
            Text("momentum 0.9", "모멘텀 0.9"),
            partial(run, optimizer="sgd", momentum=0.9),
            lrs=(0.03, 0.01, 0.1),
        ),
        Arm("adamw", Text("AdamW", "AdamW"), partial(run, optimizer="adamw", momentum=0.9), lrs=(0.003, 0.001, 0.01)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TRAIN_LOSS,
        TEST_TOP1,
    ),
    contrasts=(
        Contrast("train_loss", higher="sgd", lower="momentum", smallest=0.02),
        Contrast("train_loss", higher="sgd", lower="adamw", smallest=0.02),
    ),
    criterion=Text(
        "The training loss of plain SGD is higher than that of each of the others by at least 0.02 nats.",
        "단순 SGD의 학습 손실이 나머지 둘보다 각각 0.02 nats 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval of either difference below 0.02 nats.",
        "두 차이 가운데 하나라도 신뢰 구간이 0.02 nats보다 작은 경우입니다.",
    ),
    limits=Text(
        "Three learning rates for each optimizer and a constant schedule.",
        "최적화 방법마다 학습률 세 가지만 시도했고 학습률은 일정합니다.",
    ),
    scales=scales(quick={"epochs": 6}, standard={"epochs": 10, "train_images": 5000}, minutes=45),
)
