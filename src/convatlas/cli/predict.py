"""convatlas predict: labels for images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from convatlas.cli._common import debug_option, listed
from convatlas.cli._exported import is_exported, opened, refuse_flags
from convatlas.cli._lang import lang_option
from convatlas.cli._loaded_network import asked, subject_options
from convatlas.errors import UsageError


@click.command("predict", context_settings={"max_content_width": 110})
@partial(subject_options, files=True)
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
    images: tuple[str, ...],
    top: int,
    table: Path | None,
    as_json: bool,
    **weights_flags: Any,
) -> None:
    """Labels for images, prepared as the run prepared its own, or as a NETWORK's --weights or an exported FILE need it.

    IMAGE is a file, a folder (all images below it), or - for a list of them on stdin, one to a line. An image that is
    missing or cannot be read is named on stderr, the others are labelled, and the exit code is 3.

    \b
    convatlas predict runs/resnet18-photos-001 holiday/ cat.jpg
    convatlas predict runs/resnet18-photos-001 holiday/ --csv labels.csv
    convatlas predict resnet50@torchvision --weights torchvision:IMAGENET1K_V2 --download cat.jpg
    convatlas predict exported/model.onnx holiday/
    find . -name '*.png' | convatlas predict runs/resnet18-photos-001 --json -
    """
    from convatlas.deployed.output import print_files_left_out, print_predictions

    if top < 1:
        raise UsageError("--top {top}: at least 1 is needed.", top=top)
    paths = list(listed(images))
    if is_exported(what):
        from convatlas.deployed import predict as deployed

        refuse_flags(what, weights_flags)
        model = opened(what)
        print_files_left_out(paths)
        predictions = deployed.predict(model, paths, top)
    else:
        from convatlas.runs.predict import predict

        subject = asked(what, **weights_flags)
        print_files_left_out(paths)
        predictions = predict(subject, paths, top=top)
    print_predictions(predictions, table, as_json)
