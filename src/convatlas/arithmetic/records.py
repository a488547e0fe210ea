"""The records of a layer table: rows, totals and modules. Plain values, no torch.

A row is one call of a module without submodules, however many operators it ran. An operator outside such a module
(``F.relu``, ``x + y``, ``torch.cat``) has its own row under the path of the module that ran it. Each row names the rows
it reads, so the rows are also the graph of the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convatlas.arithmetic.protocol import Shape
from convatlas.errors import UsageError

if TYPE_CHECKING:
    from fractions import Fraction

    from torch import nn

INPUT = "input"
WEIGHTED = ("conv", "conv_transposed", "fc")


@dataclass(frozen=True)
class LayerRow:
    """One layer, for one image.

    Attributes:
        name: the path of the module; an operator outside a layer adds its kind, a second call adds ``:2``.
        path: the module that ran it; for a layer, the layer itself.
        kind: "conv", "fc", "maxpool", "batch_norm", "add", ..., or "unknown".
        inputs: names of the rows it reads, "input" for an input of the network.
        output: shape without the batch.
        kernel, stride, padding, dilation: (height, width) where it has a window, else None.
        params: parameters first used here; a weight shared with an earlier row is counted there.
        macs, connections: by the conventions of ``formulas``; None for an unknown operator.
        activation_bytes: newly allocated memory of its output; 0 for views and in-place operators.
        receptive_field, jump, start: (height, width) in input pixels, see receptive_field.py; None where not known.
        smallest_field: where paths join, the receptive field along the path with the smallest one.
        operators: the torch operators that ran.
        module: class of the layer; "" for an operator outside a layer.
        own_params: all parameters it reads, including those that an earlier row counted.
        operator_macs: multiply-adds of the operators; differs from ``macs`` only where ``stated``.
        shared: whether an earlier row counted some of its parameters.
        stated: whether the counts are those of the module's own ``__arithmetic__``.
        working: calculations that the module stated.
        groups: of a convolution.
        transposed: whether a convolution is a transposed one.
        ceil_mode: whether a pooling rounds its output size up.
        bias: whether it has a bias.
        input_shapes: shapes of its inputs, without the batch.
    """

    name: str
    path: str
    kind: str
    inputs: tuple[str, ...]
    output: Shape
    kernel: tuple[int, ...] | None = None
    stride: tuple[int, ...] | None = None
    padding: tuple[int, ...] | None = None
    dilation: tuple[int, ...] | None = None
    groups: int | None = None
    transposed: bool = False
    ceil_mode: bool = False
    bias: bool = False
    params: int = 0
    macs: int | None = 0
    connections: int | None = 0
    activation_bytes: int = 0
    receptive_field: tuple[int, ...] | None = None
    jump: tuple[Fraction, ...] | None = None
    start: tuple[int, ...] | None = None
    smallest_field: tuple[int, ...] | None = None
    input_shapes: tuple[Shape, ...] = ()
    operators: tuple[str, ...] = ()
    module: str = ""
    own_params: int = 0
    operator_macs: int | None = 0
    shared: bool = False
    stated: bool = False
    working: tuple[str, ...] = ()


@dataclass(frozen=True)
class Totals:
    """Sums over the rows. With an unknown operator ``macs`` and ``connections`` are lower bounds.

    Attributes:
        params: trainable parameters.
        activation_bytes: bytes of the outputs of all layers for one image.
    """

    params: int
    macs: int
    connections: int
    activation_bytes: int


@dataclass(frozen=True)
class Block:
    """One module: its path, which shows the nesting, and its class."""

    path: str
    type: str


def blocks_of(net: nn.Module) -> tuple[Block, ...]:
    return tuple(Block(path, type(module).__name__) for path, module in net.named_modules())


def times(shape: Iterable[object]) -> str:
    """``(96, 55, 55)`` -> ``96 x 55 x 55``."""
    return " x ".join(str(side) for side in shape)


def plain_row(row: LayerRow) -> dict[str, Any]:
    """A row for JSON: lists instead of tuples; a jump is an integer, or a text such as "1/2"."""
    record = dict(vars(row))
    if row.jump is not None:
        record["jump"] = [int(jump) if jump.denominator == 1 else str(jump) for jump in row.jump]
    return {key: plain(value) for key, value in record.items()}


def row_of(record: dict[str, Any]) -> LayerRow:
    from fractions import Fraction

    if record.keys() != LayerRow.__dataclass_fields__.keys():
        raise UsageError("the layer table was written by another version of convatlas. Create it again.")
    values = {key: _tuples(value) for key, value in record.items()}
    if values.get("jump") is not None:
        values["jump"] = tuple(Fraction(jump) for jump in values["jump"])
    return LayerRow(**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def plain(value: Any) -> Any:
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def layer_names(rows: Iterable[str]) -> tuple[str, ...]:
    """All names by which a layer can be selected: of the rows, and of the modules that contain them."""
    names: dict[str, None] = {}
    for row in rows:
        parts = row.split(".")
        names.update(dict.fromkeys(".".join(parts[:length]) for length in range(1, len(parts) + 1)))
    return tuple(names)
