"""``convatlas explain NAME [LAYER]``: the figures of ``show`` with the formula and the values put in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from convatlas import tables, units
from convatlas.arithmetic.comparisons import COMPARISONS
from convatlas.cli._common import debug_option, json_option, picture_format, print_json, print_table
from convatlas.cli._completion import run_or_network
from convatlas.cli._lang import lang_option
from convatlas.errors import UsageError
from convatlas.i18n import _, translated
from convatlas.message import joined
from convatlas.tables import Column

if TYPE_CHECKING:
    from torch import Tensor, nn

FIELD_IMAGES = 16  # whose gradients are averaged


@click.command("explain", short_help="The figures of a layer with the formula and the values put in.")
@click.argument("name", required=False, shell_complete=run_or_network)
@click.argument("layer", required=False)
@click.option(
    "--input",
    "input_",
    metavar="CxHxW",
    help="Image size, or the input of a --comparison; by default that of the paper.",
)
@click.option(
    "--comparison",
    type=click.Choice([*COMPARISONS, "two-devices"]),
    help="Instead of a network, a comparison that lectures make.",
)
@click.option(
    "--effective-field",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="Measure which pixels really move the middle of LAYER, beside its receptive field, and draw them into this "
    "file. NAME may be a run.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Random seed of the first weights and the noise, for --effective-field.",
)
@json_option
@lang_option
@debug_option
def command(
    name: str | None,
    layer: str | None,
    input_: str | None,
    comparison: str | None,
    picture: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """The figures of LAYER in network NAME with formulas and values; by default those of all layers.

    LAYER is a name in the first column of  convatlas show NAME, or what stands before a dot of such a name: a block is
    explained as the sum of its rows.

    The effective receptive field is measured by gradients: of a NAME with its first weights on noise, of a RUN with
    what it learnt on its own test images.

    \b
    convatlas explain alexnet conv1
    convatlas explain googlenet inception_3a
    convatlas explain --comparison stacks --input 64x56x56
    convatlas explain alexnet --comparison two-devices
    convatlas explain vgg16 conv5_3 --effective-field field.png
    convatlas explain runs/resnet20_cifar-001 stage2 --effective-field learnt.png
    """
    if comparison is not None:
        if layer is not None or (name is not None and comparison != "two-devices"):
            raise UsageError(
                "--comparison {comparison} has no {word}: leave it out; --input CxHxW sets what it is worked out for.",
                comparison=comparison,
                word=layer or name,
            )
        if comparison == "two-devices":
            _print_two_devices(name or "alexnet", input_, as_json)
        else:
            _print_comparison(comparison, input_, as_json)
        return
    if name is None:
        raise UsageError("no network is named. Name one (convatlas models lists them), or pass --comparison.")
    if picture is not None:
        if layer is None:
            raise UsageError("--effective-field is that of a layer: name one, as in  explain vgg16 conv5_3.")
        _measure_field(name, layer, input_, picture, seed, as_json)
        return
    from convatlas.arithmetic.explanation import explain, explain_all
    from convatlas.cli._network_input import parse_input, summary_of

    summary = summary_of(name, None if input_ is None else parse_input(input_))
    explanations = explain_all(summary) if layer is None else (explain(summary, layer),)
    if as_json:
        print_json({"model": name, "layers": [explanation.to_dict() for explanation in explanations]})
        return
    click.echo("\n\n".join(str(explanation) for explanation in explanations))


def _measure_field(name: str, layer: str, input_: str | None, picture: Path, seed: int, as_json: bool) -> None:
    from convatlas.arithmetic.effective import effective_field
    from convatlas.atomic import written_atomically
    from convatlas.visualization.field import effective_field_file

    file_format = picture_format(picture, ("png", "svg", "pdf"))
    if Path(name).is_dir():
        if input_ is not None:
            raise UsageError("--input is for a network; a run's images have the size it was trained with.")
        net, images = _of_run(Path(name))
        how = _("{n} of its test images, weights as trained", n=len(images))
    else:
        net, images = _of_network(name, input_, seed)
        how = _("{n} images of noise, first weights, seed {seed}", n=len(images), seed=seed)
    found = effective_field(net, images, layer)
    with written_atomically(picture) as file:
        file.write(effective_field_file(found.mass, found.box.theoretical, f"{name}  {layer}", file_format))
    document = found.to_dict()
    if as_json:
        print_json({"model": name, "images": len(images), "seed": seed, **document, "picture": str(picture)})
        return
    place, size = document["position"], units.exact(document["field_pixels"])
    field = "{} x {}".format(*document["receptive_field"])
    columns = (Column(_("quantity")), Column(_("kind"), drop=1), Column(_("value"), wraps=True))
    rows = (
        (_("receptive field"), _("derived"), _("{field} pixels, {n} of them inside the image", field=field, n=size)),
        (
            _("effective receptive field"),
            _("measured"),
            _(
                "{n} pixels hold 95 % of the gradient, {share} of the field ({how})",
                n=units.exact(document["effective_pixels"]),
                share=units.percent(found.share_of_field(), 1),
                how=how,
            ),
        ),
    )
    print_table(columns, rows)
    click.echo()
    if place is None:
        click.echo(_("all outputs of {layer} together", layer=layer))
    else:
        click.echo(_("at position {row}, {column} of {layer}, the middle", row=place[0], column=place[1], layer=layer))
    click.echo(_("wrote {file}", file=picture), err=True)


def _of_network(name: str, input_: str | None, seed: int) -> tuple[nn.Module, Tensor]:
    """A network of the atlas with its first weights, and noise of its input's size."""
    import torch

    from convatlas.cli._network_input import parse_input
    from convatlas.models import create_model, entry

    channels, height, width = entry(name).input if input_ is None else parse_input(input_)
    torch.manual_seed(seed)
    net = create_model(name, in_channels=channels, image_size=height)
    return net, torch.randn(FIELD_IMAGES, channels, height, width)


def _of_run(path: Path) -> tuple[nn.Module, Tensor]:
    """What a run learnt, and the first of its test images, prepared as its own."""
    from convatlas.data import prepare, read_split
    from convatlas.runs.run import Run

    run = Run(path)
    dataset, preprocessing = run.dataset(), run.preprocessing
    chosen = read_split(run.split_path, dataset).test[:FIELD_IMAGES]
    return run.network(), prepare([preprocessing.apply(dataset.read(int(index))) for index in chosen], preprocessing)


def _print_comparison(name: str, input_: str | None, as_json: bool) -> None:
    from convatlas.arithmetic.comparisons import comparison
    from convatlas.arithmetic.records import times
    from convatlas.cli._network_input import parse_input

    found = comparison(name, None if input_ is None else parse_input(input_))
    if as_json:
        print_json({"comparison": name, **found.to_dict()})
        return
    click.echo(f"{translated(found.title)}, {times(found.input)}")
    columns = (
        Column(_("alternative")),
        Column(_("weights"), number=True),
        Column(_("macs"), number=True),
        Column(_("receptive field"), number=True, drop=1),
        Column(_("non-linearities"), number=True, drop=2),
        Column(_("layers"), drop=3, wraps=True),
    )
    first = found.alternatives[0]
    rows = (
        (
            way.name,
            f"{units.exact(way.params)} ({_share(way.params, first.params)})",
            f"{units.exact(way.macs)} ({_share(way.macs, first.macs)})",
            times(way.receptive_field),
            way.nonlinearities,
            joined(way.layers, " | "),
        )
        for way in found.alternatives
    )
    print_table(columns, rows)
    click.echo("\n" + _("weights"))
    weights = ((way.name, f"{way.working} = {units.exact(way.params)}") for way in found.alternatives)
    click.echo(tables.labelled(weights, indent=2))
    if found.ratios:
        click.echo("")
    for ratio in found.ratios:
        click.echo(
            _(
                "{way} against {against}: {formula} = {share}",
                way=translated(ratio.name),
                against=translated(ratio.baseline),
                formula=ratio.formula,
                share=_share(ratio.share.numerator, ratio.share.denominator),
            )
        )


def _print_two_devices(name: str, input_: str | None, as_json: bool) -> None:
    from convatlas.arithmetic.two_devices import FLOAT_BYTES, NOTES, two_devices
    from convatlas.cli._network_input import parse_input, summary_of

    found = two_devices(summary_of(name, None if input_ is None else parse_input(input_)))
    if as_json:
        print_json({"comparison": "two-devices", **found.to_dict()})
        return
    click.echo(_("{network} on two devices, half of every layer on each; one image", network=name))
    columns = (
        Column(_("layer")),
        Column(_("params of each"), number=True),
        Column(_("activations of each"), number=True),
        Column(_("each sends"), number=True),
        Column(_("bytes"), number=True, drop=2),
        Column(_("what crosses"), drop=1),
    )
    rows: list[tuple[str, ...]] = []
    for layer in found.layers:
        sent = (units.exact(layer.sent), units.bytes_(FLOAT_BYTES * layer.sent)) if layer.sent else ("-", "-")
        source = _("half of {row}", row=layer.source) if layer.source else ""
        rows.append((layer.name, units.exact(layer.params), units.exact(layer.activations), *sent, source))
    sent = (units.exact(found.sent), units.bytes_(FLOAT_BYTES * found.sent))
    rows.append((_("all"), units.exact(found.params), units.exact(found.activations), *sent, ""))
    print_table(columns, rows)
    click.echo()
    facts = [
        (
            _("weights of each"),
            _("{bytes} in training: weights, gradients, momentum in fp32", bytes=units.bytes_(found.param_bytes)),
        ),
        (
            _("activations of each"),
            _(
                "{bytes} for a batch of {batch}, the whole images included",
                bytes=units.bytes_(found.activation_bytes),
                batch=found.batch,
            ),
        ),
        (
            _("traffic"),
            _(
                "{forward} in a batch's forward pass, both directions together; {step} in a training step: the "
                "gradients come back",
                forward=units.bytes_(found.forward_bytes),
                step=units.bytes_(found.step_bytes),
            ),
        ),
    ]
    click.echo(tables.labelled(facts))
    for note in NOTES:
        click.echo(_("note: {text}", text=translated(note)))
    if name.partition("@")[0] == "alexnet":
        click.echo(_("printed: a GTX 580 has 3 GB, which limits the network (Krizhevsky et al. 2012, section 3.2)"))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3g} %"
