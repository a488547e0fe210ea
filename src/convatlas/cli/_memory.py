"""``convatlas show --fits`` and ``--limit``: the memory of a training step."""

from __future__ import annotations

import re

import click

from convatlas import units
from convatlas.cli._common import print_json, print_table
from convatlas.errors import LimitError, UsageError
from convatlas.i18n import _
from convatlas.tables import Column


def print_step_memory(
    name: str, shape: tuple[int, int, int], batch: int, optimizer: str, precision: str, as_json: bool
) -> None:
    """The memory of one training step: predicted, and measured in a real step on this machine."""
    from convatlas.arithmetic import memory
    from convatlas.models import create_model

    net = create_model(name, in_channels=shape[0], image_size=shape[1])
    predicted = memory.predict(net, shape, batch, optimizer, precision).to_dict()
    measured = memory.measure(net, shape, batch, optimizer, precision).to_dict()
    if as_json:
        print_json({"model": name, "optimizer": optimizer, "predicted": predicted, "measured": measured})
        return
    columns = (Column(_("memory")), Column(_("predicted"), number=True), Column(_("measured"), number=True))
    rows = [
        (label, units.bytes_(predicted[part]), units.bytes_(measured[part])) for part, label in part_names().items()
    ]
    print_table(columns, rows, f"{name}, {_('batch')} {batch}, {optimizer}, {precision}")


def part_names() -> dict[str, str]:
    """The parts of a training step's memory: the key in JSON and its name in the language in use."""
    return {
        "params": _("params"),
        "gradients": _("gradients"),
        "optimizer": _("optimizer state"),
        "buffers": _("buffers"),
        "input": _("input"),
        "saved": _("saved for backward"),
        "train_peak": _("peak, training"),
        "infer_peak": _("peak, inference"),
    }


def print_largest_batch(
    name: str, shape: tuple[int, int, int], limit: str, optimizer: str, precision: str, as_json: bool
) -> None:
    """The largest training batch whose predicted memory is within the limit.

    Raises:
        UsageError: the limit is no number of bytes.
        LimitError: not even one image fits.
    """
    from convatlas.arithmetic import memory
    from convatlas.models import create_model

    limit_bytes = parse_bytes(limit)
    net = create_model(name, in_channels=shape[0], image_size=shape[1])
    batch, peak_bytes = memory.largest_batch(net, shape, limit_bytes, optimizer, precision)
    peak = units.bytes_(peak_bytes)
    if as_json:
        print_json({"model": name, "limit_bytes": limit_bytes, "batch": batch, "train_peak": peak_bytes})
    elif batch:
        click.echo(
            _(
                "{name} trains with at most {batch} images in {limit}: {peak} at the peak",
                name=name,
                batch=batch,
                limit=limit,
                peak=peak,
            )
        )
    else:
        click.echo(_("{name} does not fit: one image already takes {peak} at the peak", name=name, peak=peak))
    if not batch:
        raise LimitError(
            "{name} cannot train in {limit}; one image takes {peak}.",
            name=name,
            limit=limit,
            peak=peak,
        )


def parse_bytes(text: str) -> int:
    """``8GiB``, ``500MB``, ``1e9`` -> bytes; GiB are powers of 1024, GB of 1000."""
    found = re.fullmatch(r"([0-9.e+]+)\s*([kmgt]?)(i?)b?", text.strip().lower())
    try:
        count = float(found[1]) if found else -1.0
    except ValueError:
        count = -1.0
    if found is None or not 0 < count < float("inf"):
        raise UsageError("a size is a number and a unit, such as 8GiB or 500MB; got {text!r}.", text=text)
    return int(count * (1024 if found[3] else 1000) ** " kmgt".index(found[2] or " "))
