"""The group of commands, found by name and imported on use; and what happens to an error."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Any

import click

from convatlas import __version__
from convatlas.cli._common import process_number
from convatlas.cli._exported import refuse_elsewhere
from convatlas.cli._help import Context, help_where_no_command, speak, with_translated_help
from convatlas.cli._lang import lang_option
from convatlas.cli._other_spellings import refuse_assignments, with_near_options
from convatlas.errors import ConvAtlasError, UnknownNameError, UsageError
from convatlas.i18n import _, translated

# name -> the line --help shows; the file is cli/NAME.py, with _ for -, and its command is `command`
COMMANDS = {
    "models": "The networks of the atlas: paper, year, parameters, MACs, printed errors.",
    "show": "The layer table of a network: shapes, parameters, MACs, memory.",
    "explain": "The same figures with the formula and the values put in.",
    "layer": "The arithmetic of one layer, by hand: the lecture's exercises.",
    "data": "Report on a data set: layout, classes, sizes, problems, split.",
    "train": "Train a network with a recipe; writes a run directory.",
    "evaluate": "Top-1 and top-5 accuracy of a run, with intervals, results per class and confusion.",
    "predict": "Labels for images and folders of images.",
    "inspect": "What a network looks at: attribution, feature maps, filters, patterns.",
    "weights": "Contents of a weights file, and the nearest networks of the atlas.",
    "compare": "Train and measure several networks on the same images; recommend one under a budget.",
    "export": "Write a network as ONNX, OpenVINO or torch.export, with a contract that is checked.",
    "check-export": "Check an exported file again, on another machine or in another engine.",
    "serve": "A local prediction server for an exported file.",
    "experiment": "A claim of the literature, tested with controls; ends in a verdict.",
    "explore": "The local page: every layer of a network on your own image.",
    "runs": "Past runs: list, show, rename, delete, compare two.",
    "bench": "Speed of networks on this machine: training, inference, and the machine's peak.",
}


# what other tools call them, for "did you mean"
COMMAND_ALIASES = {
    "fit": "train", "test": "evaluate", "eval": "evaluate", "val": "evaluate", "validate": "evaluate",
    "infer": "predict", "classify": "predict", "summary": "show", "info": "show", "list": "models",
    "benchmark": "bench", "convert": "export", "deploy": "export", "dataset": "data", "history": "runs",
    "visualize": "inspect", "gradcam": "inspect",
}  # fmt: skip


def imported(name: str) -> click.Command:
    """The command of that name, from its file."""
    module = importlib.import_module(f"convatlas.cli.{name.replace('-', '_')}")
    command: click.Command = module.command
    return command


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports a command's file when it is called."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return with_translated_help(imported(cmd_name))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise UnknownNameError("command", args[0], COMMANDS, aliases=COMMAND_ALIASES)
        if args and args[0] in COMMANDS and args[0] != "train" and process_number() is not None:
            raise UsageError("{command} runs in one process; torchrun is for  convatlas train  alone.", command=args[0])
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:
            refuse_assignments(command, rest)
            refuse_elsewhere(command, rest)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(_("Commands")):  # from the table above: no command's file is imported for the list
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="convatlas")
@lang_option
@click.pass_context
def app(ctx: click.Context) -> None:
    """The workbench for convolutional image classifiers.

    Every number is printed (in a paper), derived (arithmetic on the layers) or measured (in a run here).
    """
    help_where_no_command(ctx)


def complain(error: ConvAtlasError) -> None:
    """Print the error on stderr; of several processes, rank 0 prints an error of all, each other rank its own."""
    number = process_number()
    if not number:
        click.echo(f"convatlas: {translated(error)}", err=True)
    elif (
        not error.raised_on_all_ranks
        and "torch.distributed" in sys.modules
        and sys.modules["torch.distributed"].is_initialized()
    ):
        # before they had joined, each of them met the same error, and number 0 alone reports it
        click.echo(_("convatlas: rank {rank}: {error}", rank=number, error=error), err=True)


def escape_what_cannot_be_encoded() -> None:
    """Print a character that the terminal's encoding lacks as ``\\uac00``, instead of failing on it.

    In a JSON document such an escape is the character again. Where Python would choose ASCII, click writes UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with the exit code of DESIGN section 2.

    Args:
        arguments: those of the command line, without the program; None for those of this process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if process_number() is not None:
        # DistributedDataParallel warns in every process of what training.distributed chooses on purpose
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    escape_what_cannot_be_encoded()
    speak(arguments)
    try:
        app.main(args=arguments, prog_name="convatlas", standalone_mode=False)
    except ConvAtlasError as error:
        if "--debug" in arguments:
            raise
        complain(error)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo(f"convatlas: {_('interrupted')}", err=True)
        sys.exit(130)
    except click.ClickException as error:
        if not process_number():
            (with_near_options(error) if isinstance(error, click.NoSuchOption) else error).show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # the reader (`| head`) went away: not our failure; keep Python from complaining while it shuts down
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(0)
