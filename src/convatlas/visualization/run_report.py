"""The report of one training run: a single HTML page without external resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from convatlas import units
from convatlas.figures import VERDICTS, FigureComparison
from convatlas.i18n import _, language, translated
from convatlas.visualization import html, plots
from convatlas.visualization import inspection as pictures
from convatlas.visualization.html import Column, Html
from convatlas.visualization.plots import Curve
from convatlas.visualization.style import SeriesStyle, new_axes, plot_style, svg

TRAIN, VALIDATION = SeriesStyle(1), SeriesStyle(0)


class EvaluationLike(Protocol):
    """The attributes of an evaluation that a report needs; see ``convatlas.evaluation.Evaluation``."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def protocol(self) -> str: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def n(self) -> int: ...
    @property
    def top1(self) -> float: ...
    @property
    def top5(self) -> float | None: ...
    @property
    def ci95(self) -> tuple[float, float]: ...
    @property
    def confusion(self) -> Any: ...
    @property
    def per_class(self) -> Sequence[Any]: ...
    @property
    def most_confused(self) -> Sequence[tuple[str, str, int]]: ...
    @property
    def nll(self) -> float: ...
    @property
    def calibration_error(self) -> float: ...

    def surest_mistakes(self, limit: int = 12) -> Sequence[tuple[int, int, int, float]]: ...


@dataclass(frozen=True, eq=False)
class Inside:
    """What a report shows of the inside of a network; parts that a network does not have are empty.

    Attributes:
        filter_layer: the first convolution.
        filters: (K, h, w, 3) from 0 to 1, its filters as pictures; None where they are none.
        cam_layer: the layer whose maps Grad-CAM weighs.
        cams: uint8 (H, W, 3) each, a mistake with its Grad-CAM for the predicted class over it.
        captions: true and predicted class of each.
        gradient_norms: (epoch, layer -> norm) of each epoch, where the run recorded them.
    """

    filter_layer: str
    filters: np.ndarray | None
    cam_layer: str
    cams: tuple[np.ndarray, ...]
    captions: tuple[str, ...]
    gradient_norms: tuple[tuple[int, Mapping[str, float | None]], ...]


def run_report(
    header: Mapping[str, str],
    epochs: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any],
    evaluation: EvaluationLike,
    image: Callable[[int], np.ndarray] | None = None,
    figures: Sequence[FigureComparison] = (),
    inside: Inside | None = None,
) -> str:
    """The page of a finished run.

    Args:
        header: how the network was trained: name of a setting -> its value in words.
        epochs: the journal's records of epochs: epoch, train_loss, train_top1, val_loss, val_top1.
        result: the journal's last record: model, epochs, train_s, images_per_s, val_top1, chosen_epoch, seed, run.
        evaluation: of the chosen weights on the test set.
        image: returns the pixels of test image i, uint8 (h, w, c). Without it the most confident mistakes are listed
            by name.
        figures: the paper's error rates, compared with what this run measured.
        inside: pictures of the inside of the network.
    """
    model = str(result["model"])
    lead = html.join(
        html.strong(
            _("{share} of {n} test images", share=units.percent(evaluation.top1, 1), n=units.exact(evaluation.n))
        ),
        _(
            " are classified correctly ({level} confidence interval {interval}; protocol: {protocol}). ",
            level="95 %",
            interval=units.interval(*evaluation.ci95),
            protocol=evaluation.protocol,
        ),
        _("The weights were chosen on the validation set. The test set was used once, afterwards."),
    )
    return html.page(
        _("{model}: training report", model=model),
        html.header(
            model, lead, note=_("seed {seed} · {run}", seed=result.get("seed", "?"), run=result.get("run", ""))
        ),
        html.section(_("Result"), _result_table(result, evaluation)),
        *printed_section(figures),
        html.section(_("Learning curves"), _curves(epochs, result)),
        html.section(
            _("Confusion matrix"),
            html.figures(confusion_figure(model, evaluation, VALIDATION), mistakes_list(evaluation)),
        ),
        html.section(_("Results per class"), _per_class_figure(model, evaluation)),
        surest_mistakes_section(evaluation, image),
        *(inside_sections(inside) if inside is not None else ()),
        html.section(_("How it was trained"), html.facts(header.items())),
        lang=language(),
    )


def _result_table(result: Mapping[str, Any], evaluation: EvaluationLike) -> Html:
    rows = [
        (_("test top-1"), units.percent(evaluation.top1),
         _("95 % confidence interval {interval} (Wilson)", interval=units.interval(*evaluation.ci95))),
        (_("test top-5"), "n/a" if evaluation.top5 is None else units.percent(evaluation.top5),
         _("fewer than six classes") if evaluation.top5 is None else _("of {n} images", n=units.exact(evaluation.n))),
        (_("validation top-1"), units.percent(result["val_top1"]) if result.get("val_top1") is not None else "n/a",
         _("epoch {epoch} of {epochs}, whose weights were chosen",
           epoch=result["chosen_epoch"] + 1, epochs=result["epochs"])),
        (_("negative log likelihood"), units.nats(evaluation.nll, 3), _("mean over the test images")),
        (_("calibration error"), units.percent(evaluation.calibration_error, 1),
         _("expected calibration error, 15 bins")),
        (_("training time"), units.duration(result["train_s"]),
         _("{n} images/s", n=units.exact(round(result["images_per_s"]))) if result.get("images_per_s") else ""),
    ]  # fmt: skip
    columns = [Column(_("quantity"), number=False), Column(_("value"), "measured"), Column("", number=False)]
    return html.table(
        columns, rows, _("Protocol: {protocol}. All values were measured in this run.", protocol=evaluation.protocol)
    )


def _curves(epochs: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> Html:
    x = [record["epoch"] + 1 for record in epochs]
    chosen = next((i for i, record in enumerate(epochs) if record["epoch"] == result["chosen_epoch"]), None)

    def errors(split: str) -> list[float]:
        return [1 - record[f"{split}_top1"] for record in epochs]

    def losses(split: str) -> list[float]:
        return [record[f"{split}_loss"] for record in epochs]

    def curves(values: Callable[[str], list[float]]) -> list[Curve]:
        pair = [Curve(_("training"), x, values("train"), TRAIN)]
        if all(record["val_top1"] is not None for record in epochs):  # a run may have no validation set
            pair.append(Curve(_("validation"), x, values("val"), VALIDATION, chosen))
        return pair

    with plot_style():
        ax = new_axes()
        plots.error_curves(ax, curves(errors), _("Error"))
        ax.set_ylabel(_("top-1 error"))
        error = svg(ax, _("Top-1 error of training and validation by epoch"))
        ax = new_axes()
        plots.loss_curves(ax, curves(losses), _("Loss"), _("loss, nats"))
        loss = svg(ax, _("Loss of training and validation by epoch"))
    return html.figures(
        html.figure(
            error,
            _(
                "Top-1 error in percent; the axis is linear up to 1 % and logarithmic above. The training error is "
                "measured during the epoch, on augmented images and with changing weights. The marker is the epoch "
                "whose weights were chosen."
            ),
        ),
        html.figure(loss, _("Loss. With label smoothing the training loss does not reach zero.")),
    )


def printed_section(figures: Sequence[FigureComparison]) -> list[Html]:
    """The paper's error rates beside this run's, each with its protocol; empty where the paper prints none."""
    if not figures:
        return []
    columns = [
        Column(_("quantity"), number=False),
        Column(_("value"), "printed"),
        Column(_("protocol"), number=False),
        Column(_("value"), "measured"),
        Column(_("protocol"), number=False),
        Column(_("verdict"), number=False),
        Column(_("source"), number=False),
    ]
    rows = [
        (
            error_name(figure.quantity),
            figure.printed.text,
            figure.printed.protocol or _("not stated"),
            figure.measured_text,
            figure.measured.protocol if figure.measured else "",
            translated(VERDICTS[figure.verdict]),
            figure.source,
        )
        for figure in figures
    ]
    caption = _("Error rates can be compared only where data and protocol are the same.")
    return [html.section(_("Figures printed in the paper"), html.table(columns, rows, caption))]


def inside_sections(inside: Inside) -> list[Html]:
    """Grad-CAM of the most confident mistakes, first-layer filters, and gradient norms."""
    sections = []
    if inside.cams:
        note = html.note(
            _(
                "Where the network sees the class that it predicted, for the first of the mistakes above: Grad-CAM of "
                "the layer {layer}.",
                layer=inside.cam_layer,
            )
        )
        shown = html.thumbnails(inside.cams, [html.strong(caption) for caption in inside.captions], inside.captions)
        sections.append(html.section(_("Grad-CAM of the most confident mistakes"), note, shown))
    if inside.filters is not None:
        height, width = inside.filters.shape[1:3]
        with plot_style():
            ax = new_axes(*pictures.tiles_size(len(inside.filters), height / width, captions=False))
            picture = svg(pictures.tiles(ax, inside.filters), _("Filters of {layer}", layer=inside.filter_layer))
        caption = _("{layer}: each filter is scaled by its largest weight; grey is 0.", layer=inside.filter_layer)
        sections.append(html.section(_("First-layer filters"), html.figure(picture, caption)))
    if inside.gradient_norms:
        layers = tuple(inside.gradient_norms[0][1])
        series = [(_("epoch {epoch}", epoch=epoch), list(norms.values())) for epoch, norms in inside.gradient_norms]
        with plot_style():
            ax = pictures.gradient_norms(new_axes(6.4, 3.6), layers, series)
            picture = svg(ax, _("Norm of the gradient of each layer, by epoch"))
        caption = _("L2 norm of the gradient of each layer's weights, mean over the updates of an epoch.")
        sections.append(html.section(_("Gradients through depth"), html.figure(picture, caption)))
    return sections


# --- shared with the report of a comparison -----------------------------------------------------------------------


def error_name(quantity: str) -> str:
    """The name of an error rate, in the language in use."""
    return {"error": _("error"), "top1_error": _("top-1 error"), "top5_error": _("top-5 error")}[quantity]


def confusion_figure(model: str, evaluation: EvaluationLike, style: SeriesStyle) -> Html:
    """The confusion matrix of one network on the test set."""
    k = len(evaluation.classes)
    side = min(7.0, max(2.9, 1.0 + 0.2 * k))  # inches
    with plot_style():
        ax = new_axes(side, side)
        plots.confusion(ax, evaluation.confusion, evaluation.classes, style.colour, model)
        wrong = evaluation.n - round(evaluation.top1 * evaluation.n)
        picture = svg(
            ax,
            _(
                "Confusion matrix of {model}: {wrong} of {n} test images are misclassified",
                model=model,
                wrong=wrong,
                n=evaluation.n,
            )
            + "".join(f"; {true} → {predicted}: {count}" for true, predicted, count in evaluation.most_confused[:3]),
        )
    caption = _(": {wrong} of {n} wrong", wrong=wrong, n=units.exact(evaluation.n))
    return html.figure(picture, html.join(html.name(model, style), caption))


def mistakes_list(evaluation: EvaluationLike) -> Html:
    """The most common mistakes as a list."""
    pairs = evaluation.most_confused
    if not pairs:
        return html.note(_("There are no mistakes."))
    return html.block(
        html.paragraph(_("Most common mistakes (true class → predicted class):")),
        html.bullets(
            html.join(html.code(true), " → ", html.code(predicted), f": {count}") for true, predicted, count in pairs
        ),
    )


def _per_class_figure(model: str, evaluation: EvaluationLike) -> Html:
    scores = evaluation.per_class
    shown = min(len(scores), plots.BARS_UP_TO)
    with plot_style():
        ax = new_axes(5.4, 0.9 + 0.22 * shown)
        plots.per_class(
            ax, evaluation.classes, [s.recall for s in scores], [s.recall_ci95 for s in scores], VALIDATION.colour
        )
        picture = svg(
            ax, _("Recall of {model} per class, with {level} confidence intervals", model=model, level="95 %")
        )
    worst = (
        _("The {shown} classes of {count} with the lowest recall. ", shown=shown, count=len(scores))
        if shown < len(scores)
        else ""
    )
    fewest = min(score.n for score in scores)
    return html.join(
        html.figure(
            picture,
            worst
            + _(
                "The lines are Wilson {level} confidence intervals. The smallest class has {few} test images.",
                level="95 %",
                few=fewest,
            ),
        ),
        _per_class_table(evaluation) if len(scores) <= plots.BARS_UP_TO else Html(""),
    )


def _per_class_table(evaluation: EvaluationLike) -> Html:
    columns = [Column(_("class"), number=False), Column(_("images"))] + [
        Column(heading, "measured") for heading in (_("precision"), _("recall"), "F1")
    ]
    rows = [
        (score.name, units.exact(score.n), *(_share(v) for v in (score.precision, score.recall, score.f1)))
        for score in evaluation.per_class
    ]
    return html.table(columns, rows, _("A class that was never predicted has no precision."))


def _share(value: float | None) -> str:
    return "n/a" if value is None else units.percent(value, 1)


def surest_mistakes_section(
    evaluation: EvaluationLike, image: Callable[[int], np.ndarray] | None, of: str = ""
) -> Html:
    """The mistakes with the highest confidence. They often reveal wrong labels or misleading features of the images."""
    mistakes = evaluation.surest_mistakes(12)
    heading = _("Most confident mistakes")
    if not mistakes:
        return html.section(heading, html.paragraph(_("There are no mistakes.")))
    labelled = [
        (f"{evaluation.classes[true]} → {evaluation.classes[predicted]}", confidence)
        for _index, true, predicted, confidence in mistakes
    ]
    names = [
        evaluation.names[index] if evaluation.names else _("test image {index}", index=index)
        for index, *_rest in mistakes
    ]
    introduction = html.note(
        f"{of}: " * bool(of)
        + _(
            "The mistakes with the highest confidence (true class → predicted class). They often reveal a wrong label, "
            "or a feature of the image that misleads the network."
        )
    )
    if image is None:
        rows = [
            (name, mistake, units.percent(confidence, 1))
            for name, (mistake, confidence) in zip(names, labelled, strict=True)
        ]
        columns = [
            Column(_("image"), number=False),
            Column(_("mistake"), number=False),
            Column(_("confidence"), "measured"),
        ]
        caption = _("Confidence is the largest softmax probability.")
        return html.section(heading, introduction, html.table(columns, rows, caption))
    captions = [
        html.join(html.strong(mistake), Html("<br>"), units.percent(confidence, 1), Html("<br>"), name)
        for name, (mistake, confidence) in zip(names, labelled, strict=True)
    ]
    pixels = [image(index) for index, *_rest in mistakes]
    return html.section(heading, introduction, html.thumbnails(pixels, captions, [mistake for mistake, _ in labelled]))
