"""Run a network with another backward rule for its ReLUs, for guided backpropagation and the deconvnet."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

RELUS = (F.relu, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_, F.relu_)


class ReLUsWith(TorchFunctionMode):
    """Inside this context every ReLU, of a module or a function, is computed by ``rule``."""

    def __init__(self, rule: type[torch.autograd.Function]) -> None:
        super().__init__()
        self.rule = rule

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in RELUS:
            return self.rule.apply(args[0])
        return func(*args, **(kwargs or {}))
