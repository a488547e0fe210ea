"""Springenberg et al. 2015: pooling can be replaced by a convolution with stride 2."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import Pooling, small_cnn


def run(trial: Trial, pooling: Pooling) -> Outcome:
    net = partial(small_cnn, pooling=pooling, kernels=(3, 3), norm="batch")
    return train(trial, net, plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="stride-instead-of-pooling",
    claim=Text(
        "Max pooling gives higher accuracy than a stride of 2 in the convolution before it, with equal parameters.",
        "파라미터 수가 같을 때, 최대 풀링은 앞 합성곱의 스트라이드를 2로 하는 것보다 정확도가 높습니다.",
    ),
    source="Springenberg, Dosovitskiy, Brox and Riedmiller, ICLR workshop 2015, Table 3 (Strided-CNN)",
    printed=(
        Printed(
            Text(
                "CIFAR-10, model C: 9.74 % error with pooling, 10.19 % with strides",
                "CIFAR-10, 모델 C: 풀링 9.74 %, 스트라이드 10.19 % 오류율",
            ),
            "Springenberg et al. 2015, Table 3",
            difference=0.45,
            verified=False,
        ),
    ),
    arms=(
        Arm("pooling", Text("max pooling", "최대 풀링"), partial(run, pooling="max"), lrs=(0.03, 0.01, 0.1)),
        Arm("stride", Text("stride 2", "스트라이드 2"), partial(run, pooling="stride"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="pooling", lower="stride", smallest=0.4),),
    criterion=Text(
        "The accuracy with pooling is higher by at least 0.4 points.",
        "풀링을 쓴 정확도가 0.4 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.4 points: strides do as well.",
        "신뢰 구간이 0.4 포인트보다 작으면 스트라이드로 충분하다는 뜻입니다.",
    ),
    limits=Text(
        "The arm with strides also computes less: its last convolution of a stage has a quarter of the positions.",
        "스트라이드를 쓰면 단계의 마지막 합성곱 위치가 4분의 1로 줄어 계산량도 적습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=40),
)
