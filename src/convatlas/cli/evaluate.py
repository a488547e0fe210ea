"""convatlas evaluate: how right a run, or a network with other people's weights, is."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from convatlas.cli._common import data_option, debug_option, json_option, print_json, print_table, reading_options
from convatlas.cli._completion import protocol_names
from convatlas.cli._exported import is_exported, opened, refuse_flags
from convatlas.cli._lang import lang_option
from convatlas.cli._loaded_network import asked, subject_options
from convatlas.errors import UsageError
from convatlas.i18n import _, translated
from convatlas.tables import Column

if TYPE_CHECKING:
    from convatlas.data import ReadingOptions

# spelt out, for --help does not wait for torch; a test compares them with evaluation.PROTOCOLS
PROTOCOLS = "centre, flip, flip-shift, ten-crop, dense[@Q,Q...], multi-scale, 150-crop, 144-crop"
several_subjects = partial(subject_options, several=True, files=True)


def list_protocols(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Every protocol with what it looks at and where it is printed; nothing else is done."""
    if not wanted or ctx.resilient_parsing:
        return
    from convatlas.evaluation import PROTOCOLS
    from convatlas.evaluation.protocols import ALIASES

    also = {name: [alias for alias, meant in ALIASES.items() if meant == name] for name in PROTOCOLS}
    rows = [
        (name, ", ".join(also[name]), protocol.description, protocol.source or "")
        for name, protocol in PROTOCOLS.items()
    ]
    columns = (
        Column(_("protocol")),
        Column(_("also"), drop=2),
        Column(_("what it looks at"), wraps=True),
        Column(_("source"), drop=1, wraps=True),
    )
    print_table(columns, rows)
    click.echo()
    click.echo(_("dense@Q or dense@Q,Q,... reads the whole image densely at any sizes: dense@224,256,384,480,640."))
    click.echo(_("Sizes are those of a 224-pixel network; for another they are in proportion."))
    ctx.exit()


@click.command("evaluate", context_settings={"max_content_width": 110})
@several_subjects
@data_option(default=None)
@reading_options
@click.option("--part", type=click.Choice(["test", "val", "train"]), default="test", show_default=True,
              help="Which part of the run's own data.")  # fmt: skip
@click.option("--protocol", default="centre", show_default=True, shell_complete=protocol_names,
              help=f"Evaluation protocol: {PROTOCOLS}.")  # fmt: skip
@click.option("--list-protocols", is_flag=True, is_eager=True, expose_value=False, callback=list_protocols,
              help="List the protocols and the crops that each evaluates, and exit.")  # fmt: skip
@click.option("--mistakes", type=click.Path(path_type=Path), metavar="DIR|FILE.csv",
              help="Write the misclassified images: a table of their paths, true and predicted classes "
              "and probabilities, or a directory with copies of them by class.")  # fmt: skip
@json_option
@lang_option
@debug_option
def command(
    what: tuple[str, ...],
    data: str | None,
    on_bad: Literal["fail", "skip"],
    max_bad: float,
    reading: ReadingOptions,
    part: str,
    protocol: str,
    mistakes: Path | None,
    as_json: bool,
    **weights_flags: Any,
) -> None:
    """Top-1 and top-5 accuracy with 95 % intervals, results per class, and confused classes.

    A RUN is evaluated on its own test set or, with --data, on all images found there (or their test set). A NETWORK
    gets other people's --weights and needs --data; its images are prepared as those weights need it, and the folders
    may be called by its classes' names or, for ImageNet, by their WordNet numbers. Several RUNs are an ensemble: the
    mean of their probabilities is evaluated. An exported FILE needs --data.

    \b
    convatlas evaluate runs/lenet5-mnist-001
    convatlas evaluate runs/resnet18-photos-001 --data new_photos/ --protocol ten-crop
    convatlas evaluate runs/lenet5-mnist-001 runs/lenet5-mnist-002 runs/lenet5-mnist-003
    convatlas evaluate resnet50@torchvision --weights torchvision:IMAGENET1K_V2 --download --data imagenet/val/
    convatlas evaluate resnet20_cifar --weights resnet20.th --data cifar-10-batches-bin/
    convatlas evaluate exported/model.onnx --data new_photos/
    convatlas evaluate resnet20_cifar --weights own.pth --mean 0.5 --std 0.25 --classes names.txt --data photos/
    """
    if any(map(is_exported, what)):
        of_runs = {
            "part": None if part == "test" else part,
            "protocol": None if protocol == "centre" else protocol,
        }
        file = exported_alone(what)
        refuse_flags(file, weights_flags | of_runs)
        _evaluate_file(file, data, on_bad=on_bad, max_bad=max_bad, reading=reading, mistakes=mistakes, as_json=as_json)
        return
    from convatlas.runs.evaluate import evaluate

    if len(what) > 1 and weights_flags["weights"] is not None:
        raise UsageError("--weights belongs to one network; {n} were named. An ensemble is made of runs.", n=len(what))
    subjects = [asked(each, **weights_flags) for each in what]
    first = subjects[0]
    found = evaluate(
        tuple(subjects) if len(subjects) > 1 else first,
        data,
        part,
        protocol,
        on_bad=on_bad,
        max_bad=max_bad,
        reading=reading,
        mistakes=mistakes,
    )
    if as_json:
        remarks = {"remarks": list(first.remarks)} if first.remarks else {}
        origin = {"preparation": first.preprocessing.to_dict(), "preparation_from": first.prepared_from}
        print_json(found.to_dict() | origin | remarks)
    else:
        from convatlas.evaluation import text

        for line in text.lines(found, list(dict.fromkeys(translated(each.prepared) for each in subjects))):
            click.echo(line)
        if mistakes is not None:
            click.echo(_("{n} mistakes: {place}", n=int((~found.hits).sum()), place=mistakes))


def exported_alone(subjects: tuple[str, ...]) -> str:
    """The exported file, which is the only subject.

    Raises:
        UsageError: there are others.
    """
    file = next(filter(is_exported, subjects))
    if len(subjects) > 1:
        raise UsageError("{file}: an exported file is evaluated alone; an ensemble is made of runs.", file=file)
    return file


def _evaluate_file(
    file: str,
    data: str | None,
    *,
    on_bad: Literal["fail", "skip"],
    max_bad: float,
    reading: ReadingOptions,
    mistakes: Path | None,
    as_json: bool,
) -> None:
    """Evaluate an exported file on a data set, and print the result."""
    from convatlas.data import open_data
    from convatlas.deployed.evaluate import evaluate
    from convatlas.deployed.output import Progress, print_evaluation
    from convatlas.runs.mistakes import refuse_directory_with_files, write_mistakes

    if data is None:
        raise UsageError("{file} is an exported file, which has no data of its own: name them with --data.", file=file)
    if mistakes is not None:
        refuse_directory_with_files(mistakes)
    model = opened(file)
    dataset = open_data(data, on_bad=on_bad, max_bad=max_bad, **reading.to_dict())
    found = evaluate(model, dataset, progress=Progress(_("images")))
    if mistakes is not None:
        write_mistakes(found, dataset, dataset.evaluated()[0], mistakes)
    print_evaluation(found, model, as_json)
    if mistakes is not None and not as_json:
        click.echo(_("{n} mistakes: {place}", n=int((~found.hits).sum()), place=mistakes))
