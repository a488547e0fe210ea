"""From the body of a request to images that the file takes. One that cannot be read gives its error."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convatlas.data.decode import UnreadableImage, decode, read_header
from convatlas.exports.exported import ExportedModel
from convatlas.http.bodies import TooLarge
from convatlas.message import Message
from convatlas.serve.multipart import boundary_of, parts_of
from convatlas.serve.options import ServeOptions

LONGEST_NAME = 80


@dataclass(frozen=True)
class Sent:
    """One file of a request: its name as the answer repeats it, and its bytes."""

    name: str
    content: bytes = field(repr=False)


def files_of(content: bytes, content_type: str, options: ServeOptions) -> list[Sent]:
    """The files of a body: one image, or several as ``multipart/form-data``.

    Raises:
        UsageError: a multipart body is damaged.
        TooLarge: it has more images than ``options.max_images``.
    """
    boundary = boundary_of(content_type)
    if boundary is None:
        return [Sent("image", content)]
    parts = parts_of(content, boundary)
    if len(parts) > options.max_images:
        raise TooLarge("{n} images are more than the limit of {most}.", n=len(parts), most=options.max_images)
    return [Sent(_printable(part.filename), part.content) for part in parts]


def prepared(content: bytes, model: ExportedModel, options: ServeOptions) -> NDArray[np.uint8]:
    """Decode an image file and prepare it for the model, as `ExportedModel.read` does.

    Raises:
        UnreadableImage: as `decode`, or more pixels than ``options.max_pixels``.
    """
    header = read_header(io.BytesIO(content))
    if header.width * header.height > options.max_pixels:
        raise UnreadableImage(
            "{width} x {height} pixels are more than the limit of {most:,}",
            width=header.width,
            height=header.height,
            most=options.max_pixels,
        )
    return model.prepare(decode(content, model.description.preprocessing.at_least))


def reason(error: UnreadableImage) -> Message:
    return Message("it cannot be read: {reason}", reason=error.message)


def _printable(name: str) -> str:
    """The last part of a file name, without control characters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable()).strip()[:LONGEST_NAME] or "image"
