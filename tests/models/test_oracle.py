"""Every figure of ../shared/facts/published.yaml that is about a network of the atlas.

``computed`` are exact totals from an independent recount; ``claimed`` are printed figures with their tolerance and
whether the recount reaches them. A printed figure that disagrees stays, and its card must explain it.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch

import convatlas as ca
from convatlas.models import entry

yaml = pytest.importorskip("yaml")

from tests.conftest import SHARED  # noqa: E402

FACTS = SHARED / "facts"
pytestmark = pytest.mark.skipif(not FACTS.exists(), reason="facts not on this machine: ../shared/facts is absent")


@cache
def published() -> dict:
    return yaml.load((FACTS / "published.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


@cache
def names() -> dict[str, str]:
    return yaml.safe_load((FACTS / "names.yaml").read_text(encoding="utf-8"))


def known() -> list[tuple[str, str]]:
    return [(id, name) for id, name in names().items() if name in ca.list_models()] if FACTS.exists() else []


def claims(agrees: bool) -> list:
    return [
        pytest.param(name, claim, id=f"{name}-{claim['of']}-{claim['value']}")
        for id, name in known()
        for claim in published()["architectures"][id].get("claimed", ())
        if claim["agrees"] is agrees and claim["src"] != "recalled"
    ]


def test_every_id_has_its_network():
    assert sorted(set(names().values()) - set(ca.list_models())) == []


@pytest.mark.parametrize(("id", "name"), known())
def test_totals_equal_the_independent_recount(id, name):
    computed = published()["architectures"][id]["computed"]
    assert entry(name).params == computed["params"]  # the catalogue's; test_registry holds it against the trace
    assert entry(name).macs == computed["macs"]
    for quantity in ("connections", "neurons"):
        if quantity in computed:
            assert getattr(entry(name), quantity) == computed[quantity]


@pytest.mark.parametrize(("id", "name"), known())
def test_input_and_classes_are_the_published_ones(id, name):
    height, width, channels = published()["architectures"][id]["input"]
    assert entry(name).input == (channels, height, width)
    assert entry(name).num_classes == published()["architectures"][id]["classes"]


def figure(name: str, claim: dict):
    """The card's figure for a claim of the oracle: the same quantity, digits and unit."""
    found = [
        figure
        for figure in ca.card(name).figures
        if figure.quantity == claim["of"] and float(figure.value) * figure.unit == claim["value"] * claim["unit"]
    ]
    assert len(found) == 1, f"the card of {name} holds {len(found)} figures for {claim}"
    return found[0]


@pytest.mark.parametrize(("name", "claim"), claims(agrees=True))
def test_a_printed_figure_is_reached_within_its_digits(name, claim):
    assert figure(name, claim).agrees(getattr(entry(name), claim["of"]))
    assert float(figure(name, claim).allowed) <= max(claim["tol"], 0.5 if claim["unit"] == 1 else 0)


@pytest.mark.parametrize(("name", "claim"), claims(agrees=False))
def test_a_printed_figure_that_is_not_reached_is_shown_with_its_explanation(name, claim):
    assert not figure(name, claim).agrees(getattr(entry(name), claim["of"]))
    assert figure(name, claim).explanation


def test_recalled_figures_are_marked_in_their_cards():
    for id, name in known():
        for claim in published()["architectures"][id].get("claimed", ()):
            if claim["src"] == "recalled":
                assert not figure(name, claim).verified, (name, claim)


# deployed_variants of the facts, by (name, framework) -> our network; where the facts count running statistics too
DEPLOYED = {
    "alexnet": "alexnet@torchvision",
    **{f"vgg{depth}": f"vgg{depth}@torchvision" for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}_bn": f"vgg{depth}@torchvision_bn" for depth in (11, 13, 16, 19)},
    "googlenet (no aux)": "googlenet@torchvision",
    "inception_v3 (no aux)": "inception_v3@torchvision",
    "inception_v4": "inception_v4",
    "inception_resnet_v2": "inception_resnet_v2@timm",
    **{f"resnet{depth}": f"resnet{depth}@torchvision" for depth in (18, 34, 50, 101, 152)},
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 169, 201, 161)},
    "legacy_xception": "xception@timm",
    "squeezenet1_0": "squeezenet1_0@torchvision",
    "squeezenet1_1": "squeezenet1_1@torchvision",
    "VGG16": "vgg16",
    "VGG19": "vgg19",
    "ResNet50 trainable": "resnet50@keras",
    "InceptionV3 trainable": "inception_v3@keras",
    "InceptionResNetV2 trainable": "inception_resnet_v2@keras",
    "Xception trainable": "xception",
}
TOTAL = {  # Keras's "total" adds the running statistics
    "ResNet50 total": "resnet50@keras",
    "ResNet101 total": "resnet101@keras",
    "ResNet152 total": "resnet152@keras",
    "DenseNet121 total": "densenet121",
    "DenseNet169 total": "densenet169",
    "DenseNet201 total": "densenet201",
    "InceptionV3 total": "inception_v3@keras",
    "InceptionResNetV2 total": "inception_resnet_v2@keras",
    "Xception total": "xception",
}
WITH_AUXILIARY = {"googlenet (aux)": "googlenet@torchvision", "inception_v3 (aux)": "inception_v3@torchvision"}
NOT_OURS = {"xception41", "xception65", "xception71", "densenet264d"}  # "not the paper network", say the facts


def deployed() -> list[dict]:
    return published()["deployed_variants"] if FACTS.exists() else []


@pytest.mark.parametrize("fact", deployed(), ids=lambda fact: f"{fact['framework']}-{fact['name']}".replace(" ", "_"))
def test_deployed_variants_have_the_published_parameters(fact):
    name = fact["name"]
    if name in TOTAL or name in WITH_AUXILIARY:
        with torch.device("meta"):
            net = ca.create_model((TOTAL | WITH_AUXILIARY)[name])
        count = sum(p.numel() for p in net.parameters())
        if name in TOTAL:
            count += sum(b.numel() for key, b in net.named_buffers() if "running" in key)
        assert count == fact["params"]
    elif name in DEPLOYED:
        assert entry(DEPLOYED[name]).params == fact["params"]
    else:
        assert name in NOT_OURS


@pytest.mark.parametrize(("id", "name"), known())
def test_auxiliary_heads_have_the_published_parameters(id, name):
    computed = published()["architectures"][id]["computed"]
    if "aux_params" in computed and name != "inception_resnet_v2@timm":  # timm and Keras deploy it without the head
        with torch.device("meta"):
            net = ca.create_model(name)
        assert sum(p.numel() for p in net.parameters()) - entry(name).params == computed["aux_params"]
