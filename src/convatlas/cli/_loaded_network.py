"""What `evaluate` and `predict` are asked about: a run, or a network of the atlas with other people's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from convatlas.cli._completion import run_or_network
from convatlas.errors import UsageError
from convatlas.i18n import _, translated
from convatlas.message import Message

if TYPE_CHECKING:
    from convatlas.runs.loaded_network import LoadedNetwork

Command = TypeVar("Command", bound=Callable[..., Any])


def subject_options(command: Command, several: bool = False, files: bool = False) -> Command:
    """The argument RUN_OR_NETWORK, or several, and the flags that say which weights a network gets.

    Args:
        files: whether an exported file is taken as well.
    """
    also = "|FILE" if files else ""
    argument = (
        click.argument("what", nargs=-1, required=True, metavar=f"RUN...|NETWORK{also}", shell_complete=run_or_network)
        if several
        else click.argument("what", metavar=f"RUN|NETWORK{also}", shell_complete=run_or_network)
    )
    return argument(weights_options(command))


def weights_options(command: Command) -> Command:
    """The flags that say which weights a network gets; `asked` takes their values by name."""
    for decorate in (
        click.option("--download", is_flag=True, help="Fetch published weights that are not in the cache."),
        click.option("--classes", type=click.Path(path_type=Path), metavar="FILE",
                     help="File of class names, one per line, for weights that do not contain them."),
        click.option("--interpolation", type=click.Choice(["bilinear", "bicubic"]),
                     help="Interpolation of that resize."),
        click.option("--crop", type=int, help="Side of the centre crop the weights were trained with, in pixels."),
        click.option("--resize", type=int, help="Shorter side that images are resized to before the crop, in pixels."),
        click.option("--channels", type=click.Choice(["rgb", "bgr"]),
                     help="Order of the channels the weights were trained with, and of --mean and --std."),
        click.option("--std", metavar="S,S,S", help="Standard deviation of the pixels, like --mean."),
        click.option("--mean", metavar="M,M,M",
                     help="Mean of the pixels the weights were trained with, such as 0.485,0.456,0.406; from 0 to 1, "
                     "or from 0 to 255 if a value of --mean or --std is above 1."),
        click.option("--rename", type=click.Path(path_type=Path), metavar="FILE.toml",
                     help='Names for a weights file that has its own: lines theirs = "ours"; convatlas weights '
                     "writes one."),
        click.option("--source",
                     help="Library or author whose layer names the weights file uses; detected by default."),
        click.option("--weights", metavar="FILE|SOURCE:NAME",
                     help="Other people's weights for a network: a file, or published ones such as "
                     "torchvision:IMAGENET1K_V2."),
    ):  # fmt: skip
        command = decorate(command)
    return command


def asked(
    what: str,
    weights: str | None,
    source: str | None,
    classes: Path | None,
    download: bool,
    rename: Path | None,
    **preparation: Any,
) -> LoadedNetwork:
    """The run, or the network built with its weights; for these, how their images are prepared goes to stderr.

    Raises:
        UsageError: a network without weights, or flags of a network beside a run.
    """
    from convatlas.runs.loaded_network import load_network

    if weights is None:
        given = [name for name, value in preparation.items() if value is not None]
        if source or classes or download or rename or given:
            raise UsageError(
                "--source, --classes, --download, --rename, --mean, --std, --channels, --resize, --crop and "
                "--interpolation belong to a network's --weights; a run has its own."
            )
        if not Path(what).exists() and is_network(what):
            raise UsageError(
                "{what} is a network, not a run: name its weights, as in  --weights resnet50.pth  or  "
                "--weights torchvision:IMAGENET1K_V1  ({published}).",
                what=what,
                published=published_for(what),
            )
        from convatlas.runs import pretrained

        return pretrained.from_pretrained(what) if pretrained.is_pretrained(what) else load_network(what)
    from convatlas.runs.loaded_network import network_with_weights

    found = network_with_weights(
        what, weights, source, classes=classes, download=download, rename=rename, preparation=preparation
    )
    for remark in found.remarks:
        click.echo(_("note: {remark}", remark=remark), err=True)
    click.echo(f"{translated(found.name)}: {translated(found.prepared)}", err=True)
    return found


def is_network(name: str) -> bool:
    from convatlas.models import bridges, list_models

    return bridges.is_bridged(name) or name in list_models()


def published_for(name: str) -> Message:
    from convatlas.models import bridges

    if bridges.is_bridged(name):
        return Message("its library fetches its own:  --weights pretrained --download")
    from convatlas.models.weights.published import table

    known = [line.full_name for line in table() if line.network == name]
    if not known:
        return Message("none are published for it; give a file")
    return Message("published for it: {names}", names=", ".join(known))
