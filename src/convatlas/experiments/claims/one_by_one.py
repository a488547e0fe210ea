"""GoogLeNet, Figure 2: a 1x1 convolution that reduces the channels before a 5x5 costs little accuracy."""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.experiments.arms import PARAMETERS, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Text, Trial
from convatlas.experiments.networks import classifier, conv_norm


def net(classes: int, channels: int, side: int, *, reduce: int) -> nn.Module:
    """Two stages of a 5x5 convolution; ``reduce`` channels are left before each by a 1x1, or all where it is 0."""
    layers: list[nn.Module] = [conv_norm(channels, 64, 3), nn.MaxPool2d(2)]
    for _ in range(2):
        layers += [conv_norm(64, reduce, 1), conv_norm(reduce, 64, 5)] if reduce else [conv_norm(64, 64, 5)]
    return nn.Sequential(*layers, *classifier(64, classes))


def run(trial: Trial, reduce: int) -> Outcome:
    network = partial(net, reduce=reduce)
    return train(trial, network, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="one-by-one",
    claim=Text(
        "Reducing the channels by a 1x1 convolution before each 5x5 costs less than one point of accuracy, with a "
        "fraction of the parameters.",
        "5x5 앞에서 1x1 합성곱으로 채널을 줄여도 정확도 손실은 1 포인트보다 작고 파라미터는 훨씬 적습니다.",
    ),
    source="Szegedy et al., CVPR 2015, section 4 and Figure 2",
    printed=(),
    arms=(
        Arm("reduced", Text("1x1, then 5x5", "1x1 다음 5x5"), partial(run, reduce=16), lrs=(0.03, 0.01, 0.1)),
        Arm("direct", Text("5x5", "5x5"), partial(run, reduce=0), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TEST_TOP1,
        PARAMETERS,
    ),
    contrasts=(Contrast("test_top1", higher="reduced", lower="direct", smallest=-1.0),),
    criterion=Text(
        "The interval of the difference lies above -1 point.",
        "차이의 신뢰 구간이 -1 포인트보다 큽니다.",
    ),
    contradiction=Text(
        "An interval below -1 point.",
        "신뢰 구간이 -1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Two layers at one resolution, reduced four times.",
        "한 해상도의 두 층에서 채널을 4분의 1로 줄였습니다.",
    ),
    scales=scales(quick={"epochs": 6}, standard={"epochs": 10, "train_images": 5000}, minutes=55),
)
