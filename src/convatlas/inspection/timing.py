"""The time of every row of the layer table, measured in this process."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from convatlas.arithmetic.rows import rows_of_operations
from convatlas.arithmetic.trace import trace
from convatlas.errors import UsageError
from convatlas.inspection.forward import errors_that_name_the_layer
from convatlas.modes import eval_mode

PASSES = 7
WARM_UP = 2  # passes before the measured ones: the first allocate memory and choose kernels


@dataclass(frozen=True)
class LayerTimes:
    """Seconds of each row and of the whole pass: medians over some passes. Measured.

    Attributes:
        rows: name of a row of ``convatlas show`` -> seconds that its operators took.
        whole_s: seconds of a forward pass without a clock in it.
        batch: images of a pass.
        passes: that were measured.
        threads: of torch.
    """

    rows: dict[str, float]
    whole_s: float
    batch: int
    passes: int
    threads: int


def layer_times(net: nn.Module, images: Tensor, *, passes: int = PASSES) -> LayerTimes:
    """Measure each operator of the forward pass in evaluation mode, on the CPU.

    An operator's time is that of its kernel with torch's dispatch. The time that Python takes between two operators is
    part of the whole pass only. Outputs are freed as in any forward pass.

    Args:
        images: (N, C, H, W), preprocessed for the network.

    Raises:
        ForwardError: the images do not fit the network; the message names the layer.
        UsageError: the network runs other operators each time.
    """
    with torch.no_grad():
        traced = trace(net, (images,), {}, len(images), training=False, values=True)
    if traced.failure is not None:
        with errors_that_name_the_layer(net, images):
            raise traced.failure
    dispatched, rows = tuple(traced.dispatched), rows_of_operations(traced)
    del traced  # and the outputs that it keeps
    clocked: list[list[float]] = []
    whole: list[float] = []
    with eval_mode(net), torch.no_grad():
        for _ in range(WARM_UP + passes):
            begun = time.perf_counter()
            net(images)
            whole.append(time.perf_counter() - begun)
            with _Stopwatch() as watch:
                net(images)
            if len(watch.seconds) != len(dispatched):
                raise UsageError("the network runs other operators each time, so its layers cannot be timed.")
            clocked.append(watch.seconds)
    medians = [statistics.median(each) for each in zip(*clocked[WARM_UP:], strict=True)]
    seconds = dict.fromkeys(rows.values(), 0.0)
    for operation, median in zip(dispatched, medians, strict=True):
        if operation is not None:
            seconds[rows[operation]] += median
    return LayerTimes(seconds, statistics.median(whole[WARM_UP:]), len(images), passes, torch.get_num_threads())


class _Stopwatch(TorchDispatchMode):
    """The seconds of each operator call, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        begun = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        self.seconds.append(time.perf_counter() - begun)
        return result
