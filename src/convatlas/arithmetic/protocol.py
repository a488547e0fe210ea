"""A method by which a layer states its own counts.

The tracer counts operators, which is right for nearly every layer. It is wrong where the operators compute more than
the paper's layer: C3 of LeNet-5 has 60 kernels of 5x5 but is computed as a full convolution with 96; its subsampling is
a sum with one coefficient per map; its output is a distance to fixed codes. Such a module defines one method::

    class TableConv(nn.Module):
        def __arithmetic__(self, inputs: tuple[Shape, ...], output: Shape) -> LayerCount:
            _, height, width = output
            macs = height * width * self.weight.numel()          # only the connections that exist
            return LayerCount("conv", macs=macs, connections=macs + height * width * self.bias.numel(), kernel=(5, 5))

The tracer makes one row of the whole call, with these counts instead of those of the operators. All other figures are
still traced: the parameters of the row are the module's ``nn.Parameter`` s (a C3 that has only the existing weights has
1,516), its bytes are those of the output, and its receptive field is that of the operators. The row is marked
``stated``.

Any module may define the method; the tracer does not depend on our networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

Shape = tuple[int, ...]  # without the batch: (C, H, W) or (K,)


@dataclass(frozen=True)
class LayerCount:
    """The counts of one call of a layer for one image, by the conventions of ``formulas``.

    Attributes:
        kind: the layer's kind in the table: "conv", "subsample", "rbf", ...
        macs: multiply-adds of convolutions and fully connected layers; 0 for other layers.
        connections: LeCun's count: the connections of every output to its inputs, and one for each use of a bias.
        kernel, stride, padding: (height, width), where the layer has them; else those of the operators are shown.
        groups: as in ``torch.nn.Conv2d``.
        working: calculations for ``explain``, such as ``"10*10 * (60*25 + 16) = 151,600 connections"``.
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
class SupportsArithmetic(Protocol):
    """A module that defines ``__arithmetic__``, which is called once after each forward call.

    Args of the method:
        inputs: shapes of the tensors of this call in order, without the batch.
        output: shape of the first tensor returned, without the batch.
    """

    def __arithmetic__(self, inputs: tuple[Shape, ...], output: Shape) -> LayerCount: ...
