"""The contract of an exported file: what was checked, on which images, with which differences.

Against the reference results of the network itself (`reference`), from the image file to the label:

    file           the file opens, holds what its sidecar states, has the network's classes, and is of its precision
    pixels         the prepared pixels are those of the run, and so are the normalised ones
    logits         the logits on identical pixels differ by at most the limit of the precision
    probabilities  are the softmax of the logits
    labels         top-1 from the image file: labels that differ, images lost and won, paired interval of the loss
    batches        batches of 1, 2 and 5 give the same as one another, and so does a new process

A check is "kept", "broken", "open" (it cannot be established with these images) or "not checked". The contract is
broken if any check is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convatlas import units
from convatlas.data.dataset import Dataset, with_channels
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import CheckpointError, ConvAtlasError
from convatlas.evaluation.statistics import SIGNIFICANCE, Difference, difference
from convatlas.exports.description import (
    CONTRACT,
    LOGITS,
    NETWORK_INPUT,
    PREPARED,
    PROBABILITIES,
    SCHEMA,
    Description,
)
from convatlas.exports.engines import Engine, available_threads, imported, instruction_set, load_engine
from convatlas.exports.exported import ExportedModel, open_exported
from convatlas.exports.limits import (
    BATCH_DIFFERENCE,
    BATCHES,
    LIMITS,
    NORMALISED,
    OPENVINO_BICUBIC_LEVELS,
    PROBABILITY,
    Limits,
)
from convatlas.exports.reference import Reference, content_digest, digest, prepared, probes
from convatlas.exports.structure import stored_precision, without_preparation
from convatlas.message import Message, joined

# names of the checks, in their order
CHECKS = {
    "file": Message("file"),
    "pixels": Message("pixels"),
    "logits": Message("logits"),
    "probabilities": Message("probabilities"),
    "labels": Message("labels"),
    "batches": Message("batches"),
}
State = Literal["kept", "broken", "open", "not checked"]
RUN_BATCH = 32


@dataclass(frozen=True)
class Check:
    """One check: its name, its state, a sentence, and the values behind it."""

    name: str
    state: State
    statement: Message
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"check": self.name, "state": self.state, "statement": str(self.statement), **self.values}


@dataclass(frozen=True)
class Contract:
    """The result of checking one file.

    Attributes:
        file, sha256: name of the file that was checked, and its SHA-256.
        n: number of images checked; ``n_of`` is the number of images of the set that they are from.
        conditions: engine, versions and processor.
    """

    file: str
    sha256: str
    network: str
    format: str
    precision: str
    data: str | None
    part: str | None
    n: int
    n_of: int
    checks: tuple[Check, ...]
    conditions: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        states = [check.state for check in self.checks]
        if "broken" in states:
            return "broken"
        if "open" in states:
            return "open"
        return "kept" if self.n else "not checked"

    def check(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    @property
    def headline(self) -> Message:
        """The result in one sentence."""
        broken = joined([CHECKS[check.name] for check in self.checks if check.state == "broken"])
        states = {
            "kept": Message("contract kept on {n} images of {data}", n=self.n, data=self.data),
            "broken": Message("CONTRACT BROKEN ({broken})", broken=broken),
            "open": Message("contract open: it cannot be established with {n} images", n=self.n),
            "not checked": Message("contract not checked on images: name some with --check DATA"),
        }
        return states[self.state]

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "state": self.state,
            "file": self.file,
            "sha256": self.sha256,
            "network": self.network,
            "format": self.format,
            "precision": self.precision,
            "data": self.data,
            "part": self.part,
            "n": self.n,
            "n_of": self.n_of,
            "limits": LIMITS[self.precision].to_dict(),
            "checks": [check.to_dict() for check in self.checks],
            "conditions": dict(self.conditions),
            "notes": [str(note) for note in self.notes],
        }

    def summary(self) -> dict[str, Any]:
        """What the sidecar states of the contract."""
        return {"state": self.state, "n": self.n, "data": self.data, "part": self.part, "statement": str(self.headline)}


@dataclass(frozen=True, eq=False)
class Observed:
    """What a file computed on N images.

    ``levels`` is the largest difference of a prepared pixel of each image, ``other_pixels`` whether the prepared pixels
    are not those of the reference.
    """

    outputs: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    reference: NDArray[np.float32]
    levels: NDArray[np.int64]
    other_pixels: NDArray[np.bool_]
    normalised: float
    same_pixels: NDArray[np.float32]  # logits on the pixels of the reference, where the file's own differ


def check_file(
    file: Path,
    reference: Reference,
    dataset: Dataset | None = None,
    *,
    engine: str | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Contract:
    """Check an exported file against a reference.

    Args:
        dataset: holds the images of the reference, whatever their names; None checks the probes alone.
        progress: called with (done, total) while images are computed.

    Raises:
        CheckpointError: the file cannot be opened at all, or its sidecar is missing or belongs to another file.
    """
    model = open_exported(file, engine, threads, inner=(PREPARED, NETWORK_INPUT))
    description = model.description
    limits = LIMITS[description.precision]
    indices = matching(reference, dataset)
    rows = np.flatnonzero(indices >= 0)
    checks = [_check_of_file(model, reference)]
    conditions = _conditions(model, threads)
    try:
        observed = _observe(model, reference, dataset, indices, rows, progress)
    except ConvAtlasError:
        raise
    except Exception as error:  # each engine has its own exceptions for a graph that it cannot run
        reason = " ".join(str(error).split())[:200]
        text = Message("{engine} cannot run the file: {reason}", engine=model.engine.name, reason=reason)
        checks.append(Check("logits", "broken", text))
        return _contract(model, reference, dataset, len(rows), checks, conditions)
    labels = reference.labels[rows]
    scale = float(observed.reference.std()) or 1.0
    largest = max(limits.largest * scale, (limits.noise or 0) * reference.noise) if limits.largest is not None else None
    checks += [
        _check_pixels(model, observed, limits),
        _check_logits(observed, limits, scale, largest),
        _check_probabilities(observed),
        _check_labels(observed, labels, limits, largest, description, len(rows)),
        _check_batches(model, scale, engine),
    ]
    return _contract(model, reference, dataset, len(rows), checks, conditions)


def matching(reference: Reference, dataset: Dataset | None) -> NDArray[np.int64]:
    """For each image of the reference the index of a file of the data set with the same bytes, or -1."""
    if dataset is None or not reference.n:
        return np.full(reference.n, -1, dtype=np.int64)
    places: dict[bytes, int] = {}
    wanted = {row.tobytes() for row in reference.files}
    for index in range(len(dataset)):
        key = content_digest(dataset, index).tobytes()
        if key in wanted:
            places.setdefault(key, index)
    return np.array([places.get(row.tobytes(), -1) for row in reference.files], dtype=np.int64)


def _contract(
    model: ExportedModel,
    reference: Reference,
    dataset: Dataset | None,
    n: int,
    checks: Sequence[Check],
    conditions: Mapping[str, Any],
) -> Contract:
    notes = list(reference.notes)
    if dataset is not None and n < reference.n:
        notes.append(
            Message(
                "{missing} of the {n} images of the reference were not found in the data; the others were checked.",
                missing=reference.n - n,
                n=reference.n,
            )
        )
    if not model.description.trained:
        notes.append(Message("The weights are random: only the logits are compared, and no accuracy is claimed."))
    return Contract(
        file=model.file.name,
        sha256=model.sidecar.sha256,
        network=model.description.network,
        format=model.description.format,
        precision=model.description.precision,
        data=reference.data,
        part=reference.part,
        n=n,
        n_of=reference.n_of,
        checks=tuple(checks),
        conditions=conditions,
        notes=tuple(notes),
    )


# --- what the file computes -------------------------------------------------------------------------------------------


def _observe(
    model: ExportedModel,
    reference: Reference,
    dataset: Dataset | None,
    indices: NDArray[np.int64],
    rows: NDArray[np.int64],
    progress: Callable[[int, int], None] | None,
) -> Observed:
    """Run the file on the matched images; without any, on the probes."""
    preprocessing = model.description.preprocessing
    if len(rows):
        assert dataset is not None
        wanted, digests = reference.logits[rows], reference.pixels[rows]
        at_least = preprocessing.at_least
        images: Iterator[NDArray[np.uint8]] = (dataset.read(int(index), at_least) for index in indices[rows])
    else:
        wanted, digests = reference.probe_logits, None
        images = iter(probes(preprocessing, model.description.accepts_any_size))
    total, batch_size = len(wanted), 1 if model.description.accepts_any_size else RUN_BATCH
    inside_file, core = model.description.accepts_any_size, None
    outputs, probabilities, levels, others, same = [], [], [], [], []
    normalised = 0.0
    for start in range(0, total, batch_size):
        decoded = [next(images) for _ in range(min(batch_size, total - start))]
        expected = [prepared(each, preprocessing) for each in decoded]
        given = [with_channels(each, preprocessing.channels) for each in decoded] if inside_file else expected
        result = model.run(np.stack(given))
        outputs.append(result[LOGITS])
        probabilities.append(result[PROBABILITIES])
        inside = result[PREPARED] if PREPARED in result else np.stack(given)
        levels.append(_levels(inside, np.stack(expected)))
        if digests is not None:
            found = [digest(each.tobytes()) for each in expected]
            others += [not np.array_equal(a, b) for a, b in zip(found, digests[start:], strict=False)]
        if NETWORK_INPUT in result:
            normalised = max(normalised, _normalised_difference(result[NETWORK_INPUT], inside, preprocessing))
        if levels[-1].any() and inside_file:
            core = core or _network_alone(model)
            same.append(core.run(np.stack(expected))[LOGITS])
        else:
            same.append(result[LOGITS])
        if progress is not None:
            progress(start + len(decoded), total)
    return Observed(
        outputs=np.concatenate(outputs),
        probabilities=np.concatenate(probabilities),
        reference=wanted,
        levels=np.concatenate(levels),
        other_pixels=np.array(others, dtype=bool),
        normalised=normalised,
        same_pixels=np.concatenate(same),
    )


def _network_alone(model: ExportedModel) -> Engine:
    """The part of a file after its resize, in the same engine."""
    return load_engine(model.file, model.engine.name, content=without_preparation(model.file))


def _levels(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Largest difference of a pixel of each image, 0 to 255; 256 where the sizes differ."""
    if found.shape != expected.shape:
        return np.full(len(expected), 256)
    difference_of_pixels = np.abs(found.astype(np.int64) - expected)
    return np.asarray(difference_of_pixels.reshape(len(expected), -1).max(axis=1))


def _normalised_difference(
    found: NDArray[np.float32], pixels: NDArray[np.uint8], preprocessing: Preprocessing
) -> float:
    mean, std = (np.array(values, dtype=np.float64) for values in (preprocessing.mean, preprocessing.std))
    wanted = ((pixels / 255 - mean) / std).transpose(0, 3, 1, 2)
    if wanted.shape != found.shape:
        return float("inf")
    return float((np.abs(found - wanted) / np.maximum(1, np.abs(wanted))).max())


# --- the checks -------------------------------------------------------------------------------------------------------


def _check_of_file(model: ExportedModel, reference: Reference) -> Check:
    description = model.description
    stored = stored_precision(model.file)
    promised = description.precision
    # OpenVINO computes bf16 from float32 weights
    accepted = {"fp32", "bf16"} if promised == "bf16" and model.file.suffix == ".xml" else {promised}
    values = {"classes": len(description.classes), "stored_precision": stored, "size_bytes": model.sidecar.size_bytes}
    if description.classes != reference.classes:
        return Check("file", "broken", Message("its classes are not those of the network, or in another order"), values)
    if description.weights.get("sha256") != reference.weights_sha256:
        return Check("file", "broken", Message("it was made from other weights than the reference"), values)
    if stored is not None and stored not in accepted:
        text = Message("it states {promised}, and its weights are {stored}", promised=promised, stored=stored)
        return Check("file", "broken", text, values)
    text = Message(
        "{size}, {precision}, {classes} classes; description read back",
        size=units.bytes_(model.sidecar.size_bytes),
        precision=promised,
        classes=len(description.classes),
    )
    return Check("file", "kept", text, values)


def _check_pixels(model: ExportedModel, observed: Observed, limits: Limits) -> Check:
    inside = model.description.accepts_any_size
    most = int(observed.levels.max())
    identical, n = int((observed.levels == 0).sum()), len(observed.levels)
    values = {
        "n": n,
        "identical": identical,
        "levels": most,
        "other_than_reference": int(observed.other_pixels.sum()),
        "normalised_difference": observed.normalised,
    }
    bicubic = model.description.preprocessing.interpolation == "bicubic"
    allowed = OPENVINO_BICUBIC_LEVELS if model.engine.name == "openvino" and bicubic else limits.levels
    if observed.other_pixels.any():
        text = Message(
            "{count} of {n} images are prepared with other pixels than in the run",
            count=int(observed.other_pixels.sum()),
            n=n,
        )
        return Check("pixels", "broken", text, values)
    if observed.normalised > NORMALISED:
        text = Message("the normalised pixels differ by {most}: another mean or std", most=f"{observed.normalised:.2g}")
        return Check("pixels", "broken", text, values)
    if most > allowed:
        text = Message("prepared pixels differ by up to {most} of 255 levels", most=most)
        return Check("pixels", "broken", text, values)
    if not inside:
        return Check("pixels", "kept", Message("identical to the run's on {n} images", n=n), values)
    if most == 0:
        text = Message("resized and cropped inside the file, identical to the run's on {n} images", n=n)
        return Check("pixels", "kept", text, values)
    text = Message(
        "resized and cropped inside the file; identical on {identical} of {n} images, within {most} of 255 levels on "
        "the others",
        identical=identical,
        n=n,
        most=most,
    )
    return Check("pixels", "kept", text, values)


def _check_logits(observed: Observed, limits: Limits, scale: float, largest: float | None) -> Check:
    gap = np.abs(observed.same_pixels.astype(np.float64) - observed.reference)
    if not np.isfinite(gap).all():
        return Check("logits", "broken", Message("the logits are not finite"))
    most, rms = float(gap.max()), float(np.sqrt((gap**2).mean())) / scale
    values = {"largest_difference": most, "rms_over_std": rms, "std": scale, "limit": largest or limits.rms}
    if largest is not None:
        text = Message("largest difference {most}, limit {limit}", most=f"{most:.2g}", limit=f"{largest:.2g}")
        return Check("logits", "kept" if most <= largest else "broken", text, values)
    if limits.rms is not None:
        text = Message("rms difference {rms} of their deviation, limit {limit}", rms=f"{rms:.2g}", limit=limits.rms)
        return Check("logits", "kept" if rms <= limits.rms else "broken", text, values)
    text = Message(
        "largest difference {most}, rms {rms} of their deviation; no limit in int8",
        most=f"{most:.2g}",
        rms=f"{rms:.2g}",
    )
    return Check("logits", "kept", text, values)


def _check_probabilities(observed: Observed) -> Check:
    shifted = observed.outputs.astype(np.float64) - observed.outputs.max(axis=1, keepdims=True)
    softmax = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    most = float(np.abs(softmax - observed.probabilities).max())
    values = {"largest_difference": most}
    if not most <= PROBABILITY:
        return Check("probabilities", "broken", Message("they are not the softmax of the logits"), values)
    return Check("probabilities", "kept", Message("are the softmax of the logits"), values)


def _check_labels(
    observed: Observed,
    labels: NDArray[np.int64],
    limits: Limits,
    largest: float | None,
    description: Description,
    n: int,
) -> Check:
    if not n:
        return Check("labels", "not checked", Message("no images of the reference"))
    ours, theirs = observed.reference.argmax(axis=1), observed.outputs.argmax(axis=1)
    flipped = np.flatnonzero(ours != theirs)
    values: dict[str, Any] = {"n": n, "flips": len(flipped)}
    margin = observed.reference[flipped, ours[flipped]] - observed.reference[flipped, theirs[flipped]]
    if limits.labels == "near ties":
        assert largest is not None
        far = int((margin > 2 * largest).sum())
        values["flips_beyond_rounding"] = far
        # a flip of other pixels than the run's is one of the resize, which the pixels are held to
        if far and not observed.levels[flipped].any():
            text = Message("{far} of {n} labels differ by more than rounding", far=far, n=n)
            return Check("labels", "broken", text, values)
    known = labels >= 0
    if not known.any() or not description.trained:
        return Check("labels", "kept", Message("{flips} of {n} differ", flips=len(flipped), n=n), values)
    found = difference("run", (ours == labels)[None, known], "file", (theirs == labels)[None, known])
    values |= {
        "run_top1": float((ours == labels)[known].mean()),
        "file_top1": float((theirs == labels)[known].mean()),
        "lost": found.only_first,
        "won": found.only_second,
        "loss": found.difference,
        "loss_ci95": list(found.ci95),
        "p": found.p,
    }
    return _verdict(found, limits, len(flipped), n, values)


def _verdict(found: Difference, limits: Limits, flips: int, n: int, values: Mapping[str, Any]) -> Check:
    counted = Message(
        "{flips} of {n} differ; {lost} lost, {won} won; loss {loss} points (95 % interval {low} to {high})",
        flips=flips,
        n=n,
        lost=found.only_first,
        won=found.only_second,
        loss=f"{100 * found.difference:.2f}",
        low=f"{100 * found.ci95.low:.2f}",
        high=f"{100 * found.ci95.high:.2f}",
    )
    if limits.labels == "points":
        assert limits.points is not None
        most = limits.points / 100
        state: State = "kept" if found.ci95.high <= most else "broken" if found.ci95.low > most else "open"
        after = {
            "kept": Message("at most {points} point is lost", points=limits.points),
            "broken": Message("more than {points} point is lost", points=limits.points),
            "open": Message("that at most {points} point is lost cannot be established with {n} images",
                            points=limits.points, n=n),
        }[state]  # fmt: skip
        return Check("labels", state, joined((counted, after), "; "), values)
    lost = found.p < SIGNIFICANCE and found.difference > 0
    if lost:
        return Check("labels", "broken", joined((counted, Message("the loss is significant")), "; "), values)
    return Check("labels", "kept", counted if flips else Message("0 of {n} differ", n=n), values)


def _check_batches(model: ExportedModel, scale: float, engine: str | None) -> Check:
    """The same images in other batches, and in a new process, give the same logits."""
    description = model.description
    images = [model.prepare(each) for each in probes(description.preprocessing, description.accepts_any_size)]
    images.append(images[0])
    allowed = BATCH_DIFFERENCE[description.precision] * scale
    most = 0.0
    try:
        single = np.concatenate([model.run(image[None])[LOGITS] for image in images])
        if not description.accepts_any_size:
            for size in BATCHES[1:]:
                together = model.run(np.stack(images[:size]))[LOGITS]
                most = max(most, float(np.abs(together - single[:size]).max()))
        else:
            again = np.concatenate([model.run(image[None])[LOGITS] for image in reversed(images)])[::-1]
            most = float(np.abs(again - single).max())
    except Exception as error:  # each engine has its own exceptions for a shape that it does not take
        reason = " ".join(str(error).split())[:160]
        return Check("batches", "broken", Message("a batch of another size fails: {reason}", reason=reason))
    fresh = _in_a_new_process(model.file, images, engine)
    if isinstance(fresh, Message):
        return Check("batches", "broken", fresh)
    apart = float(np.abs(fresh - single).max())
    values = {"batches": list(BATCHES), "largest_difference": most, "new_process": apart}
    if most > allowed or apart > allowed:
        text = Message("another batch or process gives logits that differ by {most}", most=f"{max(most, apart):.2g}")
        return Check("batches", "broken", text, values)
    if description.accepts_any_size:
        return Check("batches", "kept", Message("images of other sizes in turn, and a new process: the same"), values)
    return Check("batches", "kept", Message("batches of 1, 2 and 5, and a new process: the same"), values)


_FRESH = """
import sys, numpy as np
from convatlas.exports.exported import open_exported
file, images, out, engine = sys.argv[1:]
model = open_exported(file, engine or None)
arrays = np.load(images)
np.save(out, np.concatenate([model.run(arrays[name][None])["logits"] for name in arrays.files]))
"""


def _in_a_new_process(
    file: Path, images: Sequence[NDArray[np.uint8]], engine: str | None
) -> NDArray[np.float32] | Message:
    """Logits of the images from a new Python process, or why it failed."""
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder, "images.npz"), Path(folder, "logits.npy")
        named: dict[str, Any] = {f"image_{number:02d}": image for number, image in enumerate(images)}
        np.savez(given, **named)
        command = [sys.executable, "-c", _FRESH, str(file), str(given), str(out), engine or ""]
        places = os.pathsep.join(str(Path(place or ".").absolute()) for place in sys.path)  # relative ones too
        environment = {**os.environ, "PYTHONPATH": places}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode or not out.is_file():
            last = (done.stderr.strip().splitlines() or [""])[-1][:160]
            return Message("a new process cannot run the file: {reason}", reason=last)
        return np.asarray(np.load(out))


def _conditions(model: ExportedModel, threads: int | None) -> dict[str, Any]:
    package = imported(model.engine.name, Message("running an exported file"))
    return {
        "engine": model.engine.name,
        "engine_version": package.__version__.partition("-")[0],  # OpenVINO's ends in the commit of its build
        "threads": threads or available_threads(),
        "instruction_set": instruction_set(),
    }


def read_contract(file: Path) -> dict[str, Any]:
    """The contract beside an exported file.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    path = file.with_name(CONTRACT)
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError("the contract {path} cannot be read: {error}.", path=path, error=error) from error
    return dict(content)
