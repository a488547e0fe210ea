"""convatlas inspect: what a network looks at, and what it has learned, as pictures and numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from convatlas.cli._bar import bar
from convatlas.cli._common import debug_option, json_option, listed, picture_format, print_json, print_table
from convatlas.cli._completion import views
from convatlas.cli._inspect_output import print_found
from convatlas.cli._inspect_views import METHODS, VIEWS, view_name
from convatlas.cli._lang import lang_option
from convatlas.cli._loaded_network import asked, is_network, subject_options
from convatlas.errors import DataError, UsageError
from convatlas.i18n import _, translated
from convatlas.tables import Column

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from convatlas.runs.loaded_network import LoadedNetwork

FORMATS = ("png", "svg", "pdf")


class View(Protocol):
    """The result of an inspection."""

    def to_dict(self) -> dict[str, Any]: ...
    def draw(self, places: Sequence[int] | None = None) -> Axes: ...


def list_methods(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Every value of --what with what it shows and its source; nothing else is done."""
    if not wanted or ctx.resilient_parsing:
        return
    columns = (Column("--what"), Column(_("what it shows"), wraps=True), Column(_("source"), drop=1, wraps=True))
    print_table(columns, [(name, translated(view.shows), view.source) for name, view in VIEWS.items()])
    ctx.exit()


@dataclass(frozen=True)
class Request:
    """The options of one inspection."""

    network: LoadedNetwork
    images: tuple[str, ...]
    what: str
    layer: str | None
    target: str | None
    channels: tuple[int, ...]
    sanity: bool
    data: str | None
    count: int
    seed: int


@click.command("inspect", context_settings={"max_content_width": 110})
@subject_options
@click.argument("images", nargs=-1, metavar="[IMAGE...]")
@click.option(
    "--what",
    "view",
    default="grad-cam",
    show_default=True,
    shell_complete=views,
    help="What to show: a method of attribution, maps, filters, statistics, deconvnet; --list-methods describes them.",
)
@click.option(
    "--list-methods",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=list_methods,
    help="Describe every value of --what with its source, and stop.",
)
@click.option(
    "--layer",
    help="Row or block of  convatlas show  whose output is used; by default the last one with "
    "spatial axes, and for maps, filters and statistics the first convolution.",
)
@click.option(
    "--class",
    "target",
    metavar="NAME|INDEX",
    help="Class whose score is explained; by default the most probable class of each image.",
)
@click.option(
    "--channel",
    "numbers",
    type=click.IntRange(0),
    multiple=True,
    metavar="N",
    help="Feature map to show, counted from 0; may be given several times. By default those with the largest maximum.",
)
@click.option(
    "--sanity",
    is_flag=True,
    help="Also compute the maps of a copy of the network whose weights are randomised: a map that looks the "
    "same does not depend on what the network has learned.",
)
@click.option(
    "--data",
    help="Data set of the views that use one: a folder, archive or file whose layout is detected, or 'digits'; by "
    "default that of the run.",
)
@click.option(
    "--sample",
    "count",
    default=500,
    show_default=True,
    help="Largest number of images of the data set to use, evenly chosen.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Of the first weights of a network without --weights, and of the methods that draw random numbers.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="Write a picture: one file whose ending decides its format (.png, .svg or .pdf), or a directory, "
    "with one PNG for each image.",
)
@json_option
@lang_option
@debug_option
def command(
    what: str,
    images: tuple[str, ...],
    view: str,
    layer: str | None,
    target: str | None,
    numbers: tuple[int, ...],
    sanity: bool,
    data: str | None,
    count: int,
    seed: int,
    out: Path | None,
    as_json: bool,
    **subject: Any,
) -> None:
    """Show what a network looks at, and what it has learned.

    The subject is a RUN; a NETWORK of the atlas with other people's --weights; or FILE.py:Class, a torch.nn.Module of
    your own, whose file is imported. Maps, filters and statistics also take a NETWORK without --weights, which then has
    its first weights. IMAGE is a file, a folder (all images below it), or - for a list of them on stdin. Images are
    prepared as in  convatlas predict.

    The numbers are printed, and --out writes the picture. --json has the same numbers for programs: the shape and the
    range of each array, its layer, class, score, unit and source.

    \b
    convatlas inspect runs/resnet18-photos-001 cat.jpg --out cat.png
    convatlas inspect runs/resnet18-photos-001 cat.jpg --what smoothgrad --class bees --sanity --out bees.svg
    convatlas inspect runs/resnet18-photos-001 new_photos/ --what grad-cam++ --out explained/
    convatlas inspect runs/resnet18-photos-001 cat.jpg --what maps --layer conv1 --out maps.png
    convatlas inspect runs/resnet18-photos-001 --what filters --out filters.png
    convatlas inspect runs/resnet18-photos-001 --what patches --layer conv3_x --sample 10 --out patches.png
    convatlas inspect runs/resnet18-photos-001 --what maximise --class bees --out bees.png
    convatlas inspect runs/resnet18-photos-001 --what embedding --data photos/ --out plane.png
    convatlas inspect resnet20_cifar --what gradient-norms --data photos/ --out start.png
    convatlas inspect resnet20_cifar cat.jpg --what maps --layer stage2 --out first-weights.png
    convatlas inspect resnet20_cifar cat.jpg --weights own.pth --mean 0.5 --std 0.25 --classes names.txt
    """
    name = view_name(view)
    refuse_unused(name, images, layer, target, numbers, sanity, data)
    if out is not None and out.suffix:
        picture_format(out, FORMATS)
    if name == "gradient-norms":
        found = gradient_norms(what, data, seed, subject)
    else:
        network = inspected_network(what, name, seed, subject)
        found = COMPUTED.get(name, attributed)(
            Request(network, images, name, layer, target, numbers, sanity, data, count, seed)
        )
    written = [] if out is None else write_pictures(found, out, name, images_of(found))
    if as_json:
        print_json({**found.to_dict(), "pictures": [str(path) for path in written]})
        return
    print_found(found.to_dict())
    for path in written:
        click.echo(_("wrote {file}", file=path), err=True)


def refuse_unused(
    name: str,
    images: Sequence[str],
    layer: str | None,
    target: str | None,
    numbers: Sequence[int],
    sanity: bool,
    data: str | None,
) -> None:
    """Raise UsageError for an option that this view does not use, or for missing images."""
    view = VIEWS[name]
    if view.takes_images and not images:
        raise UsageError("--what {what} needs images: name at least one file or folder.", what=name)
    unused = [
        option
        for option, given, used in (
            ("IMAGE", bool(images), view.takes_images),
            ("--layer", layer is not None, view.takes_layer),
            ("--class", target is not None, name in METHODS or view.takes_class),
            ("--channel", bool(numbers), view.takes_channels),
            ("--sanity", sanity, name in METHODS),
            ("--data", data is not None, view.takes_data),
        )
        if given and not used
    ]
    if unused:
        raise UsageError("--what {what} does not use {options}; leave it out.", what=name, options=", ".join(unused))


def inspected_network(what: str, view: str, seed: int, subject: dict[str, Any]) -> LoadedNetwork:
    """The run, the network with its weights, or a network with its first weights where the view allows it."""
    from convatlas.models import own

    built = own.is_file(what) or (is_network(what) and VIEWS[view].allows_first_weights)
    if not built or subject["weights"] is not None or Path(what).is_dir():
        return asked(what, **subject)
    from convatlas.models.weights.given import GivenPreparation
    from convatlas.runs.loaded_network import class_names
    from convatlas.runs.seen_images import first_weights

    file = subject["classes"]
    given = {key: subject[key] for key in ("mean", "std", "channels", "resize", "crop", "interpolation")}
    network = first_weights(what, seed, None if file is None else class_names(file), GivenPreparation.of_texts(**given))
    click.echo(f"{translated(network.name)}: {translated(network.prepared)}", err=True)
    return network


# --- what each view computes ------------------------------------------------------------------------------------------


def attributed(request: Request) -> View:
    from convatlas.runs.inspect import attribute

    seeded: dict[str, Any] = {"seed": request.seed} if request.what in ("smoothgrad", "rise") else {}
    with bar(_("computing {what}", what=request.what)) as progress:
        return attribute(
            request.network,
            list(listed(request.images)),
            request.what.replace("-", "_"),
            target=request.target,
            layer=request.layer,
            sanity=request.sanity,
            progress=progress,
            **seeded,
        )


def maps(request: Request) -> View:
    from convatlas.runs.inspect_layers import feature_maps

    found = feature_maps(request.network, list(listed(request.images)), request.layer)
    return found.of_channels(request.channels) if request.channels else found


def filters(request: Request) -> View:
    from convatlas.runs.inspect_layers import filters

    return filters(request.network)


def statistics(request: Request) -> View:
    from convatlas.runs.inspect_layers import channel_statistics

    return channel_statistics(request.network, list(listed(request.images)), request.layer)


def deconvnet(request: Request) -> View:
    from convatlas.runs.inspect_layers import patterns

    return patterns(request.network, list(listed(request.images)), request.layer, request.channels or None)


def patches(request: Request) -> View:
    from convatlas.runs.inspect_data import channel_patches, sample

    images = sample(request.network, request.data, request.count)
    return channel_patches(request.network, images, request.layer, request.channels or None)


def maximise(request: Request) -> View:
    from convatlas.runs.inspect_data import maximise
    from convatlas.runs.seen_images import class_index

    if (request.target is None) == (request.layer is None or not request.channels):
        raise UsageError("--what maximise needs --class NAME, or both --layer and --channel.")
    if request.target is not None:
        return maximise(request.network, None, [class_index(request.network, request.target)], seed=request.seed)
    return maximise(request.network, request.layer, request.channels, seed=request.seed)


def embedding(request: Request) -> View:
    from convatlas.runs.inspect_data import embed, sample

    return embed(request.network, sample(request.network, request.data, request.count), seed=request.seed)


def neighbours(request: Request) -> View:
    from convatlas.runs.inspect_data import nearest, sample

    images = sample(request.network, request.data, request.count)
    return nearest(request.network, list(listed(request.images)), images)


def gradient_norms(what: str, data: str | None, seed: int, subject: dict[str, Any]) -> View:
    """Of a run; or of a network at the start of a training on ``data``."""
    from convatlas.runs.inspect_gradients import gradients_at_start, gradients_of_run
    from convatlas.runs.run import Run

    given = [name for name, value in subject.items() if value]
    if given:
        raise UsageError(
            "--what {what} does not use {options}; leave it out.",
            what="gradient-norms",
            options=", ".join(f"--{name}" for name in given),
        )
    if Path(what).is_dir():
        if data is not None:
            raise UsageError("{run} is a run, which has its own data; leave --data out.", run=what)
        return gradients_of_run(Run(what))
    if data is None:
        raise UsageError(
            "--what {what} needs --data: a data set to train {network} on.", what="gradient-norms", network=what
        )
    return gradients_at_start(what, data, seed=seed)


COMPUTED: dict[str, Callable[[Request], View]] = {
    "maps": maps,
    "filters": filters,
    "statistics": statistics,
    "deconvnet": deconvnet,
    "patches": patches,
    "maximise": maximise,
    "embedding": embedding,
    "neighbours": neighbours,
}


# --- output -----------------------------------------------------------------------------------------------------------


def images_of(found: View) -> tuple[str, ...]:
    """The files of the images that have a picture of their own."""
    seen = getattr(found, "seen", None)
    return () if seen is None else tuple(seen.files)


def write_pictures(found: View, out: Path, name: str, files: Sequence[str]) -> list[Path]:
    """One picture, or in a directory one for each image; returns the paths written.

    Raises:
        DataError: a path cannot be written.
    """
    from convatlas.atomic import written_atomically
    from convatlas.message import system_reason
    from convatlas.visualization.inspection import picture, picture_style

    parts: Iterable[tuple[Path, list[int] | None]]
    if out.suffix:
        parts = [(out, None)]
    else:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError("{path} cannot be written: {reason}.", path=out, reason=system_reason(error)) from error
        stems = distinct([Path(file).stem for file in files])
        parts = [(out / f"{stem}-{name}.png", [place]) for place, stem in enumerate(stems)]
        parts = parts or [(out / f"{name}.png", None)]
    written = []
    for path, places in parts:
        with picture_style():
            content = picture(found.draw(places), path.suffix.lower().removeprefix("."))
        with written_atomically(path) as file:
            file.write(content)
        written.append(path)
    return written


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that are there more than once."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(f"{name}-{seen[name]}" if counts[name] > 1 else name)
    return result
