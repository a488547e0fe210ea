"""``convatlas serve`` as a process: what it prints, what it imports, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from convatlas.cli import main

TOKEN = "a-token-of-the-environment"


@contextmanager
def process(file, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A server in a process of its own, and the line that it printed."""
    command = [sys.executable, "-m", "convatlas", "serve", str(file), "--port", "0", "--json", *arguments]
    started = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CONVATLAS_LANG": "en", **environment},
    )
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line, started.stderr.read() if started.stderr else ""
        yield started, json.loads(line)
    finally:
        started.kill()
        started.communicate()


def bearer(said: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {said['token']}"}


def test_requests_that_are_on_their_way_are_answered_after_sigterm(served):
    """Half of an image has arrived when the signal comes; the rest follows, and the labels come back."""
    image = served.images[5]
    with process(served.file) as (running, said):
        port = int(said["url"].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {said['token']}\r\n"
            connection.sendall(f"{head}Content-Length: {len(image)}\r\n\r\n".encode() + image[:100])
            assert httpx.get(said["url"] + "/health").status_code == 200, "the other request has arrived as well"
            running.send_signal(signal.SIGTERM)
            until_refused(port)
            assert running.poll() is None, "it waits for the request"
            connection.sendall(image[100:])
            answer = b""
            while part := connection.recv(1 << 16):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"][0]["top"]
        assert running.wait(20) in (-signal.SIGTERM, 128 + signal.SIGTERM)


def until_refused(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    raise AssertionError("it still accepts connections")


def test_ctrl_c_ends_it(served):
    with process(served.file) as (running, said):
        assert httpx.get(said["url"] + "/health").status_code == 200
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130


def test_the_start_says_what_is_served(served):
    with process(served.file) as (running, said):
        assert said["schema"] == 1
        assert httpx.get(said["url"] + "/metrics", headers=bearer(said)).status_code == 200
        running.send_signal(signal.SIGTERM)
        error = running.communicate(timeout=20)[1]
        assert error.startswith("lenet5@modern in fp32 with onnxruntime, 10 classes; contract: ")


def test_a_token_of_the_environment_is_not_printed(served):
    with process(served.file, CONVATLAS_SERVE_TOKEN=TOKEN) as (_running, said):
        assert said["token"] is None
        assert httpx.get(said["url"] + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_another_address_prints_a_warning(served):
    with process(served.file, "--host", "0.0.0.0") as (running, said):
        assert said["url"].startswith("http://0.0.0.0:")
        running.send_signal(signal.SIGTERM)
        error = running.communicate(timeout=20)[1]
    assert error.startswith("warning: every machine that reaches 0.0.0.0 can send requests to port ")


def test_no_torch_is_imported(served):
    """A label is served, and neither torch nor what needs seconds to import is there."""
    script = """
import sys, httpx
from convatlas.exports import open_exported
from convatlas.serve import PredictionServer
server = PredictionServer(open_exported(sys.argv[1]))
server.start()
with open(sys.argv[2], "rb") as image:
    answer = httpx.post(server.url + "/predict", content=image.read(),
                        headers={"Authorization": "Bearer " + server.token})
print(answer.status_code, sorted({"torch", "scipy", "sklearn", "matplotlib", "onnx"} & set(sys.modules)))
server.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(served.file), str(served.paths[0])],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "200 []", done.stderr


def test_the_command_imports_no_torch(served):
    """The modules of the command's own process, as Python lists them while it imports."""
    with process(served.file, PYTHONPROFILEIMPORTTIME="1") as (running, _said):
        running.send_signal(signal.SIGTERM)
        imported = running.communicate(timeout=30)[1]
    assert " onnxruntime" in imported
    assert not any(line.rpartition("|")[2].strip() == "torch" for line in imported.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["missing.onnx"], 3, "there is no file missing.onnx"),
        (["FILE", "--batch", "0"], 2, "--batch 0: at least 1 is needed"),
        (["FILE", "--queue", "8"], 2, "--max-images 32"),
        (["FILE", "--max-size", "x"], 2, "a size is a number and a unit"),
        (["FILE", "--host", "192.0.2.1"], 2, "--host"),
    ],
)
def test_what_cannot_be_served_is_said(served, capsys, monkeypatch, tmp_path, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVATLAS_LANG", "en")
    with pytest.raises(SystemExit) as ended:
        main(["serve", *(str(served.file) if each == "FILE" else each for each in arguments), "--port", "0"])
    error = capsys.readouterr().err
    assert says in error
    assert ended.value.code == code


@pytest.mark.parametrize("token", ["short", "é" * 20, "a\tb" * 10])
def test_a_token_that_protects_nothing_is_refused(served, capsys, monkeypatch, token):
    monkeypatch.setenv("CONVATLAS_SERVE_TOKEN", token)
    monkeypatch.setenv("CONVATLAS_LANG", "en")
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(served.file), "--port", "0"])
    assert ended.value.code == 2
    assert "CONVATLAS_SERVE_TOKEN is no token" in capsys.readouterr().err
