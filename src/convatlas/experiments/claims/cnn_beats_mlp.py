"""LeCun et al. 1998, section II.A: shared weights and local fields use the topology of images; pixels in a fixed random
order, which a fully connected network does not notice, take the advantage away."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from torch import nn

from convatlas.data import Dataset
from convatlas.data.dataset import ArrayImages
from convatlas.experiments.arms import PARAMETERS, TEST_TOP1, pixels_of, plain, scales, side_of, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import parameters, small_cnn


def mlp(classes: int, channels: int, side: int, *, hidden: int) -> nn.Module:
    """One hidden layer."""
    inputs = channels * side * side
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def permuted(data: Dataset, seed: int) -> Dataset:
    """The data with the pixels of every image in one fixed random order."""
    pixels = pixels_of(data, np.arange(len(data)))
    count, height, width, channels = pixels.shape
    order = np.random.default_rng(seed).permutation(height * width)
    shuffled = np.ascontiguousarray(pixels.reshape(count, height * width, channels)[:, order])
    return replace(data, images=ArrayImages(shuffled.reshape(pixels.shape)))


def run(trial: Trial, convolutional: bool, shuffled: bool) -> Outcome:
    data = permuted(trial.data, trial.seed) if shuffled else trial.data
    classes, channels, side = len(data.classes), data.channels, side_of(data)
    convolutions = parameters(small_cnn(classes, channels, side))
    hidden = round((convolutions - classes) / (channels * side * side + 1 + classes))  # about equal parameters
    net = small_cnn if convolutional else partial(mlp, hidden=hidden)
    return train(trial, net, plain(trial.setting("epochs")), data=data)


LRS = (0.03, 0.01, 0.1)
EXPERIMENT = Experiment(
    name="cnn-beats-mlp",
    claim=Text(
        "With equal parameters a convolutional network is more accurate than a fully connected one, and loses "
        "accuracy "
        "when the pixels of all images are put into one fixed random order.",
        "파라미터 수가 같을 때 합성곱 네트워크는 완전 연결 네트워크보다 정확하고, 모든 이미지의 픽셀을 똑같은 무작위 "
        "순서로 섞으면 정확도가 떨어집니다.",
    ),
    source="LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86(11), 1998, section II.A",
    printed=(
        Printed(
            Text(
                "MNIST test error: 0.95 % (LeNet-5), 4.7 % (fully connected, 300 hidden units)",
                "MNIST 테스트 오류율: LeNet-5 0.95 %, 완전 연결(은닉 300) 4.7 %",
            ),
            "LeCun et al. 1998, section III.C and Figure 9",
            difference=3.75,
        ),
    ),
    arms=(
        Arm("cnn", Text("CNN", "CNN"), partial(run, convolutional=True, shuffled=False), lrs=LRS),
        Arm("mlp", Text("MLP", "MLP"), partial(run, convolutional=False, shuffled=False), lrs=LRS),
        Arm(
            "cnn_shuffled",
            Text("CNN, shuffled pixels", "CNN, 섞은 픽셀"),
            partial(run, convolutional=True, shuffled=True),
            lrs=LRS,
        ),
        Arm(
            "mlp_shuffled",
            Text("MLP, shuffled pixels", "MLP, 섞은 픽셀"),
            partial(run, convolutional=False, shuffled=True),
            lrs=LRS,
        ),
    ),
    constant=Text(
        "Parameters (to one hidden unit), data, number of updates, batch size and seeds. Each arm's learning rate is "
        "chosen on the validation set by the same sweep.",
        "파라미터 수(은닉 유닛 하나 이내), 데이터, 갱신 횟수, 배치 크기, 시드가 같습니다. 학습률은 조건마다 같은 "
        "방법으로 "
        "검증 세트에서 골랐습니다.",
    ),
    metrics=(
        TEST_TOP1,
        PARAMETERS,
    ),
    contrasts=(
        Contrast("test_top1", higher="cnn", lower="mlp", smallest=1.0),
        Contrast("test_top1", higher="cnn", lower="cnn_shuffled", smallest=1.0),
    ),
    criterion=Text(
        "The CNN is more accurate than the MLP by at least one point, and more accurate than itself on shuffled "
        "pixels "
        "by at least one point.",
        "CNN이 MLP보다 1 포인트 이상 정확하고, 픽셀을 섞었을 때의 CNN보다도 1 포인트 이상 정확합니다.",
    ),
    contradiction=Text(
        "An interval of either difference below one point.",
        "두 차이 가운데 하나라도 신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "One shape of each network. Equal parameters are not equal computation: the CNN has more multiply-adds.",
        "네트워크마다 한 가지 구성만 썼습니다. 파라미터 수가 같아도 계산량은 CNN이 더 많습니다.",
    ),
    scales=scales(quick={"epochs": 6}, standard={"epochs": 10, "train_images": 5000}, minutes=35),
)
