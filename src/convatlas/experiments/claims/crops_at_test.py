"""AlexNet, section 4.1: the mean prediction of ten crops against that of the central one, for the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from convatlas.experiments.arms import TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn
from convatlas.runs.run import Run
from convatlas.runs.training_data import TrainingData


def run(trial: Trial, protocol: str) -> Outcome:
    from convatlas.runs.evaluate import evaluate

    def top1(run: Run, data: TrainingData) -> Mapping[str, float]:
        return {"test_top1": evaluate(run, protocol=protocol).top1}

    # the program's own augmentation: crops of the padded image and mirror images, which ten crops presuppose
    recipe = plain(trial.setting("epochs")).change(pad="auto", flip="auto")
    return train(trial, partial(small_cnn, head="average"), recipe, measure=top1)


EXPERIMENT = Experiment(
    name="crops-at-test",
    claim=Text(
        "The mean prediction of ten crops of a test image is more accurate than the prediction of the central crop.",
        "테스트 이미지의 크롭 열 개를 예측해 평균하면 가운데 크롭 하나보다 정확합니다.",
    ),
    source="Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1",
    printed=(
        Printed(
            Text(
                "ImageNet top-1 error: 37.5 % with ten crops, 39.0 % with the central one",
                "ImageNet top-1 오류율: 크롭 열 개 37.5 %, 가운데 크롭 39.0 %",
            ),
            "Krizhevsky et al. 2012, section 6 (footnote on the ten patches)",
            difference=1.5,
            verified=False,
        ),
    ),
    arms=(
        Arm("ten_crop", Text("ten crops", "크롭 열 개"), partial(run, protocol="ten-crop"), lrs=(0.03, 0.01, 0.1)),
        Arm("centre", Text("central crop", "가운데 크롭"), partial(run, protocol="centre"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=Text(
        "Everything up to the evaluation: the weights of both arms are equal for a seed and learning rate.",
        "평가 전까지 모두 같습니다. 시드와 학습률이 같으면 두 조건의 가중치가 같습니다.",
    ),
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="ten_crop", lower="centre", smallest=0.5),),
    criterion=Text(
        "The accuracy of ten crops is higher by at least 0.5 points.",
        "크롭 열 개의 정확도가 0.5 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.5 points.",
        "신뢰 구간이 0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Images of 32 pixels are enlarged to 37 for the crops, in the proportion of 256 to 224. Digits have no mirror "
        "images, so the quick scale is about shifts only.",
        "32픽셀 이미지를 256:224의 비율에 따라 37픽셀로 확대해 크롭합니다. 숫자는 좌우로 뒤집을 수 없으므로 quick "
        "규모에서는 이동만 봅니다.",
    ),
    scales=scales(quick={"epochs": 6}, standard={"epochs": 8, "train_images": 5000}, minutes=50),
)
