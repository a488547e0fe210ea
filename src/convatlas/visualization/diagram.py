"""A network as SVG, from the rows of its summary: a block diagram of the modules, a bar chart of the layers. No torch.

The colour shows the kind of layer. Labels name the kind as well, so that the drawing can be read without colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from convatlas import units
from convatlas.arithmetic.records import INPUT, LayerRow, times
from convatlas.arithmetic.summary import Summary
from convatlas.errors import UnknownNameError
from convatlas.i18n import _
from convatlas.message import Message, joined

# kind -> fill colour; other kinds are white
COLOURS = {
    "conv": "#cfe3f7",
    "conv_transposed": "#cfe3f7",
    "fc": "#d8efd3",
    "maxpool": "#f9e0c7",
    "avgpool": "#f9e0c7",
    "global_avgpool": "#f9e0c7",
    "batch_norm": "#eee6f5",
    "lrn": "#eee6f5",
    "concat": "#fff3b8",
    "add": "#fff3b8",
    "unknown": "#f6c6c6",
}
WIDTH, HEIGHT = 300, 34  # of a box, in pixels
GAP, LANE = 22, 18  # between boxes, between the arrows of skip connections, in pixels
LETTER = 6  # width of a letter, in pixels


# ------------------------------------------------------------------ block diagram


@dataclass
class Box:
    """Rows drawn as one box: a layer, or a module whose layers are not drawn."""

    name: str
    rows: list[LayerRow] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return self.rows[0].kind if len(self.rows) == 1 else "block"

    @property
    def fill(self) -> str:
        return COLOURS.get(self.kind, "#e8eef2" if self.kind == "block" else "#ffffff")

    @property
    def label(self) -> str:
        params = sum(row.params for row in self.rows)
        parts = [
            self.rows[0].kind if len(self.rows) == 1 else _("{n} layers", n=len(self.rows)),
            times(self.rows[-1].output),
        ]
        if len(self.rows) == 1 and self.rows[0].kernel:
            parts[0] += " " + times(self.rows[0].kernel).replace(" ", "")
        if params:
            parts.append(_("{n} params", n=units.short(params)))
        return ", ".join(parts)


def boxes(summary: Summary, depth: int = 1) -> tuple[list[Box], list[tuple[int, int]]]:
    """Rows grouped by the first ``depth`` parts of their names, in order, and the edges between the boxes.

    Edge (a, b): box b reads the output of box a; -1 is the input. A module that runs twice, with other modules in
    between, has two boxes, so that every edge points downwards.
    """
    grouped: list[Box] = []
    box_of_row: dict[str, int] = {}
    for row in summary.rows:
        inside = row.name.count(".") >= depth
        name = ".".join(row.name.split(".")[:depth]) if inside else row.name
        if not (inside and grouped and grouped[-1].name == name):
            grouped.append(Box(name))
        grouped[-1].rows.append(row)
        box_of_row[row.name] = len(grouped) - 1
    edges: dict[tuple[int, int], None] = {}
    for row in summary.rows:
        end = box_of_row[row.name]
        for source in row.inputs:
            start = -1 if source == INPUT else box_of_row[source]
            if start != end:
                edges[(start, end)] = None
    return grouped, list(edges)


def block_diagram(summary: Summary, depth: int = 1, direction: str = "down") -> str:
    """The network as SVG: a box per layer or module, with skip connections at the side.

    Args:
        depth: how many levels of modules are shown; with 1 the stages of a ResNet are boxes.
        direction: "down", from top to bottom, or "right".
    """
    grouped, edges = boxes(summary, depth)
    title = _("{model}: block diagram", model=summary.model)
    if direction == "right":
        return _to_the_right(grouped, edges, _input_label(summary), title)
    step = HEIGHT + GAP
    left = 16 + LETTER * max((units.width(box.name) for box in grouped), default=0)  # room for the names
    edge, middle = left + WIDTH, left + WIDTH // 2
    lanes = _lanes([skip for skip in edges if skip[1] - skip[0] > 1])
    parts = [_rectangle(left, 0, "#f2f2f2", _input_label(summary), "")]
    for number, box in enumerate(grouped):
        parts.append(_rectangle(left, step * (number + 1), box.fill, box.label, box.name))
    for start, end in edges:
        top, bottom = step * (start + 1) + HEIGHT, step * (end + 1)
        if end - start == 1:
            parts.append(f'<path d="M{middle} {top} V{bottom}" {_ARROW}/>')
        else:
            lane = edge + LANE * (1 + lanes[(start, end)])
            parts.append(f'<path d="M{edge} {top - 12} H{lane} V{bottom + 12} H{edge + 3}" {_ARROW}/>')
    width = edge + LANE * (2 + max(lanes.values(), default=0)) + 10
    return _svg(width, step * (len(grouped) + 1), parts, title)


def _input_label(summary: Summary) -> str:
    return _("input {shapes}", shapes=joined(map(times, summary.inputs), Message(" and ")))


def _to_the_right(grouped: Sequence[Box], edges: Sequence[tuple[int, int]], input_label: str, title: str) -> str:
    """The boxes beside each other, each label on lines of its own, names below; skips are drawn above."""
    lanes = _lanes([skip for skip in edges if skip[1] - skip[0] > 1])
    texts = [input_label.split(" ", 1), *(list(dict.fromkeys([box.name, *box.label.split(", ")])) for box in grouped)]
    fills = ["#f2f2f2", *(box.fill for box in grouped)]
    top = LANE * (1 + max(lanes.values(), default=-1) + 1)
    high = 16 + 14 * max(map(len, texts))
    wide = [16 + LETTER * max(units.width(line) for line in lines) for lines in texts]
    lefts = [sum(wide[:place]) + (GAP + 8) * place + 8 for place in range(len(wide))]
    parts = []
    for left, width, fill, lines in zip(lefts, wide, fills, texts, strict=True):
        parts.append(f'<rect x="{left}" y="{top}" width="{width}" height="{high}" rx="4" fill="{fill}" stroke="#555"/>')
        first = top + high // 2 - 7 * len(lines) + 11
        parts += [
            f'<text x="{left + width // 2}" y="{first + 14 * place}" text-anchor="middle">{escape(line)}</text>'
            for place, line in enumerate(lines)
        ]
    for start, end in edges:
        here, there = start + 1, end + 1
        right, left = lefts[here] + wide[here], lefts[there]
        if end - start == 1:
            parts.append(f'<path d="M{right} {top + high // 2} H{left}" {_ARROW}/>')
        else:
            lane = top - LANE * (1 + lanes[(start, end)])
            parts.append(f'<path d="M{right - 12} {top} V{lane} H{left + 12} V{top - 3}" {_ARROW}/>')
    return _svg(lefts[-1] + wide[-1] + 10, top + high, parts, title)


_ARROW = 'fill="none" stroke="#555" marker-end="url(#arrow)"'


def _lanes(skips: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Side lanes for skip connections: short ones near the boxes, overlapping ones in different lanes."""
    lanes: dict[tuple[int, int], int] = {}
    for skip in sorted(skips, key=lambda edge: (edge[1] - edge[0], edge)):
        occupied = {lane for other, lane in lanes.items() if other[0] < skip[1] and skip[0] < other[1]}
        lanes[skip] = next(lane for lane in range(len(skips)) if lane not in occupied)
    return lanes


def _rectangle(left: int, y: int, fill: str, label: str, name: str) -> str:
    middle = y + HEIGHT // 2 + 4
    return (
        f'<rect x="{left}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="{fill}" stroke="#555"/>'
        f'<text x="{left + WIDTH // 2}" y="{middle}" text-anchor="middle">{escape(label)}</text>'
        f'<text x="{left - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>'
    )


def _svg(width: int, height: int, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -8 {width} {height + 16}" width="{width}" '
        f'height="{height + 16}" font-family="sans-serif" font-size="11" role="img">\n<title>{escape(title)}</title>\n'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )


# ------------------------------------------------------------------ bars

QUANTITIES: dict[str, Callable[[LayerRow], int]] = {
    "params": lambda row: row.params,
    "macs": lambda row: row.macs or 0,
    "connections": lambda row: row.connections or 0,
    "activation_bytes": lambda row: row.activation_bytes,
    "receptive_field": lambda row: max(row.receptive_field or (0,)),
}


def bars(summary: Summary, quantity: str = "macs") -> str:
    """A bar chart as SVG, with one bar per row whose ``quantity`` is not zero.

    Raises:
        UnknownNameError: ``quantity`` is not one of QUANTITIES.
    """
    if quantity not in QUANTITIES:
        raise UnknownNameError("quantity", quantity, QUANTITIES)
    value = QUANTITIES[quantity]
    rows = [row for row in summary.rows if value(row)]
    if quantity == "receptive_field":
        rows = [row for row in rows if row.kernel]
    most = max((value(row) for row in rows), default=1)
    text = units.bytes_ if quantity == "activation_bytes" else units.short
    left = 16 + LETTER * max((len(row.name) for row in rows), default=0)
    parts = []
    for number, row in enumerate(rows):
        y, length = 18 * number, max(1, round(420 * value(row) / most))
        fill = COLOURS.get(row.kind, "#dddddd")
        parts.append(
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(row.name)}</text>'
            f'<rect x="{left}" y="{y + 2}" width="{length}" height="13" fill="{fill}" stroke="#777"/>'
            f'<text x="{left + length + 4}" y="{y + 12}">{text(value(row))}</text>'
        )
    return _svg(
        left + 520, 18 * len(rows), parts, _("{model}: {quantity} per layer", model=summary.model, quantity=quantity)
    )
