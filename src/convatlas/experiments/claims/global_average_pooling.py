"""NiN, section 3.2: global average pooling instead of a fully connected layer overfits less."""

from __future__ import annotations

from functools import partial
from typing import Literal

from convatlas.experiments.arms import GAP, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, head: Literal["fc", "average"]) -> Outcome:
    return train(trial, partial(small_cnn, widths=(32, 64), head=head), plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="global-average-pooling",
    claim=Text(
        "Global average pooling before the last layer makes the gap between training and validation accuracy smaller.",
        "마지막 층 앞의 전역 평균 풀링은 학습 정확도와 검증 정확도의 차이를 줄입니다.",
    ),
    source="Lin, Chen and Yan, ICLR 2014, sections 3.2 and 4.6",
    printed=(
        Printed(
            Text(
                "CIFAR-10 test error: 10.41 % with global average pooling, 11.59 % with a fully connected layer",
                "CIFAR-10 테스트 오류율: 전역 평균 풀링 10.41 %, 완전 연결 11.59 %",
            ),
            "Lin et al. 2014, Table 5",
            difference=None,
            verified=False,
        ),
    ),
    arms=(
        Arm("connected", Text("fully connected", "완전 연결"), partial(run, head="fc"), lrs=(0.03, 0.01, 0.1)),
        Arm("average", Text("average pooling", "평균 풀링"), partial(run, head="average"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        GAP,
        TEST_TOP1,
    ),
    contrasts=(Contrast("gap", higher="connected", lower="average", smallest=1.0),),
    criterion=Text(
        "With the fully connected layer the gap is larger by at least one point.",
        "완전 연결층을 쓸 때의 차이가 1 포인트 이상 큽니다.",
    ),
    contradiction=Text(
        "An interval below 1 point.",
        "신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "The convolutions are equal; the head over all positions has more parameters, which is a part of the "
        "claim. A small gap may also mean that less was learned: the test accuracy stands beside it.",
        "합성곱 층은 같습니다. 모든 위치를 읽는 층은 파라미터가 더 많으며, 이것도 주장의 일부입니다. 덜 배워서 "
        "차이가 작을 수도 있으므로 테스트 정확도를 함께 보여 줍니다.",
    ),
    scales=scales(quick={"epochs": 10}, standard={"epochs": 15, "train_images": 5000}, minutes=50),
)
