"""What the server counted, in the text format of Prometheus (version 0.0.4), whose texts are always English."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # upper bounds of the buckets
IMAGES = (1, 2, 4, 8, 16, 32, 64)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Counts of values up to each bound, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        total = 0
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum!r}"
        yield f"{name}_count {total}"


class Metrics:
    """Counters of one server. They are changed from its event loop only."""

    def __init__(self, model: Mapping[str, str]) -> None:
        self._model = model
        self._requests: Counter[tuple[str, int]] = Counter()
        self._images: Counter[str] = Counter()
        self._request_s, self._batch_s, self._batch_images = Histogram(SECONDS), Histogram(SECONDS), Histogram(IMAGES)

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests[route, status] += 1
        if route == "/predict":
            self._request_s.add(seconds)

    def images(self, labelled: int, unreadable: int) -> None:
        self._images["labelled"] += labelled
        self._images["unreadable"] += unreadable

    def computed(self, images: int, seconds: float) -> None:
        self._batch_images.add(images)
        self._batch_s.add(seconds)

    def text(self, inside: int) -> str:
        """Args:
        inside: images in the server now.
        """
        return "\n".join(self._lines(inside)) + "\n"

    def _lines(self, inside: int) -> Iterator[str]:
        yield from _head("convatlas_requests_total", "counter", "Requests answered, by route and status.")
        for (route, status), count in sorted(self._requests.items()):
            yield f'convatlas_requests_total{{route="{_escaped(route)}",status="{status}"}} {count}'
        yield from _head("convatlas_images_total", "counter", "Images of requests, by what became of them.")
        for result in ("labelled", "unreadable"):
            yield f'convatlas_images_total{{result="{result}"}} {self._images[result]}'
        yield from _head("convatlas_request_seconds", "histogram", "Seconds from a request to its answer, of /predict.")
        yield from self._request_s.lines("convatlas_request_seconds")
        yield from _head("convatlas_batch_seconds", "histogram", "Seconds that the engine computed a batch.")
        yield from self._batch_s.lines("convatlas_batch_seconds")
        yield from _head("convatlas_batch_images", "histogram", "Images in a batch.")
        yield from self._batch_images.lines("convatlas_batch_images")
        yield from _head("convatlas_images_inside", "gauge", "Images being decoded, waiting or being computed.")
        yield f"convatlas_images_inside {inside}"
        yield from _head("convatlas_model_info", "gauge", "The file that is served.")
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in self._model.items())
        yield f"convatlas_model_info{{{labels}}} 1"
        yield from _of_the_process()


def _of_the_process() -> Iterator[str]:
    yield from _head("process_cpu_seconds_total", "counter", "Seconds of processor time of this process.")
    yield f"process_cpu_seconds_total {time.process_time()!r}"
    status = Path("/proc/self/statm")
    if not status.exists():  # Linux only
        return
    yield from _head("process_resident_memory_bytes", "gauge", "Memory of this process.")
    yield f"process_resident_memory_bytes {int(status.read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')}"
    yield from _head("process_open_fds", "gauge", "Open file descriptors of this process.")
    yield f"process_open_fds {len(os.listdir('/proc/self/fd')) - 1}"  # the list itself is one


def _head(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP {name} {about}", f"# TYPE {name} {kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
