"""Images of several requests in one batch: an engine computes a batch in less time than its images one by one.

Images that arrived while the engine was at work are taken at once. While the server decodes further images, those that
are ready wait for them, until the deadline of the first. The number of images in the server is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convatlas.errors import ConvAtlasError
from convatlas.exports.exported import ExportedModel
from convatlas.http.bodies import Busy
from convatlas.serve.metrics import Metrics
from convatlas.serve.options import ServeOptions

Image = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


@dataclass(eq=False)
class _Waiting:
    """An image in the queue, when it arrived (seconds of the event loop), and where its result is put."""

    image: Image = field(repr=False)
    arrived: float
    result: asyncio.Future[Probabilities]


class Batcher:
    """Computes images in batches. All methods are called from one event loop."""

    def __init__(self, model: ExportedModel, options: ServeOptions, metrics: Metrics) -> None:
        self._model, self._metrics = model, metrics
        # a file that resizes takes images one at a time
        self._most = 1 if model.description.accepts_any_size else options.batch
        self._deadline_s, self._places = options.deadline_ms / 1000, options.queue
        self._inside = 0
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="convatlas engine")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Stop; images that are still waiting are not computed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._engine.shutdown(wait=True, cancel_futures=True)

    @property
    def inside(self) -> int:
        """Images in the server: being decoded, waiting, or being computed."""
        return self._inside

    def enter(self, count: int) -> None:
        """Take places for images.

        Raises:
            Busy: there are not enough free.
        """
        if self._inside + count > self._places:
            raise Busy("the server is busy: {n} images are waiting. Send the request again later.", n=self._inside)
        self._inside += count

    def leave(self, count: int) -> None:
        self._inside -= count

    async def probabilities(self, images: Sequence[Image]) -> list[Probabilities]:
        """Probabilities (K,) of each image, which have places.

        Raises:
            ConvAtlasError: the probabilities are not finite.
        """
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(image, loop.time(), loop.create_future()) for image in images]
        for each in waiting:
            self._queue.put_nowait(each)
        return list(await asyncio.gather(*(each.result for each in waiting)))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [each for each in await self._next_batch() if not each.result.done()]
            if not batch:
                continue
            started = loop.time()
            try:
                rows = await loop.run_in_executor(self._engine, self._computed, [each.image for each in batch])
            except (
                Exception
            ) as error:  # an engine has its own exceptions; the requests are told, and the server goes on
                for each in batch:
                    if not each.result.done():
                        each.result.set_exception(error)
                continue
            finally:
                self._metrics.computed(len(batch), loop.time() - started)
            for each, row in zip(batch, rows, strict=True):
                if not each.result.done():
                    each.result.set_result(row)

    async def _next_batch(self) -> list[_Waiting]:
        loop = asyncio.get_running_loop()
        batch = [await self._queue.get()]
        deadline = batch[0].arrived + self._deadline_s
        while len(batch) < self._most:
            if not self._queue.empty():
                batch.append(self._queue.get_nowait())
                continue
            # images that are being decoded will be here soon; without any there is nothing to wait for
            left = deadline - loop.time()
            if left <= 0 or self._inside <= len(batch):
                break
            try:
                batch.append(await asyncio.wait_for(self._queue.get(), left))
            except TimeoutError:
                break
        return batch

    def _computed(self, images: list[Image]) -> Probabilities:
        rows = self._model.outputs(images).probabilities
        if not np.isfinite(rows).all():
            raise ConvAtlasError(
                "the probabilities are not finite (nan or inf): the weights of the file are not usable."
            )
        return rows
