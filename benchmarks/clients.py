"""The example clients in examples/clients, run on photos; used by benchmarks/runtime.py and by the tests.

Each gives (photo, label, probability) for every photo, from one exported file. None of them uses convatlas.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from convatlas.data.dataset import with_channels
from convatlas.data.decode import read_image

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = ROOT / "examples" / "clients"
DRIVER = ROOT / "tests" / "deployed" / "browser_client.mjs"


class Label(NamedTuple):
    photo: str
    label: str
    probability: float


def python_client(model: Path, photos: Sequence[Path], python: str = sys.executable) -> list[Label]:
    """examples/clients/python: numpy, Pillow and onnxruntime."""
    command = [python, str(CLIENTS / "python" / "classify.py"), str(model), *map(str, photos)]
    return _of_lines(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def browser_client(model: Path, photos: Sequence[Path]) -> list[Label]:
    """examples/clients/web in Chromium: onnxruntime-web. Asserts that nothing left the machine."""
    command = ["node", str(DRIVER), str(model), *map(str, photos)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert said["elsewhere"] == said["faults"] == [], said
    return [
        Label(str(photo), label, float(probability))
        for photo, (_name, label, probability) in zip(photos, said["rows"], strict=True)
    ]


def cpp_client(model: Path, photos: Sequence[Path], folder: Path) -> list[Label]:
    """examples/clients/cpp: OpenVINO. The photos are decoded here, as PPM or PGM files in ``folder``."""
    channels = json.loads(Path(f"{model}.json").read_text("utf-8"))["preparation"]["channels"]
    decoded = []
    for number, photo in enumerate(photos):
        pixels = with_channels(read_image(photo), channels)
        decoded.append(folder / f"{number}.ppm")
        Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(decoded[-1])
    command = [str(built(folder)), str(model), *map(str, decoded)]
    found = _of_lines(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [row._replace(photo=str(photo)) for row, photo in zip(found, photos, strict=True)]


def built(folder: Path) -> Path:
    """The C++ client, built with the headers and libraries of the Python package openvino."""
    openvino = Path(str(importlib.util.find_spec("openvino").origin)).parent  # type: ignore[union-attr]
    build = folder / "build"
    for arguments in (
        ["-S", str(CLIENTS / "cpp"), "-B", str(build), f"-DOpenVINO_DIR={openvino / 'cmake'}"],
        ["--build", str(build)],
    ):
        subprocess.run(["cmake", *arguments], capture_output=True, text=True, check=True)
    return build / "classify"


def missing(client: str) -> str | None:
    """What a client needs and this machine does not have."""
    if client == "browser":
        browser = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        modules = CLIENTS / "web" / "node_modules"
        if shutil.which("node") is None or not Path(browser).exists():
            return "node and Chromium (CHROMIUM names it)"
        return None if (modules / "onnxruntime-web").exists() else f"its packages: npm ci in {modules.parent}"
    if client == "cpp":
        if shutil.which("cmake") is None or shutil.which("c++") is None:
            return "cmake and a C++ compiler"
        return None if importlib.util.find_spec("openvino") else "the package openvino"
    return None if importlib.util.find_spec("onnxruntime") else "the package onnxruntime"


def _of_lines(text: str) -> list[Label]:
    rows = (line.split("\t") for line in text.splitlines())
    return [Label(photo, label, float(probability)) for photo, label, probability in rows]
