"""convatlas train: a network, a data set, a recipe; a run directory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from convatlas import units
from convatlas.cli._common import (
    data_option,
    debug_option,
    json_option,
    print_json,
    print_json_line,
    print_table,
    process_number,
    reading_options,
)
from convatlas.cli._completion import network_names, recipe_names, run_names
from convatlas.cli._grouped import GroupedCommand
from convatlas.cli._lang import lang_option
from convatlas.errors import UsageError
from convatlas.i18n import _, translated
from convatlas.message import Message
from convatlas.tables import Column

if TYPE_CHECKING:
    from convatlas.data import ReadingOptions
    from convatlas.runs.configuration import Configuration
    from convatlas.runs.training_data import TrainingData
    from convatlas.settings import Setting


def settings_options(*only: str) -> Callable[[Any], Any]:
    """An option for each setting of recipe and run (or for those named), with its help; by default not changed."""
    from convatlas.runs.configuration import ALL_SETTINGS

    def decorate(command: Any) -> Any:
        for name in reversed(only or tuple(ALL_SETTINGS)):
            each = ALL_SETTINGS[name]
            if each.kind is Mapping:
                continue  # a table: --config only
            command = setting_option(each, name)(command)
            if each.formerly is not None:
                command = setting_option(each, each.formerly, hidden=True)(command)
        return command

    return decorate


def setting_option(setting: Setting, name: str, hidden: bool = False) -> Callable[[Any], Any]:
    """The option for a setting, under its name or a former one."""
    flag = "--" + name.replace("_", "-")
    if setting.kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=setting.help, hidden=hidden)
    of_text: Any = setting.kind
    if setting.kind is int and setting.choices:  # a number or a word
        of_text = str
    elif setting.choices:
        of_text = click.Choice(setting.choices)
    elif setting.kind is tuple:
        of_text = (float, float)
    return click.option(flag, name, type=of_text, help=setting.help, hidden=hidden)


@click.command("train", cls=GroupedCommand, context_settings={"max_content_width": 110})
@click.argument("model", required=False, shell_complete=network_names)
@data_option()
@click.option("--recipe", default="modern", show_default=True, shell_complete=recipe_names,
              help="Recipe: modern, modern_long, finetune, paper, or the name of one.")  # fmt: skip
@click.option("--list-recipes", is_flag=True, help="List all recipes, or those of MODEL, and exit.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of settings.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Random seed of the split, the initial weights, the order of the images and the augmentation.",
)
@click.option("--out", default="runs", show_default=True, type=click.Path(path_type=Path),
              help="Directory in which the run directory is created.")  # fmt: skip
@click.option("--split", type=click.Path(path_type=Path), help="Split file to use instead of a new split.")
@reading_options
@click.option("--time", "minutes", type=float, help="Training time in minutes; sets the number of epochs.")
@click.option("--name", help="Name of the run directory; by default the network, the data and a number.")
@click.option("--resume", "resume_from", metavar="RUN", shell_complete=run_names,
              help="Run to continue: its directory, its name in --out, or latest.")  # fmt: skip
@click.option("--print-config", is_flag=True, help="Print all settings as TOML, with where each comes from, and exit.")
@click.option("--dry-run", is_flag=True, help="Check everything and exit; nothing is trained or written.")
@click.option(
    "--find-lr",
    is_flag=True,
    help="Run a learning-rate range test of 100 updates on a copy of the network: suggest a learning rate, write "
    "the numbers and a plot to a directory in --out, and exit.",
)
@click.option("--download", is_flag=True, help="Allow the download of the published weights named by --start-from.")
@settings_options()
@json_option
@lang_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    model: str | None,
    data: str,
    recipe: str,
    list_recipes: bool,
    config: Path | None,
    seed: int,
    out: Path,
    split: Path | None,
    on_bad: Literal["fail", "skip"],
    max_bad: float,
    reading: ReadingOptions,
    minutes: float | None,
    name: str | None,
    resume_from: str | None,
    print_config: bool,
    dry_run: bool,
    find_lr: bool,
    download: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train a network of the atlas with a recipe; writes a run directory.

    MODEL is a name of the atlas, or FILE.py:Class, a torch.nn.Module of your own: its file is imported, and the class
    is given num_classes, in_channels and image_size if it takes them. FILE.py:Class(width=32) gives it arguments.

    \b
    convatlas train lenet5 --data ../mnist
    convatlas train resnet20_cifar --data CIFAR --epochs 15
    convatlas train --resume runs/lenet5-mnist-001
    convatlas train --resume latest
    convatlas train vgg16 --list-recipes
    convatlas train resnet18 --data PHOTOS --recipe finetune --start-from RUN
    convatlas train resnet18 --data PHOTOS --find-lr
    convatlas train net.py:Net --data PHOTOS
    """
    from convatlas.recipes.registry import recipe_for
    from convatlas.runs.configuration import ALL_SETTINGS, configure, given_settings
    from convatlas.runs.header import header
    from convatlas.runs.places import find
    from convatlas.runs.prepare import prepare
    from convatlas.runs.train import resume, train
    from convatlas.runs.training_data import TrainingData

    if list_recipes:
        _print_recipes(model, as_json)
        return
    if (model is None) == (resume_from is None):
        raise UsageError("name a network, or pass --resume RUN: one of the two.  convatlas models  lists the networks.")
    if resume_from is not None:
        former = {each.formerly for each in ALL_SETTINGS.values()}
        refuse_beside_resume(ctx, WITH_RESUME | ALL_SETTINGS.keys() | former)
        given = given_settings(flags, config)
        print_notices(given.notices)
        moved_to = data if ctx.get_parameter_source("data") is ParameterSource.COMMANDLINE else None
        with _watcher(as_json) as listener, given.places_in_errors():
            run = resume(find(resume_from, out), data=moved_to, listener=listener, **given.values)
    else:
        assert model is not None
        configuration = configure(recipe_for(model, recipe), flags, config)
        print_notices(configuration.notices)
        chosen, options = configuration.recipe, configuration.options
        if print_config:
            click.echo(configuration.to_toml())
            return
        if dry_run or find_lr:
            training_data = TrainingData(
                data,
                seed=seed,
                split=split,
                on_bad=on_bad,
                max_bad=max_bad,
                reading=reading,
                validation_images=chosen.validation_images,
            )
            if find_lr:
                _find_lr(model, training_data, configuration, seed, out, download, as_json)
                return
            setup = prepare(model, training_data, chosen, seed, options=options, download=download)
            for title, value in header(setup).items():
                click.echo(f"{units.rjust(translated(title), 12)}  {translated(value)}")
            return
        with _watcher(as_json) as listener:
            run = train(
                model,
                data,
                chosen,
                options=options,
                seed=seed,
                out=out,
                name=name,
                split=split,
                on_bad=on_bad,
                max_bad=max_bad,
                reading=reading,
                time_s=None if minutes is None else 60 * minutes,
                download=download,
                listener=listener,
            )
    if process_number():
        return  # number 0 speaks for all
    result = run.result
    assert result is not None  # a run that came back is finished
    if as_json:
        print_json_line(result)
    else:
        _print_result(result, run.path)


# what --resume goes well with, besides the settings, which `resumption` checks one by one
WITH_RESUME = {"resume_from", "out", "data", "config", "as_json", "lang", "debug"}


def refuse_beside_resume(ctx: click.Context, accepted: Collection[str | None]) -> None:
    """Raise UsageError for the options and arguments given beside --resume that are not ``accepted`` (by name)."""
    refused = [
        parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(ctx)
        for parameter in ctx.command.params
        if parameter.name not in accepted
        and ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    if refused:
        raise UsageError(
            "{options} cannot be combined with --resume: what is resumed keeps the settings it was started with. Leave "
            "this out, or start anew.",
            options=", ".join(refused),
        )


def print_notices(notices: Iterable[Message]) -> None:
    """What there is to say about former names of settings, on stderr."""
    for notice in notices:
        click.echo(translated(notice), err=True)


def _print_recipes(model: str | None, as_json: bool) -> None:
    from convatlas.recipes.registry import listing

    found = listing(model)
    if as_json:
        print_json({"recipes": [line._asdict() for line in found]})
        return
    whose = _("is paper for") if model is None else _("own name")
    columns = (
        Column(_("recipe")),
        Column(whose),
        Column(_("length, images an update"), drop=1, wraps=True),
        Column(_("update"), drop=2, wraps=True),
    )
    title = "" if model is None else _("recipes of {model}", model=model)
    print_table(columns, found, title)
    if model is not None:
        click.echo()
        click.echo(_("Any other is taken by its own name:  convatlas train --list-recipes"))


def _find_lr(
    model: str,
    training_data: TrainingData,
    configuration: Configuration,
    seed: int,
    out: Path,
    download: bool,
    as_json: bool,
) -> None:
    from convatlas.runs.lr_range import find_lr
    from convatlas.training.lr_range import RULE

    chosen, options = configuration.recipe, configuration.options
    found = find_lr(model, training_data, chosen, options=options, seed=seed, out=out, download=download)
    if as_json:
        print_json({**found.to_dict(), "folder": str(found.folder)})
        return
    sweep = found.range
    if sweep.suggestion is None:
        said = _("no suggestion: over {n} updates the loss never fell below its beginning", n=len(sweep.lrs))
        click.echo(said)
    else:
        click.echo(f"lr {sweep.suggestion:.2g}: {translated(RULE)} ({sweep.lowest:.2g})")
    end = _("went to its end, {lr:.2g}", lr=sweep.lrs[-1])
    if sweep.diverged:
        end = _("diverged at {lr:.2g}", lr=sweep.diverged)
    click.echo(
        _(
            "{model}, {optimizer}, batches of {batch_size}: the sweep from {lowest:.2g} {end}; "
            "recipe {recipe} has lr {lr:g}",
            model=found.model,
            optimizer=chosen.optimizer,
            batch_size=chosen.batch_size,
            lowest=sweep.lrs[0],
            end=end,
            recipe=chosen.name,
            lr=chosen.lr,
        )
    )
    click.echo(_("picture: {file}", file=Path(str(found.folder)) / "lr-range.png"))


def _watcher(as_json: bool) -> Any:
    from convatlas.cli._progress import JsonListener, ProgressListener

    return JsonListener() if as_json else ProgressListener()


def _print_result(result: dict[str, Any], path: Path) -> None:
    length = _("{epochs} epochs in {time}", epochs=result["epochs"], time=units.duration(result["train_s"]))
    if result["test_top1"] is None:
        click.echo(
            _(
                "{model}: test mean squared error {mse:.4f} with pixels of deviation 1, {rms:.1f} of 255 root mean "
                "square ({n} images)",
                model=result["model"],
                mse=result["test_mse"],
                rms=result["test_pixels_rms"],
                n=result["test_n"],
            )
            + f", {length}"
        )
    else:
        parts = [
            _(
                "{model}: test top-1 {top1} (95 % interval {interval}, {n} images, protocol {protocol})",
                model=result["model"],
                top1=units.percent(result["test_top1"]),
                interval=units.interval(*result["test_ci95"]),
                n=result["test_n"],
                protocol=result["protocol"],
            )
        ]
        if result["val_top1"] is not None:
            parts.append(_("validation {top1}", top1=units.percent(result["val_top1"])))
        click.echo(", ".join((*parts, length)))
        for figure in result["figures"]:
            if figure["measured_percent"] is not None:
                click.echo(_beside_printed(figure))
    click.echo(_("run: {run}   report: {report}", run=path, report=path / "report.html"))


def _beside_printed(figure: dict[str, Any]) -> str:
    place = f"{figure['printed_protocol']}; {figure['source']}"
    if not figure["verified"]:
        place += _(", recalled")
    return _(
        "{quantity}: printed {printed} ({place}), measured {measured:.2f} % ({protocol})",
        quantity=figure["quantity"],
        printed=figure["printed"],
        place=place,
        measured=figure["measured_percent"],
        protocol=figure["measured_protocol"],
    )
