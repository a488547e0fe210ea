"""Random shifts, rotations, scales and contrasts, one at a time, against no augmentation (AlexNet, section 4.1)."""

from __future__ import annotations

from functools import partial

from convatlas.data.augmentation import Augmentation
from convatlas.experiments.arms import GAP, SAME_TRAINING, TEST_TOP1, plain, scales, train
from convatlas.experiments.form import Arm, Contrast, Experiment, Outcome, Printed, Text, Trial
from convatlas.experiments.networks import small_cnn

KINDS = {
    "none": Augmentation(pad=0, flip="off"),
    "shift": Augmentation(pad=0, flip="off", shift=0.1),
    "rotation": Augmentation(pad=0, flip="off", rotate=15),
    "scale": Augmentation(pad=0, flip="off", scale=(0.85, 1.15)),
    "contrast": Augmentation(pad=0, flip="off", contrast=0.4),
}


def run(trial: Trial, kind: str) -> Outcome:
    return train(trial, small_cnn, plain(trial.setting("epochs"), augment=KINDS[kind]))


EXPERIMENT = Experiment(
    name="augmentation",
    claim=Text(
        "Random shifts, rotations, scales and contrasts each raise the test accuracy.",
        "무작위 이동, 회전, 크기 변화, 대비 변화는 각각 테스트 정확도를 높입니다.",
    ),
    source="Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1",
    printed=(
        Printed(
            Text(
                "without translations and reflections the network suffers from substantial overfitting",
                "이동과 반전이 없으면 과적합이 크다",
            ),
            "Krizhevsky et al. 2012, section 4.1",
            difference=None,
            verified=True,
        ),
    ),
    arms=(
        Arm("none", Text("none", "없음"), partial(run, kind="none"), lrs=(0.03, 0.01, 0.1)),
        Arm("shift", Text("shift", "이동"), partial(run, kind="shift"), lrs=(0.03, 0.01, 0.1)),
        Arm("rotation", Text("rotation", "회전"), partial(run, kind="rotation"), lrs=(0.03, 0.01, 0.1)),
        Arm("scale", Text("scale", "크기"), partial(run, kind="scale"), lrs=(0.03, 0.01, 0.1)),
        Arm("contrast", Text("contrast", "대비"), partial(run, kind="contrast"), lrs=(0.03, 0.01, 0.1)),
    ),
    constant=SAME_TRAINING,
    metrics=(
        TEST_TOP1,
        GAP,
    ),
    contrasts=(
        Contrast("test_top1", higher="shift", lower="none", smallest=0.5),
        Contrast("test_top1", higher="rotation", lower="none", smallest=0.5),
        Contrast("test_top1", higher="scale", lower="none", smallest=0.5),
        Contrast("test_top1", higher="contrast", lower="none", smallest=0.5),
    ),
    criterion=Text(
        "Each of the four raises the accuracy by at least 0.5 points.",
        "네 가지 모두 정확도를 0.5 포인트 이상 높입니다.",
    ),
    contradiction=Text(
        "An interval of any of the four below 0.5 points.",
        "네 가지 가운데 하나라도 신뢰 구간이 0.5 포인트보다 작은 경우입니다.",
    ),
    limits=Text(
        "One strength of each. Digits and small photos do not need the same augmentation.",
        "종류마다 한 가지 세기만 썼습니다. 숫자와 사진에 알맞은 증강은 서로 다릅니다.",
    ),
    scales=scales(quick={"epochs": 8}, standard={"epochs": 15, "train_images": 5000}, minutes=90),
)
