"""``convatlas layer conv|pool|fc|...``: the arithmetic of one layer, by hand: by its sizes, or by its values."""

from __future__ import annotations

from typing import Any

import click

from convatlas import tables, units
from convatlas.cli import _by_value
from convatlas.cli._by_value import check_by_value, print_by_value, read_values, values_options
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

    With --input: sizes, parameters and multiply-adds of a layer. With --values: its result for the given numbers, with
    every product and sum. Indices of y[0,1] and labels begin at 0.

    \b
    convatlas layer conv --input 3x227x227 --kernel 11 --stride 4 --out 96
    convatlas layer pool --input 96x55x55 --kernel 3 --stride 2
    convatlas layer fc --input 256x6x6 --out 4096
    convatlas layer conv --values "1 2 0 / 0 1 3 / 2 0 1" --weights "1 0 / 0 -1" --backward
    """
    help_where_no_command(ctx)


command.add_command(_by_value.lrn)
command.add_command(_by_value.relu)
command.add_command(_by_value.softmax)
command.add_command(_by_value.loss)


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


_input = click.option("--input", "input_", metavar="CxHxW", help="Size of what the layer is given, for the counts.")
_kernel = click.option("--kernel", metavar="K|HxW", help="Side of the window.")
_padding = click.option("--padding", default="0", show_default=True, metavar="P|HxW", help="Added at each end.")
_dilation = click.option(
    "--dilation", default="1", show_default=True, metavar="D|HxW", help="Distance between neighbours in the window."
)
_no_bias = click.option("--no-bias", is_flag=True, help="Leave the bias out.")


@command.command("conv")
@_input
@values_options("values", "weights", "bias")
@click.option("--out", "out_channels", type=int, help="Filters, the output channels.")
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
    input_: str | None,
    values: str | None,
    weights: str | None,
    bias: str | None,
    backward: bool,
    grad_output: str | None,
    show_all: bool,
    out_channels: int | None,
    kernel: str | None,
    stride: str,
    padding: str,
    dilation: str,
    groups: int,
    no_bias: bool,
    as_json: bool,
) -> None:
    """A convolution; --padding same keeps the size.

    \b
    convatlas layer conv --input 3x227x227 --kernel 11 --stride 4 --out 96
    convatlas layer conv --values "1 2 0 / 0 1 3 / 2 0 1" --weights "1 0 / 0 -1" --bias 0.5 --backward
    """
    from convatlas.arithmetic.layer import convolution, equivalent_fully_connected

    by_value = {"--weights": weights, "--bias": bias, "--backward": backward, "--grad-output": grad_output}
    by_size = {"--input": input_, "--out": out_channels, "--kernel": kernel, "--no-bias": no_bias}
    check_by_value(values, by_value, by_size)
    pads = "same" if padding == "same" else _sides(padding, "--padding")
    steps, spread = _sides(stride, "--stride"), _sides(dilation, "--dilation")
    if values is not None:
        from convatlas.arithmetic import by_value as exercise

        numbers = read_values(values, 3, "--values"), _weights(weights, 4), read_values(bias, 1, "--bias")
        result = exercise.convolution(*numbers, steps, pads, spread, groups)
        print_by_value(result, backward, grad_output, show_all, as_json)
        return
    shape = _shape(_needed(input_, "--input"))
    out_channels, sides = _needed(out_channels, "--out"), _sides(_needed(kernel, "--kernel"), "--kernel")
    worked = convolution(shape, out_channels, sides, steps, pads, spread, groups, bias=not no_bias)
    dense = equivalent_fully_connected(worked, bias=not no_bias)
    fits = _fits(shape, sides, steps, pads, spread)
    _print(worked, fits, dense, as_json)


@command.command("pool", short_help="A pooling: sizes, or the values of a max or average pooling.")
@_input
@values_options("values")
@click.option("--mode", type=click.Choice(["max", "avg"]), help="For --values: the maximum (default) or the average.")
@_kernel
@click.option("--stride", default=None, metavar="S|HxW", help="The window's side where not given.")
@_padding
@_dilation
@click.option("--ceil", is_flag=True, help="Round the output size up, as Caffe does.")
@json_option
@lang_option
@debug_option
def pool(
    input_: str | None,
    values: str | None,
    backward: bool,
    grad_output: str | None,
    show_all: bool,
    mode: str | None,
    kernel: str | None,
    stride: str | None,
    padding: str,
    dilation: str,
    ceil: bool,
    as_json: bool,
) -> None:
    """A pooling: the sizes of any kind, the values of a max or an average pooling.

    \b
    convatlas layer pool --input 96x55x55 --kernel 3 --stride 2
    convatlas layer pool --values "1 3 2 4 / 5 6 7 8 / 3 2 1 0 / 1 2 3 4" --kernel 2 --mode avg
    """
    from convatlas.arithmetic.layer import pooling

    by_value = {"--mode": mode, "--backward": backward, "--grad-output": grad_output}
    check_by_value(values, by_value, {"--input": input_})
    sides = _sides(_needed(kernel, "--kernel"), "--kernel")
    steps = sides if stride is None else _sides(stride, "--stride")
    pads, spread = _sides(padding, "--padding"), _sides(dilation, "--dilation")
    if values is not None:
        from convatlas.arithmetic import by_value as exercise

        numbers = read_values(values, 3, "--values")
        result = exercise.pooling(numbers, sides, steps, pads, mode or "max", spread, ceil)
        print_by_value(result, backward, grad_output, show_all, as_json)
        return
    shape = _shape(_needed(input_, "--input"))
    worked = pooling(shape, sides, steps, pads, spread, ceil)
    _print(worked, _fits(shape, sides, steps, pads, spread), None, as_json)


@command.command("fc", short_help="A fully connected layer over the whole input.")
@_input
@values_options("values", "weights", "bias")
@click.option("--out", "out_features", type=int, help="Outputs.")
@_no_bias
@json_option
@lang_option
@debug_option
def fc(
    input_: str | None,
    values: str | None,
    weights: str | None,
    bias: str | None,
    backward: bool,
    grad_output: str | None,
    show_all: bool,
    out_features: int | None,
    no_bias: bool,
    as_json: bool,
) -> None:
    """A fully connected layer over the whole input; a row of --weights for each output.

    \b
    convatlas layer fc --input 256x6x6 --out 4096
    convatlas layer fc --values "1 2 3" --weights "1 0 1 / 0 1 0" --bias "0.5 -1" --backward
    """
    from convatlas.arithmetic.layer import fully_connected

    by_value = {"--weights": weights, "--bias": bias, "--backward": backward, "--grad-output": grad_output}
    check_by_value(values, by_value, {"--input": input_, "--out": out_features, "--no-bias": no_bias})
    if values is not None:
        from convatlas.arithmetic import by_value as exercise

        numbers = read_values(values, 3, "--values"), _weights(weights, 2), read_values(bias, 1, "--bias")
        print_by_value(exercise.fully_connected(*numbers), backward, grad_output, show_all, as_json)
        return
    shape = _shape(_needed(input_, "--input"))
    _print(fully_connected(shape, _needed(out_features, "--out"), bias=not no_bias), [], None, as_json)


def _needed(value: Any, option: str) -> Any:
    """The value of an option that the counts need."""
    if value is not None:
        return value
    raise UsageError(
        "{option} is missing. Give the sizes (--input) for the counts, or --values for a worked example; --help has "
        "an example of each.",
        option=option,
    )


def _weights(weights: str | None, axes: int) -> Any:
    if weights is None:
        raise UsageError('--weights is missing: give the numbers of the kernel, as in --weights "1 0 / 0 -1".')
    return read_values(weights, axes, "--weights")


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
    click.echo(tables.labelled(((step.quantity, step.text) for step in worked.steps), indent=2))
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
