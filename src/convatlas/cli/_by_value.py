"""``convatlas layer ... --values``: a layer worked out for given numbers, every product and sum shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convatlas import units
from convatlas.cli._common import Command, debug_option, json_option, print_json
from convatlas.cli._lang import lang_option
from convatlas.errors import UsageError
from convatlas.i18n import _, translated

if TYPE_CHECKING:
    from convatlas.arithmetic.by_value import Ranking, WorkedArray, WorkedExample
    from convatlas.arithmetic.exact import Array

MOST_LINES = 36  # of one array's working, unless --all

VALUES_HELP = (
    "Numbers to work out, with every sum: blanks separate numbers, / rows, ; channels. @FILE reads a .npy, CSV or text."
)


def values_options(*names: str, required: bool = False) -> Any:
    """The options of a layer by value: ``values``, ``weights``, ``bias``, and always the backward pass and --all."""
    options = {
        "values": click.option("--values", metavar="NUMBERS", required=required, help=VALUES_HELP),
        "weights": click.option(
            "--weights", metavar="NUMBERS", help="For --values: the weights, as numbers; | separates filters."
        ),
        "bias": click.option("--bias", metavar="NUMBERS", help="For --values: a bias for each output channel."),
    }
    last = (
        click.option("--backward", is_flag=True, help="Work out the gradients too, and check them against autograd."),
        click.option(
            "--grad-output", metavar="NUMBERS", help="The gradient of the loss at the output; ones where not given."
        ),
        click.option("--all", "show_all", is_flag=True, help="Show all of the working, however long."),
    )

    def decorate(command: Command) -> Command:
        for option in reversed((*(options[name] for name in names), *last)):
            command = option(command)
        return command

    return decorate


def read_values(text: str | None, axes: int, option: str) -> Array | None:
    """What an option holds: numbers, or @FILE."""
    from convatlas.arithmetic.exact import array_of, read_array

    if text is None:
        return None
    return array_of(read_array(Path(text[1:])) if text.startswith("@") else text, axes, option)


def check_by_value(values: str | None, by_value: dict[str, Any], by_size: dict[str, Any]) -> None:
    """A layer is asked for by its sizes or by its values, not by both.

    Raises:
        UsageError: options of both.
    """
    first = next((name for name, given in (by_value if values is None else by_size).items() if given), None)
    if first is None:
        return
    if values is None:
        raise UsageError(
            "{option} needs --values, the numbers that the layer reads. Add --values, or leave {option} out.",
            option=first,
        )
    raise UsageError("{option} is not for --values, which bring their own sizes. Leave one of them out.", option=first)


def print_by_value(
    worked: WorkedExample, backward: bool, grad_output: str | None, show_all: bool, as_json: bool
) -> None:
    """The working of the output, and with ``backward`` that of the gradients, beside autograd's."""
    from convatlas.arithmetic.by_value import MOST_TERMS, rankings
    from convatlas.arithmetic.exact import plain

    if grad_output is not None and not backward:
        raise UsageError("--grad-output is for the gradients: add --backward.")
    if grad_output is not None and "labels" in worked.settings:
        raise UsageError(
            "--grad-output and --label both say what the gradient at the output is; leave one of them out."
        )
    at_output = read_values(grad_output, max(worked.output.ndim, 1), "--grad-output")
    gradients = worked.backward(at_output) if backward else ()
    arrays = (*worked.arrays, *gradients)
    most_lines, most_terms = (None, None) if show_all else (MOST_LINES, MOST_TERMS)
    verdict = None
    if backward:
        from convatlas.arithmetic.autograd import agreement

        verdict = agreement(worked, gradients, at_output)
    ranked = rankings(worked) if worked.kind == "softmax" else ()
    if as_json:
        document = worked.to_dict()
        document["working"] = [line.text(most_terms) for array in arrays for line in _first_lines(array, most_lines)]
        document["working_left_out"] = sum(array.values.size for array in arrays) - len(document["working"])
        if verdict is not None:
            document["gradients"] = {each.symbol.removeprefix("dL/d"): plain(each.values) for each in gradients}
            document["autograd"] = verdict.to_dict()
        if ranked:
            document["rankings"] = [each.to_dict() for each in ranked]
        print_json(document)
        return
    _print_text(worked, arrays, most_lines, most_terms)
    _print_rankings(ranked)
    if verdict is not None:
        click.echo("")
        difference = f"{verdict.largest_difference:.3g}"
        click.echo(
            _("PyTorch's autograd in float64 agrees; largest difference {difference}", difference=difference)
            if verdict.agrees
            else _("PyTorch's autograd in float64 DISAGREES; largest difference {difference}", difference=difference)
        )


def _first_lines(array: WorkedArray, most: int | None) -> list[Any]:
    return [line for line, _place in zip(array.working(), range(most or array.values.size), strict=False)]


def _print_text(
    worked: WorkedExample, arrays: tuple[WorkedArray, ...], most_lines: int | None, most_terms: int | None
) -> None:
    from convatlas.arithmetic.records import times

    click.echo(f"{worked.kind}: {times(worked.operands['x'].shape)} -> {times(worked.output.shape)}")
    for step in worked.sizes:
        click.echo(f"  {units.ljust(translated(step.quantity), 6)}  {step}")
    left_out, shortened = 0, False
    for array in arrays:
        click.echo(f"\n{translated(array.name)}")
        lines = _first_lines(array, most_lines)
        for line in lines:
            text = line.text(most_terms)
            shortened = shortened or text != line.text(None)
            click.echo(f"  {text}")
        hidden = array.values.size - len(lines)
        if hidden:
            click.echo("  " + _("... and {n} more", n=units.exact(hidden)))
            left_out += hidden
        if array.values.size > 1 and array.values.shape[-2:] != (1, 1):
            click.echo("")
            for row in grid(array.values):
                click.echo(f"  {row}" if row else "")
    for note in worked.notes:
        click.echo("\n" + _("note: {text}", text=translated(note)))
    if left_out or shortened:
        click.echo("\n" + _("The working is shortened; --all shows all of it."))


def grid(array: Array) -> list[str]:
    """The numbers of an array in rows and columns; blank lines between channels, a rule between filters."""
    from convatlas.arithmetic.exact import number

    if array.ndim == 1:
        array = array[None]
    cells = [[number(value) for value in row] for row in array.reshape(-1, array.shape[-1])]
    width = max(len(cell) for row in cells for cell in row)
    rows = ["  ".join(cell.rjust(width) for cell in row) for row in cells]
    if array.ndim < 3:
        return rows
    height, channels = array.shape[-2], array.shape[-3]
    found: list[str] = []
    for place, row in enumerate(rows):
        if place and place % height == 0:
            found.append("--" if array.ndim == 4 and place % (height * channels) == 0 else "")
        found.append(row)
    return found


def _print_rankings(ranked: tuple[Ranking, ...]) -> None:
    if not ranked:
        return
    click.echo("")
    for place, each in enumerate(ranked):
        order = ", ".join(map(str, each.order[:5]))
        click.echo(
            _("row {row}: top-1 is class {first}; top-5 are {order}", row=place, first=each.order[0], order=order)
        )
        if each.loss is not None:
            click.echo(
                "  "
                + _(
                    "label {label}: rank {rank}; top-1 {first}, top-5 {fifth}; cross-entropy -ln p = {loss}",
                    label=each.label,
                    rank=each.rank,
                    first=_("right") if each.hit(1) else _("wrong"),
                    fifth=_("right") if each.hit(5) else _("wrong"),
                    loss=translated(units.nats(each.loss)),
                )
            )
    if len(ranked) > 1 and ranked[0].loss is not None:
        hits = [sum(bool(each.hit(top)) for each in ranked) for top in (1, 5)]
        click.echo(_("top-1 {first} of {n}, top-5 {fifth} of {n}", first=hits[0], fifth=hits[1], n=len(ranked)))
        mean = sum(each.loss or 0.0 for each in ranked) / len(ranked)
        click.echo(_("mean cross-entropy {loss}", loss=translated(units.nats(mean))))


# ------------------------------------------------------------------ layers that are worked out by value alone


@click.command("lrn", short_help="Local response normalisation across channels.")
@values_options("values", required=True)
@click.option("--k", default="2", show_default=True, metavar="NUMBER", help="Added to the sum of squares.")
@click.option("--n", default=5, show_default=True, type=click.IntRange(1), help="Channels that the sum runs over.")
@click.option("--alpha", default="0.0001", show_default=True, metavar="NUMBER", help="Weight of the sum of squares.")
@click.option("--beta", default="0.75", show_default=True, metavar="NUMBER", help="The power of the divisor.")
@click.option("--divide-alpha", is_flag=True, help="Take alpha/n for alpha, as Caffe and torch.nn do.")
@json_option
@lang_option
@debug_option
def lrn(
    values: str,
    k: str,
    n: int,
    alpha: str,
    beta: str,
    divide_alpha: bool,
    backward: bool,
    grad_output: str | None,
    show_all: bool,
    as_json: bool,
) -> None:
    """AlexNet's local response normalisation: x / (k + alpha * (sum of x^2 over n neighbouring channels))^beta.

    \b
    convatlas layer lrn --values "1 ; 2 ; 3 ; 4" --n 3 --alpha 0.1
    """
    from convatlas.arithmetic.by_value import local_response_norm

    worked = local_response_norm(read_values(values, 3, "--values"), k, n, alpha, beta, divide_alpha)
    print_by_value(worked, backward, grad_output, show_all, as_json)


@click.command("relu", short_help="The larger of 0 and each number.")
@values_options("values", required=True)
@json_option
@lang_option
@debug_option
def relu(values: str, backward: bool, grad_output: str | None, show_all: bool, as_json: bool) -> None:
    """max(0, x), element by element.

    \b
    convatlas layer relu --values "-1 2 / 0.5 -3" --backward
    """
    from convatlas.arithmetic import by_value

    worked = by_value.relu(read_values(values, 3, "--values"))
    print_by_value(worked, backward, grad_output, show_all, as_json)


@click.command("softmax", short_help="Probabilities of scores, top-1, top-5 and cross-entropy.")
@values_options("values", required=True)
@click.option("--label", "labels", metavar="NUMBERS", help="The right class of each row, from 0.")
@json_option
@lang_option
@debug_option
def softmax(
    values: str, labels: str | None, backward: bool, grad_output: str | None, show_all: bool, as_json: bool
) -> None:
    """e^z / (sum of e^z): the probabilities of scores, a row for each image; with --label top-1, top-5 and the loss.

    With --label, --backward gives the gradient of the mean cross-entropy, else that of --grad-output.

    \b
    convatlas layer softmax --values "3.2 5.1 -1.7" --label 0
    convatlas layer softmax --values "3.2 5.1 -1.7 / 1 2 3" --label "0 2" --backward
    """
    from convatlas.arithmetic import by_value

    worked = by_value.softmax(read_values(values, 2, "--values"), read_values(labels, 1, "--label"))
    print_by_value(worked, backward, grad_output, show_all, as_json)


@click.command("loss", short_help="Information, entropy, cross-entropy, KL divergence, focal loss.")
@click.option("--p", "truth", metavar="NUMBERS", help="The true distribution P, such as '0.5 1/4 1/4'.")
@click.option("--q", "prediction", metavar="NUMBERS", help="The predicted distribution Q.")
@click.option("--label", type=click.IntRange(0), help="The right class, from 0: P where P is not given.")
@click.option("--gamma", "gammas", metavar="NUMBERS", help="Exponents of the focal loss; 0 0.5 1 2 5 where not given.")
@click.option("--base", type=click.Choice(["e", "2"]), default="e", show_default=True,
              help="Of the logarithm: e counts in nats, 2 in bits.")  # fmt: skip
@json_option
@lang_option
@debug_option
def loss(
    truth: str | None, prediction: str | None, label: int | None, gammas: str | None, base: str, as_json: bool
) -> None:
    """Information, entropy, cross-entropy and KL divergence of distributions P and Q; with --label the focal loss.

    \b
    convatlas layer loss --p "0.5 1/4 1/4" --q "1/4 1/4 0.5" --base 2
    convatlas layer loss --q "0.7 0.2 0.1" --label 0 --gamma "0 2"
    """
    from convatlas.arithmetic.information import UNITS, losses

    if gammas is not None and (label is None or prediction is None):
        raise UsageError("--gamma is for the focal loss, which needs --q and --label: add them, or leave --gamma out.")
    found = losses(truth, prediction, base, label, gammas)
    if as_json:
        print_json({"kind": "loss", **found.to_dict()})
        return
    told = [(translated(step.quantity), str(step)) for step in found.steps]
    width = max(units.width(quantity) for quantity, _text in told)
    logarithm = _("logarithm to base {base}: {unit}", base=base, unit=translated(UNITS[base]))
    click.echo(logarithm)
    for quantity, text in told:
        click.echo(f"  {units.ljust(quantity, width)}  {text}")
