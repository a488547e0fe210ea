"""Published weights: nothing is fetched unasked, a fetch resumes, and only the published file is used."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import convatlas as ca
from convatlas.errors import CheckpointError, UnknownNameError, UsageError
from convatlas.models.weights.published import fetched, published, table

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server():
    """A web server for one file that understands ranges, and the ranges it was asked for."""
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers["Range"])
            start = int((self.headers["Range"] or "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            self.end_headers()
            self.wfile.write(CONTENT[start:])

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/net-0000.pth", asked
        running.shutdown()
        thread.join()


@pytest.fixture
def line(server):
    return dataclasses.replace(table()[0], url=server[0], sha256_prefix=hashlib.sha256(CONTENT).hexdigest()[:8])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path))
    return tmp_path


def test_every_line_is_of_a_network_of_the_atlas_and_complete():
    assert len(table()) == len({(line.network, line.full_name) for line in table()})
    for line in table():
        assert line.network in ca.list_models()
        assert line.url.startswith("https://")
        assert line.sha256_prefix in line.url
        assert 0 < line.top5_error < line.top1_error < 100


@pytest.mark.parametrize(
    ("network", "name", "resize", "crop"),
    [  # the resize_size and crop_size in torchvision's documentation of each weights
        ("resnet50@torchvision", "IMAGENET1K_V1", 256, 224),
        ("resnet50@torchvision", "IMAGENET1K_V2", 232, 224),
        ("resnet101@torchvision", "IMAGENET1K_V2", 232, 224),
        ("resnet152@torchvision", "IMAGENET1K_V2", 232, 224),
        ("inception_v3@torchvision", "IMAGENET1K_V1", 342, 299),
    ],
)
def test_each_line_has_its_own_preparation(network, name, resize, crop):
    preparation = published(network, f"torchvision:{name}").preparation
    assert (preparation.resize, preparation.crop) == (resize, crop)


def test_nothing_is_fetched_unasked(line, server, cache):
    with pytest.raises(CheckpointError, match="Pass download=True"):
        fetched(line)
    assert server[1] == []
    with pytest.raises(CheckpointError, match=r"torchvision:IMAGENET1K_V2 of resnet50@torchvision is not in"):
        ca.create_model("resnet50@torchvision", weights="torchvision:IMAGENET1K_V2")


def test_a_fetch_is_verified_kept_and_not_repeated(line, server, cache):
    assert fetched(line, download=True).read_bytes() == CONTENT
    assert fetched(line).name == "net-0000.pth"
    assert server[1] == [None]
    assert [file.name for file in cache.iterdir()] == ["net-0000.pth"]


def test_an_interrupted_fetch_goes_on_where_it_stopped(line, server, cache):
    (cache / "net-0000.pth.part").write_bytes(CONTENT[:1000])
    assert fetched(line, download=True).read_bytes() == CONTENT
    assert server[1] == ["bytes=1000-"]


def test_another_file_under_the_name_is_refused(line, cache):
    (cache / "net-0000.pth").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"is not the published file: its SHA-256 begins"):
        fetched(line)
    assert not (cache / "net-0000.pth").exists()


def test_unknown_weights_are_answered_with_those_there_are():
    with pytest.raises(UnknownNameError, match="torchvision:IMAGENET1K_V1"):
        published("resnet50@torchvision", "torchvision:IMAGENET1K_V9")
    with pytest.raises(UsageError, match="no published weights are known for lenet5"):
        ca.create_model("lenet5", weights="torchvision:IMAGENET1K_V1")
    with pytest.raises(CheckpointError, match="there is no weights file"):
        ca.create_model("lenet5", weights="nowhere.safetensors")
