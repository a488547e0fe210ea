"""AlexNet, section 4.1: noise along the principal components of the colours."""

from __future__ import annotations

from functools import partial

from convatlas.data.augmentation import Augmentation
from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, noise: float) -> Outcome:
    augment = Augmentation(pad=0, flip="off", pca_noise=noise)
    return train(trial, small_cnn, plain(trial.setting("epochs"), augment=augment))


LRS = (0.03, 0.01, 0.1)
EXPERIMENT = Experiment(
    name="pca-colour",
    claim=Text(
        "Noise along the principal components of the colours raises the test accuracy.",
        "색의 주성분을 따라 잡음을 더하면 테스트 정확도가 높아집니다.",
    ),
    source="Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1",
    printed=(
        Printed(
            Text("reduces ImageNet's top-1 error by over 1 %", "ImageNet top-1 오류율을 1 % 넘게 줄임"),
            "Krizhevsky et al. 2012, section 4.1",
            difference=1.0,
        ),
    ),
    arms=(
        Arm("noise", Text("standard deviation 0.1", "표준편차 0.1"), partial(run, noise=0.1), lrs=LRS),
        Arm("none", Text("none", "없음"), partial(run, noise=0.0), lrs=LRS),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="noise", lower="none", smallest=0.5),),
    criterion=Text(
        "The accuracy is higher by at least 0.5 points.",
        "정확도가 0.5 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.5 points.",
        "신뢰 구간이 0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Images of 32 pixels and a short training. The digits of the quick scale have no colours.",
        "32픽셀 이미지로 짧게 학습했습니다. quick 규모의 숫자 이미지에는 색이 없습니다.",
    ),
    scales=scales(quick={"epochs": 6}, standard={"epochs": 12, "train_images": 5000}, minutes=50),
)
