"""Network in network, section 3.1: a small network of 1x1 convolutions after each convolution."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import PARAMETERS, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn, with_he_weights

# widths with about equal parameters, with an average over positions before the last layer in both
WIDTHS = {(3, 1): (32, 32, 64), (3,): (32, 36, 72)}


def run(trial: Trial, kernels: tuple[int, ...]) -> Outcome:
    net = partial(small_cnn, kernels=kernels, widths=WIDTHS[kernels], head="average")
    return train(trial, lambda *shape: with_he_weights(net(*shape)), plain(trial.setting("epochs")))


LRS = (0.03, 0.01, 0.1)
EXPERIMENT = Experiment(
    name="mlpconv",
    claim=Text(
        "A 1x1 convolution with ReLU after each convolution gives higher accuracy than wider convolutions with as "
        "many parameters.",
        "합성곱마다 ReLU를 쓴 1x1 합성곱을 더하면, 파라미터 수가 같도록 합성곱을 넓힌 것보다 정확도가 높습니다.",
    ),
    source="Lin, Chen and Yan, Network in network, ICLR 2014, section 3.1",
    printed=(
        Printed(
            Text(
                "CIFAR-10 test error without augmentation: 10.41 % (NiN), 11.68 % (maxout)",
                "CIFAR-10 증강 없이 테스트 오류율: NiN 10.41 %, maxout 11.68 %",
            ),
            "Lin et al. 2014, Table 1",
            difference=1.27,
        ),
    ),
    arms=(
        Arm("mlpconv", Text("3x3 and 1x1", "3x3과 1x1"), partial(run, kernels=(3, 1)), lrs=LRS),
        Arm("wider", Text("wider 3x3", "넓은 3x3"), partial(run, kernels=(3,)), lrs=LRS),
    ),
    constant=Text(
        "Parameters (within 1 %), data, number of updates, batch size and seeds. Each arm's learning rate is chosen on "
        "the validation set by the same sweep.",
        "파라미터 수(1 % 이내), 데이터, 갱신 횟수, 배치 크기, 시드가 같습니다. 학습률은 조건마다 같은 방법으로 검증 "
        "세트에서 골랐습니다.",
    ),
    metrics=(TEST_TOP1, PARAMETERS),
    contrasts=(Contrast("test_top1", higher="mlpconv", lower="wider", smallest=1.0),),
    criterion=Text(
        "The accuracy is higher by at least one point.",
        "정확도가 1 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 1 point.",
        "신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "One 1x1 layer where the paper has two; the printed comparison is with another network of its time.",
        "논문의 1x1 층은 둘이지만 여기서는 하나입니다. 논문의 수치는 당시의 다른 네트워크와 비교한 것입니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 10, "train_images": 5000}, minutes=60),
)
