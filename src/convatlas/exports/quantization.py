"""int8: static quantization of the network between its preparation and its softmax, and a search for a mixture.

Weights become 8-bit integers with one scale per channel, activations 8-bit integers whose range is the least and the
largest value on calibration images (ONNX Runtime's `quantize_static`, QDQ format, MinMax). The same file runs in 8
bits in ONNX Runtime and in OpenVINO. The preparation and the softmax stay in float32.

If the file breaks its contract, layers are left in float32, those first whose quantization alone changes the logits
most on calibration images: 1, 2, 4, ... layers, until the contract is no longer broken. The layers and the number of
files tried are stated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convatlas.data.preprocessing import Preprocessing
from convatlas.exports import onnx_format, openvino_format
from convatlas.exports.contract import Contract
from convatlas.exports.conversion import complete, network_to_onnx
from convatlas.exports.description import LOGITS, NETWORK_INPUT, OPSET, SUFFIXES, Description
from convatlas.exports.engines import available_threads, imported, instruction_set
from convatlas.message import Message

LAYERS = ("Conv", "Gemm", "MatMul")  # what has weights, and can be left in float
SEARCH_IMAGES = 32  # calibration images on which a layer's contribution is measured
BATCH = 8
WITH_DOT_PRODUCTS = ("AMX", "AVX512-VNNI", "AVX-VNNI", "NEON dot product")

Checked = Callable[[Path, Description], Contract]


class CalibrationImages:
    """Normalised images in batches, as ONNX Runtime's calibration reads them."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], preprocessing: Preprocessing) -> None:
        self._batches = iter(
            normalised(images[start : start + BATCH], preprocessing) for start in range(0, len(images), BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {NETWORK_INPUT: batch}


def normalised(images: Sequence[NDArray[np.uint8]], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """uint8 images (H, W, C) -> float32 (N, C, H, W)."""
    mean, std = (np.array(values, dtype=np.float32) for values in (preprocessing.mean, preprocessing.std))
    pixels = np.stack(images).astype(np.float32)
    return np.ascontiguousarray((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).copy()


class Quantizer:
    """Quantizes one network again and again, with the ranges of one calibration.

    Attributes:
        layers: the layers that have weights, by the names that they have in the network, with their nodes.
    """

    def __init__(
        self,
        core: onnx.ModelProto,
        preprocessing: Preprocessing,
        images: Sequence[NDArray[np.uint8]],
        folder: Path,
    ) -> None:
        self._runtime = imported("onnxruntime", Message("quantization"))
        self._images, self._preprocessing, self._folder = images, preprocessing, folder
        self._core = folder / "float.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(core), self._core)
        self.layers = _layers(core)
        self.reduce_range = instruction_set() not in WITH_DOT_PRODUCTS  # 7-bit weights: without VNNI sums saturate

    def quantize(self, in_float: Sequence[str] = (), only: Sequence[str] = ()) -> onnx.ModelProto:
        """The network with all layers in int8 but ``in_float``, or with ``only`` these layers."""
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        result = self._folder / "quantized.onnx"
        with _silent():
            quantize_static(
                self._core,
                result,
                CalibrationImages(self._images, self._preprocessing),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=self.reduce_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=[self.layers[layer] for layer in in_float],
                nodes_to_quantize=[self.layers[layer] for layer in only],
                calibration_cache_path=self._folder / "ranges.json",
            )
        return onnx.load(result)

    def contributions(self, progress: Callable[[int, int], None]) -> list[tuple[str, float]]:
        """Each layer with the rms change of the logits if it alone is quantized; the largest first."""
        batch = normalised(self._images[:: max(1, len(self._images) // SEARCH_IMAGES)], self._preprocessing)
        exact = self._logits(onnx.load(self._core), batch)
        found = []
        for number, layer in enumerate(self.layers):
            change = self._logits(self.quantize(only=[layer]), batch) - exact
            found.append((layer, float(np.sqrt((change.astype(np.float64) ** 2).mean()))))
            progress(number + 1, len(self.layers))
        return sorted(found, key=lambda pair: -pair[1])

    def _logits(self, model: onnx.ModelProto, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = available_threads(), 3
        session = self._runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return np.asarray(session.run([LOGITS], {NETWORK_INPUT: batch})[0])


def _layers(core: onnx.ModelProto) -> dict[str, str]:
    """Layer -> node. A layer is named by its weights; where they have no name of their own, by its node."""
    weights = {tensor.name for tensor in core.graph.initializer}
    found: dict[str, str] = {}
    for node in core.graph.node:
        if node.op_type in LAYERS:
            names = [
                name.removesuffix(".weight") for name in node.input if name in weights and name.endswith(".weight")
            ]
            found[names[0] if names and names[0] not in found else node.name] = node.name
    return found


def quantized(
    network: Any,
    described: Description,
    folder: Path,
    images: Sequence[NDArray[np.uint8]],
    calibrated_on: dict[str, Any],
    checked: Checked,
    tell: Callable[[str, int, int], None],
    in_float: Sequence[str] = (),
) -> tuple[Path, Description, Contract]:
    """Write a network in int8, and search for layers to leave in float32 while its contract is broken.

    Args:
        network: a `LoadedNetwork`.
        images: prepared pixels that set the ranges.
        calibrated_on: where they are from, for the description.
        checked: checks a file.
        in_float: layers to leave in float32 from the start.

    Returns: the file, its description and its contract, of the last file tried.
    """
    preprocessing = described.preprocessing
    tell("quantizing", 0, 1)
    core = network_to_onnx(network.net, preprocessing, described.opset or OPSET)
    quantizer = Quantizer(core, preprocessing, images, folder)
    file = folder / f"model{SUFFIXES[described.format]}"
    order: list[str] = []
    tried, more = 0, 0
    while True:
        tried += 1
        left = [*in_float, *order[:more]]
        description = replace(
            described,
            float_layers=tuple(left),
            instruction_set=instruction_set(),
            calibration={**calibrated_on, "method": "MinMax", "reduce_range": quantizer.reduce_range},
        )
        _write(quantizer.quantize(in_float=left), description, file)
        contract = checked(file, description)
        if contract.state != "broken" or len(left) >= len(quantizer.layers) - 1:
            break
        if not order:
            found = quantizer.contributions(lambda done, total: tell("searching", done, total))
            order = [layer for layer, _change in found if layer not in in_float]
        more = max(1, 2 * more)
    if tried > 1:
        note = Message(
            "{tried} files were tried on these images; {count} of {all} layers stay in float32: {layers}.",
            tried=tried,
            count=len(left),
            all=len(quantizer.layers),
            layers=", ".join(left),
        )
        contract = replace(contract, notes=(*contract.notes, note))
    return file, description, contract


def _write(core: onnx.ModelProto, description: Description, file: Path) -> None:
    pillow = description.made_with["pillow"]
    del core.metadata_props[:]
    core.producer_name = core.producer_version = ""
    model = complete(core, description.preprocessing, pillow, description.accepts_any_size, description)
    if description.format == "openvino":
        openvino_format.write(model, description, file)
    else:
        onnx_format.write(model, file)


@contextmanager
def _silent() -> Iterator[None]:
    """Without the advice of ONNX Runtime's quantization, which is about steps that were done already."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
