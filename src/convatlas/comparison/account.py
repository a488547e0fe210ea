"""The account that a comparison gives of itself: its conditions, its command, and the data of the report's figures."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import numpy as np

from convatlas import training, units
from convatlas.comparison.hand_made import HandMade
from convatlas.comparison.report import Evidence
from convatlas.comparison.result import ComparisonRow, Conditions
from convatlas.comparison.steps import Trained
from convatlas.message import Message
from convatlas.runs.training_data import TrainingData


def conditions_of(
    rows: Sequence[ComparisonRow],
    trained: Mapping[str, Sequence[Trained]],
    training_data: TrainingData,
    seeds: tuple[int, ...],
    protocol: str,
    time_s: float | None,
    command: str,
) -> Conditions:
    data, split = training_data.dataset, training_data.split
    network = next(row for row in rows if row.model in trained)
    environment, run = training.environment(), trained[network.model][0].run
    machine, recipe = run.config["machine"], run.recipe
    if time_s is None:
        length = Message("{epochs} epochs each", epochs=f"{network.epochs[0]:g}")
    else:
        length = Message(
            "about {time} each; the time of a few updates determined the epochs", time=units.duration(time_s)
        )
    return Conditions(
        data=str(data.source),
        classes=data.classes,
        parts={part: len(getattr(split, part)) for part in ("train", "val", "test")},
        split=split.rule,
        training=Message(
            "{length}, recipe {recipe}, batches of {batch}", length=length, recipe=recipe.name, batch=recipe.batch_size
        ),
        seeds=seeds,
        protocol=protocol,
        machine={
            "processor": Message(
                "{cpu}, {threads} threads used", cpu=environment["cpu"], threads=network.latency.threads
            ),
            "training": f"{machine['device']}, {machine['precision']} ({machine['why']})",
            "inference": f"{network.latency.device}, fp32, PyTorch eager, batch 1",
            "software": f"convatlas {environment['convatlas']}, torch {environment['torch']}, "
            f"Python {environment['python']}, {environment['platform']}",
        },
        command=command,
    )


def command_line(
    training_data: TrainingData,
    names: Sequence[str],
    flags: Mapping[str, tuple[object, object]],
    settings: Mapping[str, object],
) -> str:
    """Return the command that repeats the comparison; ``flags`` are (value, default), and defaults are left out."""
    words = ["convatlas", "compare", *names, "--data", str(training_data.dataset.source)]
    for name, (value, default) in flags.items():
        if value != default:
            words += [f"--{name}"] if value is True else [f"--{name.strip()}", str(value)]
    for name, value in settings.items():
        if name != "min_updates":  # it goes with --epochs
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def evidence_of(
    trained: Mapping[str, Sequence[Trained]], features: Sequence[HandMade], training_data: TrainingData
) -> Evidence:
    def image(index: int) -> np.ndarray:
        return training_data.dataset.read(int(training_data.split.test[index]))

    return Evidence(
        evaluations={model: [trained_run.evaluation for trained_run in runs] for model, runs in trained.items()}
        | {each.fitted.name: [each.evaluation] for each in features},
        epochs={model: [trained_run.run.epochs() for trained_run in runs] for model, runs in trained.items()},
        chosen={
            model: [(trained_run.run.result or {})["chosen_epoch"] for trained_run in runs]
            for model, runs in trained.items()
        },
        image=image,
    )
