"""The numbers of ``convatlas inspect``, printed from the document that --json prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from convatlas import tables, units
from convatlas.cli._common import print_table
from convatlas.i18n import _, translated
from convatlas.tables import Column


def print_found(document: dict[str, Any]) -> None:
    """The numbers of a result: what was computed, then a row of each image."""
    facts = [
        (_("network"), translated(document["network"])),
        (_("what"), document["what"]),
        *([(_("layer"), document["layer"])] if document.get("layer") else []),
        (_("unit"), translated(document["unit"])),
        *([(_("source"), document["source"])] if document.get("source") else []),
    ]
    click.echo(tables.labelled(facts))
    if "data" in document:
        click.echo(_("{n} images of {data}", n=units.exact(document["n"]), data=document["data"]))
    if document["what"] in ("patches", "maximise"):
        click.echo()
        print_channels(document["channels"])
    elif isinstance(document.get("images"), list):
        click.echo()
        print_table(*image_table(document["images"]))
    elif "shape" in document:
        click.echo(tables.labelled([(_("shape"), shape_text(document)), (_("range"), range_text(document))]))
    elif "layers" in document or "epochs" in document:
        click.echo()
        print_gradients(document)
    elif "zeros" in document:
        click.echo()
        print_statistics(document)
    for name, value in document.get("notes", {}).items():
        click.echo(_("{name}: {value}", name=translated(name), value=f"{value:.3g}"))
    if "sanity" in document:
        check = document["sanity"]
        click.echo()
        click.echo(
            _(
                "randomised weights: rank correlation {mean} with the maps of random weights; two random networks "
                "have {between}. results/inspection has these numbers for all methods.",
                mean=f"{check['correlation']:.2f}",
                between=f"{check['between_random']:.2f}",
            )
        )


def image_table(images: Sequence[dict[str, Any]]) -> tuple[Sequence[Column], Sequence[Sequence[str]]]:
    columns = [
        Column(_("image"), wraps=True),
        Column(_("class"), wraps=True),
        Column(_("probability"), number=True),
        Column(_("score"), number=True, drop=2),
    ]
    rows = []
    nested = "shape" not in images[0]
    columns += (
        [Column(_("nearest images") if "neighbours" in images[0] else _("strongest channels"), wraps=True)]
        if nested
        else [Column(_("shape"), drop=3), Column(_("range"), drop=1), *([Column(_("dead"))] * ("dead" in images[0]))]
    )
    for image in images:
        row = [
            Path(image["file"]).name,
            image["class"],
            units.percent(image["probability"], 1),
            f"{image['score']:.2f}",
        ]
        if "neighbours" in image:
            row.append(", ".join(f"{each['class']} ({each['similarity']:.2f})" for each in image["neighbours"]))
        elif nested:
            row.append(", ".join(f"{each['channel']} ({each['activation']:.3g})" for each in image["patterns"]))
        else:
            row += [shape_text(image), range_text(image)]
            row += [units.exact(len(image["dead"]))] if "dead" in image else []
        rows.append(row)
    return columns, rows


def print_statistics(document: dict[str, Any]) -> None:
    """The most silent channels of a layer; all are in --json."""
    order = sorted(range(document["channels"]), key=lambda channel: -document["zeros"][channel])[:10]
    columns = (
        Column(_("channel"), number=True),
        Column(_("zeros"), number=True),
        Column(_("mean"), number=True),
        Column(_("standard deviation"), number=True, drop=2),
        Column(_("minimum"), number=True, drop=1),
        Column(_("maximum"), number=True),
    )
    names = ("mean", "standard_deviation", "minimum", "maximum")
    rows = [
        (channel, units.percent(document["zeros"][channel], 1), *(f"{document[name][channel]:.4g}" for name in names))
        for channel in order
    ]
    print_table(columns, rows, _("the channels with most zeros"))
    click.echo()
    click.echo(
        _(
            "{n} of {count} channels are dead: 0 at every position of all {images} images.",
            n=len(document["dead"]),
            count=document["channels"],
            images=units.exact(document["images"]),
        )
    )


def print_channels(channels: Sequence[dict[str, Any]]) -> None:
    """The strongest image of each channel, or how strong it was made."""
    columns = [Column(_("channel"), number=True), Column(_("activation"), number=True), Column(_("image"), wraps=True)]
    rows = []
    for each in channels:
        made = "files" not in each
        value = each["activations"][-1 if made else 0]
        rows.append((each["channel"], f"{value:.4g}", each.get("name") if made else each["files"][0]))
    print_table(columns, rows)


def print_gradients(document: dict[str, Any]) -> None:
    """The norm of each layer: of one batch, or of the first and the last recorded epoch."""
    if "epochs" not in document:
        click.echo(_("{n} images, loss {loss}", n=units.exact(document["images"]), loss=f"{document['loss']:.4g}"))
        columns = [
            Column(_("layer")),
            Column(_("norm"), number=True),
            Column(_("per weight"), number=True, drop=1),
            Column(_("weights"), number=True, drop=2),
        ]
        print_table(columns, [
            (each["layer"], f"{each['norm']:.3g}", f"{each['per_weight']:.3g}", units.exact(each["weights"]))
            for each in document["layers"]
        ])  # fmt: skip
        return
    first, last = document["epochs"][0], document["epochs"][-1]
    columns = [Column(_("layer")), *(
        Column(_("epoch {epoch}", epoch=each["epoch"] + 1), number=True) for each in (first, last)
    )]  # fmt: skip
    print_table(columns, [
        (a["layer"], *("n/a" if each["norm"] is None else f"{each['norm']:.3g}" for each in (a, b)))
        for a, b in zip(first["layers"], last["layers"], strict=True)
    ])  # fmt: skip


def shape_text(record: dict[str, Any]) -> str:
    return " x ".join(map(str, record["shape"]))


def range_text(record: dict[str, Any]) -> str:
    return f"{record['min']:.3g} … {record['max']:.3g}"
