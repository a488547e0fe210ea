"""An `Evaluation` as lines of text, for the terminal. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convatlas import tables, units
from convatlas.evaluation.result import Evaluation
from convatlas.i18n import _, translated
from convatlas.tables import Column

CLASSES_SHOWN = 30  # of more only the worst


def lines(found: Evaluation, preparations: Sequence[str]) -> Iterator[str]:
    """The accuracies, the table of the classes, the notes and the most confused classes, in the language in use.

    Args:
        preparations: how the images were prepared for each network, in words.
    """

    def share(value: float | None) -> str:
        return "n/a" if value is None else units.percent(value, 1)

    yield _(
        "{run} on {data}, {part}: {n} images, protocol {protocol}",
        run=found.run,
        data=found.data,
        part=found.part,
        n=units.exact(found.n),
        protocol=found.protocol,
    )
    spread = _("95 % interval {interval} (Wilson)", interval=units.interval(*found.ci95))
    yield f"top-1  {units.percent(found.top1)}   {spread}"
    yield "top-5  " + (_("n/a, fewer than six classes") if found.top5 is None else units.percent(found.top5))
    calibration = _("calibration error {error}", error=units.percent(found.calibration_error, 1))
    yield f"nll    {translated(units.nats(found.nll))}   {calibration}"
    for preparation in preparations:
        yield _("preparation: {preparation}", preparation=preparation)

    scores = [score for score in found.per_class if score.n or len(found.classes) <= CLASSES_SHOWN]
    shown = (
        sorted(scores, key=lambda score: score.recall or 0)[:CLASSES_SHOWN] if len(scores) > CLASSES_SHOWN else scores
    )
    columns = (
        Column(_("class")),
        Column(_("images"), number=True, drop=3),
        Column(_("recall"), number=True),
        Column(_("95 % interval"), number=True, drop=1),
        Column(_("precision"), number=True, drop=2),
        Column("F1", number=True, drop=4),
    )
    rows = [
        (s.name, units.exact(s.n), share(s.recall), units.interval(*s.recall_ci95), share(s.precision), share(s.f1))
        for s in shown
    ]
    title = ""
    if len(shown) < len(scores):
        title = _("the {n} worst of {all} classes with images", n=CLASSES_SHOWN, all=len(scores))
    yield ""
    yield tables.text(columns, rows, title)
    yield ""
    for note in found.notes:
        yield _("note: {text}", text=translated(note))
    for true, said, count in found.most_confused:
        yield _("{n:>5} x  {true} taken for {said}", n=count, true=true, said=said)
