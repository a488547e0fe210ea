"""`export`: write a trained network as a file that other engines run, and check on images that it says the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from convatlas import __version__
from convatlas.data import Dataset, Preprocessing, ReadingOptions
from convatlas.data import open_data as open_source
from convatlas.errors import ConvAtlasError, DataError, UnknownNameError, UsageError
from convatlas.exports.contract import Contract, check_file
from convatlas.exports.description import (
    CONTRACT,
    FORMATS,
    INPUTS,
    OPSET,
    PRECISIONS,
    REFERENCE,
    RESIZED_INSIDE,
    SUFFIXES,
    Description,
    parts,
    sidecar_path,
    write_sidecar,
)
from convatlas.exports.engines import import_openvino, imported
from convatlas.exports.limits import LIMITS
from convatlas.exports.page import write_contract
from convatlas.exports.reference import MOST_IMAGES, Reference, chosen, dataset_name
from convatlas.exports.reference_results import compute_reference, weights_digest
from convatlas.message import Message, system_reason
from convatlas.models.weights.published import table
from convatlas.runs.evaluate import images_of_data, labels_for, notes_on_overlap
from convatlas.runs.evaluation_images import EvaluationImages
from convatlas.runs.loaded_network import LoadedNetwork, load_network
from convatlas.runs.run import Run

STEM, BROKEN = "model", "model.broken"
CALIBRATION_IMAGES = 300

# what each format is written in, and why not in the others
OF_FORMAT = {
    "onnx": ("fp32", "fp16", "int8"),
    "openvino": ("fp32", "bf16", "fp16", "int8"),
    "torch": ("fp32", "bf16"),
}
NEEDED = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "onnxruntime", "openvino"),
    "torch": (),
}
Exportable = Run | str | Path | nn.Module | LoadedNetwork


@dataclass(frozen=True)
class Export:
    """What was written: the file, what it is, and its contract."""

    file: Path
    description: Description
    contract: Contract
    size_bytes: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "sidecar": str(sidecar_path(self.file)),
            "contract_file": str(self.file.with_name(CONTRACT)),
            "size_bytes": self.size_bytes,
            "precision": self.description.precision,
            "format": self.description.format,
            "input": self.description.input,
            "float_layers": list(self.description.float_layers),
            "contract": self.contract.to_dict(),
        }


def export(
    what: Exportable,
    format: str = "onnx",
    precision: str = "fp32",
    *,
    input: str = "pixels",
    opset: int = OPSET,
    calibration: str | Path | Dataset | None = None,
    check: str | Path | Dataset | None = None,
    out: str | Path | None = None,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    most_images: int = MOST_IMAGES,
    reading: ReadingOptions = ReadingOptions(),  # noqa: B008
    dataset: Dataset | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Export:
    """Export a network, with its preparation and class names, and check the file on images.

    Args:
        what: a run or its directory, or a network with weights, as in `evaluate`.
        format: "onnx", "openvino" or "torch" (a file of torch.export).
        precision: "fp32"; "fp16", weights of half the size; "bf16", arithmetic in bfloat16 (OpenVINO and torch); or
            "int8", 8-bit weights and activations.
        input: "pixels", N images of the network's input size; or "photo", one image of any size, which the file
            resizes and crops with the bits of Pillow.
        opset: of the ONNX file.
        calibration: images that set the ranges of an int8 file: a data set, or what `open_data` opens; by default
            training images of the run.
        check: images to check the file on; by default the validation set of the run.
        out: directory to write to; by default ``export/FORMAT-PRECISION`` in the run, or below ``exports/``.
        classes, preprocessing: of a network whose weights do not state them, as in `evaluate`.
        most_images: number of images to check at most.
        reading: how ``calibration`` and ``check`` are read.
        dataset: the data of the run, where they are open already; else they are opened where the run found them.
        progress: called with (what is done, done, total).

    Returns: the file and its contract. A file that breaks its contract is kept, as ``model.broken.onnx``.

    Raises:
        UsageError: a combination that is not written, or a network whose preparation or classes are not known.
        DataError: the images have other classes than the network.
        ConvAtlasError: torch cannot export the network, or the directory cannot be written to.
        MissingDependencyError: a package of the extra ``export`` is not installed.
    """
    refuse(format, precision, input)
    network = load_network(what, classes, preprocessing)
    if input == "photo" and network.preprocessing.resize not in RESIZED_INSIDE:
        raise UsageError(
            "the images of this network are prepared by {resize!r}, which an exported file does not do by itself (it "
            "does {supported}). Export with --input pixels.",
            resize=network.preprocessing.resize,
            supported=", ".join(RESIZED_INSIDE),
        )
    images, labels, part, notes = _images_to_check(network, check, reading, dataset)
    described = describe(network, format, precision, input, opset)
    folder = Path(out) if out is not None else _folder(network, format, precision, input)
    tell = progress or (lambda what, done, total: None)

    tell("converting", 0, 1)
    reference = compute_reference(
        network.net,
        network.preprocessing,
        network.labels.names,
        any_size=input == "photo",
        dataset=None if images is None else images.dataset,
        indices=None if images is None else chosen(images.indices, most_images),
        labels=labels,
        part=part,
        n_of=0 if images is None else len(images.indices),
        notes=notes,
    )
    checked_data = None if images is None else images.dataset
    with tempfile.TemporaryDirectory(prefix="convatlas-export-") as temporary:
        workplace = Path(temporary)

        def checked(file: Path, description: Description) -> Contract:
            write_sidecar(file, description)
            return check_file(file, reference, checked_data, progress=lambda done, total: tell("checking", done, total))

        if precision == "int8":
            from convatlas.exports.quantization import quantized

            if checked_data is None and calibration is None:
                raise UsageError("int8 needs images that set its ranges: name some with --calibration DATA.")
            calibration_images, calibrated_on = _calibration_images(network, calibration, reading, dataset)
            file, description, contract = quantized(
                network, described, workplace, calibration_images, calibrated_on, checked, tell
            )
        else:
            file, description = _written(network, described, workplace)
            contract = checked(file, description)
        return _moved(file, folder, description, contract, reference)


def refuse(format: str, precision: str, input: str) -> None:
    """Raise what is wrong with a request before anything is loaded.

    Raises:
        UsageError: a format, precision or input that is not known, or a combination that is not written.
        MissingDependencyError: a package that it needs is not installed.
    """
    for kind, value, known in (
        ("format", format, FORMATS),
        ("precision", precision, PRECISIONS),
        ("input", input, INPUTS),
    ):
        if value not in known:
            raise UnknownNameError(kind, value, known)
    if precision not in OF_FORMAT[format]:
        reason = {
            "onnx": Message("ONNX Runtime has no bfloat16 arithmetic on a CPU"),
            "torch": Message("a file of torch.export keeps PyTorch's own arithmetic"),
            "openvino": Message("it is not written"),
        }[format]
        raise UsageError(
            "--format {format} is not written in {precision}: {reason}. Precisions of {format}: {known}.",
            format=format,
            precision=precision,
            reason=reason,
            known=", ".join(OF_FORMAT[format]),
        )
    if input == "photo" and format != "onnx":
        raise UsageError(
            "--input photo is written in ONNX only, which OpenVINO reads too. Use --format onnx, or --input pixels."
        )
    for package in NEEDED[format]:
        import_openvino() if package == "openvino" else imported(package, Message("exporting a network"))


def describe(
    network: LoadedNetwork, format: str, precision: str, input: str, opset: int, trained: bool = True
) -> Description:
    """The description of a file before it is written. It holds no local path."""
    net, run = network.net, network.run
    loaded = getattr(net, "loaded", None)
    name = run.model if run is not None else str(getattr(net, "network", type(net).__name__))
    weights: dict[str, Any] = {"name": None, "sha256": weights_digest(net), "licence": None}
    about_run = about_data = None
    if run is not None:
        result = run.result or {}
        about_run = {
            "name": run.path.resolve().name,
            "recipe": run.recipe.name,
            "seed": run.seed,
            "val_top1": result.get("val_top1"),
            "test_top1": result.get("test_top1"),
            "test_n": result.get("test_n"),
        }
        source = str(run.config["data"]["source"])
        about_data = {
            "name": source if source.startswith("hf:") else Path(source).name,
            "fingerprint": run.config["data"]["fingerprint"],
        }
        name = name.rpartition("/")[2]  # of a network of the user's own: FILE.py:Class without its folder
        weights["name"] = "model.safetensors"
    elif loaded is not None:
        line = next((line for line in table() if line.network == name and line.full_name == loaded.weights), None)
        weights["name"] = loaded.weights if line is not None else Path(loaded.weights).name
        weights["licence"] = None if line is None else line.licence
    preparation = network.preprocessing.to_dict()
    preparation["why"] = str(preparation["why"])
    return Description(
        format=format,
        precision=precision,
        input=input,
        network=name,
        classes=network.labels.names,
        other_names=network.labels.others,
        preparation=preparation,
        weights=weights,
        trained=trained,
        run=about_run,
        data=about_data,
        limits=LIMITS[precision].to_dict(),
        opset=None if format == "torch" else opset,
        made_with={"convatlas": __version__, **_versions("torch", "onnx", "onnxscript", "pillow")},
    )


def _written(network: LoadedNetwork, description: Description, folder: Path) -> tuple[Path, Description]:
    file = folder / f"{STEM}{SUFFIXES[description.format]}"
    if description.format == "torch":
        from convatlas.exports import torch_format

        torch_format.write(network.net, description, file)
        return file, description
    import onnx

    from convatlas.exports import onnx_format, openvino_format
    from convatlas.exports.conversion import network_to_onnx, with_weights_as

    core = network_to_onnx(network.net, network.preprocessing, description.opset or OPSET)
    if description.format == "openvino":
        openvino_format.write(finished(core, network.preprocessing, description), description, file)
        return file, description
    if description.precision == "fp16":
        core = with_weights_as(core, onnx.TensorProto.FLOAT16)
    onnx_format.write(finished(core, network.preprocessing, description), file)
    return file, description


def finished(core: Any, preprocessing: Preprocessing, description: Description) -> Any:
    """A network in ONNX with its preparation, its softmax and its description."""
    from convatlas.exports.conversion import complete

    pillow = description.made_with["pillow"]
    return complete(core, preprocessing, pillow, description.accepts_any_size, description)


def _moved(
    file: Path,
    folder: Path,
    description: Description,
    contract: Contract,
    reference: Reference,
) -> Export:
    """Move a checked file to its directory, with its sidecar, contract and reference; one that is broken is marked."""
    stem = BROKEN if contract.state == "broken" else STEM
    suffix = SUFFIXES[description.format]
    target = folder / f"{stem}{suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for earlier in (STEM, BROKEN):  # of an earlier export to this directory
            for old in (*parts(folder / f"{earlier}{suffix}"), sidecar_path(folder / f"{earlier}{suffix}")):
                old.unlink(missing_ok=True)
        for part in parts(file):
            shutil.move(part, target.with_suffix(part.suffix))
    except OSError as error:
        raise ConvAtlasError(
            "{folder} cannot be written to: {reason}. Choose another directory with --out.",
            folder=folder,
            reason=system_reason(error),
        ) from error
    contract = replace(contract, file=target.name)
    write_sidecar(target, description, contract.summary())
    reference.write(folder / REFERENCE)
    write_contract(contract, folder)
    size = sum(part.stat().st_size for part in parts(target))
    return Export(target, description, contract, size)


def _folder(network: LoadedNetwork, format: str, precision: str, input: str) -> Path:
    name = f"{format}-{precision}" + ("" if input == "pixels" else f"-{input}")
    if network.run is not None:
        return network.run.path / "export" / name
    stem = str(getattr(network.net, "network", type(network.net).__name__)).rpartition("/")[2].replace(":", "-")
    return Path("exports") / f"{stem}-{name}"


def _images_to_check(
    network: LoadedNetwork, check: str | Path | Dataset | None, reading: ReadingOptions, own: Dataset | None
) -> tuple[EvaluationImages | None, NDArray[np.int64] | None, str | None, tuple[str, ...]]:
    """Images, their labels as outputs of the network, the name of their set, and notes on what limits the check."""
    run = network.run
    if check is None:
        if run is None:
            return None, None, None, ()
        dataset = own if own is not None else run.dataset()
        split = run.split(dataset)
        validation = EvaluationImages(dataset, split.val)
        if not len(split.val):
            raise DataError("{run} has no validation images. Name images with --check DATA.", run=run.path)
        return validation, dataset.labels, "val", ()
    images, part = images_of_data(check, reading=reading)
    labels = np.asarray(labels_for(network, images, check), dtype=np.int64)
    return images, labels, part, (*notes_on_overlap(_without_path(network), images), *_note_on_test_images(run, images))


def _without_path(network: LoadedNetwork) -> LoadedNetwork:
    """The network under the name of its run's directory: notes are written into the exported files."""
    return network if network.run is None else replace(network, name=network.run.path.resolve().name)


def _note_on_test_images(run: Run | None, images: EvaluationImages) -> list[str]:
    """A note where the images are also those that the run's test accuracy was measured on."""
    if run is None or images.dataset.fingerprint != run.config["data"]["fingerprint"]:
        return []
    shared = int(np.isin(run.split(images.dataset).test, images.indices).sum())
    if not shared:
        return []
    return [
        Message(
            "{count} of these images are test images of the run, whose test accuracy was reported before. An export "
            "that is chosen by them has no independent test any more.",
            count=shared,
        )
    ]


def _calibration_images(
    network: LoadedNetwork, calibration: str | Path | Dataset | None, reading: ReadingOptions, own: Dataset | None
) -> tuple[list[NDArray[np.uint8]], dict[str, Any]]:
    """Prepared pixels of the images that set the ranges of an int8 file, and where they are from."""
    from convatlas.exports.reference import prepared

    run = network.run
    if calibration is None:
        if run is None:
            raise UsageError("int8 needs images that set its ranges: name some with --calibration DATA.")
        dataset = own if own is not None else run.dataset()
        indices, part = run.split(dataset).train, "train"
    else:
        dataset = (
            calibration if isinstance(calibration, Dataset) else open_source(str(calibration), **reading.to_dict())
        )
        training = np.flatnonzero(dataset.parts == "train")
        indices, part = (training, "train") if len(training) else (np.arange(len(dataset)), "all")
    some = chosen(indices, CALIBRATION_IMAGES)
    preprocessing = network.preprocessing
    images = [prepared(dataset.read(int(index), preprocessing.at_least), preprocessing) for index in some]
    return images, {"data": dataset_name(dataset), "part": part, "n": len(images)}


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
