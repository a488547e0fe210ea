"""VGG: more convolutions per stage give higher accuracy (Simonyan and Zisserman 2015, Table 3)."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, TRAIN_LOSS, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, per_stage: int) -> Outcome:
    return train(trial, partial(small_cnn, kernels=(3,) * per_stage, norm="batch"), plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="depth",
    claim=Text(
        "Three convolutions per stage give higher accuracy than one.",
        "단계마다 합성곱이 세 개이면 하나일 때보다 정확도가 높습니다.",
    ),
    source="Simonyan and Zisserman, ICLR 2015, Table 3",
    printed=(
        Printed(
            Text(
                "ImageNet top-1 error: 29.6 % with 11 layers (A), 25.6 % with 16 layers (D)",
                "ImageNet top-1 오류율: 11층(A) 29.6 %, 16층(D) 25.6 %",
            ),
            "Simonyan and Zisserman 2015, Table 3",
            difference=None,
            verified=True,
        ),
    ),
    arms=(
        Arm("three", Text("three per stage", "단계마다 셋"), partial(run, per_stage=3), lrs=(0.03, 0.01, 0.1)),
        Arm("one", Text("one per stage", "단계마다 하나"), partial(run, per_stage=1), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TEST_TOP1,
        TRAIN_LOSS,
    ),
    contrasts=(Contrast("test_top1", higher="three", lower="one", smallest=1.0),),
    criterion=Text(
        "The accuracy of the deeper network is higher by at least one point.",
        "깊은 네트워크의 정확도가 1 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 1 point.",
        "신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Depth and parameters grow together, as in the paper.",
        "논문처럼 깊이와 파라미터 수가 함께 늘어납니다.",
    ),
    scales=scales(quick={"epochs": 6}, standard={"epochs": 10, "train_images": 5000}, minutes=55, quick_minutes=3),
)
