"""convatlas weights: what a file of weights holds, and which network of the atlas it fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, print_json, print_table
from convatlas.cli._lang import lang_option
from convatlas.errors import UsageError
from convatlas.i18n import _, translated
from convatlas.tables import Column

if TYPE_CHECKING:
    from torch import Tensor

    from convatlas.models.weights.load import Fit
    from convatlas.models.weights.read import WeightsFile
    from convatlas.models.weights.shapes import Near

SHOWN = 30  # names of each kind that --like prints


@click.command("weights", context_settings={"max_content_width": 110})
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--like", metavar="NAME", help="Network to compare with: what fits, what is missing, what is unknown.")
@click.option("--source", help="Library or author whose layer names the file uses; detected by default.")
@click.option("--rename", type=click.Path(path_type=Path), metavar="FILE.toml",
              help='With --like: file of names, lines theirs = "ours".')  # fmt: skip
@click.option("--write-rename", type=click.Path(path_type=Path), metavar="FILE.toml",
              help="With --like: write such a file, proposed by shape and order, for you to check.")  # fmt: skip
@json_option
@lang_option
@debug_option
def command(
    file: Path,
    like: str | None,
    source: str | None,
    rename: Path | None,
    write_rename: Path | None,
    as_json: bool,
) -> None:
    """Names, shapes and types of the tensors in a weights FILE, and the nearest networks of the atlas.

    FILE is of PyTorch, safetensors, numpy, Keras or Caffe, whatever its ending; an index of several files, or their
    folder. Nothing in it is executed. Prefixes and dictionaries around the weights are taken off and named.

    \b
    convatlas weights resnet20.th
    convatlas weights resnet20.th --like resnet20_cifar
    convatlas weights own.pth --like resnet20_cifar --write-rename names.toml
    """
    from convatlas.models.weights.read import read_file

    if like is None and (rename or write_rename or source):
        raise UsageError("--source, --rename and --write-rename compare with a network: name it with --like NAME.")
    if like is not None:
        _compare(file, like, source, rename, write_rename, as_json)
        return
    found = read_file(file)
    document = described(file, found)
    if as_json:
        print_json(document)
    else:
        _print(found, document)


def described(path: Path, found: WeightsFile) -> dict[str, Any]:
    """The JSON document of a file."""
    from convatlas.models.weights.shapes import nearest, shapes_of
    from convatlas.models.weights.wrappings import by_names

    bare = by_names(found.tensors)
    near = nearest(shapes_of(bare.tensors, found.kind))
    return {
        "file": str(path),
        "kind": found.kind,
        "undone": [*found.undone, *bare.undone],
        "others": list(found.others),
        "tensors": len(bare.tensors),
        "numbers": sum(value.numel() for value in bare.tensors.values()),
        "bytes": sum(value.numel() * value.element_size() for value in bare.tensors.values()),
        "keys": [described_tensor(name, value) for name, value in bare.tensors.items()],
        "nearest": [described_near(each) for each in near],
    }


def described_tensor(name: str, value: Tensor) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": name,
        "shape": list(value.shape),
        "dtype": str(value.dtype).removeprefix("torch."),
    }
    if value.is_floating_point() and (bad := int((~value.isfinite()).sum())):
        document["not_finite"] = bad
    return document


def described_near(near: Near) -> dict[str, Any]:
    return {
        "model": near.name,
        "score": round(near.score, 4),
        "common": near.common,
        "tensors": near.shapes,
        "order": round(near.order, 4),
    }


def _print(found: WeightsFile, document: dict[str, Any]) -> None:
    rows = [
        (
            each["name"],
            " x ".join(map(str, each["shape"])),
            each["dtype"],
            _("{n} not finite", n=each["not_finite"]) if "not_finite" in each else "",
        )
        for each in document["keys"]
    ]
    bad = any(row[3] for row in rows)
    columns = [Column(_("name"), wraps=True), Column(_("shape"), number=True), Column(_("type"), drop=1)]
    if bad:
        columns.append(Column(_("values")))
    print_table(columns, [row if bad else row[:3] for row in rows])
    click.echo()
    click.echo(
        _(
            "{file} ({kind}): {n} tensors, {numbers} numbers, {size}",
            file=document["file"],
            kind=document["kind"],
            n=units.exact(document["tensors"]),
            numbers=units.exact(document["numbers"]),
            size=units.bytes_(document["bytes"]),
        )
    )
    for undone in document["undone"]:
        click.echo(_("undone: {undone}", undone=undone))
    if document["others"]:
        click.echo(_("beside the weights: {names}", names=", ".join(document["others"][:12])))
    click.echo()
    _print_nearest(document["nearest"])


def _print_nearest(near: list[dict[str, Any]]) -> None:
    if not near:
        click.echo(_("No network of the atlas has a tensor of these shapes."))
        return
    columns = (
        Column(_("nearest network")),
        Column(_("shapes in common"), number=True),
        Column(_("its tensors"), number=True),
        Column(_("order"), number=True, drop=1),
    )
    rows = [
        (each["model"], units.exact(each["common"]), units.exact(each["tensors"]), units.percent(each["order"], 0))
        for each in near
    ]
    print_table(columns, rows)
    click.echo()
    click.echo(_("Compare with one of them:  convatlas weights FILE --like {network}", network=near[0]["model"]))


def _compare(
    path: Path, like: str, source: str | None, rename: Path | None, write_rename: Path | None, as_json: bool
) -> None:
    from convatlas.models import create_model
    from convatlas.models.weights.load import fitted
    from convatlas.models.weights.names import paired, skeleton
    from convatlas.models.weights.shapes import twins

    fit = fitted(create_model(like), path, source, rename, anything=True)
    if write_rename is not None:
        from convatlas.atomic import written_atomically

        with written_atomically(write_rename) as target:
            target.write(skeleton(fit).encode())
    if as_json:
        pairs = paired(fit) if fit.unknown else {}
        print_json(compared(fit) | {"proposed": pairs, "alike": list(twins(like))})
        return
    _print_fit(fit, list(twins(like)))
    if write_rename is not None:
        click.echo(
            _(
                "{file}: {n} of {all} names proposed; look through them, then pass --rename {file}",
                file=write_rename,
                n=len(paired(fit)),
                all=len(fit.missing),
            )
        )


def compared(fit: Fit) -> dict[str, Any]:
    """The JSON document of a file beside a network."""
    return {
        "file": str(fit.path),
        "kind": fit.file.kind,
        "model": fit.network,
        "source": fit.source,
        "published": fit.line.full_name if fit.line else None,
        "undone": list(fit.undone),
        "fitting": fit.fitting,
        "tensors": len(fit.shapes),
        "missing": [{"name": name, "shape": list(fit.shapes[name])} for name in fit.missing],
        "unknown": [{"name": name, "shape": list(fit.ours[name].shape)} for name in fit.unknown],
        "reshaped": [
            {"name": name, "shape": list(fit.ours[name].shape), "expected": list(fit.shapes[name])}
            for name in fit.reshaped
        ],
        "ignored": list(fit.ignored),
        "fits": not (fit.missing or fit.unknown or fit.reshaped),
    }


def _print_fit(fit: Fit, alike: list[str]) -> None:
    click.echo(
        _(
            "{file} beside {network}: {n} of its {all} tensors fit, under the names of {source}",
            file=fit.path,
            network=fit.network,
            n=units.exact(fit.fitting),
            all=units.exact(len(fit.shapes)),
            source=fit.source,
        )
    )
    if fit.line is not None:
        click.echo(_("published: {name} of {network}", name=fit.line.full_name, network=fit.line.network))
    for undone in fit.undone:
        click.echo(_("undone: {undone}", undone=undone))
    for note in fit.notes:
        click.echo(_("note: {remark}", remark=note))
    if alike:
        click.echo(_("The same names and shapes, but other outputs: {networks}", networks=", ".join(alike)))
    missing = [(name, _sides(fit.shapes[name])) for name in fit.missing]
    unknown = [(name, _sides(fit.ours[name].shape)) for name in fit.unknown]
    reshaped = [(name, f"{_sides(fit.ours[name].shape)} / {_sides(fit.shapes[name])}") for name in fit.reshaped]
    for title, rows in (
        (_("missing in the file"), missing),
        (_("unknown to {network}", network=fit.network), unknown),
        (_("of another shape: in the file / in {network}", network=fit.network), reshaped),
    ):
        if rows:
            heading = f"{title}: {units.exact(len(rows))}"
            if len(rows) > SHOWN:
                heading += _(", the first {n}", n=SHOWN)
            click.echo()
            print_table((Column(_("name"), wraps=True), Column(_("shape"), number=True)), rows[:SHOWN], heading)
    if missing or unknown or reshaped:
        click.echo()
        click.echo(translated(fit.advice))


def _sides(shape: Any) -> str:
    return " x ".join(map(str, shape))
