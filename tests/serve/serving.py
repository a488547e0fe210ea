"""A server of an exported file in a thread of this process, and requests to it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from convatlas.exports import ExportedModel
from convatlas.runs.run import Run
from convatlas.serve import PredictionServer, ServeOptions


@dataclass(frozen=True)
class Served:
    """What is served: the run, its exported file, and images as files."""

    run: Run
    file: Path
    images: tuple[bytes, ...]
    paths: tuple[Path, ...]


class Client:
    """A server in a thread, and requests with its token."""

    def __init__(self, model: ExportedModel, options: ServeOptions, **more: Any) -> None:
        self.server = PredictionServer(model, options, debug=True, **more)
        self.server.start()
        self.headers = {"Authorization": f"Bearer {self.server.token}"}
        self.http = httpx.Client(base_url=self.server.url, headers=self.headers, timeout=60)
        wait_for(lambda: self.http.get("/health").status_code == 200)

    def predict(self, content: bytes, **parameters: object) -> httpx.Response:
        return self.http.post("/predict", content=content, params={k: str(v) for k, v in parameters.items()})

    def predict_all(self, images: list[bytes]) -> httpx.Response:
        return self.http.post("/predict", files=[("image", (f"{k}.png", each)) for k, each in enumerate(images)])

    def refused(self, answer: httpx.Response, status: int) -> str:
        """The text of an error."""
        assert answer.status_code == status, answer.text
        return str(answer.json()["error"])

    def metric(self, name: str) -> float:
        lines = self.http.get("/metrics").text.splitlines()
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))

    def close(self) -> None:
        self.http.close()
        self.server.close()


def wait_for(ready: Callable[[], bool], patience_s: float = 20) -> None:
    until = time.monotonic() + patience_s
    while True:
        try:
            if ready():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < until, "not ready in time"
        time.sleep(0.02)


def picture(height: int, width: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    """An image file of random pixels."""
    channels = {"RGB": (3,), "L": (), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()
