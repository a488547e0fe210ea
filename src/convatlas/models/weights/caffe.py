"""A reader for .caffemodel: as much of the protocol-buffer wire format as a NetParameter needs, and no more.

NetParameter    layers (V1) = 2, layer = 100
LayerParameter  name = 1, blobs = 7;  V1LayerParameter  name = 4, blobs = 6
BlobProto       num, channels, height, width = 1 to 4, data = 5, shape = 7, double_data = 8
BlobShape       dim = 1
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from convatlas.errors import CheckpointError
from convatlas.models.weights.read import Claims

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | memoryview


def read_caffemodel(data: bytes, name: str = "the caffemodel") -> dict[str, Tensor]:
    """``LAYER.INDEX`` -> tensor: ``conv1.0`` is the weight of conv1 and ``conv1.1`` its bias.

    Raises:
        CheckpointError: not a protocol buffer, cut short, or a blob whose shape and data do not agree.
    """
    tensors: dict[str, Tensor] = {}
    try:
        for number, value in fields(memoryview(data)):
            if number in (2, 100) and isinstance(value, memoryview):
                layer, blobs = read_layer(value, *((4, 6) if number == 2 else (1, 7)))
                for index, blob in enumerate(blobs):
                    tensors[f"{layer}.{index}"] = read_blob(blob, f"{layer}.{index}", name)
    except (IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            "{name} is damaged, cut short, or no caffemodel: {error}. Fetch it again.",
            name=name,
            error=error,
        ) from error
    if not tensors:
        raise CheckpointError("{name} holds no weights.", name=name)
    return tensors


def read_layer(message: memoryview, name_field: int, blob_field: int) -> tuple[str, list[memoryview]]:
    name, blobs = "", []
    for number, value in fields(message):
        if number == name_field and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == blob_field and isinstance(value, memoryview):
            blobs.append(value)
    return name, blobs


def read_blob(message: memoryview, blob: str, name: str) -> Tensor:
    shape: list[int] = []
    legacy = [0, 0, 0, 0]
    parts: list[np.ndarray] = []
    for number, value in fields(message):
        if number in (1, 2, 3, 4) and isinstance(value, int):
            legacy[number - 1] = value
        elif number == 7 and isinstance(value, memoryview):
            shape = [side for field, dims in fields(value) if field == 1 for side in whole_numbers(dims)]
        elif number in (5, 8) and isinstance(value, memoryview):
            parts.append(np.frombuffer(value, dtype="<f4" if number == 5 else "<f8"))
        elif number in (5, 8) and isinstance(value, int):  # not packed: one number per field, as raw bits
            bits, kind = ("<I", "<f4") if number == 5 else ("<Q", "<f8")
            parts.append(np.frombuffer(struct.pack(bits, value), dtype=kind))
    shape = shape or legacy
    count = sum(len(part) for part in parts)
    Claims(name).tensor(blob, tuple(shape), 4, 4 * count)
    if math.prod(shape) != count:
        raise CheckpointError(
            "{name}: {blob} claims the shape {shape} but holds {count:,} numbers.",
            name=name,
            blob=blob,
            shape=tuple(shape),
            count=count,
        )
    return torch.from_numpy(np.concatenate(parts).astype(np.float32)).reshape(shape)


def whole_numbers(value: Value) -> Iterator[int]:
    """A repeated int64, packed or not."""
    if isinstance(value, int):
        yield value
        return
    position = 0
    while position < len(value):
        number, position = varint(value, position)
        yield number


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """(field number, value) of a message in order; bytes for length-delimited fields, else an integer."""
    position = 0
    while position < len(message):
        key, position = varint(message, position)
        number, kind = key >> 3, key & 7
        value: Value
        if kind == VARINT:
            value, position = varint(message, position)
        elif kind == BYTES:
            length, position = varint(message, position)
            if position + length > len(message):
                raise ValueError("a field is longer than what is left")
            value, position = message[position : position + length], position + length
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
            (value,) = struct.unpack_from("<I" if size == 4 else "<Q", message, position)
            position += size
        else:
            raise ValueError(f"wire type {kind} is unknown")
        yield number, value


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """A base-128 number and the position after it."""
    number = shift = 0
    while True:
        byte = message[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")


RENAMED = (
    # GoogLeNet
    (r"^conv1/7x7_s2$", "conv1.conv"),
    (r"^conv2/3x3_reduce$", "conv2_reduce.conv"),
    (r"^conv2/3x3$", "conv2.conv"),
    (r"^inception_(..)/(1x1|3x3|5x5)$", r"inception_\1.conv\2.conv"),
    (r"^inception_(..)/(3x3|5x5)_reduce$", r"inception_\1.reduce\2.conv"),
    (r"^inception_(..)/pool_proj$", r"inception_\1.pool_proj.conv"),
    (r"^loss1/conv$", "auxiliary_4a.conv.conv"),
    (r"^loss2/conv$", "auxiliary_4d.conv.conv"),
    (r"^loss1/(fc|classifier)$", r"auxiliary_4a.\1"),
    (r"^loss2/(fc|classifier)$", r"auxiliary_4d.\1"),
    (r"^loss3/classifier$", "fc"),
    # SqueezeNet
    (r"^(fire\d)/", r"\1."),
    # ResNet: res2a_branch2b is the second convolution of the first block of conv2_x
    (r"^(?:bn|scale)_conv1$", "bn1"),
    (r"^fc1000$", "fc"),
)
# DenseNet (shicai/DenseNet-Caffe): conv3_7/x2 is the second convolution of the seventh layer of block2, and conv3_blk
# the transition after it; /bn and /scale are the norm before a convolution, but for conv1's
DENSENET: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^conv1/(?:bn|scale)$", "norm0"),
    (r"^conv1$", "conv0"),
    (r"^conv5_blk/(?:bn|scale)$", "norm5"),
    (r"^conv(\d)_blk(/)?.*$", lambda m: f"transition{int(m[1]) - 1}.{'norm' if m[2] else 'conv'}"),
    (
        r"^conv(\d)_(\d+)/x([12])(/)?.*$",
        lambda m: f"block{int(m[1]) - 1}.{int(m[2]) - 1}.{'norm' if m[4] else 'conv'}{m[3]}",
    ),
    (r"^fc6$", "classifier"),
)
RESIDUAL = re.compile(r"(res|bn|scale)([2-5])(?:([a-z])|b(\d+))_branch(?:(1)|2([abc]))$")


def our_layer(name: str, family: str = "") -> str:
    """Caffe's layer name -> our module; AlexNet's and VGG's are the same already."""
    if family == "densenet":
        for pattern, ours in DENSENET:
            name = re.sub(pattern, ours, name)
        return name
    if match := RESIDUAL.match(name):
        kind, stage, letter, number, shortcut, step = match.groups()
        block = f"conv{stage}_x.{int(number) if number else ord(letter) - ord('a')}"
        if shortcut:
            return f"{block}.shortcut.{'conv' if kind == 'res' else 'bn'}"
        return f"{block}.{'conv' if kind == 'res' else 'bn'}{'abc'.index(step) + 1}"
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def from_caffe(
    tensors: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], stem: str, family: str = ""
) -> dict[str, Tensor]:
    """A caffemodel's blobs under our names, batch statistics unscaled, the first convolution turned from BGR to RGB.

    Args:
        shapes: of our network's state_dict; blobs of old files carry leading ones.
        stem: our name of the first convolution's weight.
        family: the network's, where its names are not told by their looks ("densenet").
    """
    ours: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        layer, _, index = key.rpartition(".")
        module = our_layer(layer, family)
        if (
            layer.startswith("bn") or layer.endswith("/bn")
        ) and index in "012":  # BatchNorm: sums of means and variances, and their weight
            weight = tensors[f"{layer}.2"].item()
            if index != "2":
                statistic = ("running_mean", "running_var")[int(index)]
                ours[f"{module}.{statistic}"] = tensor / weight if weight else torch.zeros_like(tensor)
            continue
        ours[f"{module}.{('weight', 'bias')[int(index)]}" if index in "01" else key] = tensor
    for name, tensor in ours.items():
        without_ones = tuple(side for side in tensor.shape if side != 1)
        if name in shapes and without_ones == tuple(side for side in shapes[name] if side != 1):
            ours[name] = tensor.reshape(shapes[name])
    if stem in ours and ours[stem].shape[1] == 3:
        ours[stem] = ours[stem].flip(1)
    return ours
