"""The folder in which the golden commands run, and the measurements they share."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import RUN, STEADY, case
from PIL import Image
from rendering import Recorder, rendered

OWN_NETWORK = """
import torch
from torch import nn

torch.manual_seed(0)


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
"""


def write_photos(folder: Path, classes: dict[str, int], first_seed: int = 0) -> None:
    """Colour images of several sizes; the pixels are drawn, the same on every machine."""
    for k, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            rng = np.random.default_rng(first_seed + 100 * k + i)
            pixels = rng.integers(0, 256, (24 + 2 * (i % 3), 32 - i % 2, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


@pytest.fixture(scope="session")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def workplace(tmp_path_factory, recorder) -> Path:
    """Data of a few small images, and a run that is trained once."""
    folder = tmp_path_factory.mktemp("golden")
    write_photos(folder / "photos", {"a": 12, "b": 10, "강아지": 8})
    shutil.copy(folder / "photos/a/0.png", folder / "photos/b/10.png")  # the same image with two labels
    write_photos(folder / "damaged", {"a": 6, "b": 6})
    whole = (folder / "damaged/a/3.png").read_bytes()
    (folder / "damaged/a/3.png").write_bytes(whole[: len(whole) // 2])
    write_photos(folder / "one-class", {"a": 5})
    (folder / "net.py").write_text(OWN_NETWORK, "utf-8")
    (folder / "typo.toml").write_text("learning_rate = 0.1\n", "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        line = f"train mlp --epochs 1 --min-updates 0 --out {Path(RUN).parent} {STEADY}"
        rendered(case("trained", line), "en", 80, recorder)
        assert Path(RUN).is_dir()
    return folder


@pytest.fixture
def in_workplace(workplace, monkeypatch) -> Path:
    """The case runs there; what the case before it wrote is gone."""
    monkeypatch.chdir(workplace)
    return workplace
