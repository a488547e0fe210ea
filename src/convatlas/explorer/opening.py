"""`open_session`: from the words of the command line to a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from convatlas.errors import CheckpointError, UsageError
from convatlas.explorer.images import Pictures, picture_of_path
from convatlas.explorer.session import Session
from convatlas.explorer.subjects import GivenWeights, Shape, Subjects, subject_of

if TYPE_CHECKING:
    from convatlas.data.dataset import Dataset


def open_session(
    subjects: Sequence[Any] = (),
    *,
    given: GivenWeights | None = None,
    shape: Shape | None = None,
    data: str | None = None,
    reading: Mapping[str, Any] = MappingProxyType({}),
    out: Path | None = None,
    images: Sequence[Path] = (),
) -> Session:
    """Open everything that the page shows.

    Args:
        subjects: atlas names, runs, ``FILE.py:Class``, or modules.
        given: weights for the one network of the atlas among them.
        shape: (C, H, W) of the input of a module of the user's own.
        data: a data set whose images are offered.
        reading: how the data set is read, as `open_data` has it.
        out: the folder of runs; none is shown where None.
        images: files that are offered before all others.

    Raises:
        BadImageError: one of ``images`` cannot be read.
        UnknownNameError: no such network.
        DataError: the data set or a run cannot be read.
        UsageError: ``given`` without exactly one network.
        CheckpointError: the file of weights does not exist.
    """
    if given is not None:
        if len(subjects) != 1:
            raise UsageError("--weights are for one network; {n} were named. Name that one alone.", n=len(subjects))
        if ":" not in given.weights and not Path(given.weights).is_file():
            raise CheckpointError(
                "there is no file {path}. Give the file of the weights, or published ones such as "
                "torchvision:IMAGENET1K_V1.",
                path=given.weights,
            )
    found = [subject_of(what, number, given, shape) for number, what in enumerate(subjects, start=1)]
    dataset = None if data is None else _opened(data, reading)
    folders = {Path.cwd(), Path.home()} | ({Path(data).absolute().parent} if data is not None else set())
    return Session(
        subjects=Subjects(found, out),
        pictures=Pictures(dataset, [picture_of_path(path) for path in images]),
        data=None if data is None else Path(data).name or data,
        out=out,
        folders=tuple(folders),
    )


def _opened(data: str, reading: Mapping[str, Any]) -> Dataset:
    from convatlas.data.sources import open_data

    return open_data(data, **reading)
