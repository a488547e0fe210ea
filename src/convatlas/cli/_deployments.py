"""How `compare` prints the deployments: networks as exported files in engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from convatlas.cli._common import print_table
from convatlas.i18n import _, translated
from convatlas.tables import Column

if TYPE_CHECKING:
    from convatlas.comparison import Comparison
    from convatlas.comparison.deployed import Deployment, Deployments, Refusal


def print_deployments(found: Comparison) -> None:
    """The deployments as a table, and below it what could not be exported; nothing if none were asked for."""
    if found.deployments is None:
        return
    columns = [
        Column(_("network")),
        Column(_("engine")),
        Column(_("precision")),
        Column(_("contract")),
        Column(_("test top-1"), number=True),
        Column(f"95 % {_('interval')}", number=True, drop=6),
        Column(_("lost/won"), number=True, drop=5),
        Column("p50", number=True),
        Column("p95", number=True, drop=7),
        Column(_("memory"), number=True, drop=4),
        Column(_("size"), number=True, drop=2),
        Column(_("start-up"), number=True, drop=3),
        Column(_("note"), drop=1),
    ]
    chosen = found.recommendation.label
    rows = [_cells(row, row.label == chosen) for row in found.deployments.rows]
    rows += [_refused(refusal) for refusal in found.deployments.refusals]
    click.echo(f"\n{_('as exported files:')}\n")
    print_table(columns, rows)
    click.echo()
    for line in _notes(found.deployments):
        click.echo(line)


def _cells(row: Deployment, chosen: bool) -> tuple[str, ...]:
    from convatlas import units
    from convatlas.exports.description import STATES

    notes = (_("front"),) * row.pareto + (_("over"),) * bool(row.over_budget) + (_("chance"),) * row.at_chance
    return (
        f"{'→' if chosen else ' '} {row.model}",
        row.engine,
        row.precision,
        _("open") if row.contract == "open" else translated(STATES[row.contract]),
        units.percent(row.test_top1),
        units.interval(*row.accuracy.ci95),
        f"{row.against_network.only_first}/{row.against_network.only_second}",
        units.duration(row.latency.p50_s),
        units.duration(row.latency.p95_s),
        "n/a" if row.memory.peak_bytes is None else units.bytes_(row.memory.peak_bytes),
        units.bytes_(row.size_bytes),
        "n/a" if row.startup is None else units.duration(row.startup.p50_s),
        " ".join(notes),
    )


def _refused(refusal: Refusal) -> tuple[str, ...]:
    model = refusal.model if refusal.model is not None else _("all networks")
    return (f"  {model}", refusal.engine or "-", refusal.precision or "-", _("no file"), *("-",) * 8, "")


def _notes(deployments: Deployments) -> list[str]:
    lines = [
        _(
            "lost/won: test images that only the network in PyTorch or only the file classifies correctly. Time: one "
            "prepared image. Memory: peak of a whole process. Start-up: process start to first label, median of "
            "{count} starts.",
            count=max((len(row.startup.samples_s) for row in deployments.rows if row.startup is not None), default=0),
        )
    ]
    unsettled = [row.contract_n for row in deployments.rows if row.contract == "open"]
    if unsettled:
        lines.append(
            _(
                "open: {n} validation images are too few to establish that the file keeps its contract.",
                n=", ".join(f"{n:,}" for n in sorted(set(unsettled))),
            )
        )
    for refusal in deployments.refusals:
        name = "/".join(part for part in (refusal.model, refusal.engine, refusal.precision) if part)
        lines.append(_("no file: {name}: {why}", name=name, why=translated(refusal.why)))
    load = deployments.load
    if load is not None and load.loaded:
        lines.append(
            _(
                "The machine was busy: {statement} These times are too long; measure again when it is idle, with "
                "--resume.",
                statement=translated(load.statement),
            )
        )
    return lines
