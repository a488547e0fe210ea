"""The parts of a ``multipart/form-data`` body (RFC 7578), which is in memory as a whole and within its limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import EmailMessage

from convatlas.errors import UsageError

MOST_PARTS = 1000
LONGEST_HEAD = 8 << 10  # bytes of the headers of one part
LONGEST_BOUNDARY = 70  # characters, RFC 2046


@dataclass(frozen=True)
class Part:
    """One part: its file name, "" where it has none, and its content."""

    filename: str
    content: bytes = field(repr=False)


def boundary_of(content_type: str) -> bytes | None:
    """The boundary in a Content-Type header; None for another type than multipart/form-data.

    Raises:
        UsageError: it has none, or one that is too long.
    """
    header = EmailMessage()
    try:
        header["content-type"] = content_type
        kind, boundary = header.get_content_type(), header.get_param("boundary")
    except (ValueError, IndexError, TypeError, AttributeError):  # what the parser of headers raises on damaged ones
        kind, boundary = content_type.partition(";")[0].strip().lower(), None
    if kind != "multipart/form-data":
        return None
    if not isinstance(boundary, str) or not 0 < len(boundary) <= LONGEST_BOUNDARY or not boundary.isascii():
        raise UsageError("the Content-Type multipart/form-data needs a boundary of 1 to {most} characters.",
                         most=LONGEST_BOUNDARY)  # fmt: skip
    return boundary.encode()


def parts_of(content: bytes, boundary: bytes) -> list[Part]:
    """Split a body into its parts, in their order.

    Raises:
        UsageError: it is not such a body, or is cut short.
    """
    damaged = UsageError("the request is not multipart/form-data as its header states, or is cut short.")
    sections = (b"\r\n" + content).split(b"\r\n--" + boundary)
    if len(sections) < 3 or len(sections) > MOST_PARTS or not sections[-1].startswith(b"--"):
        raise damaged
    parts = []
    for section in sections[1:-1]:
        head, blank, body = section.lstrip(b" \t").partition(b"\r\n\r\n")
        if not blank or not head.startswith(b"\r\n") or len(head) > LONGEST_HEAD:
            raise damaged
        parts.append(Part(_filename(head), body))
    return parts


def _filename(head: bytes) -> str:
    """The file name in the headers of a part; browsers and curl send it as UTF-8 in quotes."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() != b"content-disposition":
            continue
        _, found, rest = value.partition(b'filename="')
        if found:
            return rest.partition(b'"')[0].decode("utf-8", "replace")
    return ""
