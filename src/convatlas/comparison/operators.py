"""The operators of a forward pass with what their time depends on, for the latency model.

They are recorded under a dispatch mode, on the meta device (`operators_of`: shapes alone, for a prediction) or on the
real one (`timed_operators`: with the time of each, for the fit). Both give the same operators in the same order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from convatlas.modes import eval_mode

# kind -> torch's operators; every other one counts as elementwise. A view costs only the call
KINDS = {
    "view": "alias chunk detach dropout dropout_ expand flatten narrow permute select slice split split_with_sizes "
    "squeeze t to transpose unbind unflatten unsqueeze view",
    "activation": "clamp clamp_ gelu hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ mish prelu relu "
    "relu6 relu_ sigmoid sigmoid_ silu silu_ softmax tanh tanh_",
    "pool": "adaptive_avg_pool2d adaptive_max_pool2d amax avg_pool2d max_pool2d max_pool2d_with_indices mean",
    "norm": "batch_norm group_norm layer_norm native_layer_norm",
    "copy": "cat clone constant_pad_nd contiguous copy_ index pad reshape stack",
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}


@dataclass(frozen=True)
class Operator:
    """One operator for one image. Counts of elements, not of bytes: everything is fp32.

    Attributes:
        kind: "pointwise" (1x1), "conv" (k x k), "grouped", "depthwise", "fc", "pool", "norm", "activation",
            "elementwise", "copy" or "view".
        macs: multiply-adds.
        read, written, weights: elements of the activations that it reads, of its output, and of its parameters.
        depth: input channels that each output reads.
        width: output channels.
        places: positions of the output.
        window: positions of the kernel or of the pooling window.
        stride: product over the axes.
    """

    kind: str
    macs: int = 0
    read: int = 0
    written: int = 0
    weights: int = 0
    depth: int = 1
    width: int = 1
    places: int = 1
    window: int = 1
    stride: int = 1

    def features(self) -> tuple[int, ...]:
        """What the time depends on within a kind, all at least 1."""
        values = (self.macs, self.read, self.written, self.weights, self.depth, self.width, self.places)
        return tuple(max(1, value) for value in (*values, self.window, self.stride))


def operators_of(net: nn.Module, input_shape: Sequence[int]) -> list[Operator]:
    """The operators of one image (C, H, W) through a network on the meta device, in evaluation mode."""
    image = torch.empty(1, *input_shape, device="meta").to(memory_format=torch.channels_last)
    with torch.inference_mode(), eval_mode(net), _Recorder() as recorder:
        net(image)
    return recorder.operators


def timed_operators(
    net: nn.Module, image: Tensor, clock: Callable[[], float] = time.perf_counter
) -> Iterator[tuple[Operator, float]]:
    """The operators of one forward pass with their times in seconds; the network is in evaluation mode."""
    with torch.inference_mode(), _Recorder(clock) as recorder:
        net(image)
    return zip(recorder.operators, recorder.times_s, strict=True)


class _Recorder(TorchDispatchMode):
    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__()
        self.operators: list[Operator] = []
        self.times_s: list[float] = []
        self._clock = clock

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        begin = self._clock()
        result = func(*args, **(kwargs or {}))
        self.times_s.append(self._clock() - begin)
        self.operators.append(_operator(func.overloadpacket.__name__, args, result))
        return result


def _operator(name: str, args: Sequence[Any], result: Any) -> Operator:
    outputs, inputs = list(_tensors(result)), list(_tensors(args))
    written = sum(output.numel() for output in outputs)
    if name == "conv2d":
        return _convolution(args, outputs[0])
    if name in ("linear", "addmm", "mm"):
        weight = inputs[-1] if name != "linear" else args[1]
        places = written // outputs[0].shape[-1]
        depth = inputs[1 if name == "addmm" else 0].shape[-1]
        return Operator(
            "fc", written * depth, places * depth, written, weight.numel(), depth, outputs[0].shape[-1], places
        )
    kind = KIND_OF.get(name, "elementwise")
    if kind == "view":
        return Operator("view")
    channels = outputs[0].shape[1] if outputs and outputs[0].dim() == 4 else 1
    read = sum(each.numel() for each in inputs)
    window = max(1, read // max(1, written)) if kind == "pool" else 1
    if kind == "pool" and name in ("avg_pool2d", "max_pool2d", "max_pool2d_with_indices"):
        sides = args[1] if isinstance(args[1], (list, tuple)) else [args[1]] * 2
        window = prod(sides)
    return Operator(kind, 0, read, written, 0, 1, channels, max(1, written // channels), window)


def _convolution(args: Sequence[Any], output: Tensor) -> Operator:
    image, weight = args[0], args[1]
    width, depth = weight.shape[:2]
    groups = image.shape[1] // depth
    window = prod(weight.shape[2:])
    if groups > 1:
        kind = "depthwise" if depth == 1 else "grouped"
    else:
        kind = "pointwise" if window == 1 else "conv"
    places = prod(output.shape[2:])
    stride = args[3] if len(args) > 3 else 1
    return Operator(
        kind,
        macs=places * weight.numel(),
        read=image.numel(),
        written=output.numel(),
        weights=weight.numel(),
        depth=depth,
        width=width // groups if kind == "grouped" else width,
        places=places,
        window=window,
        stride=prod(stride) if isinstance(stride, (list, tuple)) else stride**2,
    )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
