"""Deploy the networks of a comparison: export each for each engine and precision, and evaluate the files themselves.

Every file is written where ``convatlas export RUN`` writes it, in the directory of its run, and is not made again while
it belongs to the weights of that run. int8 files are calibrated on training images, and their contracts are checked on
validation images; the test images are predicted once, by the finished files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from convatlas.comparison import pareto
from convatlas.comparison.budget import Budget
from convatlas.comparison.deployed import (
    FORMAT_OF,
    Deployment,
    Deployments,
    Refusal,
    Startup,
    deployment_label,
)
from convatlas.comparison.deployed_timing import latencies_of, starts_of
from convatlas.comparison.measure import Memory
from convatlas.comparison.recommend import DEPLOYMENTS, SAME_TIME, recommend
from convatlas.comparison.result import SORTED_BY, ComparisonRow, Recommendation
from convatlas.comparison.steps import ComparisonListener, Trained
from convatlas.errors import CheckpointError, ConvAtlasError, UnknownNameError, UsageError
from convatlas.evaluation import statistics
from convatlas.evaluation.statistics import Hits
from convatlas.exports.contract import State, read_contract
from convatlas.exports.description import PRECISIONS, SUFFIXES, read_sidecar
from convatlas.exports.export import BROKEN, OF_FORMAT, STEM, export, refuse
from convatlas.exports.exported import ExportedModel, open_exported
from convatlas.exports.reference_results import weights_digest
from convatlas.message import Message, joined
from convatlas.runs.loaded_network import LoadedNetwork, load_network
from convatlas.runs.run import Run
from convatlas.runs.training_data import TrainingData

BATCH = 32  # test images that a file predicts at once
# the narrowest value that a weight is stored in, bytes: a file cannot be smaller than its matrices in it
NARROWEST = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
WORST_FIRST: tuple[State, ...] = ("broken", "open", "not checked", "kept")


@dataclass(frozen=True)
class Engines:
    """The engines and precisions that were asked for, as pairs that an export writes.

    Attributes:
        pairs: (engine, precision), engine by engine.
        refusals: pairs that no export writes.
    """

    pairs: tuple[tuple[str, str], ...]
    refusals: tuple[Refusal, ...]

    def __bool__(self) -> bool:
        return bool(self.pairs)

    @property
    def bytes_of_weight(self) -> int:
        """The bytes that a weight takes at least, in the smallest of the files."""
        return min(NARROWEST[precision] for _, precision in self.pairs)


def engines_asked_for(engines: str | Iterable[str], precisions: str | Iterable[str] | None, protocol: str) -> Engines:
    """Check engines and precisions before anything is trained.

    Args:
        engines, precisions: names, or one text with commas between them. No engine means no deployments, and no
            precision means fp32.

    Raises:
        UnknownNameError: an engine or a precision that is not known.
        UsageError: precisions without engines, engines that write none of the precisions, or another protocol than
            "centre".
        MissingDependencyError: the package of an engine is not installed.
    """
    engine_names, precision_names = _names(engines), _names(precisions or ())
    if not engine_names:
        if precision_names:
            raise UsageError("--precisions has an effect only with --engines: name some, such as onnxruntime,openvino.")
        return Engines((), ())
    for kind, names, known in (
        ("engine", engine_names, FORMAT_OF),
        ("precision", precision_names, PRECISIONS),
    ):
        for name in names:
            if name not in known:
                raise UnknownNameError(kind, name, known)
    if protocol != "centre":
        raise UsageError(
            "--engines measures files as they are used, with one central view of each image; leave --protocol "
            "{protocol} out.",
            protocol=protocol,
        )
    pairs, refusals = [], []
    for engine in engine_names:
        for precision in precision_names or ("fp32",):
            written = OF_FORMAT[FORMAT_OF[engine]]
            if precision in written:
                refuse(FORMAT_OF[engine], precision, "pixels")
                pairs.append((engine, precision))
            else:
                why = Message("{engine} files are written in {known}", engine=engine, known=", ".join(written))
                refusals.append(Refusal(None, engine, precision, why))
    if not pairs:
        raise UsageError(
            "none of the engines takes one of the precisions {precisions}: {reasons}.",
            precisions=", ".join(precision_names),
            reasons=joined((each.why for each in refusals), "; "),
        )
    return Engines(tuple(pairs), tuple(refusals))


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    parts = given.split(",") if isinstance(given, str) else given
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


@dataclass
class _Files:
    """The files of one deployment while it is measured: one per run, with their hits on the test set."""

    files: list[Path] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    n: int = 0
    float_layers: int = 0
    hits: list[NDArray[np.bool_]] = field(default_factory=list)
    first: ExportedModel | None = None


def deploy(
    asked: Engines,
    rows: Sequence[ComparisonRow],
    trained: Mapping[str, Sequence[Trained]],
    training_data: TrainingData,
    threads: int,
    budget: Budget,
    sort: str,
    listener: ComparisonListener,
) -> tuple[Deployments, dict[str, Hits]]:
    """Export, evaluate and time every deployment.

    Args:
        rows: of the networks; rows that have no runs are not exported.
        trained: label of a row -> its runs.
        threads: of every engine.
        sort: order of the deployments, one of `SORTED_BY`.

    Returns: the deployments, with ``at_chance`` not yet set, and their hits (seeds, images) by label.
    """
    refusals = list(asked.refusals)
    made: dict[tuple[str, str, str], _Files] = {}
    for row in rows:
        if row.label not in trained:
            why = Message("hand-made features are not exported")
            refusals.append(Refusal(row.label, None, None, why))
            continue
        of_network = _of_network(row.label, asked.pairs, trained[row.label], training_data, threads, listener)
        for pair, found in of_network.items():
            if isinstance(found, _Files):
                made[row.label, *pair] = found
            else:
                refusals.append(Refusal(row.label, *pair, found))
    if not made:
        return Deployments((), tuple(refusals), None), {}

    image = training_data.dataset.read(int(training_data.split.test[0]))
    opened = {deployment_label(*key): cast(ExportedModel, files.first) for key, files in made.items()}
    listener.stage(Message("measuring the latency of all deployments in turn"))
    latencies, load = latencies_of(opened, image, threads)
    listener.stage(Message("starting every deployment in a process of its own"))
    starts = starts_of(opened, image, threads)

    by_label = {row.label: row for row in rows}
    deployments = []
    hits = {deployment_label(*key): np.stack(files.hits) for key, files in made.items()}
    for (model, engine, precision), files in made.items():
        label, row = deployment_label(model, engine, precision), by_label[model]
        started = starts[label]
        deployments.append(
            Deployment(
                model=model,
                engine=engine,
                precision=precision,
                files=tuple(files.files),
                contract=min(files.states, key=WORST_FIRST.index),
                contract_n=files.n,
                float_layers=files.float_layers,
                accuracy=statistics.accuracy(hits[label]),
                against_network=statistics.difference(
                    model, np.stack([each.evaluation.hits for each in trained[model]]), label, hits[label]
                ),
                latency=latencies[label],
                memory=started if isinstance(started, Memory) else started.memory,
                startup=None if isinstance(started, Memory) else Startup(started.samples_s),
                size_bytes=opened[label].sidecar.size_bytes,
                params=row.params,
                macs=row.macs,
                train_s=row.train_s,
            )
        )
    deployments = [replace(each, over_budget=tuple(budget.broken_by(each.costs()))) for each in deployments]
    on_front = pareto.front([each.test_top1 for each in deployments], [each.latency.p50_s for each in deployments])
    deployments = [replace(each, pareto=on) for each, on in zip(deployments, on_front, strict=True)]
    return Deployments(tuple(sorted(deployments, key=SORTED_BY[sort])), tuple(refusals), load), hits


# --- files ------------------------------------------------------------------------------------------------------------


def _of_network(
    model: str,
    pairs: Sequence[tuple[str, str]],
    runs: Sequence[Trained],
    training_data: TrainingData,
    threads: int,
    listener: ComparisonListener,
) -> dict[tuple[str, str], _Files | str]:
    """The files of one network for each engine and precision, or why there is none."""
    found: dict[tuple[str, str], _Files | str] = {pair: _Files() for pair in pairs}
    for trained_run in runs:
        network = load_network(trained_run.run)
        opened: dict[tuple[str, str], ExportedModel] = {}
        for pair, files in found.items():
            if not isinstance(files, _Files):
                continue  # refused with an earlier seed
            listener.stage(Message("exporting {deployment}", deployment=deployment_label(model, *pair)))
            try:
                file, contract = exported_file(network, *pair, training_data)
                opened[pair] = open_exported(file, pair[0], threads)
            except ConvAtlasError as error:
                found[pair] = error.message
                continue
            except Exception as error:  # a fault of an exporter; the other files are worth as much without this one
                reason = " ".join(str(error).split())[:200]
                found[pair] = Message("the export failed: {kind}: {reason}", kind=type(error).__name__, reason=reason)
                continue
            files.files.append(file)
            files.states.append(contract["state"])
            files.n = int(contract["n"])
            files.float_layers = len(opened[pair].description.float_layers)
            files.first = files.first or opened[pair]
        listener.stage(Message("evaluating the exported files of {model}", model=model))
        for pair, hits in _hits_of(opened, trained_run.run, training_data).items():
            files = found[pair]
            if isinstance(hits, str):
                found[pair] = hits
            elif isinstance(files, _Files):
                files.hits.append(hits)
    return found


def exported_file(
    network: LoadedNetwork, engine: str, precision: str, training_data: TrainingData
) -> tuple[Path, dict[str, Any]]:
    """Export a run for an engine, or find the file of an earlier export of the same weights; and its contract.

    Raises:
        ConvAtlasError: the network cannot be exported.
    """
    assert network.run is not None
    format = FORMAT_OF[engine]
    folder = network.run.path / "export" / f"{format}-{precision}"
    for stem in (STEM, BROKEN):
        file = folder / f"{stem}{SUFFIXES[format]}"
        contract = _contract_of(file, network, engine)
        if contract is not None:
            return file, contract
    written = export(network, format, precision, out=folder, dataset=training_data.dataset)
    return written.file, written.contract.to_dict()


def _contract_of(file: Path, network: LoadedNetwork, engine: str) -> dict[str, Any] | None:
    """The contract of an exported file, if it is whole, of these weights and was checked in this engine."""
    if not file.is_file():
        return None
    try:
        weights = read_sidecar(file).description.weights
        contract = read_contract(file)
        same = contract["conditions"]["engine"] == engine and contract["state"] in WORST_FIRST and "n" in contract
    except (CheckpointError, KeyError, TypeError):
        return None
    return contract if same and weights.get("sha256") == weights_digest(network.net) else None


def _hits_of(
    opened: Mapping[tuple[str, str], ExportedModel], run: Run, training_data: TrainingData
) -> dict[tuple[str, str], NDArray[np.bool_] | str]:
    """On which test images each file is right, (N,); or why it cannot run. All files of a run prepare alike."""
    indices, dataset = training_data.split.test, training_data.dataset
    labels: dict[tuple[str, str], list[NDArray[np.int64]]] = {pair: [] for pair in opened}
    failed: dict[tuple[str, str], str] = {}
    for start in range(0, len(indices) if opened else 0, BATCH):
        one = next(iter(opened.values()))
        at_least = one.description.preprocessing.at_least
        images = [one.prepare(dataset.read(int(index), at_least)) for index in indices[start : start + BATCH]]
        for pair, model in opened.items():
            if pair in failed:
                continue
            try:
                labels[pair].append(model.outputs(images).logits.argmax(axis=1))
            except Exception as error:  # each engine has its own exceptions for a graph that it cannot run
                reason = " ".join(str(error).split())[:200]
                failed[pair] = Message("{engine} cannot run the file: {reason}", engine=pair[0], reason=reason)
    true = training_data.labels[indices]
    return {pair: failed.get(pair) or np.concatenate(labels[pair]) == true for pair in opened}


# --- the recommendation -----------------------------------------------------------------------------------------------


def recommend_deployment(deployments: Deployments, hits: Mapping[str, Hits], budget: Budget) -> Recommendation:
    """Recommend one of the deployments whose contract is not broken."""
    sound = [row for row in deployments.rows if row.sound]
    broken = [row.label for row in deployments.rows if not row.sound]
    if not sound:
        if not broken:
            return Recommendation(None, Message("nothing can be recommended: no network could be exported."))
        answer = Message("nothing can be recommended: every exported file breaks its contract.")
        return Recommendation(None, answer, (Message("Name another precision, such as fp32."),))
    advice = recommend(sound, hits, budget, DEPLOYMENTS, SAME_TIME)
    reasons = list(advice.reasons)
    chosen = deployments.row(advice.model)
    if broken:
        reasons.append(
            Message("Not considered, because the file breaks its contract: {names}.", names=joined(broken, ", "))
        )
    if chosen is None:
        return replace(advice, reasons=tuple(reasons))
    if chosen.contract in ("open", "not checked"):
        reasons.append(
            Message(
                "Its contract cannot be established with {n} validation images; check the file on more:  convatlas "
                "export {run} --format {format} --precision {precision} --check DATA",
                n=chosen.contract_n,
                run=chosen.files[0].parents[2],
                format=FORMAT_OF[chosen.engine],
                precision=chosen.precision,
            )
        )
    return replace(
        advice,
        model=chosen.model,
        engine=chosen.engine,
        precision=chosen.precision,
        file=chosen.files[0],
        reasons=tuple(reasons),
    )
