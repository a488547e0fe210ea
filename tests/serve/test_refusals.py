"""What the server refuses, how it says so, and that it needs its token."""

from __future__ import annotations

import io
import threading
import zlib

import httpx
import pytest
from PIL import Image
from serving import picture, wait_for

from convatlas.errors import UsageError
from convatlas.http import patience
from convatlas.i18n import in_language
from convatlas.serve import PredictionServer, ServeOptions

# ------------------------------------------------------------------ who may ask


@pytest.mark.parametrize("route", ["/predict", "/metrics", "/openapi.json", "/nothing", "/"])
def test_without_the_token_nothing_is_answered(client, route):
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": client.server.token},
                    {"Authorization": f"Basic {client.server.token}"},
                    {"Authorization": f"Bearer {client.server.token[:-1]}"}):  # fmt: skip
        answer = httpx.get(client.server.url + route, headers=headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == "Bearer"
        assert set(answer.json()) == {"error"}


def test_health_needs_no_token(client, model):
    answer = httpx.get(client.server.url + "/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["model"]["sha256"] == model.sidecar.sha256


def test_two_servers_have_two_tokens(client_of):
    tokens = {client_of().server.token for _ in range(2)}
    assert len(tokens) == 2
    assert all(len(token) >= 32 for token in tokens)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example:1"])
def test_another_host_is_refused(client, host):
    assert client.http.get("/health", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "file://"])
def test_a_page_of_another_origin_is_refused(client, served, origin):
    answer = client.http.post("/predict", content=served.images[0], headers={"Origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "TRACE", "PATCH", "PUT"])
def test_other_methods_are_refused(client, method):
    assert client.http.request(method, "/predict").status_code == 405


def test_an_address_that_does_not_exist_names_those_that_do(client):
    assert "/predict, /health" in client.refused(client.http.get("/predictions"), 404)
    assert client.http.get("/predict").headers["allow"] == "POST"


@pytest.mark.parametrize("route", ["/predict", "/health", "/metrics", "/openapi.json", "/nothing"])
def test_every_answer_has_the_headers(client, route):
    headers = client.http.get(route).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


# ------------------------------------------------------------------ what is too much


def test_a_request_with_too_many_bytes(client_of, served):
    client = client_of(ServeOptions(max_bytes=2000))
    assert client.predict(served.images[0]).status_code == 200
    for size in (2001, 5000, 3 << 20):
        assert "more than 2,000 bytes" in client.refused(client.predict(b"x" * size), 413)
    chunked = client.http.post("/predict", content=(b"x" * 500 for _ in range(30)))
    assert "more than 2,000 bytes" in client.refused(chunked, 413)
    assert client.server.application.held.bytes == 0


def test_an_image_with_too_many_pixels_is_not_decoded(client_of):
    client = client_of(ServeOptions(max_pixels=10_000))
    assert client.predict(picture(100, 100)).status_code == 200
    text = client.refused(client.predict(picture(100, 101)), 422)
    assert "101 x 100 pixels are more than the limit of 10,000" in text


def test_a_decompression_bomb(client):
    """30,000 x 30,000 white pixels in 110 kB."""
    content = io.BytesIO()
    Image.new("1", (30_000, 30_000), 1).save(content, "PNG", compress_level=9)
    before = client.metric("process_resident_memory_bytes")
    assert "than the limit of" in client.refused(client.predict(content.getvalue()), 422)
    assert client.metric("process_resident_memory_bytes") - before < 50 << 20


OTHER_FORMATS = [
    b"%!PS-Adobe-3.0 EPSF-3.0\n",
    b"%PDF-1.7\n",
    b"8BPS\0\1",
    b"<svg></svg>",
    b"PK\3\4",
    zlib.compress(b"x"),
]


@pytest.mark.parametrize("content", OTHER_FORMATS)
def test_formats_that_are_not_opened(client, content):
    assert "it cannot be read" in client.refused(client.predict(content), 422)


def test_too_many_images_in_a_request(client_of, served):
    client = client_of(ServeOptions(max_images=3))
    assert client.predict_all(list(served.images[:3])).status_code == 200
    assert "4 images are more than the limit of 3" in client.refused(client.predict_all(list(served.images[:4])), 413)


def test_a_full_queue_asks_to_come_back(client_of, served):
    """More clients than places: each request is answered or told to wait, and the places are free again afterwards."""
    client = client_of(ServeOptions(queue=2, max_images=2, batch=1))
    answers: list[httpx.Response] = []

    def ask() -> None:
        with httpx.Client(base_url=client.server.url, headers=client.headers, timeout=60) as http:
            for _ in range(15):
                files = [("image", ("x.png", image)) for image in served.images[:2]]
                answers.append(http.post("/predict", files=files))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    statuses = [answer.status_code for answer in answers]
    assert len(statuses) == 90
    assert set(statuses) == {200, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert "the server is busy" in refused.json()["error"]
    assert client.metric("convatlas_images_inside") == 0
    assert client.predict(served.images[0]).status_code == 200


def test_bodies_in_memory_are_bounded(client_of, served):
    client = client_of()
    client.server.application.held.most = 100
    answer = client.predict(served.images[0])
    assert client.refused(answer, 503)
    assert answer.headers["retry-after"] == "1"
    assert client.server.application.held.bytes == 0


def test_a_connection_that_sends_nothing_is_closed(client_of, monkeypatch):
    monkeypatch.setattr(patience, "SLOWEST_HEADERS", 0.3)
    client = client_of()
    address = ("127.0.0.1", client.server.port)
    import socket

    silent = [socket.create_connection(address, timeout=10) for _ in range(20)]
    for connection in silent[10:]:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: ")
    assert client.http.get("/health").status_code == 200
    for connection in silent:
        assert connection.recv(100) == b"", "the server closes it"
        connection.close()


def test_a_web_socket_is_refused(client):
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
    assert client.http.get("/predict", headers=headers).status_code == 405


# ------------------------------------------------------------------ multipart bodies


BOUNDARY = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("multipart/form-data", b"--x\r\n\r\n\r\n--x--"),
        ("multipart/form-data; boundary=" + "y" * 71, b""),
        (BOUNDARY, b""),
        (BOUNDARY, b"--x--"),
        (BOUNDARY, b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\ncut short"),
        (BOUNDARY, b"--x\r\nno blank line\r\n--x--"),
        (BOUNDARY, b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n.\r\n--x--"),
        (BOUNDARY, b"--x\r\n\r\n.\r\n" * 2000 + b"--x--"),
    ],
)
def test_a_damaged_multipart_body(client, kind, content):
    answer = client.http.post("/predict", content=content, headers={"Content-Type": kind})
    assert "multipart/form-data" in client.refused(answer, 400)


def test_a_file_name_is_shown_without_its_folders_and_control_characters(client, served):
    body = (
        b'--x\r\ncontent-disposition: form-data; name="a"; filename="C:\\fakepath\\..\x07/\xea\xb3\xa0\xec\x96\x91.png"'
    )
    body += b"\r\n\r\n" + served.images[0] + b"\r\n--x--\r\n"
    answer = client.http.post("/predict", content=body, headers={"Content-Type": BOUNDARY})
    assert [each["file"] for each in answer.json()["predictions"]] == ["고양.png"]


# ------------------------------------------------------------------ texts


def test_errors_are_korean_for_those_who_ask_for_it(client):
    for header in ("ko", "ko-KR,ko;q=0.9,en;q=0.8", "fr, ko"):
        headers = {"Accept-Language": header}
        text = client.refused(client.http.post("/predict", content=b"x", headers=headers), 422)
        assert "읽을 수 없습니다" in text
    answer = httpx.get(client.server.url + "/metrics", headers={"Accept-Language": "ko"})
    assert "토큰" in answer.json()["error"]
    assert "cannot be read" in client.refused(client.predict(b"x"), 422)


def test_the_language_of_the_server_is_that_of_others(client_of):
    with in_language("ko"):
        client = client_of()
    assert "읽을 수 없습니다" in client.refused(client.predict(b"x"), 422)


def test_an_internal_error_is_an_answer_without_its_text(client_of, model, monkeypatch, capsys):
    """The engine fails, as it would when memory runs out; the server goes on."""
    client = client_of()

    def fails(images):
        raise RuntimeError("at /private/folder/secret.onnx")

    monkeypatch.setattr(type(model), "outputs", lambda self, images: fails(images))
    text = client.refused(client.predict(picture(32, 32)), 500)
    assert "RuntimeError" in text
    assert "secret" not in text
    monkeypatch.undo()
    assert client.predict(picture(32, 32)).status_code == 200
    assert "secret.onnx" in capsys.readouterr().err, "--debug prints the traceback"


# ------------------------------------------------------------------ options and addresses


@pytest.mark.parametrize(
    "wrong",
    [{"batch": 0}, {"queue": 0}, {"deadline_ms": -1}, {"deadline_ms": float("nan")}, {"max_pixels": 0},
     {"max_images": 65, "queue": 64}],
)  # fmt: skip
def test_options_out_of_range(wrong):
    with pytest.raises(UsageError, match="--"):
        ServeOptions(**wrong)


def test_a_port_that_is_taken(client, model):
    with pytest.raises(UsageError, match="cannot be used"):
        PredictionServer(model, port=client.server.port)


def test_an_address_that_is_not_of_this_machine(model):
    with pytest.raises(UsageError):
        PredictionServer(model, host="192.0.2.1")


def test_other_machines_may_use_any_name(client_of, served):
    """On another address than the loopback the name that others use is not known; the token still protects."""
    client = client_of(host="0.0.0.0")
    wait_for(lambda: client.http.get("/health", headers={"Host": "gpu-box.local:80"}).status_code == 200)
    assert client.predict(served.images[0]).status_code == 200
    assert httpx.get(client.server.url + "/metrics").status_code == 401
