"""`check_export`: the contract of an exported file again, on another machine or in another engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from convatlas.data import Dataset, ReadingOptions, open_data
from convatlas.exports.contract import Contract, check_file
from convatlas.exports.description import REFERENCE
from convatlas.exports.reference import Reference, dataset_name
from convatlas.message import Message


def check_export(
    file: str | Path,
    data: str | Path | Dataset | None = None,
    *,
    engine: str | None = None,
    threads: int | None = None,
    reading: ReadingOptions = ReadingOptions(),  # noqa: B008
    progress: Callable[[int, int], None] | None = None,
) -> Contract:
    """Check an exported file against the reference results that were stored with it.

    Args:
        data: holds the images that the file was checked on when it was exported, whatever their names and folders;
            None checks the probes alone.
        engine: "onnxruntime", "openvino" or "torch"; by default the first that reads the file.
        progress: called with (done, total).
        file: the exported file.
        threads: of the CPU; None for one for each core.
        reading: how the data are read: columns of a table, the source of the class, links, rare classes.

    Raises:
        CheckpointError: the file, its sidecar or its reference is missing, damaged, or of another export.
        DataError: the data cannot be read.
        MissingDependencyError: the engine is not installed.
    """
    file = Path(file)
    reference = Reference.read(file.with_name(REFERENCE))
    dataset = data
    if data is not None and not isinstance(data, Dataset):
        dataset = open_data(str(data), **reading.to_dict())
    assert dataset is None or isinstance(dataset, Dataset)
    contract = check_file(file, reference, dataset, engine=engine, threads=threads, progress=progress)
    if dataset is not None and not contract.n:
        note = Message(
            "None of the images of {data} is one of the {n} images of the reference ({reference}): only probes were "
            "checked.",
            data=dataset_name(dataset),
            n=reference.n,
            reference=reference.data,
        )
        contract = replace(contract, notes=(*contract.notes, note))
    return contract
