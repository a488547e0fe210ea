"""From a network in PyTorch to an ONNX model: first the network alone, then the preparation and the softmax around it.

The conversion is `torch.onnx.export`, traced with a batch of two and a dynamic batch. Batch normalisation is folded
into the convolutions. Paths of source files and source lines, which the exporter writes into the nodes, are removed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import ConvAtlasError, UsageError
from convatlas.exports.description import INPUT, LOGITS, METADATA_KEY, NETWORK_INPUT, OPSET, PROBABILITIES, Description
from convatlas.exports.engines import imported
from convatlas.exports.graph import GraphBuilder
from convatlas.exports.resizing import add_resize
from convatlas.message import Message
from convatlas.modes import eval_mode

LOWEST_OPSET, HIGHEST_OPSET = 18, 23
BATCH = "batch"
_LONGEST = 300  # characters of the exporter's reason in an error


def network_to_onnx(net: nn.Module, preprocessing: Preprocessing, opset: int = OPSET) -> onnx.ModelProto:
    """Convert the network alone: float32 ``network_input`` (N, C, H, W) -> ``logits`` (N, K).

    Raises:
        ConvAtlasError: torch cannot export the network; the message holds the exporter's reason.
        MissingDependencyError: onnx or onnxscript is not installed.
        UsageError: an opset that is not written.
    """
    if not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise UsageError(
            "--opset {opset}: expected {lowest} to {highest}.", opset=opset, lowest=LOWEST_OPSET, highest=HIGHEST_OPSET
        )
    imported("onnxscript", Message("converting a network to ONNX"))
    images = torch.zeros(2, preprocessing.channels, *preprocessing.size)
    with eval_mode(net), torch.no_grad(), _quietly():
        try:
            program = torch.onnx.export(
                net,
                (images,),
                dynamo=True,
                external_data=False,
                opset_version=opset,
                input_names=[NETWORK_INPUT],
                output_names=[LOGITS],
                dynamic_shapes=({0: torch.export.Dim(BATCH)},),
                custom_translation_table=_translations(),
                verbose=False,
            )
        except Exception as error:  # the exporter has a class of exception for each of its stages
            raise ConvAtlasError(
                "{network} cannot be exported: {reason}",
                network=getattr(net, "network", type(net).__name__),
                reason=_first_cause(error),
            ) from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _strip(model)
    return model


def complete(
    network: onnx.ModelProto, preprocessing: Preprocessing, pillow: str, resizes: bool, description: Description
) -> onnx.ModelProto:
    """Put the preparation before a network and the softmax after it, and write the description into the model.

    Args:
        pillow: the version whose resize the file reproduces.
        resizes: whether the input is a photo of any size.
    """
    graph = GraphBuilder("preparation")
    size: list[Any] = [1, "height", "width"] if resizes else [BATCH, *preprocessing.size]
    prepared = add_resize(graph, preprocessing, pillow) if resizes else INPUT
    pixels = graph.cast(prepared, TensorProto.FLOAT)
    # as `Normalisation`: one multiply-add per value, with the constants computed in float32
    mean, std = (np.array(values, dtype=np.float32) for values in (preprocessing.mean, preprocessing.std))
    scaled = graph.op("Mul", pixels, graph.constant((np.float32(1) / std) / np.float32(255), np.float32))
    normalised = graph.op("Add", scaled, graph.constant(-mean / std, np.float32))
    graph.op("Transpose", normalised, perm=[0, 3, 1, 2], name=NETWORK_INPUT)
    softmax = helper.make_node("Softmax", [LOGITS], [PROBABILITIES], name=PROBABILITIES, axis=1)

    model = onnx.ModelProto()
    model.CopyFrom(network)
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend([*graph.nodes, *network.graph.node, softmax])
    model.graph.initializer.extend(graph.initializers)
    shape = [*size, preprocessing.channels]
    model.graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape))
    del model.graph.output[:]
    for name in (LOGITS, PROBABILITIES):
        dims = [1 if resizes else BATCH, len(description.classes)]
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
    model.graph.name = description.network
    set_description(model, description)
    return model


def set_description(model: onnx.ModelProto, description: Description) -> None:
    """Write the description into the metadata of a model, and the labels where OpenVINO's Model API reads them."""
    helper.set_model_props(
        model,
        {
            METADATA_KEY: description.to_json(),
            "model_info model_type": "Classification",
            "model_info labels": " ".join(name.replace(" ", "_") for name in description.classes),
        },
    )


def with_weights_as(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """The model with its large float32 weights stored as another type, and cast back before the arithmetic."""
    small = onnx.ModelProto()
    small.CopyFrom(model)
    casts = []
    for tensor in small.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or math.prod(tensor.dims) < 64:
            continue
        values = numpy_helper.to_array(tensor)
        stored = f"{tensor.name}/stored"
        casts.append(
            helper.make_node("Cast", [stored], [tensor.name], name=f"{tensor.name}/cast", to=TensorProto.FLOAT)
        )
        tensor.CopyFrom(numpy_helper.from_array(values.astype(helper.tensor_dtype_to_np_dtype(kind)), stored))
    nodes = list(small.graph.node)
    del small.graph.node[:]
    small.graph.node.extend([*casts, *nodes])
    return small


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter writes about the source: paths, lines, names of classes and of traced values."""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    values = (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output)
    for each in values:
        del each.metadata_props[:]
        each.doc_string = ""
    for node in model.graph.node:
        for attribute in node.attribute:
            attribute.doc_string = ""


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter's progress and its warnings about its own parts away from the user."""
    logger = logging.getLogger("onnxscript"), logging.getLogger("onnx_ir"), logging.getLogger("torch.onnx")
    levels = [each.level for each in logger]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for each in logger:
            each.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for each, level in zip(logger, levels, strict=True):
                each.setLevel(level)


def _translations() -> dict[Any, Any]:
    """Operators that the exporter does not translate: adaptive max pooling whose windows overlap, in PReLU-net A."""
    from onnxscript import opset18

    op: Any = opset18  # typed for scripts, whose lists become constants

    def adaptive_max_pool2d(images: Any, output_size: Any) -> Any:
        """Window i of n over a side of L pixels is [floor(i*L/n), ceil((i+1)*L/n)); the axes are independent."""
        result = images
        for axis, count in zip((2, 3), output_size, strict=True):
            side = images.shape[axis]
            windows = [(i * side // count, -(-(i + 1) * side // count)) for i in range(count)]
            parts = [
                op.ReduceMax(op.Slice(result, [start], [end], [axis]), [axis], keepdims=1) for start, end in windows
            ]
            result = op.Concat(*parts, axis=axis)
        return result, op.Identity(result)

    return {torch.ops.aten.adaptive_max_pool2d.default: adaptive_max_pool2d}
