"""Reading the body of a request within bounds of size, time and memory."""

from __future__ import annotations

import anyio
from starlette.requests import ClientDisconnect, Request

from convatlas.errors import DataError, UsageError
from convatlas.message import Message

SLOWEST_BODY = 60  # seconds until a body must have arrived
DRAINED = 8  # times its limit: of a body that is too large, read and dropped so that the sender sees the answer


class TooLarge(DataError):
    """A body above its limit."""


class Busy(UsageError):
    """More is waiting than the server keeps; the request may be sent again later."""


class Held:
    """Bytes of all requests that are in memory at once, within a bound."""

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0

    def take(self, count: int) -> None:
        """Raises:
        Busy: with these bytes there would be more than the bound.
        """
        if self.bytes + count > self.most:
            raise Busy("the server is busy. Send the request again later.")
        self.bytes += count

    def give_back(self, count: int) -> None:
        self.bytes -= count


async def read_body(
    request: Request, most: int, refusal: Message, drained: int | None = None, held: Held | None = None
) -> bytes:
    """The body of a request, read until it is longer than ``most`` bytes.

    Args:
        refusal: the text for a longer one.
        drained: bytes of a longer one that are read and dropped; by default ``DRAINED`` times ``most``.
        held: counts the bytes; they are its own again when the caller gives back ``len`` of the result.

    Raises:
        TooLarge: it is longer.
        Busy: ``held`` has no room for it.
        UsageError: it did not arrive in time, or only a part of it.
    """
    drained = DRAINED * most if drained is None else drained
    length = request.headers.get("content-length", "0")
    declared = int(length) if length.isascii() and length.isdigit() and len(length) <= 12 else drained + 1
    if declared > drained:
        raise TooLarge(refusal)
    too_long = declared > most
    parts: list[bytes] = []
    received = kept = 0
    try:
        with anyio.fail_after(SLOWEST_BODY):
            async for part in request.stream():
                received += len(part)
                if received > most or too_long:
                    too_long = True
                    parts.clear()
                    if received > drained:
                        break
                else:
                    if held is not None:
                        held.take(len(part))
                        kept += len(part)
                    parts.append(part)
        if too_long:
            raise TooLarge(refusal)
        return b"".join(parts)
    except (TimeoutError, ClientDisconnect) as error:
        _let_go(held, kept)
        raise UsageError("the file did not arrive completely. Send it again.") from error
    except BaseException:  # a cancelled request too
        _let_go(held, kept)
        raise


def _let_go(held: Held | None, count: int) -> None:
    if held is not None:
        held.give_back(count)
