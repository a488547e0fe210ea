"""From what was seen to what is printed: operators -> rows -> totals.

A row is a layer as its author cut it: one call of a module without parts, however many operators that took; an operator
that ran outside such a module (``F.relu``, ``x + y``, ``torch.cat``) is a row of its own under the path of the module
that ran it. Rows know which rows they read, so together they are the graph of the network; there is no other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from convatlas import units
from convatlas.arithmetic.protocol import Shape
from convatlas.errors import UnknownNameError, UsageError
from convatlas.i18n import _

if TYPE_CHECKING:
    from fractions import Fraction

    from torch import nn

CONVENTION = "macs"
INPUT = "input"
WEIGHTED = ("conv", "conv_transposed", "fc")


@dataclass(frozen=True)
class LayerRow:
    """One layer, for one image.

    Attributes:
        name: the path of its module; an operator outside one adds its kind, a second call adds ``:2``.
        path: the module that ran it; of a layer, the layer itself.
        kind: "conv", "fc", "maxpool", "batch_norm", "add", ..., or "unknown".
        inputs: names of the rows it reads, "input" for what the caller gave.
        output: shape without the batch.
        kernel, stride, padding, dilation: (height, width) where it has a window, else None.
        params: parameters first used here; a weight shared with an earlier row is counted there.
        macs, connections: DESIGN section 2; None for an operator that is not known.
        activation_bytes: memory its output newly takes; a view and an in-place operator take none.
        receptive_field, jump, start: (height, width) in input pixels; see receptive_field.py. None where there is none.
        smallest_field: the receptive field along the shortest path, where paths join.
        operators: what torch ran.
        module: class of the layer; "" for an operator outside one.
        own_params: all parameters it reads, those that an earlier row counted too.
        operator_macs: what the operators multiplied; other than ``macs`` only where ``stated``.
        stated: the figures are the module's own ``__arithmetic__``.
        working: lines of arithmetic the module stated with them.
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
    """Sums over the rows. An unknown operator makes ``macs`` and ``connections`` lower bounds."""

    params: int
    macs: int
    connections: int
    activation_bytes: int


@dataclass(frozen=True)
class Block:
    """One module: where it stands and what it is; blocks nest by their paths."""

    path: str
    type: str


@dataclass(frozen=True)
class Summary:
    """The layer table of a network, and its graph.

    Attributes:
        inputs: shapes of what the network was given, without the batch.
        rows: in the order they ran.
        outputs: names of the rows the result comes from.
        aside: what ``totals.params`` leaves out, by the path that holds it: parameters no operator read (the auxiliary
            heads of a network in evaluation mode).
        buffers: elements of running statistics and fixed codes, which are not trained; counters and index tables,
            which are no real numbers, are left out.
        frozen_params: those of ``totals.params`` that have ``requires_grad`` off.
        notes: what a reader must know before trusting the totals; empty for most networks.
    """

    inputs: tuple[Shape, ...]
    rows: tuple[LayerRow, ...]
    outputs: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    aside: dict[str, int] = field(default_factory=dict)
    buffers: int = 0
    frozen_params: int = 0
    param_bytes: int = 0
    model: str = ""
    notes: tuple[str, ...] = ()

    @property
    def totals(self) -> Totals:
        return Totals(
            params=sum(row.params for row in self.rows),
            macs=sum(row.macs or 0 for row in self.rows),
            connections=sum(row.connections or 0 for row in self.rows),
            activation_bytes=sum(row.activation_bytes for row in self.rows),
        )

    @property
    def weighted(self) -> tuple[LayerRow, ...]:
        """The rows of convolutions and fully connected layers."""
        return tuple(row for row in self.rows if row.kind in WEIGHTED)

    @property
    def neurons(self) -> int:
        """Outputs of the convolutions and fully connected layers, as the papers count neurons."""
        return sum(prod(row.output) for row in self.weighted)

    @property
    def unknown(self) -> tuple[LayerRow, ...]:
        """Rows of operators nobody taught us: what they cost is missing from the totals."""
        return tuple(row for row in self.rows if row.macs is None)

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """(from, to), by row names; "input" is the caller's."""
        return tuple((source, row.name) for row in self.rows for source in row.inputs)

    def __getitem__(self, name: str) -> LayerRow:
        """The row of that name.

        Raises:
            UnknownNameError: there is none; the message lists the near ones.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise UnknownNameError("layer", name, [row.name for row in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """The document of ``show --json``: plain values only."""
        return {
            "model": self.model,
            "input": list(self.inputs[0]) if len(self.inputs) == 1 else [list(shape) for shape in self.inputs],
            "convention": CONVENTION,
            "rows": [_plain_row(row) for row in self.rows],
            "totals": asdict(self.totals),
            "unknown": [row.name for row in self.unknown],
            "aside": dict(self.aside),
            "buffers": self.buffers,
            "frozen_params": self.frozen_params,
            "param_bytes": self.param_bytes,
            "outputs": list(self.outputs),
            "blocks": [asdict(block) for block in self.blocks],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Summary:
        """The Summary a ``to_dict`` document was made from.

        Raises:
            UsageError: the document was written by another version: its rows have other fields.
        """
        shapes = document["input"]
        several = bool(shapes) and isinstance(shapes[0], list)
        return cls(
            inputs=tuple(tuple(shape) for shape in (shapes if several else [shapes])),
            rows=tuple(_row_of(record) for record in document["rows"]),
            outputs=tuple(document["outputs"]),
            blocks=tuple(Block(**block) for block in document["blocks"]),
            aside=dict(document["aside"]),
            buffers=document["buffers"],
            frozen_params=document["frozen_params"],
            param_bytes=document["param_bytes"],
            model=document["model"],
            notes=tuple(document["notes"]),
        )

    def to_csv(self) -> str:
        """The rows as CSV, one line of headings first; tuples are written 3x3."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({key: _cell(value) for key, value in _plain_row(row).items()})
        return text.getvalue()

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """The table as text, and its totals below."""
        table = [headings(), *(cells(row) for row in self.rows)]
        widths = [max(map(units.width, column)) for column in zip(*table, strict=True)]
        for number, line in enumerate(table):
            padded = [
                units.ljust(cell, width) if column < TEXT_COLUMNS else units.rjust(cell, width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            yield "  ".join(padded).rstrip()
            if number == 0:
                yield "  ".join("-" * width for width in widths)
        yield ""
        yield from self.footer()

    def footer(self) -> Iterator[str]:
        """Totals in words, then whatever they leave out."""
        totals = self.totals
        least = _("at least") + " " if self.unknown else ""
        said = [
            (_("params"), f"{units.exact(totals.params)}   ({units.bytes_(self.param_bytes)})"),
            (_("macs"), least + units.exact(totals.macs)),
            (_("connections"), least + units.exact(totals.connections)),
            (_("activations"), _("{bytes} for one image", bytes=units.bytes_(totals.activation_bytes))),
        ]
        if self.buffers:
            kept = _("{count} running statistics and fixed codes", count=units.exact(self.buffers))
            said.append((_("not trained"), kept))
        for path, count in self.aside.items():
            which = _("{count} parameters of {path}, which did not run", count=units.exact(count), path=path)
            said.append((_("beside"), which))
        if self.frozen_params:
            said.append((_("frozen"), _("{count} of the parameters", count=units.exact(self.frozen_params))))
        said += [(_("note"), note) for note in self.notes]
        for name, value in said:
            yield f"{units.ljust(name, 16)}  {value}"


def layer_names(rows: Iterable[str]) -> tuple[str, ...]:
    """Every name a layer may be asked for by: the rows', and before them those of the modules that hold them."""
    names: dict[str, None] = {}
    for row in rows:
        parts = row.split(".")
        names.update(dict.fromkeys(".".join(parts[:length]) for length in range(1, len(parts) + 1)))
    return tuple(names)


def headings() -> tuple[str, ...]:
    """Of the table, in the language in use."""
    return (
        _("layer"),
        _("kind"),
        _("output"),
        _("kernel"),
        _("stride"),
        _("params"),
        _("macs"),
        _("connections"),
        _("memory"),
        _("field"),
        _("jump"),
    )


TEXT_COLUMNS = 5  # the first columns are text, the rest numbers
CSV_COLUMNS: tuple[str, ...] = (
    "name",
    "kind",
    "output",
    "kernel",
    "stride",
    "padding",
    "groups",
    "params",
    "macs",
    "connections",
)
CSV_COLUMNS += ("activation_bytes", "receptive_field", "jump", "start")


def cells(row: LayerRow) -> tuple[str, ...]:
    """One row of the table, a string per heading; an unknown count is a question mark, never a zero."""
    return (
        row.name,
        row.kind + ("*" if row.stated else ""),
        times(row.output),
        _short(row.kernel),
        _short(row.stride),
        units.exact(row.params),
        "?" if row.macs is None else units.exact(row.macs),
        "?" if row.connections is None else units.exact(row.connections),
        units.bytes_(row.activation_bytes),
        _short(row.receptive_field),
        _short(row.jump),
    )


def times(shape: Iterable[object]) -> str:
    """``(96, 55, 55)`` -> ``96 x 55 x 55``."""
    return " x ".join(str(side) for side in shape)


def _short(values: Sequence[object] | None) -> str:
    """``(3, 3)`` -> ``3``, ``(1, 7)`` -> ``1x7``, None -> nothing."""
    if not values:
        return ""
    return str(values[0]) if len(set(values)) == 1 else "x".join(str(value) for value in values)


def _cell(value: Any) -> Any:
    return "x".join(str(item) for item in value) if isinstance(value, list) else value


def _plain_row(row: LayerRow) -> dict[str, Any]:
    """A row of JSON: lists for tuples; a jump is a whole number, or "1/2"."""
    record = dict(vars(row))
    if row.jump is not None:
        record["jump"] = [int(jump) if jump.denominator == 1 else str(jump) for jump in row.jump]
    return {key: _lists(value) for key, value in record.items()}


def _row_of(record: dict[str, Any]) -> LayerRow:
    from fractions import Fraction

    if record.keys() != LayerRow.__dataclass_fields__.keys():
        raise UsageError("a layer table of another version of convatlas; count the network again.")
    values = {key: _tuples(value) for key, value in record.items()}
    if values.get("jump") is not None:
        values["jump"] = tuple(Fraction(jump) for jump in values["jump"])
    return LayerRow(**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def blocks_of(net: nn.Module) -> tuple[Block, ...]:
    return tuple(Block(path, type(module).__name__) for path, module in net.named_modules())
