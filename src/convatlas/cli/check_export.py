"""convatlas check-export: the contract of an exported file again, on another machine or in another engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from convatlas.cli._common import data_option, debug_option, json_option, print_json, reading_options
from convatlas.cli._contract import Stages, print_contract
from convatlas.cli._lang import lang_option
from convatlas.errors import LimitError

if TYPE_CHECKING:
    from convatlas.data import ReadingOptions


@click.command("check-export", context_settings={"max_content_width": 110})
@click.argument("file", type=click.Path(path_type=Path))
@data_option(default=None)
@click.option("--engine", type=click.Choice(["onnxruntime", "openvino", "torch"]),
              help="What runs the file; by default the first of these that reads it.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the engine; by default all processors.")
@reading_options
@json_option
@lang_option
@debug_option
def command(
    file: Path,
    data: str | None,
    engine: str | None,
    threads: int | None,
    on_bad: str,
    max_bad: float,
    reading: ReadingOptions,
    as_json: bool,
) -> None:
    """Check an exported file against the results that the network itself gave when it was exported.

    --data holds the images of that check, found by their content; without it only images made by arithmetic are
    checked. The exit code is 5 if the contract is broken.

    \b
    convatlas check-export exported/model.onnx --data photos/
    convatlas check-export exported/model.onnx --data photos/ --engine openvino
    """
    from convatlas.exports.check import check_export

    stages = Stages()
    contract = check_export(file, data, engine=engine, threads=threads, reading=reading, progress=stages.of("checking"))
    if as_json:
        print_json(contract.to_dict())
    else:
        print_contract(contract)
    if contract.state == "broken":
        raise LimitError("{file} breaks its contract: {headline}.", file=file, headline=contract.headline)
