"""Thousands of malformed requests and uploads: no internal error, no file outside, bounded memory.

The requests are drawn from a seed, so that a failure can be repeated: it names the seed and the request.
"""

from __future__ import annotations

import json
import random
import socket
import string
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

import convatlas as ca
from convatlas.explorer.documents import DOCUMENTS, POSTED
from convatlas.explorer.opening import open_session
from convatlas.explorer.server import HOST, Server

SEED = 20261128
QUICK, ALL = 600, 10_000
ALLOWED = {200, 307, 400, 403, 404, 405, 408, 411, 413, 414, 422, 431, 501, 503}
GROWTH = 1 << 30  # bytes of the process's memory: two networks, the kept passes and images

NASTY = (
    "", " ", "0", "-1", "1e9", "NaN", "1" * 30, "\x00", "\n", "../../etc/passwd", "..%2f..%2fetc%2fpasswd",
    "/etc/passwd", "C:\\Windows\\win.ini", "file:///etc/passwd", "run:../../etc", "run:/etc", "run:..", "own:0",
    "own:-1", "own:1", "own:999999", "é", "가나다", "\ud800", "\u202e", "a" * 399, "a" * 401, "<script>", "{}",
    "[]", "null", "3x224x224", "3x0x0", "0x0x0", "99999x99999x99999", "3x-1x5", "3x4096x4096", "axbxc", "{x}", "%s%n",
    "'; drop --", "${jndi:ldap://x}", "nets.py:Net", "/tmp/x.py:Net", "os:system", "__class__", "mlp", "lenet5",
    "alexnet@", "@", "*",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    server: Server
    subjects: tuple[str, ...]
    images: tuple[str, ...]
    layers: tuple[str, ...]
    uploads: tuple[bytes, ...]
    secrets: tuple[bytes, ...]

    @property
    def prefix(self) -> str:
        return f"/{self.server.token}/"


@pytest.fixture(scope="module")
def target(tmp_path_factory, shared) -> Iterator[Target]:
    """A server with a run, a damaged run, a damaged comparison, and a module of one's own."""
    folder = tmp_path_factory.mktemp("private-folder")
    (folder / "secret.txt").write_text("a secret beside the runs")
    (folder / "nets.py").write_text("from torch import nn\nclass Net(nn.Linear):\n    def __init__(self):\n"
                                    "        super().__init__(4, 2)\n")  # fmt: skip
    out = folder / "runs"
    run = ca.train("mlp", data="digits", epochs=1, out=out, seed=0)
    for name, content in (("damaged", "run = 3\n"), ("empty", ""), ("no-toml", "[[[")):
        (out / name).mkdir()
        (out / name / "config.toml").write_text(content)
        (out / name / "metrics.jsonl").write_text('{"event": "epoch"}\nnot json\n')
    (out / "compare-001").mkdir()
    (out / "compare-001" / "comparison.json").write_text('{"rows": [{"latency_ms": {"p50": 1}}]}')
    session = open_session(["lenet5", f"{folder / 'nets.py'}:Net"], out=out)
    server = Server(session, debug=True)
    server.start()
    uploads = tuple(file.read_bytes() for file in sorted(shared("data/odd-images").iterdir()))
    subjects = ("lenet5", "mlp", "own:1", f"run:{run.path.name}", "run:damaged", "run:empty", "run:no-toml")
    images = tuple(each.id for each in session.pictures.all())
    secrets = (str(folder).encode(), b"a secret beside", b"root:x:0:0", str(Path.home()).encode() + b"/")
    yield Target(server, subjects, images, ("conv1", "C1", "F6", "input", "fc1", "RBF"), uploads, secrets)
    server.close()


# ------------------------------------------------------------ requests


def parameter(draw: random.Random, name: str, target: Target) -> str:
    if draw.random() < 0.3:
        return draw.choice(NASTY)
    known = {
        "subject": target.subjects,
        "id": (*target.subjects, "mlp-001", "damaged", "compare-001", "empty"),
        "image": target.images,
        "layer": target.layers,
        "method": ("gradient", "grad_cam", "guided_backpropagation", "nothing"),
        "lang": ("en", "ko", "fr"),
        "input": ("3x32x32", "1x32x32", "1x28x28"),
    }
    if name in known:
        return draw.choice(known[name])
    return str(draw.choice((0, 1, 2, 5, -1, 10**6, 10**7)))


def query(draw: random.Random, target: Target) -> str:
    names = ["subject", "image", "layer", "lang", "channel", "y", "x", "method", "class", "input", "id", "seed",
             "actual", "predicted", "surest", "name", "after"]  # fmt: skip
    chosen = names if draw.random() < 0.5 else draw.sample(names, draw.randint(0, len(names)))
    pairs = [(name, parameter(draw, name, target)) for name in chosen]
    if draw.random() < 0.1:
        pairs += pairs[:2]
    encoded = "&".join(f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in pairs)
    return encoded if draw.random() < 0.95 else encoded.replace("%", "")[:200]


def head(draw: random.Random, target: Target, method: str, path: str, *lines: str) -> bytes:
    """The head of a request, mostly with the right Host."""
    host = f"{HOST}:{target.server.port}" if draw.random() < 0.95 else draw.choice(("evil", "", "127.0.0.1", "a\tb"))
    first = (f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close")
    return "\r\n".join((*first, *lines, "", "")).encode("utf-8", "replace")


def a_document(draw: random.Random, target: Target) -> bytes:
    name = draw.choice(sorted(DOCUMENTS))
    if draw.random() < 0.1:
        name = quote(draw.choice((*NASTY, "run/events", "image", "session/", "session/x")).encode("utf-8", "ignore"))
    lines = [draw.choice(("Origin: null", "Range: bytes=0-9", "Content-Length: 5", "Last-Event-ID: x", "Cookie: a=b"))]
    return head(draw, target, draw.choice(("GET",) * 9 + ("HEAD",)), f"{target.prefix}api/{name}?{query(draw, target)}",
                *(lines if draw.random() < 0.1 else []))  # fmt: skip


def a_path(draw: random.Random, target: Target) -> bytes:
    pieces = ("..", "%2e%2e", "etc", "passwd", "app.js", "static", "index.html", "api", ".", "", "%00", "secret.txt",
              "%c0%ae", "..;", "runs", "convatlas", "server.py", "\\..\\")  # fmt: skip
    path = "/".join(draw.choice(pieces) for _ in range(draw.randint(0, 7)))
    start = (
        target.prefix if draw.random() < 0.8 else draw.choice(("/", "//", "/token/", f"/{target.server.token}", "*"))
    )
    return head(draw, target, draw.choice(("GET", "HEAD", "POST", "PUT", "DELETE", "X")), start + path)


def an_upload(draw: random.Random, target: Target) -> bytes:
    content = bytearray(draw.choice(target.uploads))
    for _ in range(draw.randint(0, 20)):
        if content:
            content[draw.randrange(min(len(content), draw.choice((64, 1024, 10**9))))] = draw.randrange(256)
    if draw.random() < 0.3:
        content = content[: draw.randrange(len(content) + 1)]
    if draw.random() < 0.05:
        content = bytearray(draw.randbytes(draw.randint(0, 5000)))
    length = f"Content-Length: {len(content)}"
    name = quote(draw.choice(NASTY).encode("utf-8", "surrogatepass"))
    return head(draw, target, "PUT", f"{target.prefix}api/image?name={name}", length) + content


def value(draw: random.Random, depth: int = 0) -> object:
    """Any JSON value, often close to what a layer has."""
    kinds = ["integer", "integer", "text", "float", "null", "truth", "side"] + (["list", "layer"] if depth < 4 else [])
    kind = draw.choice(kinds)
    if kind == "integer":
        return draw.choice((0, 1, 2, 3, 5, 28, 224, 4096, -1, 10**20))
    if kind == "layer":
        return layer(draw, depth + 1)
    return {
        "text": draw.choice((*NASTY, "conv", "pool", "fc", "relu", "flatten", "max", "latency<=20ms", "size<=1MB")),
        "float": draw.choice((0.5, 1e308, -0.0)),
        "null": None,
        "truth": draw.random() < 0.5,
        "side": [draw.choice((0, 1, 2, 3, 7)), draw.choice((1, 2, 3))],
        "list": [value(draw, depth + 1) for _ in range(draw.randint(0, 5))] if kind == "list" else None,
    }[kind]


def layer(draw: random.Random, depth: int = 0) -> dict[str, object]:
    sensible = {
        "kind": draw.choice(("conv", "pool", "fc", "relu", "batch_norm", "dropout", "flatten", "global_avgpool")),
        "input": [draw.choice((1, 3, 64)), draw.choice((1, 8, 32)), draw.choice((1, 8, 32))],
        "kernel": [3, 3], "stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "channels": 8, "groups": 1,
        "bias": True, "features": 10, "pooling": "max", "ceil_mode": False, "id": "compare-001", "budget": "",
        "cost": "size",
    }  # fmt: skip
    if draw.random() < 0.5:
        sensible["layers"] = [layer(draw, depth + 1) for _ in range(draw.randint(0, 5))] if depth < 2 else []
    for name in draw.sample(sorted(sensible), draw.randint(0, 4)):
        if draw.random() < 0.5:
            del sensible[name]
        else:
            sensible[name] = value(draw, depth)
    return sensible


def a_posted(draw: random.Random, target: Target) -> bytes:
    content = json.dumps(layer(draw) if draw.random() < 0.8 else value(draw)).encode("utf-8", "replace")
    if draw.random() < 0.1:
        content = draw.choice(
            (b"", b"{", b"[" * 50_000, b'{"a":' * 9000, b"\xff\xfe", b"NaN", b"1" * 5000, b"x" * 70_000)
        )
    name = draw.choice(sorted(POSTED)) if draw.random() < 0.95 else draw.choice(("session", "image", "x"))
    length = f"Content-Length: {len(content)}"
    return head(draw, target, "POST", f"{target.prefix}api/{name}?lang=ko", length) + content


def no_request(draw: random.Random, target: Target) -> bytes:
    """Bytes that are no request, or not a whole one."""
    whole = a_document(draw, target)
    return draw.choice(
        (
            draw.randbytes(draw.randint(1, 300)),
            whole[: draw.randrange(1, len(whole))],
            whole.replace(b"\r\n", b"\n"),
            whole.replace(b"HTTP/1.1", draw.choice((b"HTTP/9.9", b"", b"HTTP/1.0", b"HTTP/2.0"))),
            b"GET " + target.prefix.encode() + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
            head(draw, target, "PUT", f"{target.prefix}api/image", "Transfer-Encoding: chunked")
            + b"zz\r\nabc\r\n0\r\n\r\n",
            head(draw, target, "PUT", f"{target.prefix}api/image", "Transfer-Encoding: chunked", "Content-Length: 3"),
            head(draw, target, "GET", target.prefix, "Content-Length: 1", "Content-Length: 2"),
            head(draw, target, "PUT", f"{target.prefix}api/image", f"Content-Length: {draw.choice((-1, 9, 10**12))}"),
            head(draw, target, "GET", target.prefix, "Host: " + "".join(draw.choices(string.punctuation, k=9))),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        )
    )


MAKERS = (a_document,) * 8 + (a_path,) * 3 + (an_upload,) * 4 + (a_posted,) * 4 + (no_request,) * 2


# ------------------------------------------------------------ the attack


def send(target: Target, content: bytes, patience_s: float = 60) -> bytes:
    """Everything that the server answers until it closes the connection, or is silent for ``patience_s``."""
    with socket.create_connection((HOST, target.server.port), timeout=patience_s) as connection:
        parts = []
        with suppress(OSError):  # refused while it was sent, or silent
            connection.sendall(content)
            while part := connection.recv(1 << 16):
                parts.append(part)
    return b"".join(parts)


def status_of(answer: bytes) -> int:
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def memory_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Opened:
    """The files that this process opens while the attack runs. An audit hook cannot be removed, so it is switched."""

    def __init__(self) -> None:
        self.watching = False
        self.files: set[str] = set()
        self.written: set[str] = set()
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.watching and event == "open" and isinstance(arguments[0], str | bytes):
            name = arguments[0].decode("utf-8", "replace") if isinstance(arguments[0], bytes) else arguments[0]
            self.files.add(name)
            if isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
                self.written.add(name)


OPENED = Opened()


def attack(target: Target, number: int, seed: int) -> Counter[int]:
    draw = random.Random(seed)
    found: Counter[int] = Counter()
    for index in range(number):
        maker = draw.choice(MAKERS)
        content = maker(draw, target)
        answer = send(target, content, 0.2 if maker is no_request else 60)
        status = status_of(answer)
        found[status] += 1
        about = f"seed {seed}, request {index}, {maker.__name__}: {content[:300]!r} -> {answer[:600]!r}"
        assert status in ALLOWED or (status == 0 and maker is no_request), about
        assert not any(secret in answer for secret in target.secrets), about
    return found


def check(target: Target, number: int) -> Counter[int]:
    before = memory_bytes()
    OPENED.files.clear()
    OPENED.written.clear()
    OPENED.watching = True
    try:
        found = attack(target, number, SEED)
    finally:
        OPENED.watching = False
    assert memory_bytes() - before < GROWTH
    runs = str(target.server.socket) and [str(each) for each in _folders(target)]
    outside = [name for name in OPENED.files if not name.startswith(tuple(runs))]
    assert outside == []
    assert OPENED.written == set()
    return found


def _folders(target: Target) -> list[Path]:
    """Where the server may read: Python's own files, the package, the runs, and the module named at its start."""
    import convatlas

    package = Path(convatlas.__file__).parents[1]
    places = [sys.prefix, sys.base_prefix, sys.exec_prefix, package, "/proc/self", "/sys/", "/proc/", "/dev/", "/usr/"]
    return [*map(Path, places), *PRIVATE]


PRIVATE: list[Path] = []


@pytest.fixture(autouse=True)
def _known_folders(target, tmp_path_factory):
    PRIVATE[:] = [path for base in (tmp_path_factory.getbasetemp(),) for path in base.glob("private-folder*/runs")]
    PRIVATE.extend(base / "nets.py" for base in tmp_path_factory.getbasetemp().glob("private-folder*"))


def test_some_hundred_malformed_requests(target):
    found = check(target, QUICK)
    assert found[200] > 20, "some of them are right, so that the documents are reached"
    assert len(found) > 4, found


@pytest.mark.slow
def test_ten_thousand_malformed_requests(target):
    found = check(target, ALL)
    print(dict(found))
    assert sum(found.values()) == ALL
    assert found[200] > 500


def test_slow_and_idle_connections_do_not_block_others(target):
    """Forty connections that send a header now and then; the page still answers."""
    idle = [socket.create_connection((HOST, target.server.port), timeout=10) for _ in range(40)]
    for connection in idle:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
    answer = send(
        target,
        f"GET {target.prefix} HTTP/1.1\r\nHost: {HOST}:{target.server.port}\r\nConnection: close\r\n\r\n".encode(),
    )
    assert status_of(answer) == 200
    for connection in idle:
        connection.close()


def test_many_requests_at_once_are_answered(target):
    """From twelve threads; each answer belongs to its question."""
    wrong: list[object] = []

    def ask(number: int) -> None:
        name = ("lenet5", "mlp", "resnet18", "vgg11")[number % 4]
        line = f"GET {target.prefix}api/network?subject={name}&lang={('en', 'ko')[number % 2]} HTTP/1.1\r\n"
        answer = send(target, f"{line}Host: {HOST}:{target.server.port}\r\nConnection: close\r\n\r\n".encode())
        if status_of(answer) != 200 or json.loads(answer.partition(b"\r\n\r\n")[2])["model"] != name:
            wrong.append((number, answer[:300]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
