"""``Summary``: the rows of a network with their totals and their graph, as ``summarize`` returns them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any

from convatlas import tables, units
from convatlas.arithmetic import layer_table
from convatlas.arithmetic.protocol import Shape
from convatlas.arithmetic.records import INPUT, WEIGHTED, Block, LayerRow, Totals, plain_row, row_of
from convatlas.errors import UnknownNameError
from convatlas.i18n import _, translated

CONVENTION = "macs"


@dataclass(frozen=True, repr=False)
class Summary:
    """The layer table of a network, and its graph.

    Attributes:
        inputs: shapes of the inputs, without the batch.
        rows: in the order in which they ran.
        outputs: names of the rows that are outputs of the network.
        unused_params: path -> number of parameters that no operator read, such as those of auxiliary heads in
            evaluation mode; not included in ``totals.params``.
        buffers: number of elements of floating-point buffers (running statistics, fixed codes), which are not trained.
        frozen_params: number of parameters in ``totals.params`` with ``requires_grad`` off.
        notes: limitations of the totals; empty for most networks.
        blocks: the modules that hold rows, with their own sums.
        param_bytes: bytes of the trainable parameters in their own types.
        model: the name of the network.
    """

    inputs: tuple[Shape, ...]
    rows: tuple[LayerRow, ...]
    outputs: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    unused_params: dict[str, int] = field(default_factory=dict)
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
        """Number of outputs of the convolutions and fully connected layers, as the papers count neurons."""
        return sum(prod(row.output) for row in self.weighted)

    @property
    def unknown(self) -> tuple[LayerRow, ...]:
        """Rows with unknown operators, whose multiply-adds the totals do not include."""
        return tuple(row for row in self.rows if row.macs is None)

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """(from, to) by row names; "input" is the input of the network."""
        return tuple((source, row.name) for row in self.rows for source in row.inputs)

    def __getitem__(self, name: str) -> LayerRow:
        """The row of that name.

        Raises:
            UnknownNameError: no such row; the message lists similar names.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise UnknownNameError("layer", name, [row.name for row in self.rows])

    def part(self, module: str) -> Summary:
        """The summary of one module: its rows by their names inside it, and what it is given as input.

        Raises:
            UnknownNameError: no row has this name or lies in this module.
        """
        inside = {row.name: row for row in self.rows if row.name == module or row.name.startswith(f"{module}.")}
        if not inside:
            known = {row.name for row in self.rows} | {row.name.rpartition(".")[0] for row in self.rows} - {""}
            raise UnknownNameError("layer", module, sorted(known))
        outputs = {row.name: row.output for row in self.rows}
        short = {name: name.removeprefix(f"{module}.") for name in inside}
        fed = dict.fromkeys(source for row in inside.values() for source in row.inputs if source not in inside)
        shapes = dict.fromkeys(shape for name in fed for shape in ([outputs[name]] if name in outputs else self.inputs))
        rows = [
            replace(
                row,
                name=short[row.name],
                inputs=tuple(dict.fromkeys(short.get(source, INPUT) for source in row.inputs)),
            )
            for row in inside.values()
        ]
        return Summary(tuple(shapes), tuple(rows), outputs=(rows[-1].name,), model=f"{self.model} {module}")

    def to_dict(self) -> dict[str, Any]:
        """The document of ``show --json``: plain values only."""
        return {
            "model": self.model,
            "input": list(self.inputs[0]) if len(self.inputs) == 1 else [list(shape) for shape in self.inputs],
            "convention": CONVENTION,
            "rows": [plain_row(row) for row in self.rows],
            "totals": asdict(self.totals),
            "unknown": [row.name for row in self.unknown],
            "aside": dict(self.unused_params),
            "buffers": self.buffers,
            "frozen_params": self.frozen_params,
            "param_bytes": self.param_bytes,
            "outputs": list(self.outputs),
            "blocks": [asdict(block) for block in self.blocks],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Summary:
        """The Summary from a ``to_dict`` document.

        Raises:
            UsageError: the document was written by another version, whose rows have other fields.
        """
        shapes = document["input"]
        several = bool(shapes) and isinstance(shapes[0], list)
        return cls(
            inputs=tuple(tuple(shape) for shape in (shapes if several else [shapes])),
            rows=tuple(row_of(record) for record in document["rows"]),
            outputs=tuple(document["outputs"]),
            blocks=tuple(Block(**block) for block in document["blocks"]),
            unused_params=dict(document["aside"]),
            buffers=document["buffers"],
            frozen_params=document["frozen_params"],
            param_bytes=document["param_bytes"],
            model=document["model"],
            notes=tuple(document["notes"]),
        )

    def to_csv(self) -> str:
        """The rows as CSV, with a line of headings; tuples are written as 3x3."""
        return layer_table.csv_table(self.rows)

    def to_markdown(self) -> str:
        """The layer table for Markdown, with the totals below."""
        return layer_table.markdown_table(self.rows, self.totals)

    def to_latex(self) -> str:
        """The layer table for LaTeX: with booktabs rules, a caption and the totals."""
        shapes = _(" and ").join(layer_table.times(shape) for shape in self.inputs)
        caption = _("Layers of {model}, counted for one input of {shapes}.", model=self.model, shapes=shapes)
        return layer_table.latex_table(self.rows, self.totals, caption)

    def __str__(self) -> str:
        """The table, as wide as the terminal (see `convatlas.tables`), with the totals below."""
        return f"{layer_table.text(self.rows)}\n\n{tables.labelled(self.footer())}"

    def __repr__(self) -> str:
        totals = self.totals
        return f"Summary(model={self.model!r}, rows={len(self.rows)}, params={totals.params}, macs={totals.macs})"

    def _repr_html_(self) -> str:
        """The table, for a notebook."""
        return layer_table.html_table(self.rows, self.totals, self.model)

    def footer(self) -> Iterator[tuple[str, str]]:
        """The totals, and what they do not include: pairs of a label and a value in the language in use."""
        totals = self.totals
        at_least = _("at least") + " " if self.unknown else ""
        yield _("params"), f"{units.exact(totals.params)}   ({units.bytes_(self.param_bytes)})"
        yield _("macs"), at_least + units.exact(totals.macs)
        yield _("connections"), at_least + units.exact(totals.connections)
        yield _("activations"), _("{bytes} for one image", bytes=units.bytes_(totals.activation_bytes))
        if self.buffers:
            yield _("not trained"), _("{count} running statistics and fixed codes", count=units.exact(self.buffers))
        for path, count in self.unused_params.items():
            yield (
                _("not included"),
                _("{count} parameters of {path}, which did not run", count=units.exact(count), path=path),
            )
        if self.frozen_params:
            yield _("frozen"), _("{count} of the parameters", count=units.exact(self.frozen_params))
        for note in self.notes:
            yield _("note"), translated(note)
