"""Yosinski et al. 2014: weights trained on other classes are a better start than random ones where images are few.

The quick scale trains a small network on one half of the classes and transfers it to the other. The others start
SqueezeNet 1.1 from weights of ImageNet, and train it on the photos of ants and bees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from convatlas.data import Dataset, make_split
from convatlas.errors import DataError
from convatlas.experiments.arms import TEST_TOP1, balanced, pixels_of, plain, train, with_images
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Scale, Text, Trial
from convatlas.experiments.networks import small_cnn
from convatlas.runs.run import Run
from convatlas.runs.training_data import TrainingData


def half(data: Dataset, first: bool) -> Dataset:
    """The images of the first or of the second half of the classes."""
    count = len(data.classes)
    classes = range(count // 2) if first else range(count // 2, count)
    indices = np.flatnonzero(np.isin(data.labels, list(classes)))
    return with_images(data, indices, pixels_of(data, indices), list(classes))


def started(classes: int, channels: int, side: int, *, weights: Mapping[str, Tensor]) -> nn.Module:
    """The network with trained weights in all layers but the last."""
    net = small_cnn(classes, channels, side)
    own = net.state_dict()
    last = [name for name in own if name.startswith(list(own)[-1].split(".")[0] + ".")]
    net.load_state_dict({name: own[name] if name in last else weights[name] for name in own})
    return net


def run(trial: Trial, transfer: bool) -> Outcome:
    return (
        between_halves(trial, transfer) if "target_images" in trial.scale.settings else from_imagenet(trial, transfer)
    )


def between_halves(trial: Trial, transfer: bool) -> Outcome:
    """The small network on few images of the second half of the classes."""
    recipe = plain(trial.setting("epochs"))
    model = small_cnn
    if transfer:
        kept: dict[str, Tensor] = {}

        def keep(run: Run, data: TrainingData) -> Mapping[str, float]:
            kept.update(run.network().state_dict())
            return {}

        train(trial, small_cnn, recipe, data=half(trial.data, first=True), measure=keep)
        model = partial(started, weights=kept)
    target = half(trial.data, first=False)
    split = make_split(target, seed=0)
    few = balanced(target.labels, split.train, trial.setting("target_images"), trial.seed)
    return train(trial, model, plain(trial.setting("target_epochs")), data=target, split=replace(split, train=few))


def from_imagenet(trial: Trial, transfer: bool) -> Outcome:
    """SqueezeNet 1.1 on the data of the scale.

    Raises:
        DataError: the file of the weights is not in the folder of --data.
    """
    file = (trial.folder or Path()) / trial.setting("weights")
    if not file.is_file():
        raise DataError(
            "{experiment} needs the weights {file} at this scale, in the folder that --data names.",
            experiment=EXPERIMENT.name,
            file=file,
        )
    recipe = plain(trial.setting("epochs"), batch_size=16, image_size=trial.setting("image_size"), fit="squash")
    return train(trial, "squeezenet1_1", recipe.change(start_from=str(file) if transfer else None))


FILE = "weights/squeezenet_v1.1.caffemodel"
LRS = (0.03, 0.01, 0.003)
EXPERIMENT = Experiment(
    name="transfer-against-scratch",
    claim=Text(
        "With few images, weights trained on other classes give higher accuracy than random initial weights.",
        "이미지가 적을 때 다른 클래스로 학습한 가중치에서 시작하면 무작위 초기 가중치보다 정확도가 높습니다.",
    ),
    source="Yosinski, Clune, Bengio and Lipson, How transferable are features in deep neural networks?, NIPS 2014",
    printed=(),
    arms=(
        Arm(
            "transfer",
            Text("from other classes", "다른 클래스에서"),
            partial(run, transfer=True),
            lrs=LRS,
        ),
        Arm("scratch", Text("from scratch", "처음부터"), partial(run, transfer=False), lrs=LRS),
    ),
    constant=Text(
        "Network, target images, number of updates on the target, batch size and seeds.",
        "네트워크, 대상 이미지, 대상에서의 갱신 횟수, 배치 크기, 시드가 같습니다.",
    ),
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="transfer", lower="scratch", smallest=2.0),),
    criterion=Text(
        "The accuracy is higher by at least two points.",
        "정확도가 2 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 2 points.",
        "신뢰 구간이 2 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "One network, and a longer training from scratch may close part of the gap. ImageNet has ants and bees among "
        "its 1,000 classes. The time of the first training is not counted.",
        "네트워크 하나만 썼고, 처음부터 더 오래 학습하면 차이가 줄 수 있습니다. ImageNet의 1,000개 클래스에는 개미와 "
        "벌도 있습니다. 먼저 한 학습의 시간은 세지 않습니다.",
    ),
    scales={
        "quick": Scale(2, (0, 1, 2), settings={"epochs": 6, "target_images": 50, "target_epochs": 20}),
        "standard": Scale(
            10, (0, 1, 2, 3, 4), "hymenoptera", (1000, 1001), {"epochs": 8, "image_size": 128, "weights": FILE}
        ),
        "full": Scale(
            600, (0, 1, 2, 3, 4), "hymenoptera", (1000, 1001), {"epochs": 40, "image_size": 227, "weights": FILE}
        ),
    },
)
