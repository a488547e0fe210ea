"""``convatlas layer conv|pool|fc``: the arithmetic of one layer, by hand."""

from __future__ import annotations

from typing import Any

import click

from convatlas import tables, units
from convatlas.cli._common import debug_option, json_option, print_json
from convatlas.cli._help import help_where_no_command
from convatlas.cli._lang import lang_option
from convatlas.errors import UsageError


@click.group(
    "layer", invoke_without_command=True, no_args_is_help=True, short_help="The arithmetic of one layer, by hand."
)
@lang_option
@click.pass_context
def command(ctx: click.Context) -> None:
    """The arithmetic of one layer, by hand: the lecture's exercises.

    \b
    convatlas layer conv --input 3x227x227 --kernel 11 --stride 4 --out 96
    convatlas layer pool --input 96x55x55 --kernel 3 --stride 2
    convatlas layer fc --input 256x6x6 --out 4096
    """
    help_where_no_command(ctx)


def _shape(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdigit() for part in parts):
        raise UsageError(
            "--input is CxHxW (or one number for fc), such as 3x227x227; got {text!r}.",
            text=text,
        )
    return tuple(map(int, parts))


def _sides(text: str, option: str) -> int | tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdigit() for part in parts):
        raise UsageError("{option} is a number, or HxW such as 1x7; got {text!r}.", option=option, text=text)
    values = tuple(map(int, parts))
    return values[0] if len(values) == 1 else values


_input = click.option("--input", "input_", required=True, metavar="CxHxW", help="What the layer is given.")
_kernel = click.option("--kernel", required=True, metavar="K|HxW", help="Side of the window.")
_padding = click.option("--padding", default="0", show_default=True, metavar="P|HxW", help="Added at each end.")
_dilation = click.option(
    "--dilation", default="1", show_default=True, metavar="D|HxW", help="Distance between neighbours in the window."
)
_no_bias = click.option("--no-bias", is_flag=True, help="Leave the bias out.")


@command.command("conv")
@_input
@click.option("--out", "out_channels", required=True, type=int, help="Filters, the output channels.")
@_kernel
@click.option("--stride", default="1", show_default=True, metavar="S|HxW", help="Step of the window.")
@_padding
@_dilation
@click.option("--groups", default=1, show_default=True, type=int, help="Groups of channels, each convolved by itself.")
@_no_bias
@json_option
@lang_option
@debug_option
def conv(
    input_: str,
    out_channels: int,
    kernel: str,
    stride: str,
    padding: str,
    dilation: str,
    groups: int,
    no_bias: bool,
    as_json: bool,
) -> None:
    """A convolution; --padding same keeps the size."""
    from convatlas.arithmetic.layer import convolution, same_as_fully_connected

    shape = _shape(input_)
    pads = "same" if padding == "same" else _sides(padding, "--padding")
    steps, sides = _sides(stride, "--stride"), _sides(kernel, "--kernel")
    spread = _sides(dilation, "--dilation")
    worked = convolution(shape, out_channels, sides, steps, pads, spread, groups, bias=not no_bias)
    dense = same_as_fully_connected(worked, bias=not no_bias)
    fits = _fits(shape, sides, steps, pads, spread)
    _print(worked, fits, dense, as_json)


@command.command("pool")
@_input
@_kernel
@click.option("--stride", default=None, metavar="S|HxW", help="The window's side where not given.")
@_padding
@_dilation
@click.option("--ceil", is_flag=True, help="Round the output size up, as Caffe does.")
@json_option
@lang_option
@debug_option
def pool(input_: str, kernel: str, stride: str | None, padding: str, dilation: str, ceil: bool, as_json: bool) -> None:
    """A pooling, of whatever kind."""
    from convatlas.arithmetic.layer import pooling

    shape, sides = _shape(input_), _sides(kernel, "--kernel")
    steps = sides if stride is None else _sides(stride, "--stride")
    pads, spread = _sides(padding, "--padding"), _sides(dilation, "--dilation")
    worked = pooling(shape, sides, steps, pads, spread, ceil)
    _print(worked, _fits(shape, sides, steps, pads, spread), None, as_json)


@command.command("fc")
@_input
@click.option("--out", "out_features", required=True, type=int, help="Outputs.")
@_no_bias
@json_option
@lang_option
@debug_option
def fc(input_: str, out_features: int, no_bias: bool, as_json: bool) -> None:
    """A fully connected layer over the whole input."""
    from convatlas.arithmetic.layer import fully_connected

    _print(fully_connected(_shape(input_), out_features, bias=not no_bias), [], None, as_json)


def _fits(shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any) -> list[dict[str, Any]]:
    """The sides over which the window does not step evenly, and the paddings with which it would."""
    from convatlas.arithmetic.formulas import per_axis
    from convatlas.arithmetic.layer import fit

    if padding == "same":
        return []
    axes = len(shape) - 1
    columns = [per_axis(value, axes) for value in (kernel, stride, padding, dilation)]
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    for size, k, s, p, d in zip(shape[1:], *columns, strict=True):
        result = fit(size, k, s, p, d)
        if not result.fits:
            found[(size, k, s, p, d)] = {
                "size": size,
                "exact": float(result.exact),
                "floor": result.floor,
                "ceil": result.ceil,
                "paddings_that_fit": list(result.paddings),
                "total_paddings_that_fit": list(result.totals),
            }
    return list(found.values())


def _print(worked: Any, fits: list[dict[str, Any]], dense: Any, as_json: bool) -> None:
    from convatlas.arithmetic.records import times
    from convatlas.i18n import _

    if as_json:
        document = worked.to_dict()
        document["does_not_fit"] = fits
        if dense is not None:
            document["fully_connected"] = {"weights": dense.macs, "params": dense.params}
        print_json(document)
        return
    click.echo(f"{worked.kind}: {times(worked.input)} -> {times(worked.output)}")
    click.echo(tables.labelled(((step.quantity, step.said) for step in worked.steps), indent=2))
    for side in fits:
        click.echo("")
        click.echo(
            _(
                "The stride does not fit: {size} pixels give {exact} positions, {floor} rounded down, {ceil} up.",
                size=side["size"],
                exact=f"{side['exact']:.4g}",
                floor=side["floor"],
                ceil=side["ceil"],
            )
        )
        if side["paddings_that_fit"]:
            click.echo(_("Padding at each end with which it fits: {list}", list=_list(side["paddings_that_fit"])))
        else:
            totals = _list(side["total_paddings_that_fit"])
            click.echo(_("No equal padding fits; both ends together would need {list}", list=totals))
    if dense is not None:
        click.echo("")
        click.echo(
            _(
                "A fully connected layer of the same sizes has {dense} weights, {times} times as many.",
                dense=units.exact(dense.macs),
                times=units.exact(round(dense.params / worked.params)),
            )
        )


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
