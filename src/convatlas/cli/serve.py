"""``convatlas serve FILE``: a local prediction server for an exported file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convatlas.cli._common import print_json_line
from convatlas.cli._lang import lang_option
from convatlas.cli._memory import parse_bytes
from convatlas.errors import UsageError
from convatlas.i18n import _

if TYPE_CHECKING:
    from convatlas.exports.exported import ExportedModel
    from convatlas.serve.server import PredictionServer

TOKEN = "CONVATLAS_SERVE_TOKEN"
SHORTEST_TOKEN = 16


@click.command("serve", context_settings={"max_content_width": 110})
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--engine", type=click.Choice(["onnxruntime", "openvino"]),
              help="What runs the file; by default the first of these that reads it.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the engine; by default all processors.")
@click.option("--batch", type=int, default=8, show_default=True, help="Images that are computed together at most.")
@click.option("--deadline-ms", type=float, default=2.0, show_default=True,
              help="Milliseconds that an image waits at most for others that are being decoded.")  # fmt: skip
@click.option("--queue", type=int, default=64, show_default=True,
              help="Images in the server at once; more are refused with the status 503.")  # fmt: skip
@click.option("--max-size", default="32MiB", show_default=True, metavar="SIZE", help="Largest size of a request.")
@click.option("--max-pixels", type=int, default=50_000_000, show_default=True, help="Largest image, height x width.")
@click.option("--max-images", type=int, default=32, show_default=True, help="Images in one request.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
              help="Address to listen on. Any other than this machine's own lets other machines in.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 is a free one.")
@click.option("--json", "as_json", is_flag=True, help="Print the address and the token as one line of JSON.")
@lang_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(
    file: Path,
    engine: str | None,
    threads: int | None,
    batch: int,
    deadline_ms: float,
    queue: int,
    max_size: str,
    max_pixels: int,
    max_images: int,
    host: str,
    port: int,
    as_json: bool,
    debug: bool,
) -> None:
    """A server on this machine that labels images with an exported FILE. It needs no PyTorch.

    POST /predict takes the bytes of an image, or several as multipart/form-data, and answers with labels and
    probabilities as JSON. Images of several requests are computed in one batch. GET /metrics has counters for
    Prometheus, /openapi.json describes the interface, and /health needs no token.

    Every other request needs the header  Authorization: Bearer TOKEN  with the token that is printed at the start, or
    with that of the environment variable CONVATLAS_SERVE_TOKEN. Ctrl-C and SIGTERM end the server after the requests
    that it has are answered.

    \b
    convatlas serve exported/model.onnx
    convatlas serve exported/model.onnx --batch 16 --deadline-ms 5 --port 8080
    convatlas serve exported/model.onnx --engine openvino --host 0.0.0.0
    """
    from convatlas.exports.exported import open_exported
    from convatlas.serve.options import ServeOptions
    from convatlas.serve.server import PredictionServer, is_loopback

    options = ServeOptions(batch, deadline_ms, queue, parse_bytes(max_size), max_pixels, max_images)
    given = _token()
    model = open_exported(file, engine, threads)
    server = PredictionServer(model, options, host=host, port=port, token=given, debug=debug)
    if not is_loopback(host):
        click.echo(
            _(
                "warning: every machine that reaches {host} can send requests to port {port}. Only the token protects "
                "the server, and the connection is not encrypted.",
                host=host,
                port=server.port,
            ),
            err=True,
        )
    _print_start(server, model, as_json, given is None)
    server.serve()


def _token() -> str | None:
    """The token of the environment, which other users of this machine do not see as they see arguments."""
    token = os.environ.get(TOKEN)
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(
            "{variable} is no token: expected at least {least} printable ASCII characters. Leave it out for a random "
            "one.",
            variable=TOKEN,
            least=SHORTEST_TOKEN,
        )
    return token


def _print_start(server: PredictionServer, model: ExportedModel, as_json: bool, show_token: bool) -> None:
    from convatlas.exports.description import STATES

    if as_json:
        print_json_line({"url": server.url, "token": server.token if show_token else None})
    else:
        click.echo(server.url)
        if show_token:
            click.echo(_("token: {token}", token=server.token))
    state = model.sidecar.contract.get("state", "not checked")
    click.echo(
        _(
            "{network} in {precision} with {engine}, {n} classes; contract: {state}. Ctrl-C ends the server.",
            network=model.description.network,
            precision=model.description.precision,
            engine=model.engine.name,
            n=len(model.classes),
            state=STATES.get(state, state),
        ),
        err=True,
    )
