"""The socket that a server listens on."""

from __future__ import annotations

import errno
import socket
import sys

from convatlas.errors import UsageError
from convatlas.message import system_reason

LOOPBACK = "127.0.0.1"


def bound(port: int, host: str = LOOPBACK, waiting: int = 64) -> socket.socket:
    """A socket that listens on ``port`` of ``host``; port 0 is a free one.

    Args:
        waiting: connections that wait to be accepted at most.

    Raises:
        UsageError: the port is taken, or the address is not one of this machine.
    """
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UsageError("--host {host}: it is not an address of this machine.", host=host) from error
    listening = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(waiting)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError("--host {host}: it is not an address of this machine.", host=host) from error
        raise UsageError(
            "port {port} cannot be used: {reason}. Give another --port; 0 is a free one.",
            port=port,
            reason=system_reason(error),
        ) from error
    return listening
