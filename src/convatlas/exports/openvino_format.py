"""OpenVINO's own format (.xml and .bin), converted from the ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convatlas.errors import ConvAtlasError
from convatlas.exports.description import METADATA_KEY, Description
from convatlas.exports.engines import import_openvino


def write(model: Any, description: Description, file: Path) -> None:
    """Write an ONNX model in OpenVINO's format, with weights as float16 for fp16 and as they are otherwise.

    Raises:
        ConvAtlasError: OpenVINO does not read the model.
    """
    openvino = import_openvino()
    try:
        converted = openvino.Core().read_model(model.SerializeToString(deterministic=True))
    except RuntimeError as error:
        raise ConvAtlasError(
            "OpenVINO cannot convert {network}: {reason}",
            network=description.network,
            reason=" ".join(str(error).split())[:300],
        ) from error
    converted.set_rt_info(description.to_json(), [METADATA_KEY])
    openvino.save_model(converted, file, compress_to_fp16=description.precision == "fp16")
