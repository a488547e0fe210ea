"""convatlas experiment: a claim of the literature, rerun with controls, ending in a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, print_json, print_table
from convatlas.cli._lang import lang_option
from convatlas.errors import UsageError
from convatlas.experiments.form import SCALES
from convatlas.experiments.registry import experiment_names, get_experiment
from convatlas.i18n import _
from convatlas.tables import Column

if TYPE_CHECKING:
    from convatlas.experiments.run import Record


@click.command("experiment", short_help="Test a claim of the literature.")
@click.argument("name", required=False, shell_complete=lambda ctx, parameter, start: [
    each for each in experiment_names() if each.startswith(start)
])  # fmt: skip
@click.option("--scale", type=click.Choice(SCALES), default="quick", show_default=True,
              help="How much is run: quick shows the mechanics, standard can decide, full is the paper's scale."
              )  # fmt: skip
@click.option("--all", "all_", is_flag=True, help="Run every experiment that has no record in --out yet.")
@click.option("--seeds", type=click.IntRange(1), help="Number of paired seeds, instead of the scale's.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder that holds the data sets, such as cifar-10/.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Trainings to run side by side.")
@click.option("--backend", help="Backend of joblib that runs the trainings, such as loky or dask.")
@click.option("--scheduler", metavar="ADDRESS", help="Address of the scheduler, with --backend dask.")
@click.option("--out", type=click.Path(path_type=Path), default="runs/experiments", show_default=True,
              help="Folder for the results of all experiments.")  # fmt: skip
@json_option
@lang_option
@debug_option
def command(
    name: str | None,
    scale: str,
    all_: bool,
    seeds: int | None,
    data: Path | None,
    jobs: int,
    backend: str | None,
    scheduler: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Test a claim of the literature: train its arms with paired seeds, and decide by a criterion fixed before.

    Without NAME, the experiments are listed. An interrupted experiment continues where it stopped, with the same
    command.

    \b
    convatlas experiment
    convatlas experiment relu-against-tanh
    convatlas experiment gradient-norms --seeds 5
    """
    if name is None and not all_:
        list_experiments(out, as_json)
        return
    if name is not None and all_:
        raise UsageError("--all runs every experiment: leave {name} out, or leave --all out.", name=name)
    if scheduler is not None and backend != "dask":
        raise UsageError("--scheduler is for --backend dask; got --backend {backend}.", backend=backend)
    names = [name] if name is not None else _without_record(scale, out)
    documents = []
    for each in names:
        record = run_one(each, scale, seeds, data, jobs, backend, scheduler, out)
        documents.append(record.to_dict())
        if not as_json:
            print_record(record)
    if as_json:
        print_json(documents[0] if name is not None else {"experiments": documents})


def _without_record(scale: str, out: Path) -> list[str]:
    """The experiments without a record at this scale, the shortest first."""
    names = [name for name in experiment_names() if scale in get_experiment(name).scales]
    names = [name for name in names if not (out / f"{name}-{scale}" / "experiment.json").exists()]
    return sorted(names, key=lambda name: get_experiment(name).scales[scale].minutes)  # type: ignore[index]


def run_one(
    name: str, scale: str, seeds: int | None, data: Path | None, jobs: int, backend: str | None,
    scheduler: str | None, out: Path,
) -> Record:  # fmt: skip
    """Run an experiment with its progress on stderr, and write its report."""
    from convatlas.experiments.form import Outcome
    from convatlas.experiments.report import report
    from convatlas.experiments.run import ExperimentListener, Job, run_experiment
    from convatlas.runs.directory import write_text

    experiment = get_experiment(name)

    class Progress(ExperimentListener):
        total = done = 0

        def on_plan(self, jobs: int, done: int, minutes: float) -> None:
            self.total, self.done = jobs, done
            click.echo(
                _("{name}: {jobs} trainings, of which {done} are done; about {minutes:g} min on two cores",
                  name=name, jobs=jobs, done=done, minutes=minutes), err=True)  # fmt: skip

        def on_detectable(self, detectable: tuple[float | None, ...]) -> None:
            for contrast, smallest in zip(experiment.contrasts, detectable, strict=True):
                unit = experiment.metric(contrast.metric).unit
                if smallest is not None:
                    click.echo(
                        _("smallest difference that these seeds can show: {found:.3g} {unit} (counts from {counts:g})",
                          found=smallest, unit=unit, counts=contrast.smallest), err=True)  # fmt: skip

        def on_job(self, job: Job, outcome: Outcome) -> None:
            self.done += 1
            shown = ", ".join(f"{metric.key} {outcome.metrics[metric.key]:.4g}" for metric in experiment.metrics)
            parts = (f"{self.done}/{self.total}", job.arm, f"lr={job.lr:g}", f"seed={job.seed}", shown)
            click.echo("  " + "  ".join((*parts, units.duration(outcome.seconds))), err=True)

    record = run_experiment(
        name, scale, seeds=seeds, data=data, jobs=jobs, backend=backend, scheduler=scheduler, out=out,
        listener=Progress(),
    )  # fmt: skip
    assert record.folder is not None
    write_text(record.folder / "report.html", report(record))
    return record


def print_record(record: Record) -> None:
    """The verdict with its figures."""
    from convatlas.experiments.report import contrast_text, decision_text, interval_text, value

    experiment = record.experiment
    click.echo(f"{experiment.name}: {decision_text(record.decision)}")
    click.echo(str(experiment.claim))
    for found in record.contrasts:
        unit = experiment.metric(found.contrast.metric).unit
        click.echo(f"  {contrast_text(experiment, found.contrast)}")
        click.echo(
            "    "
            + _(
                "{mean}, interval {interval}, {n} seeds; counts from {smallest:g} {unit}: {decision}",
                mean=value(found.mean, unit),
                interval=interval_text(found, unit),
                n=len(found.differences),
                smallest=found.contrast.smallest,
                unit=unit,
                decision=decision_text(found.decision),
            )
        )
    for printed in experiment.printed:
        click.echo("  " + _("printed: {figure} ({source})", figure=printed.figure, source=printed.source))
    if record.scale_name == "quick":
        click.echo(_("The quick scale shows the mechanics; the standard scale is made to decide: --scale standard"))
    click.echo(_("report: {file}", file=record.folder / "report.html" if record.folder else ""))


def list_experiments(out: Path, as_json: bool) -> None:
    """All experiments with their claims, minutes and last verdicts."""
    rows, documents = [], []
    for name in experiment_names():
        experiment = get_experiment(name)
        verdicts = {scale: _decision_in(out / f"{name}-{scale}") for scale in experiment.scales}
        last = next((verdicts[scale] for scale in reversed(SCALES) if verdicts.get(scale)), None)
        minutes = {scale: experiment.scales[scale].minutes for scale in SCALES if scale in experiment.scales}
        documents.append({"experiment": name, "claim": experiment.claim.en, "source": experiment.source,
                          "minutes": minutes, "decision": last})  # fmt: skip
        rows.append((name, str(experiment.claim), *(f"{minutes.get(scale, ''):g}" if scale in minutes else ""
                                                    for scale in SCALES), last or ""))  # fmt: skip
    if as_json:
        print_json({"experiments": documents})
        return
    columns = (
        Column(_("experiment")),
        Column(_("claim"), wraps=True),
        Column(_("quick, min"), number=True, drop=1),
        Column(_("standard, min"), number=True, drop=2),
        Column(_("full, min"), number=True, drop=3),
        Column(_("verdict")),
    )
    print_table(columns, rows)


def _decision_in(folder: Path) -> str | None:
    """The decision of a record; None where there is none."""
    try:
        decision = json.loads((folder / "experiment.json").read_text("utf-8"))["decision"]
    except (OSError, ValueError, KeyError):
        return None
    return str(decision)
