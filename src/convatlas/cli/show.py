"""``convatlas show NAME``: the layer table, and the paper's figures beside the derived ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, picture_format, print_json
from convatlas.cli._completion import network_names
from convatlas.cli._figures import departure_lines, figure_lines
from convatlas.cli._lang import lang_option
from convatlas.cli._memory import print_largest_batch, print_step_memory
from convatlas.cli._network_input import parse_input, summary_of
from convatlas.errors import UsageError
from convatlas.i18n import _, translated
from convatlas.message import system_reason
from convatlas.models import own

if TYPE_CHECKING:
    from convatlas.arithmetic import Summary
    from convatlas.figures import FigureComparison
    from convatlas.models import Card


@click.command("show", short_help="The layer table of a network.")
@click.argument("name", shell_complete=network_names)
@click.argument("module", required=False)
@click.option("--input", "input_", metavar="CxHxW", help="Image size; by default that of the paper.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table for Markdown.")
@click.option("--latex", "as_latex", is_flag=True, help="Print the table for LaTeX.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Draw the block diagram into this file, or the --bars.")  # fmt: skip
@click.option("--bars", metavar="QUANTITY", help="params, macs, connections, activation_bytes or receptive_field.")
@click.option("--depth", type=click.IntRange(1), default=1, show_default=True, help="Levels of modules --svg opens.")
@click.option("--direction", type=click.Choice(["down", "right"]), default="down", show_default=True,
              help="Direction of the block diagram of --svg.")  # fmt: skip
@click.option("--conventions", is_flag=True, help="What other tools would print, and why.")
@click.option("--fits", is_flag=True, help="Memory of a training step: predicted, and measured in one real step here.")
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Images per step, for --fits.")
@click.option("--optimizer", default="sgd", show_default=True, help="For --fits and --limit.")
@click.option("--precision", default="fp32", show_default=True, help="fp32 or bf16, for --fits and --limit.")
@click.option("--limit", metavar="8GiB", help="Print the largest training batch that fits in this much memory.")
@json_option
@lang_option
@debug_option
def command(
    name: str,
    module: str | None,
    input_: str | None,
    as_csv: bool,
    as_markdown: bool,
    as_latex: bool,
    svg: Path | None,
    bars: str | None,
    depth: int,
    direction: str,
    conventions: bool,
    fits: bool,
    batch: int,
    optimizer: str,
    precision: str,
    limit: str | None,
    as_json: bool,
) -> None:
    """The layer table of NAME: shapes, parameters, MACs, connections, memory, receptive field.

    NAME is a network of the atlas; FILE.py:Class, a torch.nn.Module of your own, whose file is imported; or timm:NAME
    or tv:NAME, a network of timm or torchvision.

    With MODULE, a name before a dot in the table, only that part of the network is shown, from its own input.

    Everything is for one image. A kind marked * states its own arithmetic, because the operators it runs do more than
    the layer means. In a narrow terminal the columns of least use are left out, and named below the table.
    """
    from convatlas.models import card, entry
    from convatlas.models.figures import compare_figures

    network = entry(name)
    usual = network.input
    shape = None if input_ is None else parse_input(input_)
    if not network.usual_input and shape is None:
        raise UsageError("the input of {network} is not known: pass it with --input, such as 3x224x224.", network=name)
    if bars and svg is None:
        raise UsageError("--bars needs --svg FILE, the file of the picture.")
    if limit is not None:
        print_largest_batch(name, shape or usual, limit, optimizer, precision, as_json)
        return
    if fits:
        print_step_memory(name, shape or usual, batch, optimizer, precision, as_json)
        return
    summary = summary_of(name, shape)
    figures = compare_figures(network) if shape in (None, usual) and module is None else ()
    if module is not None:
        summary = summary.part(module)
    if conventions:
        print_conventions(summary, figures, as_json)
    elif svg is not None:
        write_drawing(summary, svg, bars, depth, direction)
    elif as_csv:
        click.echo(summary.to_csv(), nl=False)
    elif as_markdown:
        click.echo(summary.to_markdown(), nl=False)
    elif as_latex:
        click.echo(summary.to_latex(), nl=False)
    elif as_json:
        print_document(name, summary, figures, card(name))
    else:
        click.echo(summary)
        for line in figure_lines(figures) + (departure_lines(card(name)) if module is None else []):
            click.echo(line)


def print_document(name: str, summary: Summary, figures: Sequence[FigureComparison], card: Card) -> None:
    """The summary as JSON, with the paper's figures and what differs from the paper."""
    document = summary.to_dict()
    document["model"], document["variant"] = (summary.model, "") if own.is_own(name) else name.partition("@")[::2]
    document["figures"] = [figure.to_dict() for figure in figures]
    document["departures"] = [departure.to_dict() for departure in card.departures]
    print_json(document)


def write_drawing(summary: Summary, file: Path, quantity: str | None, depth: int, direction: str) -> None:
    """The block diagram as SVG, or a bar per layer for a quantity.

    Raises:
        UnknownNameError: a quantity that is not drawn.
        UsageError: the file cannot be written.
    """
    from convatlas.visualization.diagram import bars, block_diagram

    picture_format(file, ("svg",))
    picture = bars(summary, quantity) if quantity else block_diagram(summary, depth, direction)
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            "cannot write {svg}: {reason}. Choose another file.", svg=file, reason=system_reason(error)
        ) from None
    click.echo(_("wrote {file}", file=file), err=True)


def print_conventions(summary: Summary, figures: Sequence[FigureComparison], as_json: bool) -> None:
    from convatlas.arithmetic.conventions import conventions

    found = conventions(summary)
    if as_json:
        document: dict[str, Any] = {"model": summary.model, "macs": summary.totals.macs}
        document["figures"] = [figure.to_dict() for figure in figures]
        print_json({**document, "conventions": [convention.to_dict() for convention in found]})
        return
    macs = units.exact(summary.totals.macs)
    click.echo(_("{model}: {macs} MACs as convatlas counts them", model=summary.model, macs=macs))
    for figure in figures:
        if figure.quantity == "macs":
            printed = _("the paper prints {printed} ({source})", printed=figure.printed.text, source=figure.source)
            click.echo(f"  {printed}")
    for convention in found:
        click.echo(f"\n{convention.tool}: {units.exact(convention.total)} {convention.unit}")
        for line in convention.differences:
            click.echo(f"  {line.difference:+17,}  {translated(line.reason)}")
        if not convention.differences:
            click.echo("  " + _("the same"))
