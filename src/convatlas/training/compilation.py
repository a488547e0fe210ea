"""torch.compile for the updates of a run: whether it works on this machine, and how long it takes.

Only the updates call the compiled form. Validation, checkpoints and callbacks use the network itself.
"""

from __future__ import annotations

import copy
import functools
import os
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import Tensor, nn

from convatlas.errors import UsageError
from convatlas.message import Message


@functools.cache
def obstacle(device: str = "cpu") -> str:
    """Return the reason why torch.compile does not work here; empty if it works.

    This compiles a one-line function with a random constant, because torch caches what it has compiled.
    """
    factor = int.from_bytes(os.urandom(4)) / 2**32
    try:
        scaled = torch.compile(lambda x: x * factor)(torch.ones(3, device=device))
    except Exception as error:  # a compiler or its headers missing, a Python that torch.compile does not know yet
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        return Message(
            "torch.compile does not work here ({kind}: {reason})", kind=type(error).__name__, reason=reason[:200]
        )
    correct = torch.allclose(scaled, torch.full_like(scaled, factor))
    return Message("") if correct else Message("torch.compile gives wrong results here")


def compiled(
    net: nn.Module, examples: Iterable[Tensor], autocast: AbstractContextManager[Any]
) -> tuple[nn.Module, float]:
    """Compile ``net`` for training with each shape of ``examples``. Returns the compiled module, and the seconds.

    The module shares the parameters and buffers of the network, whose values do not change.

    Raises:
        UsageError: torch.compile does not work here.
    """
    device = next(net.parameters()).device.type
    if reason := obstacle(device):
        raise UsageError(
            "{reason}. On a CPU it needs a C++ compiler (Debian: apt install g++). Install one, or pass --compile off.",
            reason=reason,
        )
    clock = time.perf_counter()
    faster = cast(nn.Module, torch.compile(net, dynamic=False))
    saved = copy.deepcopy(net.state_dict())  # a forward pass changes the running statistics of batch norm
    was_training = net.training
    net.train()
    with torch.random.fork_rng():
        for images in examples:
            with autocast:
                outputs = faster(images)
            getattr(outputs, "logits", outputs).float().sum().backward()
    net.zero_grad(set_to_none=True)
    net.load_state_dict(saved)
    net.train(was_training)
    return faster, time.perf_counter() - clock
