"""Ioffe and Szegedy 2015: with batch normalisation, a network learns in fewer steps."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, passes_to, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import Norm, small_cnn


def run(trial: Trial, norm: Norm) -> Outcome:
    outcome = train(trial, partial(small_cnn, norm=norm), plain(trial.setting("epochs")))
    passes = passes_to(outcome.curves["train_top1"], 0.75)
    return Outcome({**outcome.metrics, "passes": passes}, outcome.curves, outcome.seconds)


EXPERIMENT = Experiment(
    name="batch-norm-speeds-up",
    claim=Text(
        "With batch normalisation a network reaches 25 % training error in fewer passes.",
        "배치 정규화를 쓰면 더 적은 에포크 만에 학습 오류율 25 %에 도달합니다.",
    ),
    source="Ioffe and Szegedy, ICML 2015, section 4.2.2 and Figure 2",
    printed=(
        Printed(
            Text(
                "Inception reaches the same accuracy in 14 times fewer steps",
                "Inception이 14배 적은 스텝으로 같은 정확도에 도달",
            ),
            "Ioffe and Szegedy 2015, abstract",
        ),
    ),
    arms=(
        Arm("batch_norm", Text("batch norm", "배치 정규화"), partial(run, norm="batch"), lrs=(0.03, 0.01, 0.1)),
        Arm("without", Text("without", "정규화 없음"), partial(run, norm="none"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        Metric("passes", Text("passes to 25 % training error", "학습 오류율 25 %까지의 에포크"), "passes"),
        TEST_TOP1,
    ),
    contrasts=(Contrast("passes", higher="without", lower="batch_norm", smallest=0.5),),
    criterion=Text(
        "Without it, at least half a pass more is needed. A network that never reaches 25 % counts as one pass "
        "more than were run.",
        "배치 정규화가 없으면 0.5 에포크 이상 더 필요합니다. 25 %에 도달하지 못하면 실행한 에포크 수 + 1로 셉니다.",
    ),
    contradiction=Text(
        "An interval below half a pass.",
        "신뢰 구간이 0.5 에포크보다 작은 경우입니다.",
    ),
    limits=Text(
        "A shallow network; the factor of 14 is that of Inception with a higher learning rate and is not tested.",
        "얕은 네트워크입니다. 14배는 학습률을 높인 Inception의 값이며 여기서는 검정하지 않습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 12, "train_images": 10_000}, minutes=60),
)
