"""convatlas export: a trained network as a file that other engines run, with a contract that is checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convatlas.cli._common import debug_option, json_option, print_json, reading_options
from convatlas.cli._contract import Stages, print_contract
from convatlas.cli._lang import lang_option
from convatlas.cli._loaded_network import asked, subject_options
from convatlas.errors import LimitError, UsageError
from convatlas.i18n import _

if TYPE_CHECKING:
    from convatlas.data import ReadingOptions
    from convatlas.runs.loaded_network import LoadedNetwork


@click.command("export", context_settings={"max_content_width": 110})
@subject_options
@click.option("--format", "format_", type=click.Choice(["onnx", "openvino", "torch", "hub"]), default="onnx",
              show_default=True, help="Format of the file; torch is a file of torch.export (.pt2), hub a folder in the "
              "layout of the Hugging Face Hub with a model card.")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16", "int8"]), default="fp32", show_default=True,
              help="fp16 halves the size of the weights; bf16 (OpenVINO, torch) and int8 compute in it.")  # fmt: skip
@click.option("--input", "input_", type=click.Choice(["pixels", "photo"]), default="pixels", show_default=True,
              help="pixels: images of the network's input size. photo: one image of any size, which the file itself "
              "resizes and crops.")  # fmt: skip
@click.option("--opset", type=int, default=20, show_default=True, help="Opset of an ONNX file.")
@click.option("--calibration", metavar="DATA",
              help="Images that set the ranges of an int8 file; by default training images of the run.")  # fmt: skip
@click.option("--check", metavar="DATA",
              help="Images to check the file on; by default the validation set of the run.")  # fmt: skip
@click.option("--most-images", type=click.IntRange(min=1), default=1000, show_default=True,
              help="Number of images to check at most.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Directory to write to; by default export/FORMAT-PRECISION in the run, or in exports/.")  # fmt: skip
@click.option(
    "--upload",
    metavar="OWNER/NAME",
    help="With --format hub: send the folder to this repository of the Hub, which is private if it is new.",
)
@click.option("--licence", metavar="NAME", help="With --format hub: licence of the weights for the card, such as mit.")
@reading_options
@json_option
@lang_option
@debug_option
def command(
    what: str,
    format_: str,
    precision: str,
    input_: str,
    opset: int,
    calibration: str | None,
    check: str | None,
    most_images: int,
    out: Path | None,
    upload: str | None,
    licence: str | None,
    on_bad: str,
    max_bad: float,
    reading: ReadingOptions,
    as_json: bool,
    **weights_flags: Any,
) -> None:
    """Write a file that other programs run, and check on images that it says the same as the network.

    The file takes 8-bit pixels and returns logits and probabilities; the normalisation is inside. Beside it stand its
    description (model.onnx.json), the contract (contract.json and contract.html) and the reference results of the check
    (reference.npz). A file that breaks its contract is kept as model.broken.onnx, and the exit code is 5.

    \b
    convatlas export runs/resnet18-photos-001
    convatlas export runs/resnet18-photos-001 --precision int8
    convatlas export runs/resnet18-photos-001 --input photo
    convatlas export resnet20_cifar --weights resnet20.th --check cifar-10-batches-bin/
    convatlas export runs/resnet18-photos-001 --format hub
    """
    from convatlas.exports.export import export, refuse

    if format_ != "hub":
        if upload is not None or licence is not None:
            raise UsageError("--upload and --licence are for --format hub.")
        refuse(format_, precision, input_)
    elif precision != "fp32" or input_ != "pixels" or calibration is not None or check is not None:
        raise UsageError("--format hub holds the weights as they are: leave --precision, --input, --calibration and "
                         "--check out.")  # fmt: skip
    subject = asked(what, **weights_flags)
    if format_ == "hub":
        write_hub_folder(subject, out, upload, licence, as_json)
        return
    written = export(
        subject,
        format_,
        precision,
        input=input_,
        opset=opset,
        calibration=calibration,
        check=check,
        out=out,
        most_images=most_images,
        reading=reading,
        progress=Stages(),
    )
    if as_json:
        print_json(written.to_dict())
    else:
        print_contract(written.contract)
        click.echo(_("file: {file}", file=written.file))
    if written.contract.state == "broken":
        raise LimitError(
            "{file} breaks its contract: {headline}. The file is kept under this name for examination; do not use it.",
            file=written.file,
            headline=written.contract.headline,
        )


def write_hub_folder(
    subject: LoadedNetwork, out: Path | None, upload: str | None, licence: str | None, as_json: bool
) -> None:
    """Write a folder in the layout of the Hub, and upload it where that is asked."""
    from convatlas.runs import pretrained

    if out is None:
        network = str(getattr(subject.net, "network", "network")).replace(":", "-")
        out = Path("exports") / f"{network}-hub" if subject.run is None else subject.run.path / "export" / "hub"
    folder = pretrained.save_pretrained(subject, out, licence=licence)
    address = None if upload is None else pretrained.upload(folder, upload)
    if as_json:
        names = (pretrained.CONFIG, pretrained.WEIGHTS, pretrained.CARD)
        files = [{"file": str(folder / name), "size_bytes": (folder / name).stat().st_size} for name in names]
        print_json({"format": "hub", "folder": str(folder), "files": files, "uploaded": address})
        return
    click.echo(_("folder: {folder}", folder=folder))
    if address is not None:
        click.echo(_("uploaded: {address}", address=address))
