"""``explore --save``: one file that works without a server, within its size."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from convatlas.cli import main
from convatlas.errors import LimitError
from convatlas.explorer.documents import document
from convatlas.explorer.opening import open_session
from convatlas.explorer.query import Query
from convatlas.explorer.saving import address, as_json, saved_page, usual_image


def element(page: str, start: str, end: str) -> str:
    """The content of the one element that begins with ``start``."""
    assert page.count(start) == 1
    return page.split(start)[1].split(end)[0]


@pytest.fixture(scope="module")
def session():
    return open_session(["resnet20_cifar"])


@pytest.fixture(scope="module")
def page(session) -> str:
    (subject,) = session.subjects.given.values()
    return saved_page(session, subject, session.pictures.all()[0], 2_000_000).decode()


@pytest.fixture(scope="module")
def recorded(page) -> dict:
    return json.loads(element(page, '<script type="application/json" id="recorded">', "</script>"))


def test_the_policy_allows_just_this_script_and_this_style(page):
    policy = element(page, '<meta http-equiv="Content-Security-Policy" content="', '"')
    script = element(page, '<script type="module">', "</script>")
    style = element(page, "<style>", "</style>")
    for kind, content in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_file_asks_for_nothing_else(page):
    head = page.split("<style>")[0] + page.split("</style>")[1].split("<script")[0]
    for value in re.findall(r"(?:src|href|action)=[\"']([^\"']*)", head):
        assert value.startswith("data:")
    assert page.count("<script") - element(page, '<script type="module">', "</script>").count("<script") == 2


def test_every_layer_is_recorded_in_both_languages(recorded, session):
    rows = document(session, "network", Query({"subject": "resnet20_cifar"}))["rows"]
    for row in rows:
        for language in ("en", "ko"):
            layer = recorded[address("layer", {"lang": language, "layer": row["name"], "subject": "resnet20_cifar"})]
            assert layer["row"] == row
    korean = recorded["api/layer?lang=ko&layer=conv1&subject=resnet20_cifar"]
    assert korean["steps"][0]["quantity"] == "출력"


def test_answers_are_those_of_the_server(recorded, session):
    """An answer that is the same in both languages is recorded once."""
    session_document = recorded["api/session?lang=en"]
    image = session_document["images"][0]["id"]
    assert len(session_document["images"]) == 1
    parameters = {"subject": "resnet20_cifar", "image": image}
    for name in ("prepared", "predict"):
        made = document(session, name, Query(parameters))
        found = recorded[address(name, {**parameters, "lang": "en"})]
        assert {**found, "milliseconds": 0} == {**made, "milliseconds": 0}
    made = document(session, "maps", Query({**parameters, "layer": "conv1"}))
    found = recorded[address("maps", {**parameters, "layer": "conv1", "lang": "en"})]
    assert found["shape"] == made["shape"]
    assert found["channels"][0]["maximum"] == pytest.approx(made["channels"][0]["maximum"], rel=1e-4)
    assert address("maps", {**parameters, "layer": "conv1", "lang": "ko"}) not in recorded
    assert address("attribution", {**parameters, "layer": "stage3.2.relu:2", "method": "grad_cam", "lang": "en"}) in (
        recorded
    )


@pytest.mark.parametrize("name", ["mlp", "autoencoder"])
def test_a_network_without_maps_or_without_classes_is_saved_too(name):
    """Its image is a grey one, as the network reads."""
    session = open_session([name])
    (subject,) = session.subjects.given.values()
    image = usual_image(session, subject)
    assert image.name == "digit 0"
    content = saved_page(session, subject, image)
    assert b"api/maps?" in content
    assert (b"api/predict?" in content) == (name == "mlp")


def test_the_limit_is_kept_and_decides_how_many_maps_there_are(session):
    (subject,) = session.subjects.given.values()
    image = session.pictures.all()[0]
    sizes, maps = [], []
    for limit in (800_000, 1_200_000, 5_000_000):
        content = saved_page(session, subject, image, limit)
        sizes.append(len(content))
        maps.append(len(re.findall(rb'"api/maps\?', content)))
        assert len(content) <= limit
    assert sizes == sorted(sizes)
    assert maps == sorted(maps)


def test_a_network_that_does_not_fit_is_refused_with_a_way_out(session):
    (subject,) = session.subjects.given.values()
    with pytest.raises(LimitError, match="--save-limit 20MB"):
        saved_page(session, subject, session.pictures.all()[0], 450_000)


def test_a_name_cannot_end_the_script():
    assert b"<" not in as_json({"a": "</script><script>alert(1)</script>"})
    assert json.loads(as_json({"a": "</script>\u2028"})) == {"a": "</script>\u2028"}


def test_addresses_are_those_of_the_page():
    """As encodeURIComponent writes them, parameters in alphabetical order."""
    assert address("layer", {"subject": "own:1", "layer": "a b/c(d)~'ä"}) == (
        "api/layer?layer=a%20b%2Fc(d)~'%C3%A4&subject=own%3A1"
    )


def test_the_command_writes_one_file_and_ends(tmp_path, shared, capsys):
    photo = next(shared("data/photos").glob("n02391049_zebra/*"))
    file = tmp_path / "page.html"
    with pytest.raises(SystemExit) as left:
        main(["explore", "lenet5", "--image", str(photo), "--save", str(file), "--save-limit", "1MB"])
    assert left.value.code == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"wrote {file}" in captured.err
    assert file.stat().st_size <= 1_000_000
    assert photo.name in file.read_text("utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--save", "page.html"], "--save writes the page of one SUBJECT; 0 were named."),
        (["lenet5", "mlp", "--save", "page.html"], "2 were named"),
        (["lenet5", "--save", "page.pdf"], "page.pdf must end in .html"),
        (["lenet5", "--weights", "missing.pth", "--save", "page.html"], "there is no file missing.pth"),
        (["lenet5", "--image", "missing.png", "--save", "page.html"], "missing.png cannot be read"),
        (["lenet6"], "Did you mean lenet5"),
        (["lenet5", "--mean", "0.5"], "belong to a network's --weights"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["explore", *arguments])
    assert left.value.code in (2, 3)
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
