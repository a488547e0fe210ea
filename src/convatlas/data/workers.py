"""Decode many files in several processes; a process that crashes does not end the program.

Each worker is a fresh Python that imports Pillow and numpy only, takes names on its stdin and gives pixels back on its
stdout. ``multiprocessing`` was weighed: fork is unsafe once torch has threads, spawn imports the caller's script again
and needs shared memory, which containers keep small. Pipes need neither; an image is 150 kB and a pipe moves gigabytes
per second. A worker that dies is started once more on the images it had; an image on which it dies again is bad.
"""

from __future__ import annotations

import json
import os
import queue
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO

import numpy as np

from convatlas.data.decode import Header, UnreadableImage, decode, decoded_header
from convatlas.data.open_tree import open_tree
from convatlas.data.preprocessing import Preprocessing
from convatlas.data.tree import Tree
from convatlas.message import Message, system_reason

# pixels after the preprocessing; without one, the header of a fully decoded file; or the reason why it cannot be read
Result = np.ndarray | Header | str

FILES_PER_WORKER = 128  # fewer files are decoded faster without extra processes (each takes 0.25 s to start)
IN_FLIGHT = 8  # queued names per worker: enough to keep it busy, too few to fill a pipe
SILENCE_S = 60.0  # a worker without an answer for this long is stuck
POLL_S = 1.0  # interval between checks for stuck workers
# kind, then four numbers: h w c 0 of pixels, h w grey peak of a header, length 0 0 0 of a reason
_FRAME = struct.Struct("<BIIII")
_PIXELS, _HEADER, _REASON = range(3)


def decode_files(
    tree: Tree, names: Sequence[str], preprocessing: Preprocessing | None, workers: int | None = None
) -> Iterator[tuple[int, Result]]:
    """Yield (index, result) for every name, in any order.

    Args:
        preprocessing: what the pixels become; None only checks that every file decodes.
        workers: processes; by default one per core, and none for few files.
    """
    if workers is None:
        workers = min(cores(), len(names) // FILES_PER_WORKER)
    if workers < 2 or not sys.executable:
        yield from ((index, decode_one(tree, name, preprocessing)) for index, name in enumerate(names))
        return
    jobs = _Jobs(names)
    results: queue.Queue[tuple[int, Result] | None] = queue.Queue(maxsize=4 * workers * IN_FLIGHT)
    setting = {"tree": tree.to_dict(), "preprocessing": None if preprocessing is None else preprocessing.to_dict()}
    threads = [_Worker(setting, jobs, results) for _ in range(workers)]
    try:
        for thread in threads:
            thread.start()
        running = workers
        while running:
            try:
                item = results.get(timeout=POLL_S)
            except queue.Empty:
                for thread in threads:
                    thread.end_if_stuck()
                continue
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        jobs.stop()
        for thread in threads:
            thread.end()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    for thread in threads:
        thread.raise_failure()


def decode_one(tree: Tree, name: str, preprocessing: Preprocessing | None) -> Result:
    """Decode one file; the work of one request to a worker."""
    try:
        content = tree.read(name)
        if preprocessing is not None:
            return preprocessing.apply(decode(content, preprocessing.at_least))
        return decoded_header(content)
    except OSError as error:
        return system_reason(error)
    except UnreadableImage as error:
        return error.message


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Jobs:
    """A thread-safe queue of (index, name) pairs."""

    def __init__(self, names: Sequence[str]) -> None:
        self._pairs = iter(enumerate(names))
        self._lock = threading.Lock()
        self.stopped = False

    def take(self) -> tuple[int, str] | None:
        with self._lock:
            return None if self.stopped else next(self._pairs, None)

    def stop(self) -> None:
        with self._lock:
            self.stopped = True


class _Worker(threading.Thread):
    """The thread that drives one worker process: sends names, reads answers, restarts the process after a crash."""

    def __init__(
        self, setting: Mapping[str, object], jobs: _Jobs, results: queue.Queue[tuple[int, Result] | None]
    ) -> None:
        super().__init__(daemon=True)
        self._setting, self._jobs, self._results = setting, jobs, results
        self._in_flight: deque[tuple[int, str]] = deque()
        self._suspects: deque[tuple[int, str]] = deque()  # of a crashed process, retried one by one
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = time.monotonic()
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._start_process()
            while self._ask():
                answer = self._answer()
                if self._jobs.stopped:
                    break
                if answer is None:
                    self._replace_process()
                    continue
                self._put((self._in_flight.popleft()[0], answer))
        except BaseException as error:  # raised again in the calling thread by raise_failure
            self._failure = error
        finally:
            self.end()
            self._put(None)

    def _put(self, item: tuple[int, Result] | None) -> None:
        while not self._jobs.stopped:
            with suppress(queue.Full):
                self._results.put(item, timeout=1)
                return

    def _ask(self) -> bool:
        """Send names until enough are queued; False when no answer is outstanding."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._asked = time.monotonic()
        while len(self._in_flight) < (1 if self._suspects else IN_FLIGHT):
            job = self._suspects.popleft() if self._suspects else self._jobs.take()
            if job is None:
                break
            self._in_flight.append(job)
            with suppress(OSError):  # a crash is noticed when the answer is read
                self._process.stdin.write(json.dumps(job[1]).encode() + b"\n")
                self._process.stdin.flush()
        return bool(self._in_flight)

    def _answer(self) -> Result | None:
        """The next answer, or None if the process has crashed."""
        assert self._process is not None
        assert self._process.stdout is not None
        return _read_frame(self._process.stdout)

    def _replace_process(self) -> None:
        assert self._process is not None
        self.end()
        if len(self._in_flight) == 1:  # the only file it had: this file crashes it
            index, _ = self._in_flight.popleft()
            code = self._process.returncode
            how = Message("signal {n}", n=-code) if code < 0 else Message("exit code {n}", n=code)
            self._put((index, Message("the process that decoded it died or was stopped ({how})", how=how)))
        self._suspects.extendleft(reversed(self._in_flight))
        self._in_flight.clear()
        self._start_process()

    def _start_process(self) -> None:
        separate = {"start_new_session": True} if os.name == "posix" else {}  # only the parent handles Ctrl-C
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            **separate,  # type: ignore[call-overload]
        )
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(json.dumps(self._setting).encode() + b"\n")

    def end_if_stuck(self) -> None:
        if self._in_flight and time.monotonic() - self._asked > SILENCE_S and self._process is not None:
            self._process.kill()

    def end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _read_frame(stream: IO[bytes]) -> Result | None:
    try:
        head = stream.read(_FRAME.size)
        if len(head) < _FRAME.size:
            return None
        kind, a, b, c, d = _FRAME.unpack(head)
        if kind == _HEADER:
            return Header(a, b, bool(c), d)
        size = a * b * c if kind == _PIXELS else a
        body = stream.read(size)
        if len(body) < size:
            return None
    except (OSError, ValueError):  # the pipe was closed meanwhile
        return None
    return np.frombuffer(body, dtype=np.uint8).reshape(a, b, c) if kind == _PIXELS else body.decode("utf-8", "replace")


def _frame(result: Result) -> bytes:
    if isinstance(result, Header):
        return _FRAME.pack(_HEADER, result.height, result.width, result.grey, result.peak)
    if isinstance(result, str):
        reason = result.encode("utf-8", "replace")
        return _FRAME.pack(_REASON, len(reason), 0, 0, 0) + reason
    return _FRAME.pack(_PIXELS, *result.shape, 0) + result.tobytes()


def serve() -> None:
    """The main function of a worker process: reads a line of settings, then one name per line, and answers each."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # output of decoders must not mix with the answers
    setting = json.loads(source.readline())
    tree = open_tree(setting["tree"])
    values = setting["preprocessing"]
    preprocessing = None if values is None else Preprocessing.from_dict(values)
    with suppress(BrokenPipeError):
        for line in source:
            sink.write(_frame(decode_one(tree, json.loads(line), preprocessing)))
            sink.flush()
