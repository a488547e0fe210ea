"""The output and gradients of a worked example by PyTorch's autograd in float64, to check the exact calculation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.arithmetic.by_value import WorkedArray, WorkedExample, gradient_at
from convatlas.arithmetic.exact import floats

TOLERANCE = 1e-9  # relative to the largest number of the array; float64 has 16 digits


@dataclass(frozen=True)
class Agreement:
    """The largest difference between the exact calculation and PyTorch, over the output and every gradient."""

    agrees: bool
    largest_difference: float

    def to_dict(self) -> dict[str, Any]:
        return {"agrees": self.agrees, "largest_difference": self.largest_difference}


def agreement(worked: WorkedExample, gradients: Sequence[WorkedArray], grad_output: Any = None) -> Agreement:
    """Compare the output of ``worked`` and the gradients of ``worked.backward(grad_output)`` with PyTorch's."""
    expected = by_autograd(worked, grad_output)
    actual = {"y": worked.output} | {gradient.symbol: gradient.values for gradient in gradients}
    largest, agrees = 0.0, True
    for symbol, array in actual.items():
        reference = expected[symbol]
        difference = float(np.abs(floats(array) - reference).max())
        largest = max(largest, difference)
        agrees = agrees and difference <= TOLERANCE * max(1.0, float(np.abs(reference).max()))
    return Agreement(agrees, largest)


def by_autograd(worked: WorkedExample, grad_output: Any = None) -> dict[str, np.ndarray]:
    """PyTorch's output "y", and its gradients by the symbols of ``worked.backward()``."""
    operands = {name: torch.tensor(floats(array), requires_grad=True) for name, array in worked.operands.items()}
    output = _forward(worked, operands)
    letter = "z" if worked.kind == "softmax" else "x"
    if "labels" in worked.settings:
        F.cross_entropy(operands["x"], torch.tensor(worked.settings["labels"])).backward()
    else:
        output.backward(torch.tensor(floats(gradient_at(worked.output, grad_output))))
    arrays = {"y": output.detach().numpy()}
    for name, tensor in operands.items():
        gradient = tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)
        arrays[f"dL/d{letter if name == 'x' else name}"] = gradient.numpy()
    return arrays


def _forward(worked: WorkedExample, operands: dict[str, Tensor]) -> Tensor:
    x, settings = operands["x"], worked.settings
    match worked.kind:
        case "conv":
            return F.conv2d(x[None], operands["w"], operands.get("b"), **settings)[0]
        case "maxpool":
            return F.max_pool2d(x[None], settings["kernel"], **_without(settings, "kernel"))[0]
        case "avgpool":
            return F.avg_pool2d(x[None], settings["kernel"], **_without(settings, "kernel", "dilation"))[0]
        case "relu":
            return F.relu(x)
        case "fc":
            return F.linear(x, operands["w"], operands.get("b"))
        case "softmax":
            return F.softmax(x, dim=1)
        case "lrn":  # torch divides alpha by n
            n = settings["n"]
            alpha = settings["alpha"] * (1 if settings["divide_alpha"] else n)
            return F.local_response_norm(x[None], n, alpha, settings["beta"], settings["k"])[0]
    raise AssertionError(worked.kind)


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in names}
