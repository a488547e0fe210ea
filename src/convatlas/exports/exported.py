"""`ExportedModel`: an exported file, opened to label images. Needs numpy, Pillow and an engine, no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convatlas.data.dataset import with_channels
from convatlas.data.decode import read_image
from convatlas.errors import BadImageError, CheckpointError, UsageError
from convatlas.exports.description import INPUTS, LOGITS, PROBABILITIES, Description, Sidecar, read_sidecar
from convatlas.exports.engines import Arrays, Engine, load_engine


class Outputs(NamedTuple):
    """Logits and probabilities of N images, float32 (N, K) each."""

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """An exported file in an engine.

    Attributes:
        sidecar: the file's sidecar, with the state of its contract.
        file: the exported file.
        engine: the opened engine that computes it.
    """

    file: Path
    sidecar: Sidecar
    engine: Engine

    @property
    def description(self) -> Description:
        return self.sidecar.description

    @property
    def classes(self) -> tuple[str, ...]:
        return self.description.classes

    def run(self, images: NDArray[np.uint8]) -> Arrays:
        """Outputs of uint8 (N, H, W, C) as the file takes it."""
        return self.engine.run(images)

    def outputs(self, images: Sequence[NDArray[np.uint8]]) -> Outputs:
        """Outputs of images as `prepare` returns them: in one batch, or one by one where the file resizes itself."""
        if self.description.accepts_any_size:
            results = [self.run(image[None]) for image in images]
            return Outputs(*(np.concatenate([each[name] for each in results]) for name in (LOGITS, PROBABILITIES)))
        result = self.run(np.stack(images))
        return Outputs(result[LOGITS], result[PROBABILITIES])

    def read(self, path: str | Path) -> NDArray[np.uint8]:
        """Decode an image file as the run does, and prepare it.

        Raises:
            BadImageError: the file is missing, damaged or no image.
        """
        return self.prepare(read_image(path, self.description.preprocessing.at_least))

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Decoded pixels, uint8 (h, w, 1 or 3), as one image of the file's input: uint8 (H, W, C)."""
        preprocessing = self.description.preprocessing
        if self.description.accepts_any_size:
            return np.ascontiguousarray(with_channels(pixels, preprocessing.channels))
        return centre(preprocessing.apply(pixels), preprocessing.size)

    def predict(
        self, paths: Sequence[str | Path], batch_size: int = 32
    ) -> Iterator[NDArray[np.float32] | BadImageError]:
        """Probabilities (K,) of each image file, in order; the error for a file that cannot be read."""
        for start in range(0, len(paths), batch_size):
            images = [self._read_or_error(path) for path in paths[start : start + batch_size]]
            readable = [image for image in images if isinstance(image, np.ndarray)]
            rows = iter(self.outputs(readable).probabilities if readable else ())
            for image in images:
                yield image if isinstance(image, BadImageError) else next(rows)

    def _read_or_error(self, path: str | Path) -> NDArray[np.uint8] | BadImageError:
        try:
            return self.read(path)
        except BadImageError as error:
            return error


def centre(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 (H, W, C) -> the central uint8 (*size, C), contiguous. The same crop as in evaluation."""
    top, left = (pixels.shape[0] - size[0]) // 2, (pixels.shape[1] - size[1]) // 2
    return np.ascontiguousarray(pixels[top : top + size[0], left : left + size[1]])


def open_exported(
    file: str | Path, engine: str | None = None, threads: int | None = None, inner: Sequence[str] = ()
) -> ExportedModel:
    """Open an exported file with its sidecar.

    Args:
        engine, threads, inner: as in `engines.load_engine`.
        file: the exported file.

    Raises:
        CheckpointError: the file or its sidecar is missing, is damaged, or the two do not belong together.
        MissingDependencyError: the engine is not installed.
        UsageError: the engine does not read this kind of file.
    """
    file = Path(file)
    sidecar = read_sidecar(file)
    if sidecar.description.input not in INPUTS:
        raise UsageError(
            "{file} has the input {input}, which is not known.", file=file, input=sidecar.description.input
        )
    hint = "bf16" if sidecar.description.precision == "bf16" else "f32"
    loaded = load_engine(file, engine, threads, hint, inner)
    if loaded.metadata is not None and json.loads(loaded.metadata) != sidecar.stated:
        raise CheckpointError(
            "the description inside {file} is not that of its sidecar. Keep the files of one export together, or "
            "export again:  convatlas export RUN",
            file=file,
        )
    return ExportedModel(file, sidecar, loaded)
