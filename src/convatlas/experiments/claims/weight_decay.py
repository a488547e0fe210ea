"""L2 regularisation makes the gap between training and validation smaller (Krogh and Hertz 1991)."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import GAP, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, weight_decay: float) -> Outcome:
    return train(trial, small_cnn, plain(trial.setting("epochs"), weight_decay=weight_decay))


EXPERIMENT = Experiment(
    name="weight-decay",
    claim=Text(
        "Weight decay makes the gap between training and validation accuracy smaller.",
        "가중치 감쇠는 학습 정확도와 검증 정확도의 차이를 줄입니다.",
    ),
    source="Krogh and Hertz, NIPS 1991",
    printed=(),
    arms=(
        Arm("without", Text("none", "없음"), partial(run, weight_decay=0.0), lrs=(0.03, 0.01, 0.1)),
        Arm("with", Text("0.005", "0.005"), partial(run, weight_decay=0.005), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        GAP,
        TEST_TOP1,
    ),
    contrasts=(Contrast("gap", higher="without", lower="with", smallest=1.0),),
    criterion=Text(
        "Without weight decay the gap is larger by at least one point.",
        "가중치 감쇠가 없을 때의 차이가 1 포인트 이상 큽니다.",
    ),
    contradiction=Text(
        "An interval below 1 point.",
        "신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "One strength; too much of it lowers the training accuracy, which also closes the gap, so the test "
        "accuracy stands beside it.",
        "한 가지 세기만 썼습니다. 너무 크면 학습 정확도가 떨어져서 차이가 줄 수도 있으므로 테스트 정확도를 함께 "
        "보여 줍니다.",
    ),
    scales=scales(quick={"epochs": 10}, standard={"epochs": 15, "train_images": 5000}, minutes=40),
)
