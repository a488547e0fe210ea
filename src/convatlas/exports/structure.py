"""What an exported file holds, read from the file itself: the precision of its weights, and parts of its graph."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from convatlas.exports.description import INPUT, PREPARED
from convatlas.exports.engines import imported
from convatlas.message import Message

SMALL = 64  # tensors with fewer values may stay in float32 in any file


def stored_precision(file: Path) -> str | None:
    """The precision in which most weights are stored: "fp32", "fp16", "bf16" or "int8"; None for .pt2 files."""
    if file.suffix == ".xml":
        return _of_openvino(file)
    if file.suffix != ".onnx":
        return None
    onnx = imported("onnx", Message("reading the weights of a file"))
    kinds = {
        onnx.TensorProto.FLOAT: "fp32",
        onnx.TensorProto.FLOAT16: "fp16",
        onnx.TensorProto.BFLOAT16: "bf16",
        onnx.TensorProto.INT8: "int8",
    }
    counts: Counter[str] = Counter()
    model = onnx.load(file, load_external_data=False)
    for tensor in model.graph.initializer:
        size = math.prod(tensor.dims)
        if size >= SMALL and tensor.data_type in kinds and not tensor.name.startswith("preparation/"):
            counts[kinds[tensor.data_type]] += size
    return counts.most_common(1)[0][0] if counts else "fp32"


def _of_openvino(file: Path) -> str:
    """OpenVINO stores the weights of int8 layers as integers or before a FakeQuantize, and compressed ones as f16."""
    counts: Counter[str] = Counter()
    quantized = False
    for layer in ElementTree.parse(file).getroot().iter("layer"):
        quantized |= layer.get("type") == "FakeQuantize"
        data = layer.find("data")
        if layer.get("type") == "Const" and data is not None:
            counts[data.get("element_type", "")] += int(data.get("size", "0"))
    kind = counts.most_common(1)[0][0] if counts else "f32"
    return "int8" if quantized or kind in ("i8", "u8") else {"f16": "fp16", "bf16": "bf16"}.get(kind, "fp32")


def without_preparation(file: Path) -> bytes:
    """An ONNX file that resizes, as one that takes the prepared pixels instead: the same nodes after them."""
    onnx = imported("onnx", Message("reading the values inside a file"))
    model = onnx.load(file)
    made_by = {name: node for node in model.graph.node for name in node.output}
    pending = [output.name for output in model.graph.output]
    seen = set[str]()
    while pending:
        name = pending.pop()
        node = made_by.get(name)
        if node is None or name == PREPARED or node.name in seen:
            continue
        seen.add(node.name)
        pending += list(node.input)
    needed = [node for node in model.graph.node if node.name in seen]
    for node in needed:
        for place, name in enumerate(node.input):
            if name == PREPARED:
                node.input[place] = INPUT
    del model.graph.node[:]
    model.graph.node.extend(needed)
    content: bytes = model.SerializeToString()
    return content
