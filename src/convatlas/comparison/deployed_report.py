"""The part of a comparison's report about deployments: the table, the picture, and how they were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convatlas import units
from convatlas.comparison.deployed import Deployment, Deployments, Refusal
from convatlas.comparison.result import Comparison
from convatlas.exports.description import STATES
from convatlas.i18n import _, translated
from convatlas.visualization import Point, SeriesStyle, html, new_axes, plot_style, plots, svg
from convatlas.visualization.html import Column, Html


@dataclass(frozen=True)
class _Page:
    comparison: Comparison
    deployments: Deployments
    look_of: Mapping[str, SeriesStyle]


def deployments_sections(comparison: Comparison, look_of: Mapping[str, SeriesStyle]) -> list[Html]:
    """The sections about deployments, none if none were asked for. A deployment looks like its network."""
    if comparison.deployments is None:
        return []
    page = _Page(comparison, comparison.deployments, look_of)
    title = _("As exported files: network, engine and precision")
    if not page.deployments.rows:
        return [html.section(title, *_refusals(page))]
    return [
        html.section(title, *_busy(page), _table(page), *_refusals(page)),
        html.section(_("Accuracy against time of the exported files"), _scatter(page)),
    ]


def method_of_deployments(comparison: Comparison) -> list[tuple[str, str]]:
    """The facts on how the deployments were measured."""
    deployments = comparison.deployments
    if deployments is None or not deployments.rows:
        return []
    latency = deployments.rows[0].latency
    facts = [
        (
            _("Exported files"),
            _(
                "int8 files are calibrated on training images, and every contract is checked on validation images. The "
                "test images were predicted once by each file. A file that breaks its contract is never recommended."
            ),
        ),
        (
            _("Time of the exported files"),
            _(
                "{calls} calls at batch 1, from prepared pixels to probabilities, {threads} threads, on the processor. "
                "All files took turns in blocks of ten, each after a rest of the other engines' threads.",
                calls=latency.calls,
                threads=latency.threads,
            ),
        ),
        (
            _("Start-up and memory of the exported files"),
            _(
                "From the start of a process that imports the engine, opens the file and prepares one image, to its "
                "first label; the median of {count} starts. Memory is the peak resident set of that process, Python "
                "and engine included, so it is not to be compared with that of the networks above.",
                count=max((len(row.startup.samples_s) for row in deployments.rows if row.startup), default=0),
            ),
        ),
    ]
    if deployments.load is not None:
        facts.append((_("Other programs"), translated(deployments.load.statement)))
    return facts


def _busy(page: _Page) -> list[Html]:
    load = page.deployments.load
    if load is None or not load.loaded:
        return []
    text = _(
        "The machine was busy: {statement} These times are too long; measure again when it is idle, with --resume.",
        statement=translated(load.statement),
    )
    return [html.paragraph(text)]


def _table(page: _Page) -> Html:
    columns = [
        Column(_("network, engine, precision"), number=False),
        Column(_("contract"), "measured", number=False),
        Column(_("test top-1"), "measured"),
        Column(_("against the network"), "measured"),
        Column(_("time for one image"), "measured"),
        Column(_("start-up"), "measured"),
        Column(_("peak memory; file"), "measured"),
    ]
    rows = [_row(page, row) for row in page.deployments.rows]
    chosen = page.comparison.recommendation.label
    marked = next((place for place, row in enumerate(page.deployments.rows) if row.label == chosen), None)
    caption = [
        _(
            "Accuracy is that of the files' own predictions on the same test images. “Against the network”: accuracy "
            "of the file minus that of the network in PyTorch, in percentage points, with the {level} interval of the "
            "paired difference; below it, the images that only the network and only the file classifies correctly.",
            level="95 %",
        ),
        _(
            "The contract compares the file with the network on validation images; “cannot be established” means that "
            "there are too few of them."
        ),
    ]
    if marked is not None:
        caption.append(_("The recommended deployment is highlighted."))
    return html.table(columns, rows, " ".join(caption), marked)


def _row(page: _Page, row: Deployment) -> tuple[Html | str, ...]:
    lost = row.against_network
    counts = _("{lost} lost, {won} won", lost=units.exact(lost.only_first), won=units.exact(lost.only_second))
    interval = f"{_signed(-lost.ci95.high)} – {_signed(-lost.ci95.low)}"
    size = _("file {size}", size=units.bytes_(row.size_bytes))
    images = _("{n} images", n=units.exact(row.contract_n))
    if row.float_layers:
        images += "; " + _("{n} layers in float32", n=row.float_layers)
    return (
        html.join(html.name(row.model, page.look_of[row.model]), _remarks(row)),
        _over(translated(STATES[row.contract]), images),
        _over(units.percent(row.test_top1), units.interval(*row.accuracy.ci95)),
        Html(
            f"{html.text(_signed(-lost.difference))}"
            f'<span class="sub">{html.text(interval)}</span>'
            f'<span class="sub">{html.text(counts)}</span>'
        ),
        _over(units.duration(row.latency.p50_s), f"p95 {units.duration(row.latency.p95_s)}"),
        "n/a" if row.startup is None else units.duration(row.startup.p50_s),
        _over("n/a" if row.memory.peak_bytes is None else units.bytes_(row.memory.peak_bytes), size),
    )


def _signed(share: float) -> str:
    points = 0.0 if abs(share) < 5e-4 else 100 * share  # no minus before a zero
    return f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")


def _over(value: str, below: str) -> Html:
    return Html(f'{html.text(value)}<span class="sub">{html.text(below)}</span>')


def _remarks(row: Deployment) -> Html:
    remarks = [f"{row.engine}, {row.precision}"] + [_("on the Pareto front")] * row.pareto
    if row.at_chance:
        remarks.append(_("at chance level"))
    if row.over_budget:
        remarks += [_("over the budget:"), *map(translated, row.over_budget)]
    return Html("".join(f'<span class="sub">{html.text(remark)}</span>' for remark in remarks))


def _refusals(page: _Page) -> list[Html]:
    refusals = page.deployments.refusals
    if not refusals:
        return []
    return [html.paragraph(_("No file was made of:")), html.bullets(map(_refused, refusals))]


def _refused(refusal: Refusal) -> Html:
    name = "/".join(part for part in (refusal.model, refusal.engine, refusal.precision) if part)
    return html.join(html.code(name), ": ", translated(refusal.why))


def _scatter(page: _Page) -> Html:
    rows = page.deployments.rows
    chosen = page.comparison.recommendation.label
    points = [
        Point(
            # names of all would cover the points; the table has them
            row.label if row.pareto or row.label == chosen else "",
            row.latency.p50_s * 1e3,
            row.latency.p95_s * 1e3,
            row.test_top1,
            row.accuracy.ci95,
            page.look_of[row.model],
            row.pareto,
        )
        for row in rows
    ]
    limits = {limit.quantity.name: limit.at_most * 1e3 for limit in page.comparison.budget.limits}
    with plot_style():
        ax = new_axes(6.6, 4.0)
        plots.accuracy_latency(ax, points, limits.get("latency", limits.get("latency_p50")))
        summary = "; ".join(
            f"{row.label} {units.percent(row.test_top1, 1)} in {units.duration(row.latency.p50_s)}" for row in rows
        )
        picture = svg(ax, _("Test accuracy against time for one image: {points}", points=summary))
    return html.figure(
        picture,
        _(
            "As above, for the exported files; colour and mark are those of the network. The files on the Pareto front "
            "and the recommended one are named."
        ),
    )
