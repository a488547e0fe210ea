"""Small trees of real image files, made here, for tests that need a layout and not the pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def _write_image(path: Path, size: tuple[int, int] = (12, 10), seed: int = 0, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = (3,) if mode == "RGB" else ()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, *channels), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def write_image():
    """``write_image(path, size=(h, w), seed=0, mode="RGB")`` writes random pixels in the format of the extension."""
    return _write_image


@pytest.fixture
def class_folders(tmp_path: Path) -> Callable[..., Path]:
    """``class_folders({"cat": 3, "dog": 4})`` makes a folder per class with so many PNG images."""

    def make(counts: dict[str, int], root: Path | None = None, first_seed: int = 0) -> Path:
        root = tmp_path / "photos" if root is None else root
        for k, (name, count) in enumerate(counts.items()):
            (root / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                _write_image(root / name / f"{i}.png", seed=first_seed + 1000 * k + i)
        return root

    return make
