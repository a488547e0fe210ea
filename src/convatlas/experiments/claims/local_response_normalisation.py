"""AlexNet, section 3.3: local response normalisation lowers the error."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import Norm, small_cnn


def run(trial: Trial, norm: Norm) -> Outcome:
    return train(trial, partial(small_cnn, norm=norm, kernels=(5,)), plain(trial.setting("epochs")))


EXPERIMENT = Experiment(
    name="local-response-normalisation",
    claim=Text(
        "Local response normalisation after each stage gives higher accuracy.",
        "각 단계 뒤의 국소 응답 정규화(LRN)는 정확도를 높입니다.",
    ),
    source="Krizhevsky, Sutskever and Hinton, NIPS 2012, section 3.3",
    printed=(
        Printed(
            Text(
                "CIFAR-10, four-layer network: 13 % test error without, 11 % with normalisation",
                "CIFAR-10, 4층 네트워크: 정규화 없이 테스트 오류율 13 %, 정규화하면 11 %",
            ),
            "Krizhevsky et al. 2012, section 3.3",
            difference=2.0,
        ),
    ),
    arms=(
        Arm("lrn", Text("with LRN", "LRN 사용"), partial(run, norm="lrn"), lrs=(0.03, 0.01, 0.1)),
        Arm("without", Text("without LRN", "LRN 없음"), partial(run, norm="none"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(TEST_TOP1,),
    contrasts=(Contrast("test_top1", higher="lrn", lower="without", smallest=0.5),),
    criterion=Text(
        "The accuracy with normalisation is higher by at least 0.5 points.",
        "정규화를 쓴 정확도가 0.5 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 0.5 points.",
        "신뢰 구간이 0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Not the authors' four-layer network, whose layers the paper does not list, and a shorter training.",
        "저자들의 4층 네트워크는 논문에 층 구성이 없어서 같은 네트워크가 아니며, 학습도 더 짧습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=25),
)
