"""The recipe `fast` and its network: whitening against its definition, and the resume that every recipe owes."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from convatlas import models
from convatlas.errors import Interrupted, RecipeError
from convatlas.models.speednet import Whitening
from convatlas.recipes.registry import recipe_for
from convatlas.runs.options import RunOptions
from convatlas.runs.train import RunListener, resume, train


def test_whitened_patches_are_uncorrelated_and_of_equal_size():
    torch.manual_seed(0)
    images = F.avg_pool2d(torch.randn(50, 3, 34, 34), 3, stride=1)  # neighbours correlated, as in photographs
    layer = Whitening(3)
    layer.fit_(images, eps=0.0)
    found = F.conv2d(images, layer.filters).transpose(0, 1).flatten(1)  # (24, values)
    covariance = found @ found.T / found.shape[1]
    pair = torch.eye(12).repeat(2, 1)  # each filter has its negative beside it
    pair[12:] *= -1
    assert torch.allclose(covariance, pair @ pair.T, atol=1e-3)


def test_before_it_saw_images_the_first_layer_passes_every_pixel_and_its_negative():
    image = torch.arange(8.0).view(1, 2, 2, 2)
    assert Whitening(2)(image).flatten().tolist() == [*range(8), *(-value for value in range(8))]


def test_the_six_convolutions_begin_by_passing_their_inputs_through():
    net = models.create_model("speednet_cifar")
    x = torch.randn(2, 64, 9, 9)
    assert torch.allclose(net.group2.conv1(x)[:, :64], x, atol=1e-6)
    assert len([module for module in net.modules() if isinstance(module, torch.nn.Conv2d)]) == 6


def test_only_the_network_made_for_it_is_whitened(tmp_path):
    with pytest.raises(RecipeError, match="available only for speednet_cifar"):
        train("resnet20_cifar", "digits", recipe_for("speednet_cifar", "fast"), out=tmp_path)


class StopAfter(RunListener):
    """Asks for the end, as Ctrl-C does, when ``step`` updates have been made."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, state, loss, images_per_s) -> None:
        if state.step == self.step:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
def test_it_resumes_to_the_same_bits(tmp_path):
    """Whitening, look-ahead, alternating flips and all, stopped between two returns to the slow weights."""
    draw = np.random.default_rng(0)
    for name in ("left", "right"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(30):
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    recipe = recipe_for("speednet_cifar", "fast").change(epochs=4, batch_size=16)
    options = RunOptions(checkpoint_every_steps=1, threads=1, device="cpu")
    whole = train("speednet_cifar", tmp_path / "images", recipe, options=options, out=tmp_path / "whole")
    cut = {"options": options, "out": tmp_path / "cut", "listener": StopAfter(6)}
    with pytest.raises(Interrupted):
        train("speednet_cifar", tmp_path / "images", recipe, **cut)
    (folder,) = (tmp_path / "cut").iterdir()
    resumed = resume(folder)
    assert [line["step"] for line in resumed.epochs()] == [3, 6, 9, 12]
    for name, tensor in whole.network().state_dict().items():
        assert torch.equal(resumed.network().state_dict()[name], tensor), name
