"""Lin et al. 2017: focal loss against cross-entropy where classes are unequally frequent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from convatlas.data import Split
from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, plain, scales, split_of, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Text, Trial
from convatlas.experiments.networks import small_cnn
from convatlas.runs.run import Run
from convatlas.runs.training_data import TrainingData


def unequal(trial: Trial, ratio: int) -> Split:
    """The split, with half of the classes reduced to one image for every ``ratio`` of the others."""
    split = split_of(trial.data, trial)
    labels = trial.data.labels[split.train]
    kept = [split.train[labels < len(trial.data.classes) // 2]]
    for label in range(len(trial.data.classes) // 2, len(trial.data.classes)):
        of_class = split.train[labels == label]
        kept.append(of_class[: max(3, len(of_class) // ratio)])
    return replace(split, train=np.sort(np.concatenate(kept)))


def minority_recall(run: Run, data: TrainingData) -> Mapping[str, float]:
    from convatlas.runs.evaluate import evaluate

    evaluation = evaluate(run, data.dataset)
    rare = evaluation.labels >= len(data.dataset.classes) // 2
    return {"minority": float(evaluation.hits[rare].mean())}


def run(trial: Trial, loss: str) -> Outcome:
    recipe = plain(trial.setting("epochs"), loss=loss)
    split = unequal(trial, trial.setting("ratio"))
    return train(trial, small_cnn, recipe, split=split, measure=minority_recall)


EXPERIMENT = Experiment(
    name="cross-entropy-against-focal",
    claim=Text(
        "Where half of the classes are rare, focal loss (gamma 2) raises the recall of the rare classes.",
        "클래스의 절반이 드물 때 초점 손실(gamma 2)은 드문 클래스의 재현율을 높입니다.",
    ),
    source="Lin, Goyal, Girshick, He and Dollar, ICCV 2017, section 3",
    printed=(),
    arms=(
        Arm("focal", Text("focal loss", "초점 손실"), partial(run, loss="focal"), lrs=(0.03, 0.01, 0.1)),
        Arm(
            "cross_entropy",
            Text("cross-entropy", "교차 엔트로피"),
            partial(run, loss="cross-entropy"),
            lrs=(0.03, 0.01, 0.1),
        ),
    ),
    constant=SAME_TRAINING,
    metrics=(
        Metric("minority", Text("recall of the rare classes", "드문 클래스의 재현율"), "points", 100),
        TEST_TOP1,
    ),
    contrasts=(Contrast("minority", higher="focal", lower="cross_entropy", smallest=2.0),),
    criterion=Text(
        "The recall of the rare classes is higher by at least two points.",
        "드문 클래스의 재현율이 2 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 2 points.",
        "신뢰 구간이 2 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "The paper's figures are of object detection, with a background class; here classes of a classifier are "
        "rare, and no class weights are used.",
        "논문의 값은 배경 클래스가 있는 객체 검출의 것입니다. 여기서는 분류기의 일부 클래스가 드물고 클래스 "
        "가중치는 쓰지 않습니다.",
    ),
    scales=scales(
        quick={"epochs": 8, "ratio": 10}, standard={"epochs": 10, "train_images": 5000, "ratio": 100}, minutes=15
    ),
)
