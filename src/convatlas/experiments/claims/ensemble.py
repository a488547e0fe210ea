"""An ensemble of several trainings is more accurate than one (GoogLeNet, section 7; AlexNet, Table 1)."""

from __future__ import annotations

import tempfile
from functools import partial

import torch

from convatlas.experiments.arms import OPTIONS, SAME_TRAINING, TEST_TOP1, plain, scales, split_of
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn
from convatlas.runs.training_data import TrainingData


def run(trial: Trial, size: int) -> Outcome:
    from convatlas.runs.evaluate import evaluate
    from convatlas.runs.train import train

    data = trial.data
    shared = TrainingData(data, seed=0, split=split_of(data, trial))
    recipe = plain(trial.setting("epochs"), lr=trial.lr)
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for member in range(size):
            seed = 100 * trial.seed + member
            torch.manual_seed(seed)
            net = small_cnn(len(data.classes), data.channels, (data.uniform_size or (32,))[0])
            runs.append(train(net, shared, recipe, options=OPTIONS, seed=seed, out=folder, name=f"member-{member}"))
        top1 = {part: evaluate(runs, part=part).top1 for part in ("val", "test")}
    return Outcome({"val_top1": top1["val"], "test_top1": top1["test"]})


EXPERIMENT = Experiment(
    name="ensemble",
    claim=Text(
        "The mean probability of seven trainings is more accurate than a single training.",
        "일곱 번 학습한 네트워크의 평균 확률은 하나보다 정확합니다.",
    ),
    source="Szegedy et al., CVPR 2015, section 7 and Table 3",
    printed=(
        Printed(
            Text(
                "ImageNet top-5 error, one crop: 10.07 % for one network, 8.09 % for seven",
                "ImageNet top-5 오류율, 크롭 하나: 네트워크 하나 10.07 %, 일곱 8.09 %",
            ),
            "Szegedy et al. 2015, Table 3",
            difference=1.98,
            verified=True,
        ),
    ),
    arms=(
        Arm("seven", Text("seven", "일곱"), partial(run, size=7), lrs=(0.03, 0.01, 0.1)),
        Arm("one", Text("one", "하나"), partial(run, size=1), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="seven", lower="one", smallest=0.5),),
    criterion=Text(
        "The accuracy of the ensemble is higher by at least 0.5 points.",
        "앙상블의 정확도가 0.5 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.5 points.",
        "신뢰 구간이 0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "All members see the same training images in another order; seven times the computation.",
        "모든 네트워크가 같은 학습 이미지를 순서만 다르게 봅니다. 계산량은 일곱 배입니다.",
    ),
    scales=scales(quick={"epochs": 4}, standard={"epochs": 8, "train_images": 5000}, minutes=90, quick_minutes=3),
)
