"""`Description`: what an exported file is, as JSON inside the file and beside it. Needs neither torch nor an engine.

The format of an exported file, version 1:

    input          ``images``         uint8 (N, H, W, C), RGB or grey, N from 1; H and W are the network's, or free
    outputs        ``logits``         float32 (N, K)
                   ``probabilities``  float32 (N, K), the softmax of the logits
    inside         ``prepared``       uint8 (N, h, w, C), the resized and cropped pixels (input "photo" only)
                   ``network_input``  float32 (N, C, h, w), the normalised pixels
    metadata       the key ``convatlas``: the JSON text of a `Description`
                   ``model_info model_type`` and ``model_info labels``: the names that OpenVINO's Model API reads

Beside ``model.onnx`` stands its sidecar ``model.onnx.json``: the same description, the file's SHA-256 and size, and the
state of its contract. `contract.json` states what was checked and `reference.npz` holds the reference results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from convatlas.atomic import written_atomically
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import CheckpointError, UsageError
from convatlas.message import Message, system_reason

SCHEMA = 1
METADATA_KEY = "convatlas"  # of the description, inside the file
INPUT, LOGITS, PROBABILITIES = "images", "logits", "probabilities"
PREPARED, NETWORK_INPUT = "prepared", "network_input"  # values inside the file that the contract reads

FORMATS = ("onnx", "openvino", "torch")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
INPUTS = ("pixels", "photo")
RESIZED_INSIDE = ("squash", "shorter-crop")  # what a file with the input "photo" does by itself
OPSET = 20  # of ONNX files, unless another one is asked for
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
CONTRACT, REFERENCE = "contract.json", "reference.npz"
# of a contract, as they are printed
STATES = {
    "kept": Message("kept"),
    "broken": Message("BROKEN"),
    "open": Message("cannot be established"),
    "not checked": Message("not checked"),
}
OF_THE_FILE = ("file", "sha256", "size_bytes", "contract")  # what a sidecar states and a file cannot state of itself

DECODING = (
    "Decoding is outside of the file: read the image as RGB or grey, apply its EXIF orientation, and lay alpha over "
    "white."
)


@dataclass(frozen=True, kw_only=True)
class Description:
    """What an exported file is.

    Attributes:
        format: "onnx", "openvino" or "torch".
        precision: "fp32", "bf16", "fp16" or "int8".
        input: "pixels" (N images of the network's input size) or "photo" (one image of any size, which the file resizes
            and crops).
        network: name of the network.
        classes: names of the outputs, in order.
        other_names: further accepted names of each class; empty where there are none.
        preparation: a `Preprocessing` as a dictionary. For the input "pixels" the caller resizes and crops by it.
        trained: False for random weights, of which no accuracy is claimed.
        run: name, recipe, seed and accuracies of the run; None for other weights.
        data: name and fingerprint of the training data; None where they are not known.
        weights: name, SHA-256 over all tensors, and licence of the weights.
        limits: the limits of the contract for this precision.
        opset: of an ONNX file, or of the one that this file was converted from; None for "torch".
        float_layers: layers of an int8 file that stayed in floating point, by their names in the network.
        instruction_set: what multiplied 8-bit integers where an int8 file was checked.
        calibration: name, part and number of the images that set the ranges of an int8 file.
        made_with: version of each program that took part.
    """

    format: str
    precision: str
    input: str
    network: str
    classes: tuple[str, ...]
    preparation: Mapping[str, Any]
    weights: Mapping[str, Any]
    other_names: tuple[tuple[str, ...], ...] = ()
    trained: bool = True
    run: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    opset: int | None = None
    float_layers: tuple[str, ...] = ()
    instruction_set: str | None = None
    calibration: Mapping[str, Any] | None = None
    made_with: Mapping[str, str] = field(default_factory=dict)

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing.from_dict(self.preparation)

    @property
    def accepts_any_size(self) -> bool:
        """Whether the file resizes and crops by itself, one image at a time."""
        return self.input == "photo"

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        values["classes"], values["other_names"] = list(self.classes), [list(names) for names in self.other_names]
        values["float_layers"] = list(self.float_layers)
        engine = {"openvino": {"INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32"}}
        return {
            "schema": SCHEMA,
            "kind": "convatlas exported classifier",
            "inputs": {INPUT: self._input_shape()},
            "outputs": {LOGITS: ["N", len(self.classes)], PROBABILITIES: ["N", len(self.classes)]},
            **values,
            "decoding": DECODING,
            "engine_options": engine,
        }

    def _input_shape(self) -> list[Any]:
        preprocessing = self.preprocessing
        if self.accepts_any_size:
            return [1, "height", "width", preprocessing.channels]
        return ["N", *preprocessing.size, preprocessing.channels]

    def to_json(self) -> str:
        """One line; equal descriptions give equal bytes."""
        return json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: str | Path) -> Description:
        """Raises:
        CheckpointError: it is not a description, or of a later version; the message names ``file``.
        """
        if values.get("schema") != SCHEMA:
            raise CheckpointError(
                "{file}: its description has the schema {schema}; this version reads schema {known}. Use the version "
                "that wrote it, or export again:  convatlas export RUN",
                file=file,
                schema=values.get("schema"),
                known=SCHEMA,
            )
        known = {each.name for each in fields(cls)}
        try:
            found = cls(**{name: _frozen(value) for name, value in values.items() if name in known})
            _ = found.preprocessing
        except (TypeError, UsageError) as error:
            raise CheckpointError(
                "{file}: its description is not complete: {error}. Export again:  convatlas export RUN",
                file=file,
                error=error,
            ) from error
        return found


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value


# --- the sidecar ------------------------------------------------------------------------------------------------------


def sidecar_path(file: str | Path) -> Path:
    """``model.onnx`` -> ``model.onnx.json``."""
    return Path(f"{file}.json")


def sha256(*files: Path) -> str:
    """SHA-256 over the bytes of the files, in order."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def parts(file: Path) -> tuple[Path, ...]:
    """The files that belong together: the XML file of OpenVINO has its weights in a ``.bin`` file."""
    return (file, file.with_suffix(".bin")) if file.suffix == ".xml" else (file,)


def write_sidecar(file: Path, description: Description, contract: Mapping[str, Any] | None = None) -> Path:
    """Write the sidecar of a file. ``contract`` has at least ``state``: "kept", "broken", "open" or "not checked".

    Raises:
        ConvAtlasError: the folder cannot be written to.
    """
    content = {
        **description.to_dict(),
        "file": file.name,
        "sha256": sha256(*parts(file)),
        "size_bytes": sum(part.stat().st_size for part in parts(file)),
        "contract": dict(contract or {"state": "not checked"}),
    }
    path = sidecar_path(file)
    with written_atomically(path) as opened:
        opened.write((json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode())
    return path


@dataclass(frozen=True)
class Sidecar:
    """What stands beside a file: its description, its SHA-256 and the state of its contract.

    ``stated`` is the description as it was written, which is also inside the file.
    """

    description: Description
    stated: Mapping[str, Any]
    sha256: str
    size_bytes: int
    contract: Mapping[str, Any]


def read_sidecar(file: str | Path) -> Sidecar:
    """Read the sidecar of ``file`` and compare the file with it.

    Raises:
        CheckpointError: the file or the sidecar is missing, is damaged, or the two do not belong together.
    """
    file = Path(file)
    path = sidecar_path(file)
    for needed in parts(file):
        if not needed.is_file():
            raise CheckpointError("there is no file {file}. Write one:  convatlas export RUN", file=needed)
    if not path.is_file():
        raise CheckpointError(
            "{file} has no sidecar {sidecar}, which holds its class names and how images are prepared. Keep the two "
            "files together, or export again:  convatlas export RUN",
            file=file,
            sidecar=path.name,
        )
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = system_reason(error) if isinstance(error, OSError) else str(error)
        raise CheckpointError("the sidecar {path} cannot be read: {reason}.", path=path, reason=reason) from error
    if not isinstance(values, dict):
        raise CheckpointError("the sidecar {path} is not a JSON object.", path=path)
    description = Description.from_dict(values, path)
    size, digest = sum(part.stat().st_size for part in parts(file)), sha256(*parts(file))
    if digest != values.get("sha256"):
        cut = size < int(values.get("size_bytes") or 0)
        raise CheckpointError(
            "{file} is cut short: it has {size} bytes, and its sidecar states {stated}. Copy it again."
            if cut
            else "{file} is not the file that its sidecar {sidecar} describes: the SHA-256 differs. Keep the files of "
            "one export together, or export again:  convatlas export RUN",
            file=file,
            sidecar=path.name,
            size=size,
            stated=values.get("size_bytes"),
        )
    stated = {name: value for name, value in values.items() if name not in OF_THE_FILE}
    return Sidecar(description, stated, digest, size, values.get("contract") or {"state": "not checked"})
