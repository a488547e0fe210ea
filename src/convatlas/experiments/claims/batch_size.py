"""Keskar et al. 2017: large batches end at weights that generalise worse."""

from __future__ import annotations

from functools import partial

from convatlas.experiments.arms import TEST_TOP1, TRAIN_LOSS, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, batch_size: int) -> Outcome:
    return train(trial, small_cnn, plain(trial.setting("epochs"), batch_size=batch_size))


EXPERIMENT = Experiment(
    name="batch-size",
    claim=Text(
        "After the same number of passes, batches of 32 give higher accuracy than batches of 512.",
        "에폭 수가 같으면 배치 크기 32가 512보다 정확도가 높습니다.",
    ),
    source="Keskar, Mudigere, Nocedal, Smelyanskiy and Tang, ICLR 2017, section 2",
    printed=(),
    arms=(
        Arm("small", Text("32", "32"), partial(run, batch_size=32), lrs=(0.03, 0.01, 0.003)),
        Arm("large", Text("512", "512"), partial(run, batch_size=512), lrs=(0.1, 0.03, 0.3)),
    ),
    constant=Text(
        "Network, data, number of passes and seeds. Each arm's learning rate is chosen on the validation set; the "
        "larger batch is offered ten times higher ones.",
        "네트워크, 데이터, 에폭 수, 시드가 같습니다. 학습률은 검증 세트에서 골랐고, 큰 배치에는 열 배 큰 값들을 "
        "주었습니다.",
    ),
    metrics=(TEST_TOP1, TRAIN_LOSS),
    contrasts=(Contrast("test_top1", higher="small", lower="large", smallest=1.0),),
    criterion=Text(
        "The accuracy with batches of 32 is higher by at least one point.",
        "배치 크기 32의 정확도가 1 포인트 이상 높습니다.",
    ),
    contradiction=Text(
        "An interval below 1 point.",
        "신뢰 구간이 1 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Equal passes are not equal updates: the small batch makes sixteen times as many. The training loss beside the "
        "accuracy shows how much of the difference is slower training.",
        "에폭 수는 같지만 갱신 횟수는 작은 배치가 열여섯 배 많습니다. 학습 손실을 함께 보면 차이 가운데 얼마가 느린 "
        "학습 때문인지 알 수 있습니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 12, "train_images": 5000}, minutes=45),
)
