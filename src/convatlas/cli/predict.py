"""convatlas predict: labels for images."""

from __future__ import annotations

from pathlib import Path

import click

from convatlas.cli._common import debug_option, listed, print_json_line
from convatlas.cli._lang import lang_option
from convatlas.cli._loaded_network import asked, subject_options
from convatlas.errors import DataError, UsageError
from convatlas.i18n import _, translated


@click.command("predict", context_settings={"max_content_width": 110})
@subject_options
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", default=5, show_default=True, help="Number of classes printed for each image.")
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the labels to a table: a row for each image, its file, its labels with their probabilities, "
              "and why it could not be read.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each image.")
@lang_option
@debug_option
def command(
    what: str,
    weights: str | None,
    source: str | None,
    classes: Path | None,
    download: bool,
    rename: Path | None,
    mean: str | None,
    std: str | None,
    channels: str | None,
    resize: int | None,
    crop: int | None,
    interpolation: str | None,
    images: tuple[str, ...],
    top: int,
    table: Path | None,
    as_json: bool,
) -> None:
    """Labels for images, prepared as the run prepared its own, or as a NETWORK's --weights need it.

    IMAGE is a file, a folder (all images below it), or - for a list of them on stdin, one to a line. An image that is
    missing or cannot be read is named on stderr, the others are labelled, and the exit code is 3.

    \b
    convatlas predict runs/resnet18-photos-001 holiday/ cat.jpg
    convatlas predict runs/resnet18-photos-001 holiday/ --csv labels.csv
    convatlas predict resnet50@torchvision --weights torchvision:IMAGENET1K_V2 --download cat.jpg
    find . -name '*.png' | convatlas predict runs/resnet18-photos-001 --json -
    """
    from convatlas.data.dataset import printable
    from convatlas.runs.predict import hidden_images, other_files, predict, write_table

    if top < 1:
        raise UsageError("--top {top}: at least 1 is needed.", top=top)
    bad = 0
    subject = asked(
        what,
        weights,
        source,
        classes,
        download,
        rename,
        mean=mean,
        std=std,
        channels=channels,
        resize=resize,
        crop=crop,
        interpolation=interpolation,
    )
    paths = list(listed(images))
    hidden = hidden_images(paths)
    if hidden:
        text = _("{n} hidden files were skipped, such as {file}", n=len(hidden), file=printable(str(hidden[0])))
        click.echo(f"convatlas: {text}", err=True)
    others = other_files(paths)
    if others:
        text = _(
            "{n} files that are no images were skipped, such as {file}", n=len(others), file=printable(str(others[0]))
        )
        click.echo(f"convatlas: {text}", err=True)
    answers = []
    for prediction in predict(subject, paths, top=top):
        answers.append(prediction)
        if prediction.error is not None:
            bad += 1
            reason = translated(prediction.error.reason)
            said = _("{file} cannot be read: {reason}", file=printable(prediction.file), reason=reason)
            click.echo(f"convatlas: {said}", err=True)
        if as_json:
            print_json_line(prediction.to_dict())
        elif prediction.error is None and table is None:
            labels = "   ".join(f"{label} {100 * probability:.1f} %" for label, probability in prediction.top)
            click.echo(f"{printable(prediction.file)}   {labels}")
    if table is not None:
        write_table(answers, table)
        if not as_json:
            click.echo(_("{n} images: {file}", n=len(answers), file=table))
    if bad:
        raise DataError(
            "{n} image could not be read; the labels of the others are above."
            if bad == 1
            else "{n} images could not be read; the labels of the others are above.",
            n=bad,
        )
