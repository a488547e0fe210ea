"""What the arms of several claims share: train one network on one thread and measure it; choose images; read curves."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convatlas.data import Dataset, Split, make_split
from convatlas.data.augmentation import Augmentation
from convatlas.data.dataset import ArrayImages
from convatlas.experiments.form import Metric, Outcome, Scale, ScaleName, Text, Trial
from convatlas.experiments.networks import parameters
from convatlas.recipes.recipe import Recipe
from convatlas.runs.options import RunOptions
from convatlas.runs.training_data import TrainingData

if TYPE_CHECKING:
    from torch import nn

    from convatlas.runs.run import Run

# metrics and texts of several claims
TEST_TOP1 = Metric("test_top1", Text("test accuracy", "테스트 정확도"), "points", 100)
GAP = Metric("gap", Text("training minus validation accuracy", "학습 정확도 - 검증 정확도"), "points", 100)
TRAIN_LOSS = Metric("train_loss", Text("training loss", "학습 손실"), "nats")
PARAMETERS = Metric("parameters", Text("parameters", "파라미터"), "thousand")
SAME_TRAINING = Text(
    "Data, number of updates, batch size and seeds. Each arm's learning rate is chosen on the validation set by the "
    "same sweep.",
    "데이터, 갱신 횟수, 배치 크기, 시드가 같습니다. 학습률은 조건마다 같은 방법으로 검증 세트에서 골랐습니다.",
)

# one thread for every training, so that its bits do not depend on how many trainings run side by side
OPTIONS = RunOptions(device="cpu", threads=1, precision="fp32", trial=False, compile="off")


def train(
    trial: Trial,
    model: str | Callable[[int, int, int], nn.Module],
    recipe: Recipe,
    *,
    data: Dataset | None = None,
    split: Split | None = None,
    measure: Callable[[Run, TrainingData], Mapping[str, float]] | None = None,
) -> Outcome:
    """Train one network for a trial and measure it; of a module its parameters (thousands) are a metric too.

    Args:
        model: a name of the atlas, or a function of (classes, channels, side) that builds a module. Modules are built
            with torch seeded by the trial's seed.
        recipe: its learning rate is replaced by the trial's.
        data: instead of the trial's data.
        split: instead of the split of `split_of`.
        measure: further metrics of the finished run.
    """
    import torch

    from convatlas.runs.train import train as train_run

    began = time.perf_counter()
    data = data or trial.data
    shared = TrainingData(data, seed=0, split=split or split_of(data, trial))
    counted: dict[str, float] = {}
    if not isinstance(model, str):
        torch.manual_seed(trial.seed)
        model = model(len(data.classes), data.channels, side_of(data))
        counted["parameters"] = parameters(model) / 1000
    with tempfile.TemporaryDirectory() as folder:
        run = train_run(
            model, shared, recipe.change(lr=trial.lr), options=OPTIONS, seed=trial.seed, out=folder, name="run"
        )
        result, epochs = run.result or {}, run.epochs()
        further = dict(measure(run, shared)) if measure is not None else {}
    curves = {key: [line[key] for line in epochs] for key in ("train_loss", "train_top1", "val_loss", "val_top1")}
    metrics = {
        "test_top1": result["test_top1"],
        "val_top1": result["val_top1"],
        "train_top1": epochs[-1]["train_top1"],
        "train_loss": epochs[-1]["train_loss"],
        "gap": epochs[-1]["train_top1"] - epochs[-1]["val_top1"],
        **counted,
        **further,
    }
    return Outcome(metrics, curves, time.perf_counter() - began)


def scales(
    *,
    quick: Mapping[str, Any],
    standard: Mapping[str, Any],
    minutes: float,
    quick_minutes: float = 2,
    data: str = "cifar-10",
) -> dict[ScaleName, Scale]:
    """The usual scales: digits with three seeds; a part of CIFAR-10 with five seeds and a sweep; all of CIFAR-10.

    Args:
        data: of the standard and the full scale.
        quick, standard: settings of the arms; the full scale has four times the epochs of the standard one.
        minutes: of the standard scale, on two cores.
    """
    pilots = (1000, 1001)
    everything = {key: value for key, value in standard.items() if key != "train_images"}
    full = {**everything, "epochs": 4 * int(standard["epochs"])}
    return {
        "quick": Scale(quick_minutes, (0, 1, 2), settings=quick),
        "standard": Scale(minutes, (0, 1, 2, 3, 4), data, pilots, standard),
        "full": Scale(20 * minutes, (0, 1, 2, 3, 4), data, pilots, full),
    }


def plain(epochs: int, **settings: Any) -> Recipe:
    """SGD with momentum and nothing else: what a claim does not speak of is off."""
    return Recipe(**{
        "epochs": epochs, "min_updates": 0, "batch_size": 64, "momentum": 0.9, "weight_decay": 0.0,
        "augment": Augmentation(pad=0, flip="off"), **settings,
    })  # fmt: skip


def split_of(data: Dataset, trial: Trial) -> Split:
    """The split of a trial: the same for all arms, with at most ``train_images`` of the scale in the training set.

    The images are chosen by the seed, and equally often from every class.
    """
    split = make_split(data, seed=0)
    at_most = trial.scale.settings.get("train_images")
    if at_most is None or at_most >= len(split.train):
        return split
    return replace(split, train=balanced(data.labels, split.train, at_most, trial.seed))


def balanced(labels: np.ndarray, indices: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``count`` of the indices, as equally from every class as possible; sorted."""
    order = np.random.default_rng(seed).permutation(indices)
    place = np.zeros(len(order), dtype=np.int64)  # of an image within its class
    for label in np.unique(labels[order]):
        of_class = labels[order] == label
        place[of_class] = np.arange(of_class.sum())
    return np.sort(order[np.argsort(place, kind="stable")[:count]])


def side_of(data: Dataset) -> int:
    """The side of the images, pixels."""
    return (data.uniform_size or (32,))[0]


def pixels_of(data: Dataset, indices: np.ndarray) -> np.ndarray:
    """(n, H, W, C) uint8."""
    return np.stack([data.read(int(index)) for index in indices])


def flat_pixels(data: Dataset, indices: np.ndarray) -> np.ndarray:
    """(n, H W C) float32, from 0 to 1."""
    return pixels_of(data, indices).reshape(len(indices), -1).astype(np.float32) / 255


def with_images(
    data: Dataset, indices: np.ndarray, pixels: np.ndarray, classes: Sequence[int] | None = None
) -> Dataset:
    """A data set of these images only.

    Args:
        pixels: (n, H, W, C) uint8, of the images ``indices``.
        classes: labels that are kept, which become 0, 1 ...; all where None.
    """
    labels = data.labels[indices]
    names = data.classes
    if classes is not None:
        number = {label: place for place, label in enumerate(classes)}
        labels = np.array([number[int(label)] for label in labels], dtype=np.int64)
        names = tuple(data.classes[label] for label in classes)
    return replace(
        data,
        classes=names,
        labels=labels,
        names=tuple(data.names[int(index)] for index in indices),
        parts=data.parts[indices],
        images=ArrayImages(np.ascontiguousarray(pixels)),
    )


def passes_to(curve: list[float | None], level: float) -> float:
    """The passes after which a curve of shares reaches a level, interpolated; the length + 1 where it never does."""
    before = 0.0
    for epoch, value in enumerate(curve):
        value = value if value is not None else 0.0
        if value >= level:
            return epoch + ((level - before) / (value - before) if value > before else 1.0)
        before = value
    return len(curve) + 1.0


def in_folder(folder: Path, name: str) -> Path | None:
    """The folder of a data set that scales call by name: "mnist", "cifar-10"; None where it is not there."""
    for candidate in (folder / name, folder / name.replace("-", "")):
        if candidate.is_dir():
            return candidate
    return folder if folder.name == name else None
