"""The textbook's claim: the gap between training and validation accuracy falls with the number of images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from convatlas.experiments.arms import GAP, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Text, Trial
from convatlas.experiments.networks import small_cnn


def run(trial: Trial, share: float) -> Outcome:
    images = int(trial.setting("train_images") * share)
    settings = {**trial.scale.settings, "train_images": images}
    smaller = replace(trial, scale=replace(trial.scale, settings=settings))
    epochs = round(trial.setting("epochs") / share)  # equal numbers of updates
    return train(smaller, small_cnn, plain(epochs))


EXPERIMENT = Experiment(
    name="more-data-less-overfitting",
    claim=Text(
        "With four times the training images and equal updates, the gap between training and validation accuracy "
        "is smaller.",
        "갱신 횟수가 같을 때 학습 이미지가 네 배이면 학습 정확도와 검증 정확도의 차이가 작습니다.",
    ),
    source="Bishop, Pattern Recognition and Machine Learning, 2006, section 1.1 and Figure 1.6",
    printed=(),
    arms=(
        Arm("all", Text("all images", "전체 이미지"), partial(run, share=1.0), lrs=(0.03, 0.01, 0.1)),
        Arm("quarter", Text("a quarter", "4분의 1"), partial(run, share=0.25), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=Text(
        "Network, number of updates, batch size and seeds. Each arm's learning rate is chosen on the validation "
        "set by the same sweep.",
        "네트워크, 갱신 횟수, 배치 크기, 시드가 같습니다. 학습률은 조건마다 같은 방법으로 검증 세트에서 골랐습니다.",
    ),
    metrics=(
        GAP,
        TEST_TOP1,
    ),
    contrasts=(Contrast("gap", higher="quarter", lower="all", smallest=2.0),),
    criterion=Text(
        "With a quarter of the images the gap is larger by at least two points.",
        "이미지가 4분의 1일 때의 차이가 2 포인트 이상 큽니다.",
    ),
    contradiction=Text(
        "An interval below two points.",
        "신뢰 구간이 2 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "Two amounts only; the textbook's polynomial is not fitted here.",
        "두 가지 양만 비교합니다. 교과서의 다항식 적합은 다루지 않습니다.",
    ),
    scales=scales(quick={"epochs": 8, "train_images": 800}, standard={"epochs": 10, "train_images": 5000}, minutes=30),
)
