"""`Reference`: what the network itself answers on the images of a contract, so that any machine can repeat the check.

The reference path is that of `evaluate` and `predict`: decode, resize, crop, normalise, network, in float32. Of each
image it keeps the digests of the file and of the prepared pixels, the label and the logits. Probes, images made by
arithmetic, are checked where the images themselves are missing.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convatlas.atomic import written_atomically
from convatlas.data.dataset import Dataset
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import CheckpointError
from convatlas.exports.exported import centre

MOST_IMAGES = 1000  # of a contract, unless another number is asked for
PROBES = 4


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference results of N images and P probes.

    Attributes:
        classes: names of the outputs.
        weights_sha256: of the network's tensors.
        data, part: name of the data set, and the set that the images are from.
        n_of: number of images in that set, of which N are checked.
        names: of the images.
        files, pixels: SHA-256 of each image file and of its prepared pixels, uint8 (N, 32).
        labels: (N,) indices of classes; -1 where the label is not known.
        logits: float32 (N, K).
        probe_logits: float32 (P, K).
        noise: largest difference between float32 and float64 logits of the network itself.
        notes: sentences on what limits the check.
    """

    classes: tuple[str, ...]
    weights_sha256: str
    data: str | None
    part: str | None
    n_of: int
    names: tuple[str, ...]
    files: NDArray[np.uint8]
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    probe_logits: NDArray[np.float32]
    noise: float
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        return len(self.labels)

    def write(self, path: Path) -> None:
        """Raises:
        ConvAtlasError: the folder cannot be written to.
        """
        about = {
            "classes": list(self.classes),
            "weights_sha256": self.weights_sha256,
            "data": self.data,
            "part": self.part,
            "n_of": self.n_of,
            "names": list(self.names),
            "noise": self.noise,
            "notes": list(self.notes),
        }
        content = io.BytesIO()
        text = np.frombuffer(json.dumps(about, ensure_ascii=False).encode(), dtype=np.uint8)
        np.savez_compressed(content, about=text, **{name: getattr(self, name) for name in _ARRAYS})
        with written_atomically(path) as file:
            file.write(content.getvalue())

    @classmethod
    def read(cls, path: Path) -> Reference:
        """Raises:
        CheckpointError: the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                about = json.loads(content["about"].tobytes())
                arrays = {name: content[name] for name in _ARRAYS}
            values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in about.items()}
            return cls(**values, **arrays)
        except FileNotFoundError as error:
            raise CheckpointError(
                "{path} is missing: it holds the results that the exported file is compared with. Keep the files of "
                "one export together, or export again:  convatlas export RUN",
                path=path,
            ) from error
        except Exception as error:  # a damaged archive raises many kinds of exceptions
            raise CheckpointError("{path} cannot be read: {error}. Copy it again.", path=path, error=error) from error


_ARRAYS = ("files", "pixels", "labels", "logits", "probe_logits")


def chosen(indices: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most that many of the indices, evenly spaced."""
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, num=most).round().astype(np.int64)]


def content_digest(dataset: Dataset, index: int) -> NDArray[np.uint8]:
    return digest(dataset.images.content(index))


def digest(content: bytes) -> NDArray[np.uint8]:
    """SHA-256 as uint8 (32,)."""
    return np.frombuffer(hashlib.sha256(content).digest(), dtype=np.uint8)


def prepared(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Decoded pixels, resized and cropped to the network's input: uint8 (H, W, C)."""
    return centre(preprocessing.apply(pixels), preprocessing.size)


def probe(number: int, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Image ``number`` of a sequence that is the same on every machine: uint8 (H, W, C).

    Coarse squares of random colours below fine noise, so that a wrong filter, offset or channel order shows.
    """
    side = 8
    rows, columns = -(-height // side), -(-width // side)
    coarse = _bytes(number, 0, rows * columns * channels).reshape(rows, columns, channels)
    coarse = coarse.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    fine = _bytes(number, 1, height * width * channels).reshape(height, width, channels)
    return ((coarse.astype(np.uint16) * 3 + fine) // 4).astype(np.uint8)


def probes(preprocessing: Preprocessing, any_size: bool) -> list[NDArray[np.uint8]]:
    """The probes of a network: of its input size or, where the file resizes, wide, tall, small and exact."""
    height, width = preprocessing.size
    sizes = [(height, width)] * PROBES
    if any_size:
        sizes = [(height * 2, width * 3), (height * 5, width * 2), (height // 2 + 1, width // 2 + 2), (height, width)]
    return [probe(number, *size, preprocessing.channels) for number, size in enumerate(sizes)]


def _bytes(number: int, stream: int, count: int) -> NDArray[np.uint8]:
    blocks = (hashlib.sha512(f"{number}/{stream}/{block}".encode()).digest() for block in range(-(-count // 64)))
    return np.frombuffer(b"".join(blocks), dtype=np.uint8)[:count]


def dataset_name(dataset: Dataset) -> str:
    """The last part of where the data are from: an exported file holds no local path."""
    source = str(dataset.source)
    return source if source.startswith("hf:") else Path(source).name or source
