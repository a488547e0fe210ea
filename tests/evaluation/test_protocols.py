"""Where the views of each protocol lie, how they are averaged, and dense evaluation against a sliding window."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convatlas.errors import UnknownNameError, UsageError
from convatlas.evaluation import (
    PROTOCOLS,
    FullyConvolutional,
    ImageRegion,
    average_views,
    evaluate,
    get_protocol,
    protocols,
)
from convatlas.models import create_model, entry


def random_images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def linear(pixels: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 4)).eval()


class Place(nn.Module):
    """Says which pixel lies in a view's upper left and lower right corner: of an image that counts its pixels."""

    def forward(self, images):
        return torch.stack([images[:, 0, 0, 0], images[:, 0, -1, -1]], dim=1)


def numbered(height: int, width: int) -> torch.Tensor:
    return torch.arange(height * width, dtype=torch.float).view(1, 1, height, width)


def corners(views, height: int, width: int) -> list[tuple[int, int]]:
    """(row, column) of the upper left pixel of each view of a numbered image."""
    return [divmod(int(view[0, 0, 0, 0]), width) for view in views]


# --- coordinates, by hand ---------------------------------------------------------------------------------------------


def test_the_ten_crops_of_alexnet():
    """224 x 224 out of 256 x 256: 32 pixels to spare, 16 on each side of the centre."""
    assert protocols.ten_crop_positions(256, 256, (224, 224)) == [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    views = list(protocols.ten_crops(numbered(256, 256), (224, 224)))
    assert [view.shape for view in views] == [(1, 1, 224, 224)] * 10
    assert torch.equal(views[9], views[8].flip(-1))
    assert corners(views[::2], 256, 256) == [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    # the mirror image of the upper left crop begins with its last column
    assert corners(views[1:2], 256, 256) == [(0, 223)]


def test_the_144_crops_of_googlenet():
    """Section 7: 4 scales x 3 squares x 6 crops x 2; a 3:2 photograph, and the same one upright."""
    protocol = PROTOCOLS["144-crop"]
    assert [each.region for each in protocol.passes] == [ImageRegion(side, whole=True) for side in (256, 288, 320, 352)]
    assert protocols.square_positions(256, 384) == [(0, 0), (0, 64), (0, 128)]
    assert protocols.square_positions(384, 256) == [(0, 0), (64, 0), (128, 0)]
    assert protocols.square_positions(288, 288) == [(0, 0)] * 3
    views = list(protocols.squares_and_crops(numbered(256, 384), (224, 224)))
    assert len(views) * len(protocol.passes) == 144
    assert {tuple(view.shape) for view in views} == {(1, 1, 224, 224)}
    # of the central square: the corners, the centre, and the square shrunk by 256 / 224
    assert corners(views[12:22:2], 256, 384) == [(0, 64), (0, 96), (32, 64), (32, 96), (16, 80)]
    whole = views[22]
    centre = numbered(256, 384)[..., :256, 64:320]
    assert whole.mean() == pytest.approx(centre.mean().item(), rel=1e-5)
    assert torch.equal(views[23], whole.flip(-1))


def test_the_150_crops_of_vgg():
    """Section 3.2: "50 crops per scale (5 x 5 regular grid with 2 flips), for a total of 150 crops over 3 scales"."""
    protocol = PROTOCOLS["150-crop"]
    assert [each.region.shorter_side for each in protocol.passes] == [256, 384, 512]
    places = protocols.grid_positions(256, 384, (224, 224))
    assert sorted({top for top, _ in places}) == [0, 8, 16, 24, 32]
    assert sorted({left for _, left in places}) == [0, 40, 80, 120, 160]
    assert len(list(protocols.grid_crops(numbered(256, 384), (224, 224)))) == 50


@pytest.mark.parametrize(("size", "side"), [(224, 256), (227, 256), (299, 342), (32, 37), (112, 128)])
def test_a_region_keeps_the_margin_of_256_around_224(size, side):
    assert ImageRegion(256).side((size, size)) == side
    assert ImageRegion(224).side((size, size)) == size


# --- averages ---------------------------------------------------------------------------------------------------------


def test_flip_averages_the_probabilities_of_both_views():
    images, network = random_images(5, 3, 6, 6), linear(108)
    logits = PROTOCOLS["flip"].logits(network, images)
    expected = (network(images).softmax(1) + network(images.flip(3)).softmax(1)) / 2
    assert torch.allclose(logits.softmax(1), expected, atol=1e-6)
    assert torch.allclose(logits.exp().sum(1), torch.ones(5))  # the logarithm of a distribution: nll is its own


def test_flip_and_shift_give_the_unshifted_views_half_of_the_weight():
    images, network = random_images(2, 1, 4, 4), linear(16)
    down = torch.nn.functional.pad(images, (1, 0, 1, 0), mode="reflect")[..., :4, :4]
    up = torch.nn.functional.pad(images, (0, 1, 0, 1), mode="reflect")[..., 1:, 1:]
    p = {name: [network(v).softmax(1) for v in (x, x.flip(-1))] for name, x in
         (("centre", images), ("down", down), ("up", up))}  # fmt: skip
    expected = sum(p["centre"]) / 4 + sum(p["down"]) / 8 + sum(p["up"]) / 8
    assert torch.allclose(PROTOCOLS["flip-shift"].logits(network, images).exp(), expected, atol=1e-6)


def test_an_average_over_all_circular_shifts_no_longer_depends_on_where_the_object_stands():
    images, network = random_images(3, 1, 5, 5), linear(25)
    everywhere = average_views(lambda x, size: (x.roll((dy, dx), (2, 3)) for dy in range(5) for dx in range(5)))
    here, there = (everywhere(network, (5, 5))(x) for x in (images, images.roll((2, 1), (2, 3))))
    assert torch.allclose(here, there, atol=1e-6)
    assert not torch.allclose(network(images), network(images.roll((2, 1), (2, 3))))


def test_passes_are_weighted_by_their_views():
    """Two sizes read by dense@, two views each: the mean of four probabilities."""
    network = linear(1 * 8 * 8)
    photos = {256: random_images(2, 1, 9, 12), 512: random_images(2, 1, 18, 24)}
    labels = torch.tensor([0, 3])
    found = evaluate(
        network, lambda region: [(photos[region.shorter_side], labels)], "abcd", "dense@256,512", size=(8, 8)
    )  # fmt: skip
    probabilities = []
    for photo in photos.values():
        for view in (photo, photo.flip(-1)):
            probabilities.append(sliding(network, view, 8, 1).mean(dim=(2, 3)).softmax(1))
    assert torch.allclose(torch.from_numpy(found.logits).exp(), sum(probabilities) / 4, atol=1e-5)
    assert found.protocol == "dense@256,512"


# --- dense ------------------------------------------------------------------------------------------------------------


def sliding(network: nn.Module, images: torch.Tensor, side: int, stride: int) -> torch.Tensor:
    """(N, K, H', W'): the network itself on every window."""
    places = [range(0, images.shape[axis] - side + 1, stride) for axis in (2, 3)]
    rows = [torch.stack([network(images[..., t : t + side, x : x + side]) for x in places[1]], -1) for t in places[0]]
    return torch.stack(rows, dim=2)


def small_net() -> nn.Module:
    """Without padding, so that a window's border is no different from its middle; total stride 4, input 18 x 18."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(6 * 3 * 3, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 7),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("shape", [(18, 18), (26, 38), (31, 23)])
def test_dense_scores_are_those_of_a_sliding_window(shape):
    network, images = small_net(), random_images(2, 3, *shape)
    with torch.inference_mode():
        dense = FullyConvolutional(network, (18, 18))(images)
        assert dense.shape == (2, 7, (shape[0] - 18) // 4 + 1, (shape[1] - 18) // 4 + 1)
        assert torch.allclose(dense, sliding(network, images, 18, 4), atol=1e-5)


def test_a_global_average_pooling_slides_too():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    images = random_images(1, 3, 14, 12)
    with torch.inference_mode():
        dense = FullyConvolutional(network.eval(), (10, 10))(images)
        assert torch.allclose(dense, sliding(network, images, 10, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "side"),
    [("vgg11", 32), ("alexnet", 99), ("nin_cifar", 32), ("resnet20_cifar", 32),
     ("squeezenet1_1", 64), ("lenet5@modern", 32), ("mlp", 28)],
)  # fmt: skip
def test_networks_of_the_atlas_are_read_densely(name, side):
    """At their own size the score map is one place, at a larger one several; the size check is back afterwards."""
    channels = entry(name).input[0]
    network = create_model(name, num_classes=5, image_size=side).eval()
    with torch.inference_mode():
        scores = FullyConvolutional(network, (side, side))
        assert scores(random_images(1, channels, side, side)).shape == (1, 5, 1, 1)
        larger = scores(random_images(1, channels, side + 96, side + 32))
        assert larger.shape[2] > larger.shape[3] > 1
    assert getattr(network, "image_size", None) in (None, side)


class Pyramid(nn.Module):
    """PReLU-net's head: pooled to 2 x 2 and to 1 x 1, both flattened side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * (4 + 1), 5)

    def forward(self, images):
        levels = (nn.functional.adaptive_max_pool2d(images, bins) for bins in (2, 1))
        return self.fc(torch.cat([torch.flatten(level, start_dim=1) for level in levels], dim=1))


@pytest.mark.parametrize("network", [Pyramid(), create_model("lenet5")], ids=["spatial pyramid", "lenet5's RBF"])
def test_a_head_that_has_no_convolutional_form_is_refused(network):
    images = random_images(1, 3 if isinstance(network, Pyramid) else 1, 32, 32)
    with torch.inference_mode(), pytest.raises(UsageError, match=r"has another head.*ten-crop"):
        FullyConvolutional(network.eval(), (32, 32))(images)


# --- names ------------------------------------------------------------------------------------------------------------


def test_an_unknown_protocol_lists_the_near_ones():
    with pytest.raises(UnknownNameError, match="Did you mean ten-crop"):
        get_protocol("ten-corp")


def test_the_papers_words_for_a_protocol():
    assert get_protocol("dense") is PROTOCOLS["dense@256"]
    assert get_protocol("multi-scale") is PROTOCOLS["dense@256,384,512"]
    assert get_protocol("dense@224,256,288").name == "dense@224,256,288"
    for name in ("dense@", "dense@small", "dense@100"):
        with pytest.raises(UsageError, match="at least 224 pixels"):
            get_protocol(name)


def test_a_protocol_that_asks_for_more_than_the_input_says_so():
    batches = [(random_images(1, 1, 4, 4), torch.tensor([0]))]
    with pytest.raises(UsageError, match="ten-crop needs larger images"):
        evaluate(linear(16), batches, "abcd", "ten-crop")
    with pytest.raises(UsageError, match="ten-crop needs larger images"):
        PROTOCOLS["ten-crop"].logits(linear(16), batches[0][0])
