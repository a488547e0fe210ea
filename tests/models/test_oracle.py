"""Every figure of ../shared/facts/published.yaml that is about a network of the atlas.

``computed`` are exact totals from an independent recount; ``claimed`` are printed figures with their tolerance and
whether the recount reaches them. A printed figure that disagrees stays, and its card must explain it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

import convatlas as ca
from convatlas.models import entry
from convatlas.models.figures import compare_figures

yaml = pytest.importorskip("yaml")

from tests.conftest import SHARED  # noqa: E402

FACTS = SHARED / "facts"
ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not FACTS.exists(), reason="facts not on this machine: ../shared/facts is absent")


@cache
def published() -> dict:
    return yaml.load((FACTS / "published.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


@cache
def names() -> dict[str, str]:
    return yaml.safe_load((FACTS / "names.yaml").read_text(encoding="utf-8"))


# architectures of the facts that names.yaml leaves out: variants here
MORE = {
    "lenet5_modern": "lenet5@modern",
    "alexnet_ungrouped": "alexnet@ungrouped",
    "alexnet_one_tower": "alexnet@one_tower",
    "zfnet_wide": "zfnet@wide",
    "googlenet_sepconv1": "googlenet@separable",
    "bn_inception_as_printed": "bn_inception@as_printed",
    "prelu_small14": "prelu_net_14",
    "densenet_40_12_torchcode": "densenet40_k12_cifar@torch",
}


def known() -> list[tuple[str, str]]:
    return [*names().items(), *MORE.items()] if FACTS.exists() else []


def claims(agrees: bool) -> list:
    return [
        pytest.param(name, claim, id=f"{name}-{claim['of']}-{claim['value']}")
        for id, name in known()
        for claim in published()["architectures"][id].get("claimed", ())
        if claim["agrees"] is agrees and claim["src"] != "recalled"
    ]


def test_every_architecture_has_its_network():
    assert {id for id, _ in known()} == set(published()["architectures"])
    assert {name for _, name in known()} <= set(ca.list_models())


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


def comparison(name: str, claim: dict):
    printed = figure(name, claim)
    return next(each for each in compare_figures(name) if each.printed is printed or each.printed == printed)


@pytest.mark.parametrize(("name", "claim"), claims(agrees=True))
def test_a_printed_figure_is_reached_within_its_digits(name, claim):
    assert comparison(name, claim).agrees
    assert float(figure(name, claim).allowed) <= max(claim["tol"], 0.5 if claim["unit"] == 1 else 0)


@pytest.mark.parametrize(("name", "claim"), claims(agrees=False))
def test_a_printed_figure_that_is_not_reached_is_shown_with_its_explanation(name, claim):
    assert comparison(name, claim).agrees is False
    assert figure(name, claim).explanation


# networks whose tables were found as text after the facts had been compiled
FOUND_SINCE = (
    *("plain18", "resnet18_a", "resnet18", "resnet101"),  # Table 1
    *(f"resnet{depth}_cifar" for depth in (20, 32, 44, 56, 110)),  # Table 6
    *("prelu_net_a", "prelu_net_b", "prelu_net_c"),  # Table 3
)


def test_recalled_figures_are_marked_in_their_cards():
    for id, name in known():
        for claim in published()["architectures"][id].get("claimed", ()):
            if claim["src"] == "recalled":
                assert figure(name, claim).verified == (name in FOUND_SINCE), (name, claim)


# printed errors of networks the atlas does not have: (family, value in percent) -> whose they are
OF_OTHERS = {
    ("lenet", 0.7): "boosted LeNet-4",
    ("alexnet", 16.6): "a net with a sixth convolution, pretrained; its top-1 error is 39.0",
    ("nin", 11.59): "two fully connected layers in place of the average; recalled",
    ("nin", 10.88): "the same with dropout; recalled",
    ("bn_inception", 27.8): "Inception without batch norm",
    ("inception_v3", 26.8): "GoogLeNet with batch norm",
    ("inception_v3", 23.4): "Inception-v2, the network of Table 1, whose bank sizes were not found",
    ("inception_v3", 23.1): "the same, trained by RMSProp",
    ("inception_v3", 6.3): "its top-5 error",
    ("inception_v3", 22.8): "the same with label smoothing",
    ("inception_v3", 6.1): "its top-5 error",
    ("inception_v3", 21.6): "the same with its 7x7 factorised",
    ("inception_v3", 5.8): "its top-5 error",
    ("prelu", 38.56): "a 30-layer net, tried in section 2.2",
    ("prelu", 16.59): "its top-5 error",
}


def printed_errors() -> list[tuple[str, float]]:
    """(family, percent) of every error rate of the facts; accuracies are turned into errors."""
    found = []
    for family, facts in published()["families"].items():
        rows = [
            row for key, value in facts.items() if key.startswith("errors") and key != "errors_src" for row in value
        ]
        for row in rows:
            for key, value in row.items():
                if key.startswith("acc_"):
                    found.append((family, round(100 - value, 2)))
                elif key.startswith(("top", "test_top", "C10", "fc_")) or key in ("error", "gap_error"):
                    found.append((family, value))
    return found


# a paper's figures of somebody else's network stand on that network's card
ABOUT = {"zfnet": ("alexnet",), "inception_v3": ("googlenet", "bn_inception"), "xception": ("inception_v3",)}


def test_every_printed_error_is_on_a_card_or_of_another_network():
    def on_cards(family: str) -> set[float]:
        families = ({"prelu": "prelu_net"}.get(family, family), *ABOUT.get(family, ()))
        cards = [ca.card(name) for name in ca.list_models() if entry(name).family in families]
        return {float(f.value) for card in cards for f in card.figures if f.quantity.endswith("error")}

    missing = {(family, value) for family, value in printed_errors() if value not in on_cards(family)}
    assert sorted(missing) == sorted(OF_OTHERS)
    assert len(printed_errors()) > 200


def test_the_results_page_says_how_much_of_the_facts_the_atlas_covers():
    page = (ROOT / "results/atlas/README.md").read_text(encoding="utf-8")
    architectures = published()["architectures"]
    assert f"| {len({id for id, _ in known()} & set(architectures))} of {len(architectures)}, every parameter" in page
    assert f"| {len(printed_errors())}; all are on a card, except {len(OF_OTHERS)} of networks" in page


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


def test_the_released_squeezenet_pads_its_last_layer():
    check = next(line["check"] for line in published()["errata"] if line["id"] == "squeezenet_conv10_padding")
    padded = next(value for key, value in check.items() if "15*15" in key)
    assert (entry("squeezenet1_0").macs, entry("squeezenet1_0@caffe").macs) == (check["squeezenet1_0.macs"], padded)
