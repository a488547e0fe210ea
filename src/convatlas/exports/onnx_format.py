"""Writing an ONNX model: checked, and with the same bytes for the same model."""

from __future__ import annotations

from pathlib import Path

import onnx

from convatlas.atomic import written_atomically


def write(model: onnx.ModelProto, file: Path) -> None:
    """Check a model and write it.

    Raises:
        ConvAtlasError: the file cannot be written.
    """
    onnx.checker.check_model(model)
    with written_atomically(file) as opened:
        opened.write(model.SerializeToString(deterministic=True))
