"""``ca.explore``: the page from Python."""

from __future__ import annotations

import copy
import subprocess
import sys

import httpx
import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.errors import UsageError


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))


def test_a_module_is_explored_and_not_changed():
    net = small().train()
    before = copy.deepcopy(net.state_dict())
    with ca.explore(net, input_shape=(1, 8, 8)) as page:
        client = httpx.Client(base_url=page.url, timeout=60)
        session = client.get("api/session").json()
        assert session["subjects"][0]["id"] == "own:1"
        assert session["subjects"][0]["title"] == "Sequential"
        image = session["images"][2]["id"]
        rows = client.get("api/network", params={"subject": "own:1"}).json()["rows"]
        assert [row["name"] for row in rows] == ["0", "1", "2", "3", "4"]
        for row in rows:
            query = {"subject": "own:1", "image": image, "layer": row["name"]}
            assert client.get("api/maps", params=query).json()["shape"] == row["output"]
        assert len(client.get("api/predict", params={"subject": "own:1", "image": image}).json()["top"]) == 10
        client.close()
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_a_notebook_shows_it_in_a_frame():
    with ca.explore("lenet5") as page:
        assert page.url in page._repr_html_()
        assert page._repr_html_().startswith("<iframe ")
        headers = httpx.get(page.url).headers
        assert "x-frame-options" not in headers
        assert "frame-ancestors http://127.0.0.1:* http://localhost:*" in headers["content-security-policy"]


def test_after_closing_nothing_answers():
    page = ca.explore("lenet5")
    assert httpx.get(page.url).status_code == 200
    page.close()
    page.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(page.url)


def test_an_input_shape_has_three_sides():
    with pytest.raises(UsageError, match="input_shape is"):
        ca.explore(small(), input_shape=(8, 8))


def test_the_command_prints_the_address_and_ends_by_a_signal():
    """A real process: the first line of stdout is the address."""
    command = [sys.executable, "-m", "convatlas", "explore", "resnet18", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert httpx.get(f"{address}api/session", timeout=30).json()["subjects"][0]["id"] == "resnet18"
        process.terminate()
        process.communicate(timeout=30)
