"""The command ``convatlas-runtime``: predict, evaluate and bench with an exported file, where PyTorch is not installed.

It parses with argparse, since the distribution has no other packages than numpy, Pillow and onnxruntime.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas import __version__
from convatlas.errors import CheckpointError, ConvAtlasError, MissingDependencyError
from convatlas.i18n import LANGUAGES, _, choose_language, translated

if TYPE_CHECKING:
    from convatlas.exports.exported import ExportedModel

PROGRAM = "convatlas-runtime"
# the other commands of the full program; a test compares them with cli._app.COMMANDS
OF_THE_FULL_PROGRAM = (
    "models", "show", "explain", "layer", "data", "train", "inspect", "weights", "compare", "export", "check-export",
    "experiment", "explore", "runs", "serve",
)  # fmt: skip
WEIGHTS = (".safetensors", ".pth", ".pt", ".th", ".ckpt", ".bin", ".tar", ".h5", ".keras", ".npz", ".caffemodel")


class NeedsFullProgramError(ConvAtlasError):
    """What was asked for needs PyTorch, which this distribution does without."""

    exit_code = 4


def parser() -> argparse.ArgumentParser:
    """The command line, its help in the language in use."""
    top = argparse.ArgumentParser(
        prog=PROGRAM,
        description=_(
            "Labels, accuracy and speed of a file that convatlas export wrote. Needs numpy, Pillow and ONNX Runtime."
        ),
    )
    top.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    _language(top)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    command = _command(commands, "predict", predict, _("Labels for images and folders of images."))
    command.add_argument("file", metavar="FILE", help=_("The exported file; its sidecar lies beside it."))
    command.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help=_("A file, a folder (all images below it), or - for a list of them on stdin."),
    )
    command.add_argument("--top", type=int, default=5, metavar="K", help=_("Number of classes printed for each image."))
    command.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help=_(
            "Write the labels to a table: a row for each image, its file, its labels with their "
            "probabilities, and why it could not be read."
        ),
    )
    command.add_argument("--json", action="store_true", help=_("Print one line of JSON for each image."))
    _threads(command)

    command = _command(
        commands,
        "evaluate",
        evaluate,
        _("Top-1 and top-5 accuracy with 95 % intervals, results per class, and confused classes."),
    )
    command.add_argument("file", metavar="FILE", help=_("The exported file; its sidecar lies beside it."))
    command.add_argument("--data", required=True, help=_("A folder, archive or file whose layout is detected."))
    command.add_argument(
        "--on-bad",
        default="fail",
        choices=["fail", "skip"],
        help=_("What to do about files that cannot be read: fail stops, skip leaves them out and lists them."),
    )
    command.add_argument(
        "--max-bad",
        type=float,
        default=0.05,
        metavar="SHARE",
        help=_("Largest share of the images that --on-bad skip may leave out."),
    )
    command.add_argument(
        "--image-column",
        metavar="NAME",
        help=_("Column of the table of labels that names the image, with or without its extension."),
    )
    command.add_argument(
        "--label-column",
        metavar="NAME[,NAME...]",
        help=_("Column of the table that states the class, or the columns of 0 and 1, one for each class."),
    )
    command.add_argument(
        "--split-column", metavar="NAME", help=_("Column of the table that states train, val or test.")
    )
    command.add_argument(
        "--class-from",
        default="auto",
        choices=["auto", "folder", "top-folder", "file-name"],
        help=_(
            "What states the class of an image: the folder it lies in, the topmost folder, or the "
            "beginning of its file name (cat.1.jpg); auto: what the layout suggests."
        ),
    )
    command.add_argument(
        "--follow-links",
        action="store_true",
        help=_("Read the files and folders outside of the data set that symbolic links lead to."),
    )
    _json(command)
    _threads(command)

    command = _command(commands, "bench", bench, _("Latency, images per second, memory and start-up of a file."))
    command.add_argument("files", metavar="FILE", nargs="+", help=_("The exported file; its sidecar lies beside it."))
    command.add_argument(
        "--batch",
        "--batch-size",
        type=_at_least_one,
        default=1,
        metavar="N",
        dest="batch_size",
        help=_("Images of a batch."),
    )
    command.add_argument(
        "--time",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help=_("Seconds of measurement, without start-up and warm-up."),
    )
    _json(command)
    _threads(command)
    return top


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    about: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=about, description=about)
    command.set_defaults(run=run)
    _language(command)
    command.add_argument("--debug", action="store_true", help=_("Show the traceback of an error."))
    return command


def _language(command: argparse.ArgumentParser) -> None:
    # read from the arguments by main(), before they are parsed
    command.add_argument("--lang", choices=LANGUAGES, help=_("Language of the output; by default that of the locale."))


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help=_("Print one JSON document instead of a table."))


def _threads(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--threads", type=_at_least_one, metavar="N", help=_("Threads of the engine; by default all processors.")
    )


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(_("{text} is not a whole number from 1.", text=text))
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(_("{text}: seconds above 0 are expected.", text=text))
    return seconds


# --- the commands -----------------------------------------------------------------------------------------------------


def predict(asked: argparse.Namespace) -> None:
    from convatlas.deployed import output
    from convatlas.deployed.predict import predict

    model = opened(asked.file, asked.threads)
    paths = list(output.listed(asked.images))
    predictions = predict(model, paths, asked.top)
    output.print_files_left_out(paths)
    output.print_predictions(predictions, asked.csv, asked.json)


def evaluate(asked: argparse.Namespace) -> None:
    from convatlas.data.reading import ReadingOptions
    from convatlas.deployed import output
    from convatlas.deployed.evaluate import evaluate

    model = opened(asked.file, asked.threads)
    names = ("image_column", "label_column", "split_column", "class_from", "follow_links")
    found = evaluate(
        model,
        asked.data,
        on_bad=asked.on_bad,
        max_bad=asked.max_bad,
        reading=ReadingOptions(**{name: getattr(asked, name) for name in names}),
        progress=output.Progress(_("images")),
    )
    output.print_evaluation(found, model, asked.json)


def bench(asked: argparse.Namespace) -> None:
    from convatlas.deployed import output
    from convatlas.deployed.speed import measure

    for file in asked.files:
        refuse_what_needs_torch(file)
    speeds = [
        measure(file, batch_size=asked.batch_size, threads=asked.threads, time_s=asked.time) for file in asked.files
    ]
    output.print_speeds(speeds, asked.json)


def opened(file: str, threads: int | None) -> ExportedModel:
    """The file in its engine, with what is to be said about it on stderr."""
    from convatlas.deployed import output
    from convatlas.exports.exported import open_exported

    refuse_what_needs_torch(file)
    model = open_exported(file, threads=threads)
    output.print_remarks(model)
    return model


def refuse_what_needs_torch(file: str) -> None:
    """Refuse a run directory, a file of weights and the name of a network, which the full program accepts.

    Raises:
        NeedsFullProgramError: it is a run directory or a file of weights.
        CheckpointError: there is no such file.
    """
    path = Path(file)
    if path.is_dir():
        raise NeedsFullProgramError(
            "{path} is a directory. A run directory needs PyTorch: install the full program (pip install convatlas), "
            "or give the file that  convatlas export {path}  writes.",
            path=path,
        )
    if path.suffix.lower() in WEIGHTS and path.exists():
        raise NeedsFullProgramError(
            "{path} is a file of weights, which needs PyTorch: install the full program (pip install convatlas), or "
            "give the file that  convatlas export NAME --weights {path}  writes.",
            path=path,
        )
    if not path.exists():
        raise CheckpointError("there is no file {file}. Write one:  convatlas export RUN", file=path)


# --- the process ------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with the exit codes of ``convatlas``."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    choose_language(arguments, "argparse")
    try:
        if arguments and arguments[0] in OF_THE_FULL_PROGRAM:
            raise NeedsFullProgramError(
                "{command} is not part of convatlas-runtime, which has predict, evaluate and bench. Install the full "
                "program, which needs PyTorch:  pip install convatlas",
                command=arguments[0],
            )
        asked = parser().parse_args(arguments)
        asked.run(asked)
    except ConvAtlasError as error:
        if "--debug" in arguments:
            raise
        print(f"{PROGRAM}: {told(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f"{PROGRAM}: {_('interrupted')}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # the reader (`| head`) went away; keep Python from complaining while it shuts down
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def told(error: ConvAtlasError) -> str:
    """The error in the language in use. A missing package other than torch is installed alone, without convatlas."""
    if isinstance(error, MissingDependencyError) and error.package != "torch":
        return _(
            "{why} needs the package {package}. Install it:  pip install {package}",
            why=error.why,
            package=error.package,
        )
    return translated(error)


if __name__ == "__main__":
    main()
