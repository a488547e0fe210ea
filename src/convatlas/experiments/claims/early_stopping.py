"""Weights of the epoch with the best validation against those of the last (Prechelt 1998)."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, keep: str) -> Outcome:
    return train(trial, small_cnn, plain(trial.setting("epochs"), keep=keep))


LRS = (0.03, 0.01, 0.1)
EXPERIMENT = Experiment(
    name="early-stopping",
    claim=Text(
        "In a long training on few images, the weights of the epoch with the best validation accuracy are more "
        "accurate on the test images than the last.",
        "적은 이미지로 오래 학습하면, 검증 정확도가 가장 높은 에폭의 가중치가 마지막 가중치보다 테스트 정확도가 "
        "높습니다.",
    ),
    source="Prechelt, Early stopping - but when?, in: Neural Networks: Tricks of the Trade, Springer 1998",
    printed=(),
    arms=(
        Arm("best", Text("best on validation", "검증 최고"), partial(run, keep="best"), lrs=LRS),
        Arm("last", Text("last epoch", "마지막 에폭"), partial(run, keep="last"), lrs=LRS),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="best", lower="last", smallest=0.5),),
    criterion=Text(
        "The test accuracy is higher by at least 0.5 points.",
        "테스트 정확도가 0.5 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.5 points.",
        "신뢰 구간이 0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "A constant learning rate and no regularisation; both arms train the same number of epochs.",
        "학습률이 일정하고 규제는 없습니다. 두 조건 모두 같은 에폭 수만큼 학습합니다.",
    ),
    scales=scales(quick={"epochs": 20, "train_images": 300}, standard={"epochs": 40, "train_images": 1000}, minutes=40),
)
