"""The form of an experiment: what a claim says, what is run for it, and the criterion of its verdict.

A claim is a file in ``claims/`` that defines ``EXPERIMENT``. Everything that decides the verdict is in that file before
the first run: arms, what is held constant, data, scales, metric, and for each contrast its direction and the smallest
difference that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convatlas.i18n import language

if TYPE_CHECKING:
    from convatlas.data import Dataset

ScaleName = Literal["quick", "standard", "full"]
SCALES: tuple[ScaleName, ...] = ("quick", "standard", "full")


@dataclass(frozen=True)
class Text:
    """A text in English and in Korean; ``str`` gives it in the language in use."""

    en: str
    ko: str

    def __str__(self) -> str:
        return self.ko if language() == "ko" else self.en


@dataclass(frozen=True)
class Printed:
    """A figure of the paper.

    Attributes:
        figure: as printed, with its unit.
        difference: the difference it states for the contrast of the same place, in units of the metric; None where the
            paper gives none that is comparable.
        source: paper, section, table or figure.
        verified: whether it was read at the source; figures from memory are marked.
    """

    figure: Text
    source: str
    difference: float | None = None
    verified: bool = True


@dataclass(frozen=True)
class Metric:
    """What is measured in every arm.

    Attributes:
        key: in the metrics of an `Outcome`.
        unit: "points" (shares shown in percent), "passes", "nats" ...
        scale: factor from the stored value to the unit; 100 for shares shown in points.
    """

    key: str
    name: Text
    unit: str
    scale: float = 1.0


@dataclass(frozen=True)
class Contrast:
    """What the claim says of two arms: ``metric`` of ``higher`` exceeds that of ``lower``.

    Attributes:
        smallest: smallest difference that counts, in the unit of the metric. A negative value states that the first arm
            is not worse than the second by more than this (non-inferiority).
    """

    metric: str
    higher: str
    lower: str
    smallest: float


@dataclass(frozen=True)
class Arm:
    """One of the conditions that are compared.

    Attributes:
        run: trains or computes what the arm is about, for one seed.
        lrs: learning rates of the sweep that chooses the arm's on the validation set; one value where nothing is
            chosen.
    """

    name: str
    title: Text
    run: Callable[[Trial], Outcome]
    lrs: tuple[float, ...] = (0.1,)


@dataclass(frozen=True)
class Scale:
    """How much is run.

    Attributes:
        minutes: expected time on two cores.
        seeds: paired seeds; every arm is run with each of them.
        data: what `open_data` opens; "mnist" and "cifar-10" are found in the folder of --data.
        pilot_seeds: of the learning-rate sweep, and of the smallest difference that can be detected; empty for no
            sweep, then every arm uses its first learning rate.
        settings: read by the arms: epochs, numbers of images ...
    """

    minutes: float
    seeds: tuple[int, ...]
    data: str = "digits"
    pilot_seeds: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What an arm is given: the data, the seed, the learning rate, and the settings of the scale.

    Attributes:
        folder: of --data, where an arm finds further files that the scale's settings name; None without --data.
    """

    data: Dataset
    seed: int
    lr: float
    scale: Scale
    folder: Path | None = None

    def setting(self, name: str) -> Any:
        return self.scale.settings[name]


@dataclass(frozen=True)
class Outcome:
    """What an arm measured for one seed.

    Attributes:
        metrics: value by the key of a `Metric`; ``val_top1`` is used by the learning-rate sweep.
        curves: values per epoch, by name.
        seconds: of the whole arm.
    """

    metrics: Mapping[str, float]
    curves: Mapping[str, list[float | None]] = field(default_factory=dict)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Experiment:
    """A claim of the literature, and how it is tested.

    Attributes:
        name: as on the command line; the file is ``claims/name.py`` with underscores.
        constant: what is equal in all arms.
        criterion: in words; `contrasts` is its exact form.
        contradiction: what would contradict the claim.
        limits: what the experiment cannot show.
        sequential: the arms are measured one after another, because their time is measured.
        needs: "cuda" where the claim is about a GPU, which must be there.
        claim: the sentence that is tested.
        source: paper and section of the claim.
        printed: what the paper prints.
        arms: the trainings that are compared.
        metrics: what is measured in each training.
        contrasts: differences between arms, which the verdict is about.
        scales: sizes at which the experiment can be run.
    """

    name: str
    claim: Text
    source: str
    printed: tuple[Printed, ...]
    arms: tuple[Arm, ...]
    constant: Text
    metrics: tuple[Metric, ...]
    contrasts: tuple[Contrast, ...]
    criterion: Text
    contradiction: Text
    limits: Text
    scales: Mapping[ScaleName, Scale]
    sequential: bool = False
    needs: Literal["", "cuda"] = ""

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def metric(self, key: str) -> Metric:
        return next(metric for metric in self.metrics if metric.key == key)
