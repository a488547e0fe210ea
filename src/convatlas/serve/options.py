"""`ServeOptions`: what the server accepts, and how long an image waits for others."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.errors import UsageError


@dataclass(frozen=True)
class ServeOptions:
    """Limits of a prediction server.

    Attributes:
        batch: images that are computed together at most.
        deadline_ms: milliseconds that an image waits at most for others that the server is decoding; 0 for none.
        queue: images that are in the server at once at most, decoding included; more are refused with 503.
        max_bytes: of one request.
        max_pixels: of one image, height times width.
        max_images: of one request.

    Raises:
        UsageError: a value is out of its range.
    """

    batch: int = 8
    deadline_ms: float = 2.0
    queue: int = 64
    max_bytes: int = 32 << 20
    max_pixels: int = 50_000_000
    max_images: int = 32

    def __post_init__(self) -> None:
        for name in ("batch", "queue", "max_bytes", "max_pixels", "max_images"):
            if getattr(self, name) < 1:
                option = f"--{name.replace('_', '-')}"
                raise UsageError("{option} {value}: at least 1 is needed.", option=option, value=getattr(self, name))
        if not 0 <= self.deadline_ms <= 10_000:
            raise UsageError("--deadline-ms {value}: expected 0 to 10000.", value=self.deadline_ms)
        if self.max_images > self.queue:
            raise UsageError(
                "--max-images {images}: a request of so many images would never fit into --queue {queue}.",
                images=self.max_images,
                queue=self.queue,
            )
