"""Hand-made features with a linear classifier against learned ones (Dalal and Triggs 2005; Krizhevsky et al. 2012)."""

from __future__ import annotations

import numpy as np

from convatlas.data import Dataset
from convatlas.experiments.arms import TEST_TOP1, plain, scales, split_of, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Text, Trial
from convatlas.experiments.networks import small_cnn


def images(data: Dataset, indices: np.ndarray) -> list[np.ndarray]:
    return [data.read(int(index)) for index in indices]


def hog(trial: Trial) -> Outcome:
    """Histograms of oriented gradients and a linear SVM, whose C is chosen on the validation set."""
    from convatlas.baselines import baseline

    data, split = trial.data, split_of(trial.data, trial)
    fitted = baseline("hog", trial.seed).fit(
        images(data, split.train), data.labels[split.train], len(data.classes),
        (images(data, split.val), data.labels[split.val]),
    )  # fmt: skip
    correct = fitted.logits(images(data, split.test)).argmax(axis=1) == data.labels[split.test]
    return Outcome({"test_top1": float(correct.mean()), "val_top1": fitted.val_top1 or 0.0})


def cnn(trial: Trial) -> Outcome:
    return train(trial, small_cnn, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="hand-made-features",
    claim=Text(
        "A small convolutional network is more accurate than a linear SVM on histograms of oriented gradients.",
        "작은 합성곱 네트워크는 HOG 특징에 선형 SVM을 쓴 것보다 정확합니다.",
    ),
    source="Dalal and Triggs, CVPR 2005; Krizhevsky, Sutskever and Hinton, NIPS 2012, section 6",
    printed=(),
    arms=(
        Arm("cnn", Text("CNN", "CNN"), cnn, lrs=(0.03, 0.01, 0.1)),
        Arm("hog", Text("HOG and linear SVM", "HOG와 선형 SVM"), hog, lrs=(1.0,)),
    ),
    constant=Text(
        "Training, validation and test images, and seeds. The learning rate of the CNN and the C of the SVM are chosen "
        "on the validation set among three values each.",
        "학습, 검증, 테스트 이미지와 시드가 같습니다. CNN의 학습률과 SVM의 C는 각각 세 값 가운데 검증 세트에서 "
        "골랐습니다.",
    ),
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="cnn", lower="hog", smallest=2.0),),
    criterion=Text(
        "The accuracy of the CNN is higher by at least two points.",
        "CNN의 정확도가 2 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 2 points.",
        "신뢰 구간이 2 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Neither side uses augmentation. Equal images are not equal computation: the CNN takes longer to train.",
        "어느 쪽도 데이터 증강을 쓰지 않습니다. 이미지는 같지만 계산량은 달라서 CNN의 학습이 더 오래 걸립니다.",
    ),
    scales=scales(quick={"epochs": 12}, standard={"epochs": 12, "train_images": 5000}, minutes=40),
)
