"""convatlas compare: train and measure several networks, honestly; recommend one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from convatlas.cli._common import data_option, debug_option, json_option, print_json, print_table, reading_options
from convatlas.cli._completion import network_names, protocol_names, recipe_names
from convatlas.cli._deployments import print_deployments
from convatlas.cli._lang import lang_option
from convatlas.cli._proposal import predicted_and_measured
from convatlas.cli.train import refuse_beside_resume, settings_options
from convatlas.errors import LimitError, UsageError
from convatlas.i18n import _, translated
from convatlas.tables import Column

if TYPE_CHECKING:
    from convatlas.comparison import Comparison
    from convatlas.data import ReadingOptions
    from convatlas.runs.configuration import GivenSettings

# those that change what is compared, or what it runs on; environment variables set them too
SETTINGS = ("epochs", "batch_size", "lr", "image_size", "fit", "device", "threads", "precision")


@click.command("compare", context_settings={"max_content_width": 110})
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=network_names)
@data_option()
@click.option("--seeds", default=1, show_default=True, help="Number of trainings of each network: 1, or at least 3.")
@click.option("--seed", default=0, show_default=True, help="Random seed of the split and of the first training.")
@click.option("--time", "minutes", type=float, help="Training time of each network in minutes, instead of epochs.")
@click.option("--budget", help="Limits, such as latency<=20ms,size<=20MB,memory<=200MB,params<=1M,macs<=300M.")
@click.option("--candidates", metavar="auto[:N]",
              help="Propose networks whose size, MACs and predicted latency fit the budget: auto, or auto:N for at "
              "most N (by default 4).")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the proposed networks and stop before any training.")
@click.option("--recipe", default="modern", show_default=True, shell_complete=recipe_names,
              help="modern, paper, or a recipe's own name.")  # fmt: skip
@click.option("--protocol", default="centre", show_default=True, shell_complete=protocol_names,
              help="Evaluation protocol: centre, flip.")  # fmt: skip
@click.option("--split", type=click.Path(path_type=Path), help="A split file to reuse.")
@click.option("--sort", default="named", show_default=True, type=click.Choice(
    ["named", "top1", "latency", "memory", "size", "params", "macs", "training"]),
    help="Order of the rows: as named, the most accurate first, or the smallest cost first.")  # fmt: skip
@reading_options
@click.option("--out", default="runs", show_default=True, type=click.Path(path_type=Path),
              help="Parent of the comparison's folder.")  # fmt: skip
@click.option("--start-from", multiple=True, metavar="WEIGHTS",
              help="Weights to start from: a run directory, a file, or published weights by name "
              "(torchvision:IMAGENET1K_V1). May be repeated: each network takes the first that fits it. A network that "
              "none of them fits is left out, if at least two others are compared.")  # fmt: skip
@click.option("--download", is_flag=True, help="Allow the download of the published weights named by --start-from.")
@click.option("--engines", metavar="NAMES",
              help="Also export every network for these engines, check and measure the files, and recommend one: "
              "torch,onnxruntime,openvino.")  # fmt: skip
@click.option("--precisions", metavar="NAMES",
              help="Precisions of the exported files, fp32 if none is named: fp32,bf16,fp16,int8.")  # fmt: skip
@click.option("--resume", "resume_from", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of an interrupted comparison to continue; finished trainings are not repeated.")  # fmt: skip
@settings_options(*SETTINGS)
@json_option
@lang_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    data: str,
    seeds: int,
    seed: int,
    minutes: float | None,
    budget: str | None,
    candidates: str | None,
    dry_run: bool,
    recipe: str,
    protocol: str,
    split: Path | None,
    sort: str,
    on_bad: Literal["fail", "skip"],
    max_bad: float,
    reading: ReadingOptions,
    out: Path,
    start_from: tuple[str, ...],
    download: bool,
    engines: str | None,
    precisions: str | None,
    resume_from: Path | None,
    epochs: int | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train and measure several networks on the same images; recommend one under a budget.

    Every network is trained under the same budget of epochs or of time, on the same split. The validation set chooses
    the weights; the test set is evaluated once. Without a NAME a few networks are chosen that suit the images.

    \b
    convatlas compare
    convatlas compare lenet5@modern resnet20_cifar --data photos/ --seeds 3
    convatlas compare --data photos/ --budget "latency<=20ms,size<=20MB"
    convatlas compare --data photos/ --engines onnxruntime,openvino --precisions fp32,int8
    convatlas compare --candidates auto:5 --data photos/ --budget "latency<=20ms" --dry-run
    convatlas compare --resume runs/compare-photos-001
    """
    from convatlas.cli._comparison_progress import ComparisonProgress
    from convatlas.comparison import compare, resume_comparison
    from convatlas.runs.configuration import given_settings

    if minutes is not None and not minutes > 0:
        raise UsageError("--time {minutes:g}: minutes above 0 are expected.", minutes=minutes)
    if dry_run:
        if candidates is None or names:
            raise UsageError("--dry-run lists what --candidates auto proposes. Add --candidates auto, and no names.")
        given = given_settings({"epochs": epochs, **settings})
        with given.places_in_errors():
            _propose(data, candidates, budget, recipe, start_from, download, reading, as_json, _chosen(given))
        return
    if resume_from is not None:
        refuse_beside_resume(ctx, {"resume_from", "data", "as_json", "lang", "debug"})
    with ExitStack() as stack:
        listener = stack.enter_context(ComparisonProgress())
        if resume_from is not None:
            moved_to = data if ctx.get_parameter_source("data") is ParameterSource.COMMANDLINE else None
            found = resume_comparison(resume_from, moved_to, listener=listener)
        else:
            given = given_settings({"epochs": epochs, **settings})
            chosen = _chosen(given)
            if minutes is not None and given.origins.get("epochs") == "environment":
                del chosen["epochs"]  # the flag --time wins
            stack.enter_context(given.places_in_errors())
            found = compare(
                names,
                data,
                seeds=seeds,
                seed=seed,
                time_s=None if minutes is None else 60 * minutes,
                budget=budget,
                recipe=recipe,
                protocol=protocol,
                split=split,
                sort=sort,
                on_bad=on_bad,
                max_bad=max_bad,
                reading=reading,
                out=out,
                start_from=start_from,
                download=download,
                engines=engines or (),
                precisions=precisions,
                candidates=candidates,
                listener=listener,
                **chosen,
            )
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found)
    if found.recommendation.model is None and found.nothing_fits:
        raise LimitError(found.recommendation.why)


def _chosen(given: GivenSettings) -> dict[str, Any]:
    """The settings of the flags and of the environment variables that have a flag here."""
    return {name: given.values[name] for name in SETTINGS if name in given.values}


def _propose(
    data: str,
    candidates: str,
    budget: str | None,
    recipe: str,
    start_from: tuple[str, ...],
    download: bool,
    reading: ReadingOptions,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    """Print the proposal on stdout, and nothing else."""
    from convatlas.cli._proposal import proposal_text
    from convatlas.comparison import propose_for
    from convatlas.runs.options import split_settings

    of_recipe, of_options = split_settings(settings)
    proposal = propose_for(
        data,
        candidates,
        budget=budget,
        recipe=recipe,
        changes=of_recipe,
        start_from=start_from,
        download=download,
        threads=of_options.get("threads"),
        reading=reading,
        on_stage=lambda text: click.echo(translated(text), err=True),
    )
    if as_json:
        print_json({"proposal": proposal.to_dict()})
    else:
        click.echo(proposal_text(proposal))


def _print(found: Comparison) -> None:
    from convatlas import units

    columns = [
        Column(_("network")),
        Column(_("test top-1"), number=True),
        Column(f"95 % {_('interval')}", number=True, drop=1),
        Column(_("params"), number=True, drop=4),
        Column("MACs", number=True, drop=6),
        Column("p50", number=True, drop=2),
        Column("p95", number=True, drop=7),
        Column(_("memory"), number=True, drop=5),
        Column(_("size"), number=True, drop=8),
        Column(_("training"), number=True, drop=9),
        Column(_("note"), drop=3),
    ]
    rows = [
        (
            f"{'→' if row.model == found.recommendation.model else ' '} {row.model}",
            units.percent(row.test_top1),
            units.interval(*row.accuracy.ci95),
            units.exact(row.params),
            "-" if row.macs is None else units.short(row.macs),
            units.duration(row.latency.p50_s),
            units.duration(row.latency.p95_s),
            "n/a" if row.memory.peak_bytes is None else units.bytes_(row.memory.peak_bytes),
            units.bytes_(row.size_bytes),
            units.duration(row.train_s),
            " ".join(
                (_("front"),) * row.pareto + (_("over"),) * bool(row.over_budget) + (_("chance"),) * row.at_chance
            ),
        )
        for row in found.rows
    ]
    majority = found.majority
    named = _("majority class ({label})", label=majority.label)
    rows.append(
        (f"  {named}", units.percent(majority.accuracy.top1), units.interval(*majority.accuracy.ci95), *("-",) * 7, "")
    )
    print_table(columns, rows)
    click.echo()
    conditions = found.conditions
    click.echo(
        _(
            "{data}: {n} test images, protocol {protocol}; the interval covers {covers}.",
            data=conditions.data,
            n=units.exact(conditions.parts["test"]),
            protocol=conditions.protocol,
            covers=found.rows[0].accuracy.covers,
        )
    )
    click.echo(
        _(
            "Training: {training}; seeds: {seeds}. Time and memory: batch 1, {processor}.",
            training=conditions.training,
            seeds=len(conditions.seeds),
            processor=conditions.machine["processor"],
        )
    )
    marks = [_("→: recommended"), _("front: no other network is both faster and more accurate")]
    if found.budget:
        marks.append(_("over: over the budget"))
    if any(row.at_chance for row in found.rows):
        marks.append(_("chance: not significantly more accurate than the majority class"))
    click.echo("; ".join(marks) + ".")
    if found.proposal is not None:
        click.echo(f"\n{predicted_and_measured(found)}\n")
    for failure in found.failures:
        click.echo(_("{model} failed: {why}", model=failure.model, why=translated(failure.why)))
    for skipped in found.skipped:
        click.echo(_("not trained: {why}", why=translated(skipped.why)))
    print_deployments(found)
    if not found.nothing_fits:
        click.echo(f"\n{translated(found.recommendation.why)}")
    if found.recommendation.file is not None:
        click.echo(f"\n{_('file: {file}', file=found.recommendation.file)}")
    click.echo(f"\n{_('report')}: {found.report}")
