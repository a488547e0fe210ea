"""VGG, section 2.3: two 3x3 convolutions instead of one 5x5 have fewer parameters and more nonlinearities."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import PARAMETERS, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, kernels: tuple[int, ...]) -> Outcome:
    net = partial(small_cnn, kernels=kernels)
    return train(trial, net, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="stacks-of-3x3",
    claim=Text(
        "Two 3x3 convolutions give higher accuracy than one 5x5 with the same receptive field.",
        "3x3 합성곱 두 개는 수용 영역이 같은 5x5 합성곱 하나보다 정확도가 높습니다.",
    ),
    source="Simonyan and Zisserman, ICLR 2015, section 4.1",
    printed=(
        Printed(
            Text(
                "net B with 5x5 layers for pairs of 3x3: top-1 error 7 points higher, ImageNet",
                "네트워크 B의 3x3 쌍을 5x5로 바꾸면 ImageNet top-1 오류율이 7 포인트 높다",
            ),
            "Simonyan and Zisserman 2015, section 4.1",
            difference=7.0,
        ),
    ),
    arms=(
        Arm("two_3x3", Text("two 3x3", "3x3 두 개"), partial(run, kernels=(3, 3)), lrs=(0.03, 0.01, 0.1)),
        Arm("one_5x5", Text("one 5x5", "5x5 하나"), partial(run, kernels=(5,)), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TEST_TOP1,
        PARAMETERS,
    ),
    contrasts=(Contrast("test_top1", higher="two_3x3", lower="one_5x5", smallest=1.0),),
    criterion=Text(
        "The accuracy of the stack is higher by at least one point.",
        "3x3을 쌓은 네트워크의 정확도가 1 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below one point.",
        "신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Three stages on small images. The stack has twice the convolution layers, which is what the claim is "
        "about, and 28 % fewer weights where channels are equal.",
        "작은 이미지에 세 단계짜리 네트워크입니다. 쌓은 쪽은 합성곱 층이 두 배이며(주장의 내용), 채널 수가 같은 "
        "층에서는 가중치가 28 % 적습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=35),
)
