"""First weights by name: what "modern" draws, worked out by hand, and what it leaves alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.errors import UnknownNameError, UsageError
from convatlas.models import entry, initialise
from convatlas.models.initialisation import SkipFills, class_layers


def modern(name: str, **sizes: int) -> nn.Module:
    torch.manual_seed(0)
    return ca.create_model(name, init="modern", **sizes).eval()


def std(layer: nn.Module) -> float:
    return layer.weight.std().item()


def test_convolutions_follow_he_the_head_is_small_and_branches_start_silent():
    net = modern("resnet50")
    block = net.conv3_x[1]
    assert std(block.conv2) == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.01)
    assert std(block.conv3) == pytest.approx(math.sqrt(2 / 128), rel=0.01)
    assert std(net.fc) == pytest.approx(0.01, rel=0.01)
    assert net.fc.bias.eq(0).all()
    assert (block.bn1.weight.mean(), block.bn3.weight.abs().max()) == (1, 0)


@pytest.mark.parametrize(
    ("name", "part", "maps"),
    [("resnet18", "conv2_x.1", 64), ("resnet50", "conv2_x.1", 256), ("xception", "block5", 728)],
)
def test_a_block_begins_as_its_shortcut(name, part, maps):
    block = modern(name, num_classes=10).get_submodule(part)
    x = torch.rand(1, maps, 6, 6)
    assert torch.equal(block(x), x)


def test_so_does_a_residual_that_ends_in_a_convolution():
    block = modern("inception_resnet_v1", num_classes=10).Inception_ResNet_A[0]
    x = torch.rand(1, 256, 8, 8)
    assert torch.equal(block(x), x)


def test_a_plain_network_has_no_branch_to_silence():
    assert all(norm.weight.eq(1).all() for norm in modern("plain18").modules() if isinstance(norm, nn.BatchNorm2d))


@pytest.mark.parametrize(
    "name", ["vgg11", "googlenet", "zfnet", "nin_imagenet", "squeezenet_simple_bypass", "squeezenet_complex_bypass"]
)
def test_without_batch_norm_the_signal_neither_dies_nor_explodes(name):
    """The last hidden maps keep the deviation of the images within a factor of ten, over 8 to 22 layers."""
    side = 95 if name == "zfnet" else 96
    net = modern(name, num_classes=10, image_size=side)
    last_hidden: list[torch.Tensor] = []
    class_layers(net)[-1].register_forward_pre_hook(lambda _, inputs: last_hidden.append(inputs[0]))
    with torch.no_grad():
        net(torch.randn(2, 3, side, side))
    assert 0.1 < last_hidden[0].std() < 10


def test_lenet_is_drawn_for_its_scaled_tanh():
    net = modern("lenet5")
    assert std(net.C5) == pytest.approx(1 / math.sqrt(400), rel=0.02)
    assert net.S2.weight.eq(0.5).all()
    assert net.C3.weight[:3].std().item() == pytest.approx(1 / math.sqrt(75), rel=0.25)  # the first map reads three
    assert all(parameter.eq(0).all() for name, parameter in net.named_parameters() if name.endswith("bias"))


def test_printed_is_what_a_network_is_built_with():
    def drawn(**init: str) -> torch.Tensor:
        torch.manual_seed(0)
        return torch.cat([p.flatten() for p in ca.create_model("resnet20_cifar", **init).parameters()])

    assert torch.equal(drawn(), drawn(init="printed"))
    assert not torch.equal(drawn(), drawn(init="modern"))


def test_any_module_can_be_drawn_anew():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.PReLU(64), nn.Flatten(), nn.Linear(64 * 36, 10))
    initialise(net, "modern")
    assert std(net[0]) == pytest.approx(math.sqrt(2 / 27), rel=0.05)
    assert net[3].weight.eq(0).all()  # no batch norm before it
    assert net[1].weight.eq(0.25).all()


def test_a_wrong_name_and_a_contradiction_are_refused():
    with pytest.raises(UnknownNameError, match=r"unknown initialisation 'moderne'\. Did you mean modern"):
        ca.create_model("mlp", init="moderne")
    with pytest.raises(UsageError, match=r"weights replace the initialisation\. Leave out init='modern'"):
        ca.create_model("mlp", init="modern", weights="mlp.safetensors")


def test_a_recipe_can_ask_for_it():
    from convatlas.recipes.recipe import Recipe
    from convatlas.runs.prepare import prepare
    from convatlas.runs.training_data import TrainingData

    recipe = Recipe(initial="modern", epochs=1, image_size=32)
    net = prepare("resnet20_cifar", TrainingData("digits"), recipe, seed=0).net
    assert net.get_submodule("stage1.0.bn2").weight.eq(0).all()


@pytest.mark.parametrize(("name", "head"), [("squeezenet1_1", "conv10"), ("nin_cifar", "cccp6")])
def test_rectified_logits_begin_alike_and_above_zero(name, head):
    net = ca.create_model(name, init="modern")
    assert torch.equal(net.get_submodule(head).bias, torch.ones(net.get_submodule(head).out_channels))
    assert all(
        not layer.bias.any() for path, layer in net.named_modules() if isinstance(layer, nn.Conv2d) and path != head
    )
    images = torch.randn(2, *entry(name).input)
    assert net.eval()(images).eq(1).all()


@pytest.mark.parametrize("name", ["vgg11", "googlenet", "squeezenet_complex_bypass", "resnet18"])
def test_the_first_loss_is_that_of_guessing(name):
    net = modern(name, num_classes=32, image_size=96)
    with torch.no_grad():
        loss = nn.functional.cross_entropy(net(torch.randn(8, 3, 96, 96)), torch.arange(8))
    assert loss.item() == pytest.approx(math.log(32), abs=0.3)


def test_rectified_branches_share_what_they_add_and_their_linear_shortcuts_have_gain_one():
    """Eight bypasses: 1/8 of He's deviation where a branch ends; 1/sqrt(n) in a shortcut that no ReLU follows."""
    fire = modern("squeezenet_complex_bypass").fire8
    assert std(fire.squeeze1x1) == pytest.approx(math.sqrt(2 / 384), rel=0.02)
    assert std(fire.expand1x1) == pytest.approx(math.sqrt(2 / 64) / 8, rel=0.02)
    assert std(fire.expand3x3) == pytest.approx(math.sqrt(2 / (9 * 64)) / 8, rel=0.02)
    assert std(fire.bypass) == pytest.approx(math.sqrt(1 / 384), rel=0.02)
    fire = modern("squeezenet_simple_bypass").fire3
    assert std(fire.expand3x3) == pytest.approx(math.sqrt(2 / (9 * 16)) / 4, rel=0.02)
    fire = modern("squeezenet1_0").fire3  # nothing is added
    assert std(fire.expand3x3) == pytest.approx(math.sqrt(2 / (9 * 16)), rel=0.02)


def test_on_the_meta_device_nothing_is_drawn_and_elsewhere_everything():
    state = torch.get_rng_state()
    with torch.device("meta"):
        assert all(parameter.is_meta for parameter in ca.create_model("resnet20_cifar", init="modern").parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert ca.create_model("resnet20_cifar").conv1.weight.std() > 0.1
    weight = torch.full((2, 3), 7.0)
    with SkipFills():
        nn.init.kaiming_uniform_(nn.init.zeros_(weight))
        assert weight.eq(7).all()
    assert nn.init.zeros_(weight).eq(0).all()


@pytest.mark.slow
def test_a_thousand_layers_need_statistics_before_they_are_evaluated():
    """What the card says: without statistics the activations overflow; one batch in training mode is enough."""
    torch.manual_seed(0)
    net = ca.create_model("preact_resnet1001_cifar").eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert net(images).isnan().all()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the statistics of this batch alone
        net.train()(torch.randn(4, 3, 32, 32))
        assert net.eval()(images).isfinite().all()
    assert any("statistics" in each for each in ca.card("preact_resnet1001_cifar").unstated)
