"""The page of one training, from an evaluation of known logits."""

from __future__ import annotations

import numpy as np
import pytest

from convatlas.evaluation import Evaluation
from convatlas.figures import Figure, FigureComparison, Measurement
from convatlas.visualization.run_report import run_report
from pages import check_page

EPOCHS = [
    {"epoch": e, "train_loss": 2 / (e + 1), "train_top1": 0.5 + 0.1 * e, "val_loss": 1.0, "val_top1": 0.6 + 0.1 * e}
    for e in range(3)
]
RESULT = {
    "run": "runs/x", "model": "lenet5", "epochs": 3, "train_s": 12.0, "images_per_s": 999.6,
    "val_top1": 0.8, "chosen_epoch": 2, "seed": 0,
}  # fmt: skip


def evaluation_of(n: int, classes: tuple[str, ...], wrong: int) -> Evaluation:
    labels = np.arange(n) % len(classes)
    said = labels.copy()
    said[:wrong] = (said[:wrong] + 1) % len(classes)
    logits = np.eye(len(classes), dtype=np.float32)[said] * 4
    return Evaluation(classes, labels.astype(np.int64), logits, "centre", tuple(f"<{i}>.png" for i in range(n)))


@pytest.mark.parametrize("image", [None, lambda index: np.full((9, 9, 3), index, np.uint8)], ids=["names", "pictures"])
def test_the_page_is_whole(image):
    evaluation = evaluation_of(60, tuple("abcdefg"), wrong=4)
    page = run_report({"network": "lenet5", "seed": "0"}, EPOCHS, RESULT, evaluation, image)
    parser = check_page(page)
    assert parser.tags.count("svg") == 4  # error, loss, confusion, classes
    assert parser.tags.count("img") == (0 if image is None else 4)
    assert "93.3\u00a0% of 60 test images" in page
    assert "protocol: centre" in page
    assert "&lt;0&gt;.png" in page


def test_the_papers_error_rates_stand_beside_the_runs_with_both_protocols():
    printed = Figure("error", "0.95", protocol="MNIST test")
    figures = [
        FigureComparison("lenet5", printed, "LeCun 1998", measured=Measurement(6.6667, "digits, 60 images, centre")),
        FigureComparison("lenet5", Figure("top5_error", "0.1", protocol="MNIST test"), "LeCun 1998"),
    ]
    page = run_report({}, EPOCHS, RESULT, evaluation_of(60, tuple("abcdefg"), wrong=4), figures=figures)
    check_page(page)
    row = next(row for row in page.split("<tr") if "0.95" in row)
    for cell in ("MNIST test", "6.667", "digits, 60 images, centre", "measured under another protocol", "LeCun 1998"):
        assert cell in row.replace("\u00a0", " ")
    assert "not compared" in next(row for row in page.split("<tr") if "top-5 error" in row)


def test_a_page_without_mistakes_and_with_two_classes():
    page = run_report(
        {}, EPOCHS[:1], RESULT | {"epochs": 1, "chosen_epoch": 0}, evaluation_of(10, ("ant", "bee"), wrong=0)
    )
    check_page(page)
    assert "n/a" in page  # top-5
    assert "There are no mistakes." in page


def test_a_run_that_kept_its_last_weights_without_validation():
    unseen = [{**line, "val_loss": None, "val_top1": None} for line in EPOCHS]
    check_page(run_report({}, unseen, RESULT | {"val_top1": None}, evaluation_of(10, ("ant", "bee"), wrong=1)))
