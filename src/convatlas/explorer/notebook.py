"""`explore`: the page from Python, in a notebook or beside a program."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.errors import UsageError
from convatlas.explorer.opening import open_session
from convatlas.explorer.server import Server
from convatlas.explorer.subjects import Shape

if TYPE_CHECKING:
    from torch import nn

    from convatlas.runs.run import Run

HEIGHT = 820  # of the page in a notebook, pixels


class Exploration:
    """A page that is open until `close`, or until Python ends. In a notebook it is shown in the cell's output.

    Attributes:
        url: its address on this machine, with a random token.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.url

    def close(self) -> None:
        """Stop answering. Closing twice does nothing."""
        self._server.close()

    def __enter__(self) -> Exploration:
        return self

    def __exit__(self, *of: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Exploration(url={self.url!r})"

    def _repr_html_(self) -> str:
        address = escape(self.url, quote=True)
        return f'<iframe src="{address}" width="100%" height="{HEIGHT}" allow="camera" frameborder="0"></iframe>'


def explore(
    *subjects: str | Path | Run | nn.Module,
    input_shape: Sequence[int] | None = None,
    images: Sequence[str | Path] = (),
    data: str | Path | None = None,
    out: str | Path | None = "runs",
    port: int = 0,
) -> Exploration:
    """Open the page that shows every layer of a network: its arithmetic, and what it makes of an image.

    The page is served by a thread of this process on 127.0.0.1: a notebook shows it where the browser runs on the same
    machine. A module is explored as it is at the moment, is not copied, and is not changed.

    Args:
        subjects: networks of the atlas by name, runs or their directories, ``FILE.py:Class``, or any
            ``torch.nn.Module``. Without one the page begins with the history of the atlas.
        input_shape: ``(C, H, W)`` of a module of your own; (3, 224, 224) where None.
        images: files that are offered first.
        data: a data set whose images are offered; two photos and a few digits where None.
        out: the folder of runs.
        port: of the page; a free one by default.
    Returns:
        the open page: ``url``, ``close()``; it is also a context manager.
    Raises:
        UnknownNameError: no such network.
        DataError: the data set, a run or an image cannot be read.
        UsageError: the port is taken.
    """
    session = open_session(
        subjects,
        shape=None if input_shape is None else shape_of(input_shape),
        images=[Path(image) for image in images],
        data=None if data is None else str(data),
        out=None if out is None else Path(out),
    )
    server = Server(session, port, framed=True)
    server.start()
    return Exploration(server)


def shape_of(sides: Sequence[int]) -> Shape:
    """(C, H, W) as a tuple.

    Raises:
        UsageError: anything else.
    """
    if len(sides) != 3 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise UsageError("input_shape is (C, H, W), such as (3, 224, 224); got {shape}.", shape=tuple(sides))
    channels, height, width = sides
    return channels, height, width
