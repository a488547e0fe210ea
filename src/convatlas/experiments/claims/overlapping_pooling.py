"""AlexNet, section 3.4: overlapping pooling (3x3, stride 2) has lower error than 2x2, stride 2."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import Pooling, small_cnn


def run(trial: Trial, pooling: Pooling) -> Outcome:
    return train(trial, partial(small_cnn, pooling=pooling), plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="overlapping-pooling",
    claim=Text(
        "Overlapping pooling (3x3, stride 2) gives higher accuracy than pooling without overlap (2x2, stride 2).",
        "겹치는 풀링(3x3, 스트라이드 2)은 겹치지 않는 풀링(2x2, 스트라이드 2)보다 정확도가 높습니다.",
    ),
    source="Krizhevsky, Sutskever and Hinton, NIPS 2012, section 3.4",
    printed=(
        Printed(
            Text(
                "top-1 error 0.4 points lower, top-5 error 0.3 points lower, ImageNet",
                "ImageNet에서 top-1 오류율 0.4 포인트, top-5 오류율 0.3 포인트 감소",
            ),
            "Krizhevsky et al. 2012, section 3.4",
            difference=0.4,
        ),
    ),
    arms=(
        Arm(
            "overlapping",
            Text("3x3, stride 2", "3x3, 스트라이드 2"),
            partial(run, pooling="overlapping"),
            lrs=(0.03, 0.01, 0.1),
        ),
        Arm("separate", Text("2x2, stride 2", "2x2, 스트라이드 2"), partial(run, pooling="max"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="overlapping", lower="separate", smallest=0.3),),
    criterion=Text(
        "The accuracy with overlap is higher by at least 0.3 points.",
        "겹치는 풀링의 정확도가 0.3 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.3 points.",
        "신뢰 구간이 0.3 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "A network of three stages on small images; both poolings halve the map, and the parameters are equal.",
        "작은 이미지에 세 단계짜리 네트워크를 썼습니다. 두 풀링 모두 특성 맵을 절반으로 줄이며 파라미터 수가 같습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=25),
)
