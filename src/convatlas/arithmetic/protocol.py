"""How a layer says what it means, where its operators do more work than the layer means.

The tracer counts operators, and for nearly every layer that is the whole truth. It is not where a paper's layer is
computed by a denser operator than the paper describes: LeNet-5's C3 holds 60 live 5x5 kernels and is run as a full
convolution of 96; its subsampling is a sum with one coefficient per map; its output is a distance to fixed codes. Such
a module defines one method::

    class TableConv(nn.Module):
        def __arithmetic__(self, inputs: tuple[Shape, ...], output: Shape) -> LayerCount:
            _, height, width = output
            macs = height * width * self.weight.numel()          # the live connections only
            return LayerCount("conv", macs=macs, connections=macs + height * width * self.bias.numel(), kernel=(5, 5))

and the tracer makes one row of the whole call, with these figures instead of the operators'. Everything else stays
watched, so that the method can restate the work but nothing more: the parameters of the row are the module's own
``nn.Parameter`` s (a C3 that keeps only its live weights has 1,516), its bytes are the output's, its receptive field is
that of the operators that ran. The row is marked ``stated``.

The tracer knows the method and no network: any module, ours or a user's, may define it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

Shape = tuple[int, ...]  # without the batch: (C, H, W) or (K,)


@dataclass(frozen=True)
class LayerCount:
    """What one call of a layer does to one image, by the conventions of DESIGN section 2.

    Attributes:
        kind: the word of the table's second column: "conv", "subsample", "rbf", ...
        macs: multiply-adds of convolutions and fully connected layers; 0 for a layer that is neither.
        connections: LeCun's count, every link of every output to an input, and one per use of a bias.
        kernel, stride, padding: (height, width), where the layer has them; else the operators' are shown.
        groups: as in ``torch.nn.Conv2d``.
        working: lines of plain arithmetic for ``explain``, e.g. ``"10*10 * (60*25 + 16) = 151,600 connections"``.
    """

    kind: str
    macs: int
    connections: int
    kernel: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    padding: tuple[int, int] | None = None
    groups: int | None = None
    working: tuple[str, ...] = ()


@runtime_checkable
class StatesItsArithmetic(Protocol):
    """A module that defines ``__arithmetic__``; it is asked once per call, after the call.

    Args of the method:
        inputs: shapes of the tensors of this call in order, without the batch.
        output: shape of the first tensor returned, without the batch.
    """

    def __arithmetic__(self, inputs: tuple[Shape, ...], output: Shape) -> LayerCount: ...
