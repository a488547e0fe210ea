"""All images of a data set, decoded once, as one uint8 tensor in memory, or in a memory-mapped file if too large.

The file is a cache. Its name is a hash of (source, preprocessing), so each data set has one file per preprocessing.
Its first page states the shape, the preprocessing, the fingerprint of the data set and a SHA-256. It is written
atomically, verified before use, and written again if it is damaged or an image has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convatlas import units
from convatlas.atomic import written_atomically
from convatlas.data.dataset import ArrayImages, Dataset, FileImages
from convatlas.data.preprocessing import Preprocessing, memory_of
from convatlas.data.workers import Result, cores, decode_files
from convatlas.errors import BadImageError, ConvAtlasError
from convatlas.message import Message

Progress = Callable[[int, int], None]  # (done, total)

_MAGIC = "convatlas images 1"  # the number increases whenever decoding gives other pixels
_PAGE = 4096  # the pixels begin here
_BLOCK = 64 << 20  # bytes hashed at a time, several threads at once


@dataclass(eq=False)
class ImageStore:
    """``pixels`` is uint8 (N, H, W, C), H and W by ``preprocessing.store_size``; image i is image i of the data set.

    ``resident`` is False if the pixels are a memory-mapped file, of which rows are read as they are used.
    ``origin`` is a text for reports: decoded, or the path of the cache and why it was written.
    """

    pixels: torch.Tensor
    preprocessing: Preprocessing
    resident: bool = True
    origin: str = Message("decoded")
    _elsewhere: dict[torch.device, torch.Tensor] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.pixels)

    def on(self, device: torch.device) -> torch.Tensor:
        """The pixels on ``device``, copied once and then kept; a memory-mapped file stays in main memory."""
        if device.type == self.pixels.device.type or not self.resident:
            return self.pixels
        if device not in self._elsewhere:
            self._elsewhere[device] = self.pixels.to(device)
        return self._elsewhere[device]


def load_images(
    data: Dataset,
    preprocessing: Preprocessing,
    *,
    progress: Progress | None = None,
    memory_share: float = 0.25,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
) -> ImageStore:
    """Decode and resize every image of ``data`` by ``preprocessing``.

    Args:
        progress: called with (done, total).
        memory_share: pixels that need more than this share of the machine's memory are memory-mapped.
        cache_dir: folder of the file; by default the user's cache folder. If given, the file is written even if the
            pixels fit in memory, so that the next run starts at once.
        workers: decoding processes; by default one per core if there are many files.
    Raises:
        BadImageError: a file is gone or damaged; the message names it and its index.
        ConvAtlasError: the cache cannot be written, or there is no room for it.
    """
    if isinstance(data.images, ArrayImages) and data.images.pixels.shape[1:] == (
        *preprocessing.store_size,
        preprocessing.channels,
    ):
        return ImageStore(torch.from_numpy(data.images.pixels), preprocessing, origin=Message("as they are"))
    fits = memory_of(len(data), preprocessing) <= memory_share * machine_memory_bytes()
    if fits and cache_dir is None:
        pixels = np.empty((len(data), *preprocessing.store_size, preprocessing.channels), dtype=np.uint8)
        for index, image in _decoded(data, preprocessing, progress, workers):
            pixels[index] = image
        return ImageStore(torch.from_numpy(pixels), preprocessing)
    cache = _Cache(data, preprocessing, default_cache_dir() if cache_dir is None else Path(cache_dir))
    why_not = cache.why_not_usable()
    if why_not:
        cache.write(_decoded(data, preprocessing, progress, workers))
    origin = Message("cache {path}, made now: {why}" if why_not else "cache {path}", path=cache.path, why=why_not)
    return ImageStore(cache.pixels(resident=fits), preprocessing, resident=fits, origin=origin)


def _decoded(
    data: Dataset, preprocessing: Preprocessing, progress: Progress | None, workers: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, uint8 pixels by the preprocessing) of every image, in any order."""
    if isinstance(data.images, FileImages):
        files = data.images
        results: Iterator[tuple[int, Result]] = decode_files(files.tree, files.names, preprocessing, workers)
    else:
        results = ((index, preprocessing.apply(data.read(index))) for index in range(len(data)))
    with closing(results):  # type: ignore[type-var]  # both are generators; the processes end with theirs
        for done, (index, result) in enumerate(results, start=1):
            if not isinstance(result, np.ndarray):
                assert isinstance(data.images, FileImages)
                assert isinstance(result, str)
                raise BadImageError(data.images.tree.display(data.names[index]), result, index)
            yield index, result
            if progress is not None:
                progress(done, len(data))


class _Cache:
    """The cache file: one page of JSON, then the pixels."""

    def __init__(self, data: Dataset, preprocessing: Preprocessing, folder: Path) -> None:
        shape = [len(data), *preprocessing.store_size, preprocessing.channels]
        pixel_settings = {
            name: preprocessing.to_dict()[name]
            for name in ("size", "channels", "resize", "margin", "background", "interpolation")
        }
        name = hashlib.sha256(
            f"{_MAGIC}\0{Path(data.source).resolve()}\0{json.dumps(pixel_settings)}".encode()
        ).hexdigest()
        self.path = folder / f"{name[:32]}.images"
        self.shape = shape
        self.bytes = int(np.prod(shape, dtype=np.int64))
        self._wanted = {"magic": _MAGIC, "shape": shape, "rule": pixel_settings, "fingerprint": data.fingerprint}

    def why_not_usable(self) -> str:
        """The reason why the file cannot be used; empty if it exists, is undamaged and belongs to these images."""
        try:
            with self.path.open("rb") as file:
                page = file.read(_PAGE)
                size = file.seek(0, os.SEEK_END)
        except OSError:
            return Message("there was none yet")
        try:
            page_values: dict[str, Any] = json.loads(page.rstrip(b"\0"))
        except ValueError:
            return Message("its first page is damaged")
        if {name: page_values.get(name) for name in self._wanted} != self._wanted:
            return Message("the images or their preprocessing changed")
        if size != _PAGE + self.bytes:
            return Message("it has {size:,} bytes, expected {expected:,}", size=size, expected=_PAGE + self.bytes)
        if page_values.get("sha256") != self._digest(self.path):
            return Message("its pixels are damaged")
        return ""

    def write(self, images: Iterator[tuple[int, np.ndarray]]) -> None:
        self._check_room()
        row = self.bytes // self.shape[0]
        with written_atomically(self.path) as file:
            file.truncate(_PAGE + self.bytes)
            for index, pixels in images:
                file.seek(_PAGE + index * row)
                file.write(pixels.tobytes())
            file.flush()
            page = json.dumps({**self._wanted, "sha256": self._digest(Path(file.name))}).encode()
            assert len(page) < _PAGE
            file.seek(0)
            file.write(page)

    def _check_room(self) -> None:
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.path.parent).free
            if free < self.bytes + _PAGE:
                raise ConvAtlasError(
                    "the decoded images need {bytes} in {parent}, which has "
                    "{free} left. Make room, or name another folder by CONVATLAS_CACHE.",
                    bytes=units.bytes_(self.bytes),
                    parent=self.path.parent,
                    free=units.bytes_(free),
                )

    def _digest(self, path: Path) -> str:
        """SHA-256 over the SHA-256s of the blocks of pixels, so that every core can hash."""

        def of_block(start: int) -> bytes:
            with path.open("rb") as file:
                file.seek(_PAGE + start)
                return hashlib.sha256(file.read(min(_BLOCK, self.bytes - start))).digest()

        with ThreadPoolExecutor(cores()) as pool:
            return hashlib.sha256(b"".join(pool.map(of_block, range(0, self.bytes, _BLOCK)))).hexdigest()

    def pixels(self, resident: bool) -> torch.Tensor:
        if resident:
            pixels = np.fromfile(self.path, dtype=np.uint8, count=self.bytes, offset=_PAGE)
        else:
            # copy on write: torch needs writable memory, and the file must not change
            pixels = np.memmap(self.path, dtype=np.uint8, mode="c", offset=_PAGE, shape=(self.bytes,))
        return torch.from_numpy(pixels.reshape(self.shape))


def machine_memory_bytes() -> int:
    """Memory this process may use: the machine's, or less where a container's limit says so."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no sysconf on Windows: assume 8 GiB
        total = 8 << 30
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def default_cache_dir() -> Path:
    """``CONVATLAS_CACHE`` if set, else the usual cache folder of the operating system."""
    if "CONVATLAS_CACHE" in os.environ:
        return Path(os.environ["CONVATLAS_CACHE"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "convatlas" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "convatlas"


def channel_stats(store: ImageStore, indices: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixel/255 per channel over images ``indices``, those of the training set.

    Exact: computed from the counts of the 256 possible values.

    Args:
        store: the decoded images.
        indices: (n,) int64, the images that count.
    """
    channels = store.pixels.shape[3]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(indices), 4096):
        chunk = store.pixels[torch.from_numpy(np.ascontiguousarray(indices[start : start + 4096]))]
        for channel in range(channels):
            counts[channel] += torch.bincount(chunk[..., channel].flatten(), minlength=256).numpy()
    values = np.arange(256) / 255
    mean = (counts * values).sum(1) / counts.sum(1)
    variance = (counts * (values[None, :] - mean[:, None]) ** 2).sum(1) / counts.sum(1)
    return tuple(map(float, mean)), tuple(map(float, np.sqrt(variance)))
