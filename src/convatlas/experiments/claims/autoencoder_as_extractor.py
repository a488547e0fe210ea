"""Hinton and Salakhutdinov 2006: a deep autoencoder's code against as many principal components."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convatlas.experiments.arms import TEST_TOP1, flat_pixels, split_of
from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Printed, Scale, Text, Trial
from convatlas.experiments.networks import DenseAutoencoder, train_autoencoder


def with_autoencoder(trial: Trial) -> Outcome:
    """The code of an autoencoder that was trained on the training images without their labels."""
    train, val, test = parts(trial)
    torch.manual_seed(trial.seed)
    net = DenseAutoencoder((train.shape[1], *trial.setting("hidden"), trial.setting("code")))
    losses = train_autoencoder(net, torch.from_numpy(train), trial.setting("epochs"), trial.lr, trial.seed)

    def coded(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            code: Tensor = net.encoder(torch.from_numpy(pixels))
            return code.numpy(), net.decoder(code).numpy()

    return probed(trial, *(coded(part) for part in (train, val, test)), pixels=test, curves={"train_loss": losses})


def with_components(trial: Trial) -> Outcome:
    """The first principal components of the training images."""
    from sklearn.decomposition import PCA

    train, val, test = parts(trial)
    pca = PCA(trial.setting("code"), svd_solver="randomized", random_state=trial.seed).fit(train)

    def coded(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        code = pca.transform(pixels)
        return code, pca.inverse_transform(code)

    return probed(trial, *(coded(part) for part in (train, val, test)), pixels=test, curves={})


def parts(trial: Trial) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training, validation and test images, float32 (n, H W C) from 0 to 1."""
    split = split_of(trial.data, trial)
    return (
        flat_pixels(trial.data, split.train),
        flat_pixels(trial.data, split.val),
        flat_pixels(trial.data, split.test),
    )


def probed(
    trial: Trial,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    pixels: np.ndarray,
    curves: dict[str, list[float | None]],
) -> Outcome:
    """Logistic regression on the standardised codes, and the error of the reconstructed test images."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels, split = trial.data.labels, split_of(trial.data, trial)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(train[0], labels[split.train])
    unexplained = float(((test[1] - pixels) ** 2).sum() / ((pixels - pixels.mean(axis=0)) ** 2).sum())
    metrics = {
        "test_top1": float(probe.score(test[0], labels[split.test])),
        "val_top1": float(probe.score(val[0], labels[split.val])),
        "unexplained": unexplained,
    }
    return Outcome(metrics, curves)


EXPERIMENT = Experiment(
    name="autoencoder-as-extractor",
    claim=Text(
        "The code of a deep autoencoder reconstructs images with a smaller error than as many principal components, "
        "and a linear classifier on it is more accurate.",
        "깊은 오토인코더의 코드는 같은 개수의 주성분보다 이미지를 더 작은 오차로 복원하고, 코드에 학습한 선형 "
        "분류기도 더 정확합니다.",
    ),
    source="Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks, Science 313, 2006",
    printed=(
        Printed(
            Text(
                "MNIST, 30 numbers: average squared error 3.00 (autoencoder), 13.87 (PCA)",
                "MNIST, 숫자 30개: 평균 제곱 오차 오토인코더 3.00, PCA 13.87",
            ),
            "Hinton and Salakhutdinov 2006, Figure 2",
            verified=False,
        ),
    ),
    arms=(
        Arm("components", Text("PCA", "PCA"), with_components, lrs=(1.0,)),
        Arm("autoencoder", Text("autoencoder", "오토인코더"), with_autoencoder, lrs=(0.001, 0.003)),
    ),
    constant=Text(
        "Images, the numbers of a code and the linear classifier. Adam's learning rate is chosen on the validation "
        "set.",
        "이미지, 코드의 길이, 선형 분류기가 같습니다. Adam의 학습률은 검증 세트에서 골랐습니다.",
    ),
    metrics=(
        Metric("unexplained", Text("squared error over variance", "제곱 오차 / 분산"), "points", 100),
        TEST_TOP1,
    ),
    contrasts=(
        Contrast("unexplained", higher="components", lower="autoencoder", smallest=2.0),
        Contrast("test_top1", higher="autoencoder", lower="components", smallest=1.0),
    ),
    criterion=Text(
        "The squared error is smaller by at least 2 % of the variance, and the accuracy is higher by at least one "
        "point.",
        "제곱 오차가 분산의 2 % 이상 작고, 정확도가 1 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval of either difference below the smallest that counts.",
        "두 차이 가운데 하나라도 신뢰 구간이 기준보다 작은 경우입니다.",
    ),
    limits=Text(
        "Trained from random weights by Adam for some minutes, without the layer-by-layer pretraining of the paper.",
        "논문의 층별 사전 학습 없이 무작위 가중치에서 Adam으로 몇 분만 학습했습니다.",
    ),
    scales={
        "quick": Scale(1, (0, 1, 2), settings={"epochs": 60, "hidden": (48,), "code": 6}),
        "standard": Scale(
            25, (0, 1, 2, 3, 4), "mnist", (1000, 1001),
            {"epochs": 30, "hidden": (400, 200), "code": 30, "train_images": 10_000},
        ),
        "full": Scale(
            400, (0, 1, 2, 3, 4), "mnist", (1000, 1001), {"epochs": 100, "hidden": (1000, 500, 250), "code": 30}
        ),
    },
)  # fmt: skip
