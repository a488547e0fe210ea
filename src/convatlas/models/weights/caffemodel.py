"""A reader for .caffemodel: as much of the protocol-buffer wire format as a NetParameter needs, and no more.

NetParameter    layers (V1) = 2, layer = 100
LayerParameter  name = 1, blobs = 7;  V1LayerParameter  name = 4, blobs = 6
BlobProto       num, channels, height, width = 1 to 4, data = 5, shape = 7, double_data = 8
BlobShape       dim = 1
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from convatlas.errors import CheckpointError
from convatlas.models.weights.claims import Claims

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
