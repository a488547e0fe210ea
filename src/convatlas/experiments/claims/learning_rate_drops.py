"""Lowering the learning rate near the end of the training raises the accuracy (AlexNet, section 5; He et al. 2016)."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, TRAIN_LOSS, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn

SETTINGS = {"constant": {}, "drops": {"schedule": "multistep", "schedule_settings": {"shares": (0.5, 0.75)}}}


def run(trial: Trial, schedule: str) -> Outcome:
    return train(trial, small_cnn, plain(trial.setting("epochs"), **SETTINGS[schedule]))


EXPERIMENT = Experiment(
    name="learning-rate-drops",
    claim=Text(
        "Dividing the learning rate by 10 after half and three quarters of the training raises the accuracy.",
        "학습의 절반과 4분의 3 지점에서 학습률을 10으로 나누면 정확도가 높아집니다.",
    ),
    source="He, Zhang, Ren and Sun, CVPR 2016, section 4.2 and Figure 6",
    printed=(
        Printed(
            Text(
                "training error falls at once at 32k and 48k of 64k updates",
                "64k 갱신 가운데 32k와 48k에서 학습 오류율이 곧바로 떨어진다",
            ),
            "He et al. 2016, Figure 6",
            difference=None,
            verified=True,
        ),
    ),
    arms=(
        Arm("drops", Text("drops", "단계적 감소"), partial(run, schedule="drops"), lrs=(0.1, 0.03, 0.3)),
        Arm("constant", Text("constant", "일정"), partial(run, schedule="constant"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TEST_TOP1,
        TRAIN_LOSS,
    ),
    contrasts=(Contrast("test_top1", higher="drops", lower="constant", smallest=0.5),),
    criterion=Text(
        "With drops the accuracy is higher by at least 0.5 points.",
        "학습률을 낮춘 쪽의 정확도가 0.5 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.5 points.",
        "신뢰 구간이 0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Each schedule has its own sweep of first learning rates; a short training.",
        "일정마다 처음 학습률을 따로 골랐고 학습이 짧습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=30),
)
