"""``torch.export`` takes every family; docs/en/how-to/deployment-formats.md says which ``torch.jit.script`` takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import convatlas as ca
from convatlas import models

PAGE = (Path(__file__).parents[2] / "docs/en/how-to/deployment-formats.md").read_text(encoding="utf-8")
# the names of a row of the page -> what it says of torch.export and torch.jit.script
ROWS = {
    tuple(names.split(", ")): (exported, scripted)
    for names, exported, scripted in re.findall(r"^\| ([a-z][\w, ]+) \| (yes|no.*?) \| (yes|no.*?) \|$", PAGE, re.M)
}
EXPORTED = [names[0] for names, (exported, _) in ROWS.items() if exported == "yes"]
SCRIPTED = [names[0] for names, (_, scripted) in ROWS.items() if scripted == "yes"]
TRACED = [names[0] for names, (_, scripted) in ROWS.items() if scripted != "yes"]


def test_the_page_lists_every_network_once():
    listed = [name for names in ROWS for name in names]
    assert sorted(listed) == sorted(ca.list_models(variants=False))
    assert len(TRACED) == 19
    for names in ROWS:
        assert len({models.entry(name).family for name in names}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_every_family_can_be_exported(name):
    net, images = ca.create_model(name).eval(), torch.rand(1, *models.entry(name).input)
    with torch.no_grad():
        exported = torch.export.export(net, (images,)).module()(images)
        assert torch.allclose(exported, net(images), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*SCRIPTED, "resnet18_a", "resnet50", "squeezenet_complex_bypass", "plain18"])
def test_these_can_be_scripted(name):
    net, images = ca.create_model(name).eval(), torch.rand(1, *models.entry(name).input)
    with torch.no_grad():
        assert torch.allclose(torch.jit.script(net)(images), net(images), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TRACED)
def test_the_others_can_be_traced_and_not_scripted(name):
    net, images = ca.create_model(name).eval(), torch.rand(1, *models.entry(name).input)
    with torch.no_grad():
        traced = torch.jit.trace(net, images)
        assert torch.allclose(traced(images), net(images), atol=1e-5)
    with pytest.raises((RuntimeError, ValueError, torch.jit.frontend.FrontendError)):
        torch.jit.script(net)  # where it works, the page says too little
