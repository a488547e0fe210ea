"""``convatlas show NAME``: the layer table, and the paper's figures beside the derived ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, print_json
from convatlas.cli._figures import departure_lines, departure_record, figure_lines, figure_record
from convatlas.cli._lang import lang_option
from convatlas.errors import LimitError, UsageError
from convatlas.i18n import _, translated
from convatlas.message import of_system

if TYPE_CHECKING:
    from convatlas.arithmetic.summary import Summary
    from convatlas.figures import FigureComparison


@click.command("show", short_help="The layer table of a network.")
@click.argument("name")
@click.option("--input", "input_", metavar="CxHxW", help="Image size to count for; the paper's where not given.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table for Markdown.")
@click.option("--latex", "as_latex", is_flag=True, help="Print the table for LaTeX.")
@click.option("--svg", type=click.Path(dir_okay=False), help="Draw the block diagram into this file, or the --bars.")
@click.option("--bars", metavar="QUANTITY", help="params, macs, connections, activation_bytes or receptive_field.")
@click.option("--depth", type=click.IntRange(1), default=1, show_default=True, help="Levels of modules --svg opens.")
@click.option("--conventions", is_flag=True, help="What other tools would print, and why.")
@click.option("--fits", is_flag=True, help="Memory of a training step: predicted, and measured in one real step here.")
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Images per step, for --fits.")
@click.option("--optimizer", default="sgd", show_default=True, help="For --fits and --limit.")
@click.option("--precision", default="fp32", show_default=True, help="fp32 or bf16, for --fits and --limit.")
@click.option("--limit", metavar="8GiB", help="Say the largest training batch that fits in this much memory.")
@json_option
@lang_option
@debug_option
def command(name: str, input_: str | None, as_json: bool, **wanted: Any) -> None:
    """The layer table of NAME: shapes, parameters, MACs, connections, memory, receptive field.

    Everything is for one image. A kind marked * states its own arithmetic, because the operators it runs do more than
    the layer means.
    """
    from convatlas.models import card, entry
    from convatlas.models.figures import compare_figures

    shape = None if input_ is None else parse_input(input_)
    if wanted["fits"] or wanted["limit"]:
        show_memory(name, shape or entry(name).input, as_json, wanted)
        return
    summary = summary_of(name, shape)
    figures = compare_figures(name) if shape in (None, entry(name).input) else ()
    if wanted["bars"] and not wanted["svg"]:
        raise UsageError("--bars draws a picture: say where with --svg FILE.")
    if wanted["conventions"]:
        show_conventions(summary, figures, as_json)
    elif wanted["svg"]:
        from convatlas.arithmetic.pictures import bars, block_diagram

        picture = bars(summary, wanted["bars"]) if wanted["bars"] else block_diagram(summary, wanted["depth"])
        try:
            with open(wanted["svg"], "w", encoding="utf-8") as file:
                file.write(picture)
        except OSError as error:
            raise UsageError(
                "cannot write {svg}: {reason}. Choose another file.", svg=wanted["svg"], reason=of_system(error)
            ) from None
        click.echo(_("wrote {file}", file=wanted["svg"]), err=True)
    elif wanted["as_csv"]:
        click.echo(summary.to_csv(), nl=False)
    elif wanted["as_markdown"] or wanted["as_latex"]:
        from convatlas.arithmetic.pictures import latex_table, markdown_table

        click.echo(markdown_table(summary) if wanted["as_markdown"] else latex_table(summary), nl=False)
    elif as_json:
        document = summary.to_dict()
        document["model"], document["variant"] = name.partition("@")[::2]
        document["figures"] = [figure_record(figure) for figure in figures]
        document["departures"] = [departure_record(departure) for departure in card(name).departures]
        print_json(document)
    else:
        click.echo(summary)
        for line in figure_lines(figures) + departure_lines(card(name)):
            click.echo(line)


def show_conventions(summary: Summary, figures: Sequence[FigureComparison], as_json: bool) -> None:
    from convatlas.arithmetic.conventions import conventions

    found = conventions(summary)
    if as_json:
        document: dict[str, Any] = {"model": summary.model, "macs": summary.totals.macs}
        document["figures"] = [figure_record(figure) for figure in figures]
        print_json({**document, "conventions": [convention.to_dict() for convention in found]})
        return
    click.echo(f"{summary.model}: convatlas macs {units.exact(summary.totals.macs)}")
    for figure in figures:
        if figure.quantity == "macs":
            printed = _("the paper prints {printed} ({source})", printed=figure.printed.text, source=figure.source)
            click.echo(f"  {printed}")
    for convention in found:
        click.echo(f"\n{convention.tool}: {units.exact(convention.total)} {convention.unit}")
        for line in convention.lines:
            click.echo(f"  {line.difference:+17,}  {translated(line.reason)}")
        if not convention.lines:
            click.echo("  " + _("the same"))


def part_names() -> dict[str, str]:
    """The parts of a training step's memory: the key in JSON and its name in the language in use."""
    return {
        "params": _("params"),
        "gradients": _("gradients"),
        "optimizer": _("optimizer state"),
        "buffers": _("buffers"),
        "input": _("input"),
        "saved": _("saved for backward"),
        "train_peak": _("peak, training"),
        "infer_peak": _("peak, inference"),
    }


def show_memory(name: str, shape: tuple[int, int, int], as_json: bool, wanted: dict[str, Any]) -> None:
    """Predicted memory beside measured, or the largest batch under a limit."""
    from convatlas.arithmetic import memory
    from convatlas.models import create_model

    optimizer, precision = wanted["optimizer"], wanted["precision"]
    if wanted["limit"]:
        limit = parse_bytes(wanted["limit"])
        net = create_model(name, in_channels=shape[0], image_size=shape[1])
        batch, peak = memory.largest_batch(net, shape, limit, optimizer, precision)
        if as_json:
            print_json({"model": name, "limit_bytes": limit, "batch": batch, "train_peak": peak})
        elif batch:
            click.echo(
                _(
                    "{name} trains with at most {batch} images in {limit}: {peak} at the peak",
                    name=name,
                    batch=batch,
                    limit=wanted["limit"],
                    peak=units.bytes_(peak),
                )
            )
        else:
            peak_of_one = units.bytes_(peak)
            click.echo(
                _("{name} does not fit: one image already takes {peak} at the peak", name=name, peak=peak_of_one)
            )
        if not batch:
            raise LimitError(
                "{name} cannot train in {limit}; one image takes {peak}.",
                name=name,
                limit=wanted["limit"],
                peak=units.bytes_(peak),
            )
        return
    net = create_model(name, in_channels=shape[0], image_size=shape[1])
    predicted = memory.predict(net, shape, wanted["batch"], optimizer, precision).to_dict()
    measured = memory.measure(net, shape, wanted["batch"], optimizer, precision).to_dict()
    if as_json:
        print_json({"model": name, "optimizer": optimizer, "predicted": predicted, "measured": measured})
        return
    said = part_names()
    click.echo(f"{name}, {_('batch')} {wanted['batch']}, {optimizer}, {precision}")
    columns = max(map(units.width, said.values()))
    for word, *values in (
        ("", _("predicted"), _("measured")),
        *((said[part], units.bytes_(predicted[part]), units.bytes_(measured[part])) for part in said),
    ):
        click.echo("  ".join((units.ljust(word, columns), *(units.rjust(value, 12) for value in values))))


def parse_bytes(text: str) -> int:
    """``8GiB``, ``500MB``, ``1e9`` -> bytes; GiB are powers of 1024, GB of 1000."""
    found = re.fullmatch(r"([0-9.e+]+)\s*([kmgt]?)(i?)b?", text.strip().lower())
    try:
        count = float(found[1]) if found else -1.0
    except ValueError:
        count = -1.0
    if found is None or count <= 0:
        raise UsageError("a size is a number and a unit, such as 8GiB or 500MB; got {text!r}.", text=text)
    return int(count * (1024 if found[3] else 1000) ** " kmgt".index(found[2] or " "))


def parse_input(text: str) -> tuple[int, int, int]:
    """``3x224x224`` -> ``(3, 224, 224)``; ``1x28`` means a square."""
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts) or len(parts) not in (2, 3):
        raise UsageError("--input is CxHxW, such as 3x224x224; got {text!r}.", text=text)
    channels, height = int(parts[0]), int(parts[1])
    return channels, height, int(parts[-1])


def summary_of(name: str, shape: tuple[int, int, int] | None) -> Summary:
    """The summary of an atlas network; at the paper's input from the kept tables, else counted now, without weights."""
    from convatlas.models import entry
    from convatlas.models.layer_tables import table

    if shape is None or shape == entry(name).input:
        kept = table(name)
        if kept is not None:
            return kept
    import torch

    from convatlas.arithmetic import ForwardError, summarize
    from convatlas.models import create_model

    shape = shape or entry(name).input
    with torch.device("meta"):
        net = create_model(name, in_channels=shape[0], image_size=shape[1])
    try:
        return summarize(net, shape, model=name)
    except ForwardError as error:
        if error.summary.rows:
            click.echo(f"{error.summary}\n", err=True)  # what ran, up to the layer that did not
        raise
