"""``convatlas explore [SUBJECT...]``: the local page, or one file of it."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convatlas.cli._common import reading_options
from convatlas.cli._completion import run_or_network
from convatlas.cli._lang import lang_option
from convatlas.cli._loaded_network import weights_options
from convatlas.cli._memory import parse_bytes
from convatlas.cli._network_input import parse_input
from convatlas.errors import UsageError
from convatlas.i18n import _

if TYPE_CHECKING:
    from convatlas.data.reading import ReadingOptions
    from convatlas.explorer.session import Session
    from convatlas.explorer.subjects import GivenWeights


@click.command("explore", short_help="The local page: every layer of a network on your own image.")
@click.argument("subjects", nargs=-1, metavar="[SUBJECT...]", shell_complete=run_or_network)
@weights_options
@click.option("--data", help="A data set whose images are offered; two photos and a few digits where not given.")
@reading_options
@click.option("--input", "input_", metavar="CxHxW", help="Image size of a module of your own; 3x224x224 by default.")
@click.option(
    "--out", default="runs", show_default=True, type=click.Path(path_type=Path), help="Directory that holds the runs."
)
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An image that is offered first; may be given several times. With --save, the one in the file.",
)
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Write the page of one SUBJECT into this file, which works without a server, and end.",
)
@click.option("--save-limit", default="5MB", show_default=True, metavar="SIZE", help="Largest size of that file.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the page; a free one by default.")
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
@lang_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(
    subjects: tuple[str, ...],
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
    data: str | None,
    on_bad: str,
    max_bad: float,
    reading: ReadingOptions,
    input_: str | None,
    out: Path,
    images: tuple[Path, ...],
    save: Path | None,
    save_limit: str,
    port: int,
    no_browser: bool,
    debug: bool,
) -> None:
    """A page on this machine that shows every layer of a network: its arithmetic, and what it makes of your image.

    SUBJECT is a network of the atlas, a run, or FILE.py:Class, a torch.nn.Module of your own. Without one the page
    begins with the history of the atlas. A network of the atlas has random weights unless --weights are given.

    The page is served on 127.0.0.1 under an address with a random token. Nothing leaves this machine. Images that are
    dropped on the page stay in memory. Ctrl-C ends it.

    \b
    convatlas explore resnet50
    convatlas explore squeezenet1_1 --weights squeezenet1_1.pth
    convatlas explore runs/resnet18-photos-001 --data photos/
    convatlas explore nets/mine.py:Net --input 1x28x28
    convatlas explore vgg16 --image cat.jpg --save vgg16.html
    """
    from convatlas.explorer.opening import open_session
    from convatlas.explorer.server import Server

    preparation = {"mean": mean, "std": std, "channels": channels, "resize": resize, "crop": crop,
                   "interpolation": interpolation}  # fmt: skip
    session = open_session(
        subjects,
        given=_given(weights, source, classes, download, rename, preparation),
        shape=None if input_ is None else parse_input(input_),
        data=data,
        reading={"on_bad": on_bad, "max_bad": max_bad, **reading.to_dict()},
        out=out,
        images=images,
    )
    if save is not None:
        _save(session, subjects, save, parse_bytes(save_limit))
        return
    server = Server(session, port, debug=debug)
    click.echo(server.url)
    click.echo(_("The page is open at this address until Ctrl-C."), err=True)
    if not no_browser:
        webbrowser.open(server.url)
    server.serve()


def _save(session: Session, subjects: tuple[str, ...], file: Path, limit: int) -> None:
    """Write the page of the session's one subject into a file."""
    from rich.console import Console

    from convatlas.atomic import written_atomically
    from convatlas.explorer.saving import saved_page, usual_image

    if file.suffix.lower() not in (".html", ".htm"):
        raise UsageError("--save writes a page: {file} must end in .html.", file=file)
    if len(subjects) != 1:
        raise UsageError("--save writes the page of one SUBJECT; {n} were named.", n=len(subjects))
    (subject,) = session.subjects.given.values()
    with Console(stderr=True).status(_("recording {subject}", subject=subject.id)) as status:
        content = saved_page(
            session,
            subject,
            usual_image(session, subject),
            limit,
            lambda layer: status.update(_("recording {subject}", subject=layer)),
        )
    with written_atomically(file) as out:
        out.write(content)
    click.echo(_("wrote {file}", file=file), err=True)


def _given(
    weights: str | None,
    source: str | None,
    classes: Path | None,
    download: bool,
    rename: Path | None,
    preparation: dict[str, Any],
) -> GivenWeights | None:
    from convatlas.explorer.subjects import GivenWeights

    if weights is not None:
        return GivenWeights(weights, source, classes, download, rename, preparation)
    if source or classes or download or rename or any(value is not None for value in preparation.values()):
        raise UsageError(
            "--source, --classes, --download, --rename, --mean, --std, --channels, --resize, --crop and "
            "--interpolation belong to a network's --weights; a run has its own."
        )
    return None
