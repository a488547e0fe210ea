"""The page of a comparison: the answer first, then what it rests on. One file, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas import models, units
from convatlas.comparison.result import Comparison, Row
from convatlas.comparison.statistics import Difference
from convatlas.evaluation import Evaluation
from convatlas.visualization import Curve, Point, SeriesStyle, html, look, new_axes, plots, styles, svg
from convatlas.visualization.html import Column, Html
from convatlas.visualization.run_report import confusion_figure, surest_mistakes_section

MATRICES_UP_TO = 6  # networks: above, only the recommended one's confusion is drawn


@dataclass(frozen=True)
class Evidence:
    """What the pictures are drawn from, per network and seed.

    Args:
        evaluations: on the test part.
        epochs: the journals' lines of epochs.
        chosen: the epoch whose weights were kept.
        image: gives the pixels of test image i, uint8 (h, w, c).
    """

    evaluations: Mapping[str, Sequence[Evaluation]]
    epochs: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]
    chosen: Mapping[str, Sequence[int]]
    image: Callable[[int], np.ndarray]


def report(comparison: Comparison, evidence: Evidence) -> str:
    """The whole page."""
    look_of = styles([row.model for row in comparison.rows])
    conditions, advice = comparison.conditions, comparison.recommendation
    spotlight = advice.model or max(comparison.rows, key=lambda row: row.test_top1).model
    title = f"Which network for {Path(conditions.data).name or conditions.data}?"
    parts = conditions.parts
    note = (
        f"{units.exact(sum(parts.values()))} images of {len(conditions.classes)} classes: "
        f"{units.exact(parts['train'])} to "
        f"train, {units.exact(parts['val'])} to choose, {units.exact(parts['test'])} to report · "
        f"{conditions.training}"
    )
    lead, reasons = _lead(comparison)
    return html.page(
        title,
        html.header(title, lead, reasons, note),
        html.section("The networks", _table(comparison, look_of), *_failures(comparison)),
        html.section("Accuracy against time", _scatter(comparison, look_of)),
        *_told_apart(comparison, look_of),
        html.section("Learning curves", _curves(comparison, evidence, look_of)),
        html.section("What is confused with what", _confusion(comparison, evidence, look_of, spotlight)),
        surest_mistakes_section(evidence.evaluations[spotlight][0], evidence.image, f"of {spotlight}"),
        *_printed(comparison),
        html.section("How this was measured", _method(comparison)),
        html.section("To repeat it", html.pre(conditions.command)),
    )


def _lead(comparison: Comparison) -> tuple[Html, Html]:
    """The recommendation in one sentence, the network's name in bold; and what it rests on."""
    advice = comparison.recommendation
    answer, _, reasons = advice.why.partition(". ")
    before, _, after = answer.partition(advice.model) if advice.model else (_sentence(answer), "", "")
    lead = html.join(before, html.strong(advice.model or ""), after, "." if reasons else "")
    return lead, html.paragraph(reasons) if reasons else Html("")


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(comparison: Comparison, look_of: Mapping[str, SeriesStyle]) -> Html:
    several = len(comparison.conditions.seeds) > 1
    columns = [
        Column("network", number=False),
        Column("test top-1", "measured"),
        Column("parameters", "derived"),
        Column("MACs", "derived"),
        Column("time for one image", "measured"),
        Column("peak memory", "measured"),
        Column("file", "measured"),
        Column("training", "measured"),
    ]
    rows = [
        (
            html.join(html.name(row.model, look_of[row.model]), _remarks(row)),
            _over(units.percent(row.test_top1), f"{units.interval(*row.accuracy.ci95)}"),
            units.exact(row.params),
            units.short(row.macs),
            _over(units.duration(row.latency.p50_s), f"p95 {units.duration(row.latency.p95_s)}"),
            "n/a" if row.memory.peak_bytes is None else units.bytes_(row.memory.peak_bytes),
            units.bytes_(row.size_bytes),
            units.duration(row.train_s),
        )
        for row in comparison.rows
    ]
    chosen = comparison.recommendation.model
    marked = next((place for place, row in enumerate(comparison.rows) if row.model == chosen), None)
    covers = comparison.rows[0].accuracy.covers
    seeds = f" Accuracy is the mean over {len(comparison.conditions.seeds)} seeds." if several else ""
    if len(comparison.conditions.seeds) == 2:
        seeds += " Two seeds say little of the spread between seeds: the interval is wide for that; three narrow it."
    caption = (
        f"Accuracy by the protocol “{comparison.conditions.protocol}”, with its 95 % interval, which covers "
        f"{covers}.{seeds}"
        " MACs are multiply-adds of convolutions and fully connected layers for one image. Time is the median at "
        "batch 1;"
        " p95 is what 95 of 100 calls stay below."
        + (" The recommended network is set off." if marked is not None else "")
    )
    return html.table(columns, rows, caption, marked)


def _over(value: str, below: str) -> Html:
    return Html(f'{html.text(value)}<span class="sub">{html.text(below)}</span>')


def _remarks(row: Row) -> Html:
    remarks = ["on the Pareto front"] if row.pareto else []
    if row.over_budget:
        remarks.append("over the budget: " + ", ".join(row.over_budget))
    return Html("".join(f'<span class="sub">{html.text(remark)}</span>' for remark in remarks))


def _failures(comparison: Comparison) -> list[Html]:
    if not comparison.failures:
        return []
    told = html.bullets(html.join(html.code(failure.model), ": ", failure.why) for failure in comparison.failures)
    return [html.paragraph("Not in the table, because their training failed:"), told]


def _told_apart(comparison: Comparison, look_of: Mapping[str, SeriesStyle]) -> list[Html]:
    differences = comparison.recommendation.differences
    if not differences:
        return []
    leader = differences[0].first
    columns = [
        Column("compared with", number=False),
        Column("difference", "measured"),
        Column("95 % interval"),
        Column(f"only {leader} right"),
        Column("only the other right"),
        Column("p"),
        Column("verdict", number=False),
    ]
    rows = [
        (
            html.name(d.second, look_of[d.second]),
            _points(d.difference),
            f"{_points(d.ci95.low)} to {_points(d.ci95.high)}",
            units.exact(d.only_first),
            units.exact(d.only_second),
            "< 0.001" if d.adjusted_p < 0.001 else f"{d.adjusted_p:.2g}",
            "told apart" if d.told_apart else "cannot be told apart",
        )
        for d in differences
    ]
    caption = (
        f"{leader}, the most accurate{' within the budget' if comparison.budget else ''}, against each other "
        f"network on the "
        f"same {units.exact(differences[0].n)} test images, in percentage points. {_tests(differences)} Holm's "
        f"correction is "
        "in every p. Below 0.05 two networks are called told apart."
    )
    return [html.section("Can they be told apart?", html.table(columns, rows, caption))]


def _tests(differences: Sequence[Difference]) -> str:
    if all(d.runs == (1, 1) for d in differences):
        return (
            "Exact McNemar test: if both were equally good, each image that only one of them gets right would be a "
            "fair coin. It speaks of these trained networks; another seed may turn out otherwise."
        )
    return (
        "The larger p of two tests: the sign-flip test over images (McNemar's, for several runs) and Welch's with "
        "the "
        "variance between seeds added. Counts are added up over pairs of runs."
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}")


def _printed(comparison: Comparison) -> list[Html]:
    """The papers' own accuracies, for the networks that have them; on other data, and said so."""
    rows = []
    for row in comparison.rows:
        card = models.card(row.model)
        for figure in card.figures:
            if figure.quantity in ("error", "top1_error", "top5_error"):
                where = ", ".join(filter(None, (figure.source or card.paper.citation, figure.where)))
                quantity = {"error": "error", "top1_error": "top-1 error", "top5_error": "top-5 error"}[figure.quantity]
                doubt = "" if figure.verified else " (recalled, not checked against the text)"
                rows.append(
                    (
                        html.code(row.model),
                        quantity,
                        f"{figure.printed} %",
                        figure.protocol or "not stated",
                        where + doubt,
                    )
                )
    if not rows:
        return []
    columns = [
        Column("network", number=False),
        Column("figure", number=False),
        Column("value", "printed"),
        Column("on what, how", number=False),
        Column("source", number=False),
    ]
    caption = "Other data, other protocols, longer training: not to be put beside the measured figures above."
    return [html.section("What the papers print", html.table(columns, rows, caption))]


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
    with look():
        ax = new_axes(6.6, 4.0)
        plots.accuracy_latency(ax, points, limits.get("latency", limits.get("latency_p50")))
        said = "; ".join(
            f"{row.model} {units.percent(row.test_top1, 1)} in {units.duration(row.latency.p50_s)}"
            for row in comparison.rows
        )
        picture = svg(ax, f"Test accuracy against time for one image: {said}")
    return html.figure(
        picture,
        "Up is more accurate, left is faster. Upright lines are 95 % intervals of the accuracy, level lines reach "
        "from the "
        "median to the 95th percentile of the time. Filled marks are on the Pareto front (dotted): nothing here is "
        "both "
        "faster and more accurate.",
    )


def _curves(comparison: Comparison, evidence: Evidence, look_of: Mapping[str, SeriesStyle]) -> Html:
    by_time = len({epochs for row in comparison.rows for epochs in row.epochs}) > 1  # equal time, unequal epochs
    xlabel = "training time, s" if by_time else "epoch"

    def curves(value: Callable[[Mapping[str, Any]], float], mark: bool) -> list[Curve]:
        drawn = []
        for row in comparison.rows:
            for place, lines in enumerate(evidence.epochs[row.model]):
                known = [line for line in lines if line.get("val_top1") is not None]
                chosen = [line["epoch"] for line in known].index(evidence.chosen[row.model][place]) if mark else None
                x = [line["train_s"] if by_time else line["epoch"] + 1 for line in known]
                y = [value(line) for line in known]
                drawn.append(Curve(row.model, x, y, look_of[row.model], chosen, thin=place > 0))
        return drawn

    with look():
        ax = new_axes()
        plots.error_curves(ax, curves(lambda line: 1 - line["val_top1"], mark=True), "Validation error")
        ax.set(ylabel="top-1 error", xlabel=xlabel)
        error = svg(ax, f"Validation error of each network by {xlabel}")
        ax = new_axes()
        plots.loss_curves(ax, curves(lambda line: line["train_loss"], mark=False), "Training loss", "loss, nats")
        ax.set_xlabel(xlabel)
        loss = svg(ax, f"Training loss of each network by {xlabel}")
    seeds = " Thin lines are further seeds." if len(comparison.conditions.seeds) > 1 else ""
    return html.figures(
        html.figure(
            error,
            "Top-1 error on the validation part, linear up to 1 %. Marks are the epochs whose weights were kept."
            + seeds,
        ),
        html.figure(loss, "The loss that was minimised, mean over each epoch, augmentation included." + seeds),
    )


def _confusion(comparison: Comparison, evidence: Evidence, look_of: Mapping[str, SeriesStyle], spotlight: str) -> Html:
    shown = [row.model for row in comparison.rows]
    if len(shown) > MATRICES_UP_TO:
        shown = [spotlight]
    pictures = html.figures(
        *(confusion_figure(model, evidence.evaluations[model][0], look_of[model]) for model in shown), small=True
    )
    first = f" Seed {comparison.conditions.seeds[0]}." if len(comparison.conditions.seeds) > 1 else ""
    note = html.note(
        "Rows are true classes, columns what the network said; the stronger the colour, the larger the share of its "
        f"row.{first}"
    )
    return html.join(note, pictures)


# --- method -----------------------------------------------------------------------------------------------------------


def _method(comparison: Comparison) -> Html:
    conditions = comparison.conditions
    latency, memory = comparison.rows[0].latency, comparison.rows[0].memory
    parts = ", ".join(f"{units.exact(n)} {part}" for part, n in conditions.parts.items())
    calls = sorted({row.latency.calls for row in comparison.rows})
    return html.facts(
        [
            ("Split", f"{_sentence(conditions.split)} One split for all networks: {parts}."),
            ("Training", f"{conditions.training}; seeds {', '.join(map(str, conditions.seeds))}. The same for all."),
            ("Choice", "Validation chose the epoch of every run. The test part was looked at once, afterwards."),
            (
                "Accuracy",
                f"Share of test images whose first class is the true one; protocol “{conditions.protocol}”. The "
                f"interval "
                f"covers {comparison.rows[0].accuracy.covers}. Naming the best of several networks by their test "
                f"results "
                "makes the best look a little better than it is; no interval here covers that.",
            ),
            (
                "Time for one image",
                f"{' to '.join(map(str, (calls[0], calls[-1])[: len(calls)]))} calls of each network at batch 1, "
                f"{latency.threads} threads, {latency.device}, fp32; warmed up; the networks took turns in blocks "
                f"of ten, "
                "so that other work on the machine slowed all alike. Decoding and resizing are not in it.",
            ),
            ("Peak memory", f"{_sentence(memory.how)}, each network in a process of its own."),
            ("File", "The run's model.safetensors: weights, statistics and a short header."),
            *((name.capitalize(), value) for name, value in conditions.machine.items() if name != "training"),
            ("Training on", conditions.machine["training"]),
            (
                "Kinds of figures",
                html.join(
                    html.kind("printed"), " in a paper · ", html.kind("derived"), " by arithmetic on the layers · ",
                    html.kind("measured"), " in these runs, on this machine",
                ),
            ),
        ]
    )  # fmt: skip


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
