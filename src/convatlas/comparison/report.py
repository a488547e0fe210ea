"""The HTML report of a comparison: the recommendation first, then the evidence. One file, which loads nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas import units
from convatlas.baselines.names import is_baseline
from convatlas.comparison.deployed_report import deployments_sections, method_of_deployments
from convatlas.comparison.result import Comparison, ComparisonRow
from convatlas.evaluation import Evaluation
from convatlas.evaluation.statistics import Difference
from convatlas.figures import ERRORS
from convatlas.i18n import _, language, translated
from convatlas.message import joined
from convatlas.models.figures import compare_figures
from convatlas.models.own import is_own
from convatlas.visualization import Curve, Point, SeriesStyle, html, new_axes, plot_style, plots, styles, svg
from convatlas.visualization.html import Column, Html
from convatlas.visualization.run_report import confusion_figure, error_name, surest_mistakes_section

MATRICES_UP_TO = 6  # with more networks, only the confusion matrix of the recommended one is drawn


@dataclass(frozen=True)
class Evidence:
    """The data of the figures, for each network and seed.

    Args:
        evaluations: on the test set.
        epochs: the epoch lines of the journals.
        chosen: the epoch of the chosen weights.
        image: returns the pixels of test image i, uint8 (h, w, c).
    """

    evaluations: Mapping[str, Sequence[Evaluation]]
    epochs: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]
    chosen: Mapping[str, Sequence[int]]
    image: Callable[[int], np.ndarray]


def report(comparison: Comparison, evidence: Evidence) -> str:
    """Return the whole page."""
    look_of = styles([row.model for row in comparison.rows])
    deployed = () if comparison.deployments is None else comparison.deployments.rows
    look_of |= {row.label: look_of[row.model] for row in deployed}
    conditions, advice = comparison.conditions, comparison.recommendation
    spotlight = advice.model or max(comparison.rows, key=lambda row: row.test_top1).model
    title = _("Which network for {data}?", data=Path(conditions.data).name or conditions.data)
    parts = conditions.parts
    images = _(
        "{n} images of {k} classes: {train} training, {val} validation, {test} test",
        n=units.exact(sum(parts.values())),
        k=len(conditions.classes),
        **{part: units.exact(count) for part, count in parts.items()},
    )
    note = f"{images} · {translated(conditions.training)}"
    lead, reasons = _lead(comparison)
    return html.page(
        title,
        html.header(title, lead, reasons, note),
        *_file(comparison),
        html.section(_("The networks"), _table(comparison, look_of), *_failures(comparison)),
        *_proposed(comparison),
        html.section(_("Accuracy against time"), _scatter(comparison, look_of)),
        *deployments_sections(comparison, look_of),
        *_differences(comparison, look_of),
        html.section(_("Learning curves"), _curves(comparison, evidence, look_of)),
        html.section(_("Confusion matrices"), _confusion(comparison, evidence, look_of, spotlight)),
        surest_mistakes_section(evidence.evaluations[spotlight][0], evidence.image, spotlight),
        *_printed(comparison),
        html.section(_("How this was measured"), _method(comparison)),
        html.section(_("Command to repeat the comparison"), html.pre(conditions.command)),
        lang=language(),
    )


def _lead(comparison: Comparison) -> tuple[Html, Html]:
    """Return the recommendation in one sentence, with the network's name in bold, and the reasons for it."""
    advice = comparison.recommendation
    answer = translated(advice.answer)
    before, after = answer.partition(advice.label)[::2] if advice.label else (_sentence(answer), "")
    lead = html.join(before, html.strong(advice.label or ""), after)
    return lead, html.paragraph(translated(joined(advice.reasons, " "))) if advice.reasons else Html("")


def _file(comparison: Comparison) -> list[Html]:
    file = comparison.recommendation.file
    return [] if file is None else [html.paragraph(_("file: {file}", file=file))]


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(comparison: Comparison, look_of: Mapping[str, SeriesStyle]) -> Html:
    several = len(comparison.conditions.seeds) > 1
    columns = [
        Column(_("network"), number=False),
        Column(_("test top-1"), "measured"),
        Column(_("params"), "derived"),
        Column("MACs", "derived"),
        Column(_("time for one image"), "measured"),
        Column(_("peak memory"), "measured"),
        Column(_("file"), "measured"),
        Column(_("training"), "measured"),
    ]
    rows = [
        (
            html.join(html.name(row.model, look_of[row.model]), _remarks(row)),
            _over(units.percent(row.test_top1), units.interval(*row.accuracy.ci95)),
            units.exact(row.params),
            "-" if row.macs is None else units.short(row.macs),
            _over(units.duration(row.latency.p50_s), f"p95 {units.duration(row.latency.p95_s)}"),
            "n/a" if row.memory.peak_bytes is None else units.bytes_(row.memory.peak_bytes),
            units.bytes_(row.size_bytes),
            units.duration(row.train_s),
        )
        for row in comparison.rows
    ]
    majority = comparison.majority
    name = Html(html.text(_("majority class ({label})", label=majority.label)))
    accuracy = _over(units.percent(majority.accuracy.top1), units.interval(*majority.accuracy.ci95))
    rows.append((name, accuracy, "-", "-", Html("-"), "-", "-", "-"))
    chosen = comparison.recommendation.model
    marked = next((place for place, row in enumerate(comparison.rows) if row.model == chosen), None)
    covers = comparison.rows[0].accuracy.covers
    caption = [
        _(
            "Accuracy by the protocol “{protocol}”, with its {level} confidence interval, which covers {covers}.",
            protocol=comparison.conditions.protocol,
            level="95 %",
            covers=covers,
        )
    ]
    if several:
        caption.append(_("Accuracy is the mean over {count} seeds.", count=len(comparison.conditions.seeds)))
    if len(comparison.conditions.seeds) == 2:
        caption.append(
            _("Two seeds show little of the variation between seeds, so the interval is wide; a third seed narrows it.")
        )
    caption.append(
        _(
            "MACs are multiply-adds of convolutions and fully connected layers for one image. Time is the median at "
            "batch 1; 95 of 100 calls take less than p95."
        )
    )
    if marked is not None:
        caption.append(_("The recommended network is highlighted."))
    return html.table(columns, rows, " ".join(caption), marked)


def _proposed(comparison: Comparison) -> list[Html]:
    """Why these networks: what was predicted beside what was measured, and the near misses."""
    proposal = comparison.proposal
    if proposal is None:
        return []
    measured = {row.model: row for row in comparison.rows}
    columns = [
        Column(_("network"), number=False),
        Column(_("printed error"), "printed"),
        Column(_("predicted latency"), "derived"),
        Column(_("measured latency"), "measured"),
        Column(_("size"), "derived"),
        Column(_("why"), number=False),
    ]
    rows = [
        (
            each.model,
            "-" if each.printed_error is None else f"{each.printed_error:g} %",
            "-" if each.predicted_s is None else units.duration(each.predicted_s),
            units.duration(measured[each.model].latency.p50_s) if each.model in measured else "-",
            units.bytes_(each.size_bytes),
            translated(each.why),
        )
        for each in (*proposal.networks, *proposal.near_misses)
    ]
    caption = _(
        "The networks were proposed for the budget before any training. Latencies are medians at batch 1; the "
        "prediction is by a model that was fitted on {count} networks of the atlas on this machine. Networks without "
        "a measured latency were not proposed.",
        count=len(proposal.fitted),
    )
    return [
        html.section(
            _("Why these networks"),
            html.paragraph(translated(proposal.summary)),
            html.table(columns, rows, caption, None),
        )
    ]


def _over(value: str, below: str) -> Html:
    return Html(f'{html.text(value)}<span class="sub">{html.text(below)}</span>')


def _remarks(row: ComparisonRow) -> Html:
    remarks = [_("on the Pareto front")] if row.pareto else []
    if row.at_chance:
        remarks.append(_("at chance level"))
    if row.over_budget:
        remarks.append(_("over the budget: {limits}", limits=", ".join(row.over_budget)))
    return Html("".join(f'<span class="sub">{html.text(remark)}</span>' for remark in remarks))


def _failures(comparison: Comparison) -> list[Html]:
    blocks: list[Html] = []
    for failures, title in (
        (comparison.failures, _("Not in the table, because their training failed:")),
        (comparison.skipped, _("Not trained:")),
    ):
        if failures:
            reasons = (html.join(html.code(failure.model), ": ", translated(failure.why)) for failure in failures)
            blocks += [html.paragraph(title), html.bullets(reasons)]
    return blocks


def _differences(comparison: Comparison, look_of: Mapping[str, SeriesStyle]) -> list[Html]:
    differences = comparison.recommendation.differences
    if not differences:
        return []
    leader = differences[0].first
    columns = [
        Column(_("compared with"), number=False),
        Column(_("difference"), "measured"),
        Column(f"95 % {_('interval')}"),
        Column(_("only {model} right", model=leader)),
        Column(_("only the other right")),
        Column("p"),
        Column(_("verdict"), number=False),
    ]
    rows = [
        (
            html.name(d.second, look_of[d.second]),
            _points(d.difference),
            f"{_points(d.ci95.low)} – {_points(d.ci95.high)}",
            units.exact(d.only_first),
            units.exact(d.only_second),
            "< 0.001" if d.adjusted_p < 0.001 else f"{d.adjusted_p:.2g}",
            _("significant") if d.significant else _("not significant"),
        )
        for d in differences
    ]
    caption = " ".join(
        (
            _compared_with(comparison, leader, differences[0].n),
            _tests(differences),
            _("Every p includes Holm's correction. A difference is called significant if its p is below 0.05."),
        )
    )
    return [html.section(_("Are the differences significant?"), html.table(columns, rows, caption))]


def _compared_with(comparison: Comparison, leader: str, n: int) -> str:
    values = {
        "model": leader,
        "within": _(" within {budget}", budget=comparison.budget) if comparison.budget else "",
        "n": units.exact(n),
    }
    if comparison.deployments is not None:
        return _(
            "{model}, the most accurate{within}, compared with each other deployment on the same {n} test images, in "
            "percentage points.",
            **values,
        )
    return _(
        "{model}, the most accurate{within}, compared with each other network on the same {n} test images, in "
        "percentage points.",
        **values,
    )


def _tests(differences: Sequence[Difference]) -> str:
    if all(d.runs == (1, 1) for d in differences):
        return _(
            "Exact McNemar test: for equally accurate networks, each image that only one of them classifies correctly "
            "is a fair coin flip. The test is about these trained networks; another seed may give another result."
        )
    return _(
        "The larger p of two tests: the sign-flip test over images (McNemar's test for several runs), and Welch's test "
        "with the variance between seeds added. Counts are summed over pairs of runs."
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}")


def _printed(comparison: Comparison) -> list[Html]:
    """Return the section with the accuracies that the papers print, which are for other data."""
    doubt = f" ({_('recalled, not checked against the text')})"
    rows = [
        (
            html.code(row.model),
            error_name(figure.quantity),
            figure.printed.text,
            figure.printed.protocol or _("not stated"),
            figure.source + ("" if figure.printed.verified else doubt),
        )
        for row in comparison.rows
        if not is_baseline(row.model) and not is_own(row.model)
        for figure in compare_figures(row.model)
        if figure.quantity in ERRORS
    ]
    if not rows:
        return []
    columns = [
        Column(_("network"), number=False),
        Column(_("quantity"), number=False),
        Column(_("value"), "printed"),
        Column(_("data and protocol"), number=False),
        Column(_("source"), number=False),
    ]
    caption = _(
        "These figures are for other data, other protocols and longer training: do not compare them with the "
        "measured ones."
    )
    return [html.section(_("What the papers print"), html.table(columns, rows, caption))]


# --- pictures ---------------------------------------------------------------------------------------------------------


def _scatter(comparison: Comparison, look_of: Mapping[str, SeriesStyle]) -> Html:
    points = [
        Point(
            row.model,
            row.latency.p50_s * 1e3,
            row.latency.p95_s * 1e3,
            row.test_top1,
            row.accuracy.ci95,
            look_of[row.model],
            row.pareto,
        )
        for row in comparison.rows
    ]
    limits = {limit.quantity.name: limit.at_most * 1e3 for limit in comparison.budget.limits}
    with plot_style():
        ax = new_axes(6.6, 4.0)
        plots.accuracy_latency(ax, points, limits.get("latency", limits.get("latency_p50")))
        summary = "; ".join(
            f"{row.model} {units.percent(row.test_top1, 1)} in {units.duration(row.latency.p50_s)}"
            for row in comparison.rows
        )
        picture = svg(ax, _("Test accuracy against time for one image: {points}", points=summary))
    return html.figure(
        picture,
        _(
            "Higher is more accurate, further left is faster. Vertical lines are {level} confidence intervals of the "
            "accuracy; horizontal lines reach from the median to the 95th percentile of the time. Filled marks are on "
            "the Pareto front (dotted): no network here is both faster and more accurate than these.",
            level="95 %",
        ),
    )


def _curves(comparison: Comparison, evidence: Evidence, look_of: Mapping[str, SeriesStyle]) -> Html:
    by_time = len({epochs for row in comparison.rows for epochs in row.epochs}) > 1  # equal time, unequal epochs
    xlabel = _("training time, s") if by_time else _("epoch")

    def curves(value: Callable[[Mapping[str, Any]], float], mark: bool) -> list[Curve]:
        drawn = []
        for row in comparison.rows:
            for place, lines in enumerate(evidence.epochs.get(row.model, ())):
                known = [line for line in lines if line.get("val_top1") is not None]
                chosen = [line["epoch"] for line in known].index(evidence.chosen[row.model][place]) if mark else None
                x = [line["train_s"] if by_time else line["epoch"] + 1 for line in known]
                y = [value(line) for line in known]
                drawn.append(Curve(row.model, x, y, look_of[row.model], chosen, thin=place > 0))
        return drawn

    with plot_style():
        ax = new_axes()
        plots.error_curves(ax, curves(lambda line: 1 - line["val_top1"], mark=True), _("Validation error"))
        ax.set(ylabel=_("top-1 error"), xlabel=xlabel)
        error = svg(ax, f"{_('Validation error')}: {xlabel}")
        ax = new_axes()
        plots.loss_curves(ax, curves(lambda line: line["train_loss"], mark=False), _("Training loss"), _("loss, nats"))
        ax.set_xlabel(xlabel)
        loss = svg(ax, f"{_('Training loss')}: {xlabel}")
    seeds = " " + _("Thin lines are further seeds.") if len(comparison.conditions.seeds) > 1 else ""
    return html.figures(
        html.figure(
            error,
            _("Top-1 error on the validation set, linear up to 1 %. Marks are the epochs of the chosen weights.")
            + seeds,
        ),
        html.figure(loss, _("The training loss, mean over each epoch, augmentation included.") + seeds),
    )


def _confusion(comparison: Comparison, evidence: Evidence, look_of: Mapping[str, SeriesStyle], spotlight: str) -> Html:
    shown = [row.model for row in comparison.rows]
    if len(shown) > MATRICES_UP_TO:
        shown = [spotlight]
    pictures = html.figures(
        *(confusion_figure(model, evidence.evaluations[model][0], look_of[model]) for model in shown), small=True
    )
    seeds = comparison.conditions.seeds
    first = " " + _("Seed {seed}.", seed=seeds[0]) if len(seeds) > 1 else ""
    note = html.note(
        _("Rows are true classes, columns are predicted classes. A stronger colour is a larger share of the row.")
        + first
    )
    return html.join(note, pictures)


# --- method -----------------------------------------------------------------------------------------------------------


def _method(comparison: Comparison) -> Html:
    conditions = comparison.conditions
    latency, memory = comparison.rows[0].latency, comparison.rows[0].memory
    parts = ", ".join(f"{units.exact(n)} {part}" for part, n in conditions.parts.items())
    calls = sorted({row.latency.calls for row in comparison.rows})
    runs = _("seeds {seeds}. The same for all.", seeds=", ".join(map(str, conditions.seeds)))
    return html.facts(
        [
            (_("Split"), f"{_sentence(conditions.split)} {_('One split for all networks')}: {parts}."),
            (_("Training"), f"{conditions.training}; {runs}"),
            (
                _("Choice of the weights"),
                _("The validation set chose the epoch of every run. The test set was evaluated once, afterwards."),
            ),
            (
                _("Accuracy"),
                _(
                    "Share of test images whose most probable class is the true one; protocol “{protocol}”. The "
                    "confidence interval covers {covers}. The test accuracy of the best of several networks is "
                    "slightly too high, because it is the best; no interval here covers that.",
                    protocol=conditions.protocol,
                    covers=comparison.rows[0].accuracy.covers,
                ),
            ),
            (
                _("Time for one image"),
                _(
                    "{calls} calls of each network at batch 1, {threads} threads, {device}, fp32, after a warm-up. The "
                    "networks took turns in blocks of ten, so that other work on the machine slowed all of them alike. "
                    "Decoding and resizing are not included.",
                    calls=" – ".join(map(str, (calls[0], calls[-1])[: len(calls)])),
                    threads=latency.threads,
                    device=latency.device,
                ),
            ),
            (_("Peak memory"), _("{how}; each network in a separate process.", how=_sentence(memory.how))),
            *method_of_deployments(comparison),
            (_("File"), _("The run's model.safetensors: weights, running statistics and a short header.")),
            *((name.capitalize(), value) for name, value in conditions.machine.items() if name != "training"),
            (_("Training on"), conditions.machine["training"]),
            (
                _("Kinds of figures"),
                html.join(
                    html.kind("printed"),
                    f" {_('in a paper')} · ",
                    html.kind("derived"),
                    f" {_('by arithmetic on the layers')} · ",
                    html.kind("measured"),
                    f" {_('in these runs, on this machine')}",
                ),
            ),
        ]
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
