"""The report of an experiment: one page with fixed headings, drawn from its file and its record."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from convatlas import units
from convatlas.experiments.form import Contrast, Experiment
from convatlas.experiments.run import Record
from convatlas.experiments.verdict import Result
from convatlas.i18n import _, language
from convatlas.visualization import html
from convatlas.visualization.differences import PairedDifference, paired_differences
from convatlas.visualization.html import Column, Html
from convatlas.visualization.plots import Curve, error_curves, loss_curves
from convatlas.visualization.style import new_axes, plot_style, styles, svg


def decision_text(decision: str) -> str:
    """The verdict in words."""
    words = {
        "supported": _("supported"),
        "contradicted": _("contradicted"),
        "not decided": _("not decided at this scale"),
    }
    return words[decision]


def value(number: float, unit: str) -> str:
    """A difference with its sign and unit."""
    return f"{number:+.3g} {unit}"


def contrast_text(experiment: Experiment, contrast: Contrast) -> str:
    """A contrast in words: its metric, and the two arms."""
    return _(
        "{metric}: {higher} minus {lower}",
        metric=experiment.metric(contrast.metric).name,
        higher=experiment.arm(contrast.higher).title,
        lower=experiment.arm(contrast.lower).title,
    )


def interval_text(found: Result, unit: str) -> str:
    """The interval of a mean difference; one seed has none."""
    if len(found.differences) < 2:
        return _("none (one seed)")
    return f"{found.interval[0]:+.3g} … {found.interval[1]:+.3g} {unit}"


def report(record: Record) -> str:
    """The page of a record, in the language in use."""
    experiment = record.experiment
    return html.page(
        experiment.name,
        html.header(
            experiment.name,
            html.join(html.strong(decision_text(record.decision)), ". ", experiment.claim),
            note=_("scale {scale} · {n} seeds", scale=record.scale_name, n=len(record.scale.seeds)),
        ),
        html.section(_("Claim"), html.paragraph(experiment.claim)),
        html.section(_("Source"), html.paragraph(experiment.source), *_printed(experiment)),
        html.section(_("What is run"), *_design(record)),
        html.section(_("What was seen"), *_seen(record)),
        html.section(_("Verdict"), *_verdict(record)),
        html.section(_("Limits"), html.paragraph(experiment.limits)),
        html.section(_("How to repeat"), html.pre(command_of(record))),
        lang=language(),
    )


def command_of(record: Record) -> str:
    """The command that repeats the experiment."""
    data = "" if record.data in ("digits", "none") else " --data DATA"
    return f"convatlas experiment {record.experiment.name} --scale {record.scale_name}{data}"


def _printed(experiment: Experiment) -> list[Html]:
    if not experiment.printed:
        return [html.note(_("The paper prints no figure that is comparable."))]
    columns = [Column(_("figure"), number=False), Column(_("source"), number=False), Column("", number=False)]
    rows = [
        (each.figure, each.source, "" if each.verified else _("recalled, not read at the source"))
        for each in experiment.printed
    ]
    return [html.table(columns, rows, _("Figures as printed."))]


def _design(record: Record) -> list[Html]:
    experiment = record.experiment
    columns = [Column(_("arm"), number=False), Column(_("learning rate")), Column(_("learning rates tried"))]
    rows = [
        (arm.title, f"{record.lrs[arm.name]:g}", ", ".join(record.sweep.get(arm.name, {})) or _("no sweep"))
        for arm in experiment.arms
    ]
    facts = [
        (_("held constant"), experiment.constant),
        (_("criterion, fixed before the run"), experiment.criterion),
        (_("what would contradict it"), experiment.contradiction),
        (_("data"), record.data),
        (_("settings"), ", ".join(f"{key} {value}" for key, value in record.scale.settings.items()) or "-"),
        (_("seeds"), ", ".join(map(str, record.scale.seeds))),
    ]
    return [html.facts(facts), html.table(columns, rows, _("Chosen on the validation set with the pilot seeds."))]


def _seen(record: Record) -> list[Html]:
    experiment = record.experiment
    columns = [Column(_("arm"), number=False)]
    columns += [Column(f"{metric.name}, {metric.unit}", "measured") for metric in experiment.metrics]
    rows = []
    for arm in experiment.arms:
        cells: list[object] = [arm.title]
        for metric in experiment.metrics:
            values = [metric.scale * outcome.metrics[metric.key] for outcome in record.outcomes[arm.name]]
            low, high = min(values), max(values)
            cells.append(f"{sum(values) / len(values):.4g} ({low:.4g} … {high:.4g})")
        rows.append(cells)
    parts = [html.table(columns, rows, _("Mean over the seeds, smallest and largest in brackets."))]
    figures = [figure for figure in (_curves(record, "train_loss"), _curves(record, "val_top1")) if figure is not None]
    if figures:
        parts.append(html.figures(*figures))
    return parts


def _curves(record: Record, name: str) -> Html | None:
    """Curves of all seeds, thin, with the mean of each arm."""
    experiment = record.experiment
    looks = styles([arm.name for arm in experiment.arms])
    curves = []
    for arm in experiment.arms:
        of_seeds = [outcome.curves.get(name, []) for outcome in record.outcomes[arm.name]]
        of_seeds = [[value for value in curve if value is not None] for curve in of_seeds]
        lengths = {len(curve) for curve in of_seeds}
        if not of_seeds or 0 in lengths or len(lengths) > 1:
            continue
        epochs = list(range(1, lengths.pop() + 1))
        as_error = (lambda y: 1 - y) if name.endswith("top1") else (lambda y: y)
        curve = partial(Curve, x=epochs, style=looks[arm.name], label=str(arm.title))
        curves += [curve(y=[as_error(y) for y in values], thin=True) for values in of_seeds]
        mean = [sum(map(as_error, values)) / len(values) for values in zip(*of_seeds, strict=True)]
        curves.append(curve(y=mean))
    if not curves:
        return None
    with plot_style():
        ax = new_axes()
        if name.endswith("top1"):
            error_curves(ax, curves, _("Validation error"))
        else:
            loss_curves(ax, curves, _("Training loss"))
        label = _("Curves of all seeds, thin, and their mean")
        return html.figure(svg(ax, label), label)


def _verdict(record: Record) -> list[Html]:
    experiment = record.experiment
    columns = [
        Column(_("contrast"), number=False),
        Column(_("mean difference"), "measured"),
        Column(_("interval"), "measured"),
        Column("p"),
        Column(_("counts from")),
        Column(_("verdict"), number=False),
    ]
    rows = []
    for found in record.contrasts:
        unit = experiment.metric(found.contrast.metric).unit
        rows.append(
            (
                contrast_text(experiment, found.contrast),
                value(found.mean, unit),
                interval_text(found, unit),
                f"{found.p:.2g}",
                value(found.contrast.smallest, unit),
                decision_text(found.decision),
            )
        )
    caption = _(
        "Paired differences over the seeds. Intervals are Student's, with Holm's correction for {n} contrasts.",
        n=len(record.contrasts),
    )
    parts = [html.table(columns, rows, caption), *_power(record)]
    for unit, lines in _by_unit(record).items():
        with plot_style():
            ax = new_axes(6.4, 1.2 + 0.6 * len(lines))
            paired_differences(ax, lines, unit)
            parts.append(html.figure(svg(ax, _("Paired differences")), _("Paired differences, one dot per seed.")))
    parts.append(html.note(_("Total time of all arms: {time}.", time=units.duration(record.seconds))))
    return parts


def _power(record: Record) -> list[Html]:
    """What so many seeds can show, where there is more than one."""
    texts = []
    for found in record.contrasts:
        if len(found.differences) > 1:
            unit = record.experiment.metric(found.contrast.metric).unit
            texts.append(
                _(
                    "{contrast}: {n} seeds show a difference of {smallest} with a power of 80 %.",
                    contrast=contrast_text(record.experiment, found.contrast),
                    n=len(found.differences),
                    smallest=f"{found.detectable:.3g} {unit}",
                )
            )
    return [html.bullets(texts)] if texts else []


def _printed_difference(experiment: Experiment, place: int) -> float | None:
    """The difference that the paper prints for the contrast of this place."""
    return experiment.printed[place].difference if place < len(experiment.printed) else None


def _by_unit(record: Record) -> dict[str, Sequence[PairedDifference]]:
    """The lines of the plot, by unit, as contrasts of different units need axes of their own."""
    lines: dict[str, list[PairedDifference]] = {}
    for place, found in enumerate(record.contrasts):
        unit = record.experiment.metric(found.contrast.metric).unit
        interval = found.interval if len(found.differences) > 1 else (found.mean, found.mean)
        higher, lower = (record.experiment.arm(name).title for name in (found.contrast.higher, found.contrast.lower))
        lines.setdefault(unit, []).append(
            PairedDifference(
                f"{higher} - {lower}", found.differences, found.mean, interval, found.contrast.smallest,
                _printed_difference(record.experiment, place),
            )
        )  # fmt: skip
    return dict(lines)
