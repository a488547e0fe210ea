"""convatlas runs: past runs, listed, shown, renamed, deleted and compared."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, print_json, print_table
from convatlas.cli._completion import run_names
from convatlas.cli._lang import lang_option
from convatlas.errors import UsageError
from convatlas.i18n import _, translated
from convatlas.tables import Column

if TYPE_CHECKING:
    from convatlas.runs.overview import Overview

Command = TypeVar("Command", bound=Callable[..., Any])


def out_option(command: Command) -> Command:
    return click.option("--out", default="runs", show_default=True, type=click.Path(path_type=Path),
                        help="Directory that holds the runs.")(command)  # fmt: skip


@click.group("runs", invoke_without_command=True, short_help="Past runs.")
@out_option
@json_option
@lang_option
@debug_option
@click.pass_context
def command(ctx: click.Context, out: Path, as_json: bool) -> None:
    """Past runs: list, show, rename, delete, compare.

    Without a command the runs are listed, the one written to last first, with the space that they take. A RUN is named
    by its path, by its name in --out, or as latest.

    \b
    convatlas runs
    convatlas runs show latest
    convatlas runs rename lenet5-mnist-001 baseline
    convatlas runs compare baseline lenet5-mnist-002
    convatlas runs delete lenet5-mnist-002 --yes
    """
    if ctx.invoked_subcommand is not None:
        return
    from convatlas.models.own import short_names
    from convatlas.runs.overview import list_runs, overview

    found = [overview(run, out) for run in list_runs(out)]
    if as_json:
        total = sum(each.size_bytes for each in found)
        print_json({"out": str(out), "size_bytes": total, "runs": [each.to_dict() for each in found]})
        return
    if not found:
        click.echo(_("There are no runs in {out}. Train one:  convatlas train NAME", out=out))
        return
    columns = (
        Column(_("run")),
        Column(_("network"), drop=3),
        Column(_("data"), drop=4),
        Column(_("started"), drop=5),
        Column(_("epochs"), number=True, drop=2),
        Column(_("validation"), number=True, drop=1),
        Column(_("test"), number=True),
        Column(_("size"), number=True),
    )
    called = short_names([each.model for each in found])
    print_table(columns, [_row(each, called[each.model]) for each in found])
    click.echo()
    click.echo(
        _("runs in {out}: {n}, {size}", n=len(found), out=out, size=units.bytes_(sum(r.size_bytes for r in found)))
    )
    for each in found:
        if each.problem is not None:
            click.echo(_("{run} cannot be read: {reason}", run=each.name, reason=translated(each.problem)))


def _row(each: Overview, network: str) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return "-" if value is None else units.percent(value, 1)

    return (
        each.name,
        network or "?",
        each.data,
        each.started.strftime("%Y-%m-%d %H:%M"),
        f"{each.epochs}" if each.finished else f"{each.epochs}/{each.epochs_asked}",
        share(each.val_top1),
        share(each.test_top1),
        units.bytes_(each.size_bytes),
    )


@command.command("show", short_help="Settings, result and files of a run.")
@click.argument("run", shell_complete=run_names)
@out_option
@json_option
@lang_option
@debug_option
def show(run: str, out: Path, as_json: bool) -> None:
    """Settings, result and files of a run."""
    from convatlas.runs.overview import description, overview
    from convatlas.runs.places import find
    from convatlas.runs.run import Run

    subject = Run(find(run, out))
    about, summary = description(subject), overview(subject, out)
    if as_json:
        print_json(summary.to_dict() | about)
        return
    state = _("finished") if summary.finished else _("not finished: convatlas train --resume {run}", run=subject.path)
    lines = {
        _("run"): f"{subject.path}  ({state})",
        _("network"): summary.model,
        _("data"): about["settings"]["data"]["source"],
        _("started"): summary.started.strftime("%Y-%m-%d %H:%M"),
        _("epochs"): f"{summary.epochs}/{summary.epochs_asked}",
    }
    for name, value in ((_("validation"), summary.val_top1), (_("test"), summary.test_top1)):
        if value is not None:
            lines[name] = f"top-1 {units.percent(value)}"
    for name, text in lines.items():
        click.echo(f"{units.rjust(name, 12)}  {text}")
    for line in about["resumed"]:
        for name, (before, after) in line["changed"].items():
            said = _(
                "{name} was {before} and is {after} from update {step} on",
                name=name,
                before=before,
                after=after,
                step=line["step"],
            )
            click.echo(f"{units.rjust(_('resumed'), 12)}  {said}")
    click.echo()
    settings = {**about["settings"]["recipe"], **about["settings"].get("options", {})}
    click.echo(", ".join(f"{name} = {value}" for name, value in settings.items() if name not in ("name", "source")))
    click.echo()
    columns = (Column(_("file")), Column(_("size"), number=True))
    print_table(columns, ((name, units.bytes_(size)) for name, size in about["files"].items()))


@command.command("rename", short_help="Give a run another name.")
@click.argument("run", shell_complete=run_names)
@click.argument("name")
@out_option
@json_option
@lang_option
@debug_option
def rename(run: str, name: str, out: Path, as_json: bool) -> None:
    """Give a run another name: that of its directory."""
    from convatlas.runs import places

    old = places.find(run, out)
    new = places.rename(old, name)
    if as_json:
        print_json({"old": str(old), "new": str(new)})
    else:
        click.echo(_("{old} is now {new}", old=old, new=new))


@command.command("delete", short_help="Delete runs with all their files.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=run_names)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@out_option
@json_option
@lang_option
@debug_option
def delete(runs: tuple[str, ...], yes: bool, out: Path, as_json: bool) -> None:
    """Delete runs with all their files, weights and checkpoints among them. This cannot be undone."""
    from convatlas.runs import places

    folders = list(dict.fromkeys(places.find(run, out) for run in runs))
    sizes = {folder: places.size_bytes(folder) for folder in folders}
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "there is no terminal to ask on. Pass --yes to delete {runs}.", runs=", ".join(map(str, folders))
            )
        for folder, size in sizes.items():
            click.echo(f"{folder}  {units.bytes_(size)}", err=True)
        click.confirm(_("Delete these runs?"), abort=True, err=True)
    for folder in folders:
        places.delete(folder)
    if as_json:
        print_json({"deleted": [str(folder) for folder in folders], "size_bytes": sum(sizes.values())})
    else:
        click.echo(
            _("deleted: {runs} ({size})", runs=", ".join(map(str, folders)), size=units.bytes_(sum(sizes.values())))
        )


@command.command("compare", short_help="Two runs: settings that differ, accuracies, a paired test.")
@click.argument("first", shell_complete=run_names)
@click.argument("second", shell_complete=run_names)
@out_option
@json_option
@lang_option
@debug_option
def compare(first: str, second: str, out: Path, as_json: bool) -> None:
    """Two runs: the settings that differ, the accuracies, and a paired test on the same test images."""
    from convatlas.comparison.of_runs import compare_runs
    from convatlas.runs.places import find
    from convatlas.runs.run import Run

    found = compare_runs(Run(find(first, out)), Run(find(second, out)))
    if as_json:
        print_json(found.to_dict())
        return
    columns = (Column(""), Column(first, wraps=True), Column(second, wraps=True))

    def text(value: object) -> str:
        return "-" if value is None else str(value)

    rows = [(name, text(one), text(other)) for name, (one, other) in found.settings.items()]
    for name, key in ((_("validation top-1"), "val_top1"), (_("test top-1"), "test_top1")):
        shares = [None if result is None else result.get(key) for result in found.results]
        one, other = ("-" if share is None else units.percent(share) for share in shares)
        rows.append((name, one, other))
    print_table(columns, rows)
    click.echo()
    if found.test is None:
        click.echo(_("No paired test: {why}", why=translated(found.why_no_test or "")))
        return
    test = found.test
    click.echo(
        _(
            "{first} is right on {n} of the {all} test images on which {second} is wrong, and wrong on {m} on which it "
            "is right: a difference of {points} points (95 % interval {low} to {high}), {test}, p = {p:.2g}.",
            first=first,
            second=second,
            n=test.only_first,
            m=test.only_second,
            all=test.n,
            points=f"{100 * test.difference:+.1f}",
            low=f"{100 * test.ci95.low:+.1f}",
            high=f"{100 * test.ci95.high:+.1f}",
            test=test.test,
            p=test.p,
        )
    )
    verdict = (
        _("The difference is larger than chance explains.")
        if test.significant
        else _("These images cannot tell the two runs apart.")
    )
    click.echo(verdict)
