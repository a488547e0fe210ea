"""What the server refuses, and what every answer carries."""

from __future__ import annotations

import http.client

import pytest

from convatlas.errors import UsageError
from convatlas.explorer.server import HOST, Server
from convatlas.http.answers import without_folders


def ask(page, target: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, dict, bytes]:
    """A request with exactly this target and these headers, which no client tidies up."""
    connection = http.client.HTTPConnection(HOST, page.server.port, timeout=30)
    connection.putrequest(method, target, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def inside(page, rest: str = "") -> str:
    return f"/{page.server.token}/{rest}"


def test_only_the_loopback_interface_listens(page):
    assert page.server.socket.getsockname()[0] == "127.0.0.1"


def test_without_the_token_nothing_is_there(page):
    token = page.server.token
    assert len(token) >= 32
    for target in ("/", "/api/session", f"/{token[:-1]}/", f"/{token}x/api/session", f"/{token}", "//", "/%00/",
                   f"/x/../{token}/", "/%C3%A9%FF/"):  # fmt: skip
        status, _headers, content = ask(page, target)
        assert status == 404, target
        assert content == b'{"error": "not found"}'
    assert ask(page, inside(page))[0] == 200


def test_two_servers_have_two_tokens(page, page_of):
    assert page_of().server.token != page.server.token


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example:1", ""])
def test_another_host_is_refused(page, host):
    assert ask(page, inside(page, "api/session"), headers={"Host": host})[0] in (400, 403)


def test_this_host_may_be_called_localhost(page):
    host = f"localhost:{page.server.port}"
    assert ask(page, inside(page, "api/session"), headers={"Host": host})[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "file://", ""])
def test_another_origin_is_refused(page, origin):
    assert ask(page, inside(page, "api/session"), headers={"Origin": origin})[0] == 403


def test_the_page_s_own_origin_is_accepted(page):
    origin = f"http://{HOST}:{page.server.port}"
    assert ask(page, inside(page, "api/session"), headers={"Origin": origin})[0] == 200


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND"])
def test_other_methods_are_refused(page, method):
    status, headers, _content = ask(page, inside(page, "api/session"), method)
    assert status == 405
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("rest", ["", "app.js", "api/session", "api/nothing", "nothing.js", "../app.js"])
def test_every_answer_has_the_headers(page, rest):
    _status, headers, _content = ask(page, inside(page, rest))
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


@pytest.mark.parametrize(
    "rest",
    [
        "../server.py",
        "static/../server.py",
        "%2e%2e/server.py",
        "..%2fserver.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "....//app.js",
        "app.js%00.html",
        "api/../../server.py",
        "index.html/../../__init__.py",
    ],
)
def test_only_the_built_page_is_served(page, rest):
    status, _headers, content = ask(page, inside(page, rest))
    assert status == 404
    assert content.startswith(b'{"error":')


def test_headers_are_limited(page):
    assert ask(page, inside(page, "api/session"), headers={"X-Long": "x" * 100_000})[0] in (400, 431)
    assert ask(page, inside(page, "api/session?" + "x" * 5000))[0] in (400, 414)


def test_a_web_socket_is_refused(page):
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
    assert ask(page, inside(page, "api/session"), headers=headers)[0] != 101


def test_errors_name_no_folders(page_of, tmp_path):
    (tmp_path / "mine.py").write_text("import nothing_of_this_name\nclass Net: pass\n")
    page = page_of(f"{tmp_path / 'mine.py'}:Net")
    status, text = page.refused("network", subject="own:1")
    assert status == 400
    assert "mine.py cannot be imported" in text
    assert str(tmp_path) not in text
    assert str(tmp_path) not in str(page.get("session"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/me/nets/mine.py has no class", "mine.py has no class"),
        ("there is no file '/a/b c/d.py'.", "there is no file 'd.py'."),
        ("C:\\Users\\me\\x.py cannot be read", "x.py cannot be read"),
        ("a share of 1/2, and/or images/s", "a share of 1/2, and/or images/s"),
        ("Resume it:  convatlas train --resume /home/me/runs/a-001", "Resume it:  convatlas train --resume a-001"),
    ],
)
def test_folders_are_taken_out_of_texts(text, told):
    assert without_folders(text, ["/a/b c"]) == told


def test_a_port_that_is_taken_is_refused(page):
    with pytest.raises(UsageError, match=f"port {page.server.port} cannot be used"):
        Server(page.session, page.server.port)
