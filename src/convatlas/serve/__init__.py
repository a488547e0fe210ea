"""Serve: a small prediction server for an exported file. Needs numpy, Pillow, Starlette and an engine, no torch.

options       what the server accepts and how long it waits
decoding      a request's body -> its images, prepared for the file
batching      images of several requests -> one batch
metrics       what was counted, as Prometheus reads it
openapi       the description of the interface
application   the routes
server        the socket, the signals and the shutdown
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.serve.options import ServeOptions
    from convatlas.serve.server import PredictionServer
else:
    __getattr__ = resolver(__name__)

__all__ = ["PredictionServer", "ServeOptions"]
