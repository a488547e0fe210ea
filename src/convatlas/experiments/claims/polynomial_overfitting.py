"""Bishop 2006, section 1.1: a polynomial of degree 9 overfits few points."""

from __future__ import annotations

from functools import partial

import numpy as np

from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Scale, Text, Trial

DEGREE, NOISE, TEST_POINTS = 9, 0.3, 1000


def run(trial: Trial, points: int) -> Outcome:
    """Fit sin(2 pi x) with noise by least squares; the errors are root mean squares."""
    rng = np.random.default_rng(trial.seed)
    # all arms of a seed see the same points: the first 20, 30, 50 or 100
    x, noise = rng.uniform(0, 1, 100)[:points], rng.normal(0, NOISE, 100)[:points]
    fitted = np.polynomial.Polynomial.fit(x, np.sin(2 * np.pi * x) + noise, DEGREE, domain=(0, 1))
    unseen = rng.uniform(0, 1, TEST_POINTS)
    train_error = rms(fitted(x) - np.sin(2 * np.pi * x) - noise)
    test_error = rms(fitted(unseen) - np.sin(2 * np.pi * unseen) - rng.normal(0, NOISE, TEST_POINTS))
    return Outcome({"train_error": train_error, "test_error": test_error, "gap": test_error - train_error})


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


EXPERIMENT = Experiment(
    name="polynomial-overfitting",
    claim=Text(
        "A polynomial of degree 9 overfits 20 points; with 100 points the gap between test and training error is "
        "smaller.",
        "9차 다항식은 점 20개에는 과적합합니다. 점이 100개면 테스트 오차와 학습 오차의 차이가 줄어듭니다.",
    ),
    source="Bishop, Pattern Recognition and Machine Learning, Springer 2006, section 1.1, Figure 1.6",
    printed=(),
    arms=(
        Arm("points_20", Text("20 points", "점 20개"), partial(run, points=20)),
        Arm("points_30", Text("30 points", "점 30개"), partial(run, points=30)),
        Arm("points_50", Text("50 points", "점 50개"), partial(run, points=50)),
        Arm("points_100", Text("100 points", "점 100개"), partial(run, points=100)),
    ),
    constant=Text(
        "The polynomial's degree, the function and the noise. The points of an arm are the first of those of the next.",
        "다항식의 차수, 함수, 잡음이 같습니다. 점이 적은 조건의 점은 많은 조건의 점 가운데 앞부분입니다.",
    ),
    metrics=(
        Metric("gap", Text("test error minus training error", "테스트 오차 - 학습 오차"), "RMS"),
        Metric("test_error", Text("test error", "테스트 오차"), "RMS"),
        Metric("train_error", Text("training error", "학습 오차"), "RMS"),
    ),
    contrasts=(
        Contrast("gap", higher="points_20", lower="points_100", smallest=0.1),
        Contrast("train_error", higher="points_100", lower="points_20", smallest=0.02),
    ),
    criterion=Text(
        "The gap is larger by at least 0.1 with 20 points, where the training error is lower by at least 0.02.",
        "점이 20개일 때 차이가 0.1 이상 크고, 학습 오차는 0.02 이상 작습니다.",
    ),
    contradiction=Text(
        "An interval of the gap's difference below 0.1, or of the training error's below 0.02.",
        "차이의 신뢰 구간이 0.1보다 작거나, 학습 오차의 신뢰 구간이 0.02보다 작은 경우입니다.",
    ),
    limits=Text(
        "A curve through points, not a network: it shows the mechanism. Single draws of 20 points differ by orders of "
        "magnitude, hence many seeds.",
        "네트워크가 아니라 점을 지나는 곡선으로 원리를 보여 줍니다. 점 20개는 뽑을 때마다 결과가 몇 자릿수씩 달라서 "
        "시드를 많이 썼습니다.",
    ),
    scales={
        "quick": Scale(0.1, tuple(range(20)), data="none"),
        "standard": Scale(0.1, tuple(range(200)), data="none"),
        "full": Scale(0.2, tuple(range(1000)), data="none"),
    },
)
