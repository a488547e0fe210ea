"""The images of a session: built in, of a data set, or uploaded. Kept in memory within a bound, never written."""

from __future__ import annotations

import functools
import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convatlas.data.decode import FORMATS, UnreadableImage, decode, read_header
from convatlas.errors import BadImageError, DataError, UnknownNameError
from convatlas.explorer.pixels import thumbnail
from convatlas.i18n import translated
from convatlas.message import Message, system_reason

if TYPE_CHECKING:
    from convatlas.data.dataset import Dataset

MAX_BYTES = 32 << 20  # of one uploaded file
MAX_PIXELS = 50_000_000  # of one image: a phone's largest photos
KEPT_BYTES = 256 << 20  # of all uploaded files together
FROM_DATA = 24  # images of a data set that are offered
DIGITS = 4  # of scikit-learn's digits that are built in
LONGEST_NAME = 80


@dataclass(frozen=True, eq=False)
class Picture:
    """An image of a session.

    Attributes:
        id: the hash of its content, 16 hexadecimal digits.
        small: the data URL of its thumbnail.
        read: uint8 (H, W, 1 or 3); a JPEG may be decoded smaller, as long as its shorter side keeps ``at_least``
            pixels, as in training and in `predict`.
        size: bytes that are kept for it.
    """

    id: str
    name: str
    height: int
    width: int
    small: str = field(repr=False)
    read: Callable[[int | None], np.ndarray] = field(repr=False)
    size: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": translated(self.name),
            "width": self.width,
            "height": self.height,
            "thumbnail": self.small,
        }


def picture_of_file(name: str, content: bytes) -> Picture:
    """The picture of a file's bytes, decoded once in full, so that damage anywhere is noticed.

    Raises:
        UnreadableImage: as `decode`, or too many pixels.
    """
    header = read_header(io.BytesIO(content))
    if header.width * header.height > MAX_PIXELS:
        raise UnreadableImage(
            "{width} x {height} pixels are more than the limit of {most:,}",
            width=header.width,
            height=header.height,
            most=MAX_PIXELS,
        )
    pixels = decode(content)
    height, width = pixels.shape[:2]
    small, digest = thumbnail(pixels), hashlib.sha256(content).hexdigest()[:16]
    return Picture(digest, name, height, width, small, functools.partial(decode, content), len(content))


def picture_of_path(path: Path) -> Picture:
    """The picture of an image file.

    Raises:
        BadImageError: it is missing, or cannot be read.
    """
    try:
        return picture_of_file(clean(path.name), path.read_bytes())
    except OSError as error:
        raise BadImageError(str(path), system_reason(error)) from error
    except UnreadableImage as error:
        raise BadImageError(str(path), error.message) from error


def picture_of_pixels(name: str, pixels: np.ndarray) -> Picture:
    content = repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Picture(digest, name, height, width, thumbnail(pixels), lambda at_least: pixels, pixels.nbytes)


class Pictures:
    """The images of a session.

    Args:
        dataset: whose first images are offered; the built-in pictures where None.
        first: images that are offered before these.
        kept_bytes: bound of the uploaded files; the ones used longest ago are dropped first.
    """

    def __init__(
        self, dataset: Dataset | None = None, first: Sequence[Picture] = (), kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._dataset, self._first = dataset, first
        self._kept_bytes = kept_bytes
        self._lock = threading.RLock()
        self._offered: dict[str, Picture] | None = None
        self._uploaded: OrderedDict[str, Picture] = OrderedDict()

    @property
    def chosen(self) -> bool:
        """Whether the user named images or a data set, instead of the built-in pictures."""
        return bool(self._first) or self._dataset is not None

    def all(self) -> list[Picture]:
        """The offered images, then the uploaded ones."""
        with self._lock:
            return [*self._read().values(), *self._uploaded.values()]

    def offered(self) -> list[Picture]:
        """The images of the data set, or those built in."""
        with self._lock:
            return list(self._read().values())

    def __getitem__(self, name: str) -> Picture:
        """The image with an id.

        Raises:
            UnknownNameError: no such image, or it was dropped to make room for others.
        """
        with self._lock:
            if name in self._uploaded:
                self._uploaded.move_to_end(name)
                return self._uploaded[name]
            if name in self._read():
                return self._read()[name]
        raise UnknownNameError("image", name[:40], [*self._read(), *self._uploaded])

    def add(self, content: bytes, name: str) -> Picture:
        """Decode an uploaded file and keep it.

        Raises:
            DataError: it is no image, is damaged, of a format that is not opened, or too large.
        """
        if len(content) > MAX_BYTES:
            raise too_large()
        name = clean(name)
        with self._lock:  # one image is decoded at a time, so that memory stays bounded
            try:
                made = picture_of_file(name, content)
            except UnreadableImage as error:
                raise DataError("{name} cannot be read: {reason}.", name=name, reason=error.message) from error
            self._keep(made)
        return made

    def _keep(self, made: Picture) -> None:
        self._uploaded[made.id] = made
        self._uploaded.move_to_end(made.id)
        while len(self._uploaded) > 1 and sum(each.size for each in self._uploaded.values()) > self._kept_bytes:
            self._uploaded.popitem(last=False)

    def _read(self) -> dict[str, Picture]:
        """The offered images, decoded on first use."""
        if self._offered is None:
            found = _built_in() if self._dataset is None else _of_dataset(self._dataset)
            self._offered = {each.id: each for each in (*self._first, *found)}
        return self._offered


def too_large() -> DataError:
    return DataError("the file has more than {most} MiB, the limit of the page.", most=MAX_BYTES >> 20)


def limits() -> dict[str, Any]:
    return {"bytes": MAX_BYTES, "pixels": MAX_PIXELS, "formats": list(FORMATS)}


def clean(name: str) -> str:
    """A file's name for display: its last part, without control characters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(character for character in last if character.isprintable()).strip()
    return printable[:LONGEST_NAME] or "image"


def _built_in() -> Iterator[Picture]:
    """scikit-learn's two sample photos and a few of its digits."""
    from convatlas.data.arrays import digits

    spec = find_spec("sklearn")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent / "datasets" / "images"
    for name in ("china.jpg", "flower.jpg"):
        file = None if folder is None else folder / name
        if file is not None and file.is_file():
            yield picture_of_file(name, file.read_bytes())
    found = digits()
    for index in range(DIGITS):
        yield picture_of_pixels(
            Message("digit {digit}", digit=found.classes[int(found.labels[index])]), found.read(index)
        )


def _of_dataset(dataset: Dataset) -> Iterator[Picture]:
    """The first images of each class in turn."""
    by_class = [np.flatnonzero(dataset.labels == label).tolist() for label in range(len(dataset.classes))]
    turns = (index for turn in range(FROM_DATA) for indices in by_class for index in indices[turn : turn + 1])
    for index, _ in zip(turns, range(FROM_DATA), strict=False):
        name = f"{dataset.classes[int(dataset.labels[index])]}: {clean(dataset.names[index])}"
        found = picture_of_pixels(name, dataset.read(index))
        yield replace(found, read=functools.partial(dataset.read, index), size=0)
